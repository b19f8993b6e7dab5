package outbound_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/rheostream/rheo/internal/outbound"
)

// TestAddresses judges each address in three states of the
// rules.
func TestAddresses(t *testing.T) {
	rules := rules(t, "10.1.0.0/16", "127.0.0.1:9200", "fd12::/16", "169.254.169.254", "192.168.7.7")
	dialers := map[string]*outbound.Dialer{
		"closed": outbound.New(outbound.Config{}),
		"listed": outbound.New(outbound.Config{Allow: rules}),
		"open":   outbound.New(outbound.Config{Open: true}),
	}
	const refused, allowed = false, true
	for _, c := range []struct {
		addr                 string
		closed, listed, open bool
	}{
		{"93.184.216.34:443", allowed, allowed, allowed},
		{"[2606:2800:220:1::]:443", allowed, allowed, allowed},
		{"127.0.0.1:9200", refused, allowed, allowed},
		{"127.0.0.1:9201", refused, refused, allowed},
		{"127.9.9.9:9200", refused, refused, allowed},
		{"[::1]:9200", refused, refused, allowed},
		{"[::ffff:127.0.0.1]:9200", refused, allowed, allowed},
		{"[::ffff:127.0.0.1]:80", refused, refused, allowed},
		{"10.1.2.3:80", refused, allowed, allowed},
		{"10.2.2.3:80", refused, refused, allowed},
		{"172.31.255.255:80", refused, refused, allowed},
		{"172.32.0.0:80", allowed, allowed, allowed},
		{"192.168.7.7:80", refused, allowed, allowed},
		{"100.64.0.1:80", refused, refused, allowed},
		{"[fd12::1]:80", refused, allowed, allowed},
		{"[fd13::1]:80", refused, refused, allowed},
		{"[64:ff9b::10.1.2.3]:80", refused, allowed, allowed},
		{"[64:ff9b::5db8:d822]:80", allowed, allowed, allowed},
		{"[2002:0a02:0203::1]:80", refused, refused, allowed},
		// No list and no mode opens these.
		{"169.254.169.254:80", refused, refused, refused},
		{"169.254.170.2:80", refused, refused, refused},
		{"[::ffff:169.254.169.254]:80", refused, refused, refused},
		{"[::169.254.169.254]:80", refused, refused, refused},
		{"[64:ff9b::a9fe:a9fe]:80", refused, refused, refused},
		{"[2002:a9fe:a9fe::]:80", refused, refused, refused},
		{"[fd00:ec2::254]:80", refused, refused, refused},
		{"[fe80::1]:80", refused, refused, refused},
		{"100.100.100.200:80", refused, refused, refused},
		{"0.0.0.0:80", refused, refused, refused},
		{"[::]:80", refused, refused, refused},
		{"224.0.0.1:80", refused, refused, refused},
		{"255.255.255.255:80", refused, refused, refused},
	} {
		for mode, want := range map[string]bool{"closed": c.closed, "listed": c.listed, "open": c.open} {
			if got := dialers[mode].Judge(c.addr, netip.MustParseAddrPort(c.addr)); (got == "") != want {
				t.Errorf("%s, %s: refused for %q, want allowed %v", c.addr, mode, got, want)
			}
		}
	}
}

func TestRules(t *testing.T) {
	private := netip.MustParseAddrPort("10.9.9.9:9200")
	for _, c := range []struct {
		rule, target string
		want         bool
	}{
		{"search.internal", "search.internal:9200", true},
		{"search.internal", "Search.Internal.:9200", true},
		{"search.internal:9200", "search.internal:9200", true},
		{"search.internal:9300", "search.internal:9200", false},
		{"search.internal", "evil-search.internal:9200", false},
		{"*.internal", "search.internal:9200", true},
		{"*.internal", "internal:9200", false},
		{"*.internal", "searchinternal:9200", false},
		{"10.9.9.9", "whatever:9200", true},
		{"10.9.9.9:80", "whatever:9200", false},
		{"10.0.0.0/8", "whatever:9200", true},
	} {
		d := outbound.New(outbound.Config{Allow: rules(t, c.rule)})
		if got := d.Judge(c.target, private) == ""; got != c.want {
			t.Errorf("rule %s, target %s: allowed %v, want %v", c.rule, c.target, got, c.want)
		}
	}
	for _, bad := range []string{"", "*", "a..b", "http://host", "host:0", "host:x", "host/8", "10.0.0.0/33", "fe80::1%eth0", "a b"} {
		if r, err := outbound.ParseRule(bad); err == nil {
			t.Errorf("ParseRule(%q) = %v, want an error", bad, r)
		}
	}
}

