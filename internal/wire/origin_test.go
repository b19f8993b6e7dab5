package wire

import (
	"net/http"
	"strings"
	"testing"
)

// TestPagesOfOtherSites: in open mode a browser must not be made to call the API,
// by a name that resolves to us or by a request from another site. With keys
// configured the signature is what counts.
func TestPagesOfOtherSites(t *testing.T) {
	for _, tt := range []struct {
		host, origin, site string
		allowed            bool
	}{
		// No browser.
		{"localhost:4566", "", "", true},
		{"127.0.0.1:4566", "", "", true},
		{"127.1.2.3", "", "", true},
		{"[::1]:4566", "", "", true},
		{"[::ffff:127.0.0.1]:4566", "", "", true},
		{"LOCALHOST.:4566", "", "", true},
		{"kinesis.us-east-1.localhost:4566", "", "", true},
		{"rheo.internal:4566", "", "", true},                   // configured
		{"s3.localhost.localstack.cloud:4566", "", "", true},   // below a configured name
		{"localhost.localstack.cloud.evil.com", "", "", false}, // not below it
		{"localhost.evil.com:4566", "", "", false},             // rebinding
		{"evil.com", "", "", false},                            //
		{"192.168.1.2:4566", "", "", false},                    //
		{"", "", "", false},                                    //
		{"evil.com", "http://evil.com", "same-origin", false},  // rebinding, by a browser that finds nothing wrong
		{"evil.com:4566", "http://evil.com:4566", "", false},   //
		// Our own page.
		{"localhost:4566", "http://localhost:4566", "same-origin", true},
		{"localhost:4566", "", "same-origin", true},
		{"localhost:4566", "", "none", true}, // typed by the user
		// Pages of others, also of another port of this machine.
		{"localhost:4566", "http://evil.com", "cross-site", false},
		{"localhost:4566", "http://evil.com", "", false},
		{"localhost:4566", "", "cross-site", false},
		{"localhost:4566", "", "same-site", false},
		{"localhost:4566", "http://localhost:8080", "same-site", false},
		{"localhost:4566", "null", "cross-site", false},
		{"localhost:4566", "http://localhost:4566", "cross-site", false},
		{"localhost:4566", "http://localhost:4566.evil.com", "", false},
		// On the list.
		{"localhost:4566", "http://localhost:3000", "same-site", true},
		{"localhost:4566", "http://localhost:3000", "", true},
		{"evil.com", "http://localhost:3000", "", false},
	} {
		config := func(c *HandlerConfig) {
			c.Hosts, c.Origins = []string{"rheo.internal", "*.localhost.localstack.cloud"}, []string{"http://localhost:3000"}
		}
		h, s := testHandler(t, config)
		r := request("http://localhost:4566/", "ListStreams", "{}")
		r.Host = tt.host
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		if tt.site != "" {
			r.Header.Set("Sec-Fetch-Site", tt.site)
		}
		resp := do(h, r)
		body := readAll(t, resp)
		if tt.allowed && resp.StatusCode != 200 || !tt.allowed && (resp.StatusCode != 403 || s.caller != nil || !strings.Contains(body, "AccessDeniedException")) {
			t.Errorf("Host %q, Origin %q, Sec-Fetch-Site %q: %s %s", tt.host, tt.origin, tt.site, resp.Status, body)
		}
		wantOrigin := ""
		if tt.allowed && tt.origin == "http://localhost:3000" {
			wantOrigin = tt.origin
		}
		if got := resp.Header.Get("Access-Control-Allow-Origin"); got != wantOrigin {
			t.Errorf("Host %q, Origin %q: Access-Control-Allow-Origin %q", tt.host, tt.origin, got)
		}

		verify, _ := testHandler(t, func(c *HandlerConfig) { config(c); verifying(c) })
		signed := request("http://localhost:4566/", "ListStreams", "{}")
		signed.Header.Del("X-Amz-Date")
		if signed.Host = tt.host; tt.host == "" {
			continue
		}
		sign(t, signed, "{}")
		if tt.origin != "" {
			signed.Header.Set("Origin", tt.origin)
		}
		if resp := do(verify, signed); resp.StatusCode != 200 {
			t.Errorf("signed, Host %q, Origin %q: %s", tt.host, tt.origin, readAll(t, resp))
		}
	}
}

func TestPreflight(t *testing.T) {
	h, _ := testHandler(t, func(c *HandlerConfig) { c.Origins = []string{"http://localhost:3000"} })
	preflight := func(origin string) *http.Response {
		r, _ := http.NewRequest("OPTIONS", "http://localhost:4566/", nil)
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", "POST")
		r.Header.Set("Access-Control-Request-Headers", "authorization,x-amz-target")
		return do(h, r)
	}
	ok := preflight("http://localhost:3000")
	if ok.StatusCode != 200 || ok.Header.Get("Access-Control-Allow-Origin") != "http://localhost:3000" ||
		ok.Header.Get("Access-Control-Allow-Headers") != "authorization,x-amz-target" || ok.Header.Get("Access-Control-Allow-Methods") != "POST" {
		t.Errorf("%s %v", ok.Status, ok.Header)
	}
	if no := preflight("http://evil.com"); no.StatusCode != 403 || no.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%s %v", no.Status, no.Header)
	}
}
