package outbound

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
)

// transport bounds what an HTTP exchange may do.
type transport struct {
	dialer   *Dialer
	http     *http.Transport
	bytesMax int64 // negative: no bound
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !t.dialer.plain(r) {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, &Refused{Host: r.URL.Host, Reason: "it is not https, and neither open mode nor the operator's list allow plain HTTP"}
	}
	resp, err := t.http.RoundTrip(r)
	if err != nil || t.bytesMax < 0 {
		return resp, err
	}
	if resp.ContentLength > t.bytesMax {
		resp.Body.Close()
		return nil, &TooLong{Host: r.URL.Host, BytesMax: t.bytesMax}
	}
	resp.Body = &bounded{ReadCloser: resp.Body, left: t.bytesMax, err: &TooLong{Host: r.URL.Host, BytesMax: t.bytesMax}}
	return resp, nil
}

// CloseIdleConnections lets http.Client close what is not in use.
func (t *transport) CloseIdleConnections() { t.http.CloseIdleConnections() }

// plain says whether r may go unencrypted.
func (d *Dialer) plain(r *http.Request) bool {
	if r.URL.Scheme != "http" {
		return false
	}
	if d.c.Open {
		return true
	}
	port := r.URL.Port()
	if port == "" {
		port = "80"
	}
	target := net.JoinHostPort(r.URL.Hostname(), port)
	ap, _ := netip.ParseAddrPort(target) // a name leaves it zero, and is matched by name
	for _, rule := range d.c.Allow {
		if rule.prefix.IsValid() && ap.IsValid() && rule.matches(target, netip.AddrPortFrom(embedded(ap.Addr()), ap.Port())) {
			return true
		}
		if rule.named(target) && (rule.port == 0 || fmt.Sprint(rule.port) == port) {
			return true
		}
	}
	return false
}

// A TooLong error says that an answer has more bytes than it may.
type TooLong struct {
	Host     string
	BytesMax int64
}

func (e *TooLong) Error() string {
	return fmt.Sprintf("the answer of %s has more than %d bytes", e.Host, e.BytesMax)
}

// bounded is a body that ends in an error where it is too long.
type bounded struct {
	io.ReadCloser
	left int64
	err  error
}

func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1] // one more than allowed tells an end from a cut
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		n, err = int(b.left), b.err
		b.left = 0
		return n, err
	}
	b.left -= int64(n)
	return n, err
}