// TestConnect makes real connections: to a listener of others, to rheo's own.
func TestConnect(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	addr := ln.Addr().(*net.TCPAddr).AddrPort()
	own := func(a netip.AddrPort) func() []netip.AddrPort {
		return func() []netip.AddrPort { return []netip.AddrPort{a} }
	}
	for name, c := range map[string]struct {
		config outbound.Config
		reason string
	}{
		"open":           {outbound.Config{Open: true}, ""},
		"closed":         {outbound.Config{}, "it is this machine, which the operator's list does not allow"},
		"own":            {outbound.Config{Open: true, Own: own(addr)}, "it is rheo's own listener"},
		"own everywhere": {outbound.Config{Open: true, Own: own(netip.AddrPortFrom(netip.IPv6Unspecified(), addr.Port()))}, "it is rheo's own listener"},
		"own and listed": {outbound.Config{Allow: rules(t, "127.0.0.1"), Own: own(addr)}, "it is rheo's own listener"},
		"others' port":   {outbound.Config{Open: true, Own: own(netip.AddrPortFrom(addr.Addr(), addr.Port()^1))}, ""},
	} {
		conn, err := outbound.New(c.config).DialContext(t.Context(), "tcp", addr.String())
		if conn != nil {
			conn.Close()
		}
		var refused *outbound.Refused
		switch {
		case c.reason == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.reason != "" && (!errors.As(err, &refused) || refused.Reason != c.reason):
			t.Errorf("%s: %v, want %q", name, err, c.reason)
		}
	}
	if _, err := outbound.New(outbound.Config{Open: true}).DialContext(t.Context(), "udp", addr.String()); err == nil {
		t.Error("UDP was dialed")
	}
}

// TestRebinding has a name that is public when it is looked at first, and this machine later.
func TestRebinding(t *testing.T) {
	answers := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("169.254.169.254")}
	for _, ip := range answers {
		d := outbound.New(outbound.Config{Resolver: resolver(ip)})
		_, err := d.DialContext(t.Context(), "tcp", "rebound.example.com:80")
		var refused *outbound.Refused
		if !errors.As(err, &refused) || !strings.HasPrefix(refused.Addr, ip.String()) || refused.Host != "rebound.example.com:80" {
			t.Errorf("a name of %s: %v, want a refusal that names both", ip, err)
		}
	}
}

func TestClient(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
	})
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) {
		for range 64 {
			io.WriteString(w, strings.Repeat("x", 1024))
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/declared", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", 2000)) })
	mux.HandleFunc("/exact", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", 1000)) })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")

	open := outbound.New(outbound.Config{Open: true}).Client(outbound.ClientConfig{ResponseBytesMax: 1000})
	defer open.CloseIdleConnections()
	get := func(c *http.Client, u string) (int, int, error) {
		resp, err := c.Get(u)
		if err != nil {
			return 0, 0, err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp.StatusCode, len(b), err
	}
	if status, _, err := get(open, srv.URL+"/redirect"); status != http.StatusFound || err != nil {
		t.Errorf("a redirect: status %d, %v; want it as the answer", status, err)
	}
	if status, n, err := get(open, srv.URL+"/exact"); status != http.StatusOK || n != 1000 || err != nil {
		t.Errorf("1000 of 1000 bytes: status %d, %d bytes, %v", status, n, err)
	}
	var long *outbound.TooLong
	if _, n, err := get(open, srv.URL+"/long"); !errors.As(err, &long) || n != 1000 {
		t.Errorf("a long body: %d bytes, %v", n, err)
	}
	if _, _, err := get(open, srv.URL+"/declared"); !errors.As(err, &long) {
		t.Errorf("a body that says its length: %v", err)
	}

	var refused *outbound.Refused
	u, _ := url.Parse(srv.URL)
	for name, c := range map[string]struct {
		rule    string
		allowed bool
	}{
		"closed":       {"", false},
		"listed":       {"127.0.0.1", true},
		"this port":    {u.Host, true},
		"another port": {"127.0.0.1:1", false},
	} {
		var config outbound.Config
		if c.rule != "" {
			config.Allow = rules(t, c.rule)
		}
		client := outbound.New(config).Client(outbound.ClientConfig{})
		_, _, err := get(client, srv.URL+"/exact")
		client.CloseIdleConnections()
		if c.allowed && err != nil || !c.allowed && !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func rules(t *testing.T, all ...string) []outbound.Rule {
	t.Helper()
	var rules []outbound.Rule
	for _, s := range all {
		r, err := outbound.ParseRule(s)
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, r)
	}
	return rules
}

// resolver answers every question for an IPv4 address with ip.
func resolver(ip netip.Addr) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			for {
				var length [2]byte // a pipe is no packet connection: messages go as over TCP
				if _, err := io.ReadFull(server, length[:]); err != nil {
					return
				}
				b := make([]byte, int(length[0])<<8|int(length[1]))
				if _, err := io.ReadFull(server, b); err != nil {
					return
				}
				var m dnsmessage.Message
				if err := m.Unpack(b); err != nil {
					return
				}
				m.Response = true
				m.Additionals = nil
				if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
					m.Answers = []dnsmessage.Resource{{
						Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
						Body:   &dnsmessage.AResource{A: ip.As4()},
					}}
				}
				b, _ = m.Pack()
				server.Write(append([]byte{byte(len(b) >> 8), byte(len(b))}, b...))
			}
		}()
		return client, nil
	}}
}
