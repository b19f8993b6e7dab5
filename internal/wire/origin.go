package wire

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/rheostream/rheo/internal/api"
)

// In open mode every request is believed, so a browser on this machine must not
// be made to send one by a page from elsewhere. Two doors are shut: a name of the
// page's own that resolves to us (DNS rebinding; Host must be a name of ours) and
// a plain cross-site request (Origin and Sec-Fetch-Site must not tell of another
// site, unless it is on the list). Signed requests need neither: no page has the key.

// names are what the server may be called, and which pages may call it.
type names struct {
	hosts   []string // further host names; "*.example.com" is any name below it
	origins []string // "http://localhost:3000"
}

// admit refuses what a page from elsewhere sent.
func (n *names) admit(r *http.Request) error {
	if !n.isOurs(r.Host) {
		return &api.Error{Code: "AccessDeniedException", Status: http.StatusForbidden,
			Message: "Host '" + clip(r.Host) + "' is not a name of this server. Requests whose signature is not verified are answered under loopback and configured names only."}
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		// Navigation, and all that is no browser.
		if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "none" && site != "same-origin" {
			return errCrossSite
		}
		return nil
	}
	if n.allows(origin) || sameOrigin(origin, r.Host) && r.Header.Get("Sec-Fetch-Site") != "cross-site" {
		return nil
	}
	return errCrossSite
}

var errCrossSite = &api.Error{Code: "AccessDeniedException", Status: http.StatusForbidden,
	Message: "Requests from pages of other sites are refused. Add the page's origin to the list of allowed origins, or configure access keys."}

// isOurs says whether host, with or without a port, is a loopback address or one of our names.
func (n *names) isOurs(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true // never resolved elsewhere: RFC 6761
	}
	if isLoopback(host) {
		return true
	}
	for _, name := range n.hosts {
		if below, ok := strings.CutPrefix(name, "*"); ok && len(host) > len(below) && strings.HasSuffix(host, below) || name == host {
			return true
		}
	}
	return false
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// exposed are the headers that a page on the list may read beside those that any may.
const exposed = "x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,x-amzn-ErrorMessage,Date," +
	"ETag,Accept-Ranges,Content-Range,Content-Encoding,Content-Disposition,x-amz-mp-parts-count," +
	"x-amz-checksum-crc32,x-amz-checksum-crc32c,x-amz-checksum-crc64nvme,x-amz-checksum-sha1,x-amz-checksum-sha256,x-amz-checksum-type"

func (n *names) allows(origin string) bool { return slices.Contains(n.origins, origin) }

func sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host == host
}

// cors lets a page on the list read the answer, and answers its preflight. It
// says whether the request was one and is done with.
func (n *names) cors(w http.ResponseWriter, r *http.Request) (done bool) {
	origin := r.Header.Get("Origin")
	if origin == "" || !n.allows(origin) {
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Expose-Headers", exposed)
	if r.Method != http.MethodOptions {
		return false
	}
	if v := r.Header.Get("Access-Control-Request-Headers"); v != "" {
		h.Set("Access-Control-Allow-Headers", v)
	}
	if v := r.Header.Get("Access-Control-Request-Method"); v != "" {
		h.Set("Access-Control-Allow-Methods", v)
	}
	h.Set("Access-Control-Max-Age", "172800")
	w.WriteHeader(http.StatusOK)
	return true
}
