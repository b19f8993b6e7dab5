// Package outbound is the one way out: every connection that the server opens is
// dialed here, because many of its targets are written by users (endpoints of
// deliveries, functions, object stores) and the server stands where users do not:
// beside a cloud's metadata service, on the operator's network, next to itself.
//
// The rules are applied to the IP address of each connection at the moment of
// connecting, so that a name that resolves to something else the second time
// gains nothing:
//
//	addresses                                   reached
//	link-local, metadata services of clouds,    never
//	multicast, unspecified, reserved
//	rheo's own listeners                        never
//	this machine (loopback), private networks   in open mode, or by the operator's list
//	all others                                  always
//
// An IPv6 address that carries an IPv4 address (mapped, NAT64, 6to4) is judged as
// that address. HTTP goes out without a proxy of the environment, follows no
// redirect, and is encrypted, but to what open mode or the list allow.
package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// Timeouts and limits of connections.
const (
	connectTimeout     = 10 * time.Second
	handshakeTimeout   = 10 * time.Second
	idleTimeout        = 90 * time.Second
	idlePerHostMax     = 64
	headerBytesMax     = 64 << 10
	responseBytesMax   = 16 << 20 // unless the caller says otherwise: twice the largest answer of a function
	responseTimeoutMax = 15 * time.Minute
)

// Config of a Dialer. The zero value reaches public addresses only.
type Config struct {
	// Open allows loopback and private addresses, and plain HTTP.
	Open bool
	// Allow is the operator's list: what else may be reached.
	Allow []Rule
	// Own are the addresses that rheo listens on, asked at every connection; nil: none.
	Own func() []netip.AddrPort
	// CAs signs servers beside the system's roots; nil: the roots alone.
	CAs *x509.CertPool
	// Resolver of names; nil: the system's.
	Resolver *net.Resolver
}

// Dialer opens connections. Its methods may be called concurrently.
type Dialer struct {
	c    Config
	dial net.Dialer
}

// New returns a Dialer by the rules of c.
func New(c Config) *Dialer {
	d := &Dialer{c: c}
	d.dial = net.Dialer{Timeout: connectTimeout, Resolver: c.Resolver, ControlContext: d.control}
	return d
}

// A Refused error says that the rules forbid a connection.
type Refused struct {
	Host   string // as the target was named, with its port
	Addr   string // the IP address and port; empty if it is refused by name
	Reason string
}

func (e *Refused) Error() string {
	if e.Addr == "" || e.Addr == e.Host {
		return fmt.Sprintf("connections to %s are not allowed: %s", e.Host, e.Reason)
	}
	return fmt.Sprintf("connections to %s (%s) are not allowed: %s", e.Host, e.Addr, e.Reason)
}

type targetKey struct{}

// DialContext connects to addr ("host:port") over network, "tcp" or one of its
// kinds. The error is a [*Refused] if the rules forbid each address of the host.
func (d *Dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, &Refused{Host: addr, Reason: network + " is not TCP"}
	}
	return d.dial.DialContext(context.WithValue(ctx, targetKey{}, addr), network, addr)
}

// control judges a connection just before it is made, when its IP address is known.
func (d *Dialer) control(ctx context.Context, _, addr string, _ syscall.RawConn) error {
	target, _ := ctx.Value(targetKey{}).(string)
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return &Refused{Host: target, Addr: addr, Reason: "it is no IP address"}
	}
	if reason := d.judge(target, ap); reason != "" {
		return &Refused{Host: target, Addr: addr, Reason: reason}
	}
	return nil
}

// judge says why ap, an address of target ("host:port"), may not be reached; empty if it may.
func (d *Dialer) judge(target string, ap netip.AddrPort) string {
	ip := embedded(ap.Addr())
	if reason := forbidden(ip); reason != "" {
		return reason
	}
	if d.own(ip, ap.Port()) {
		return "it is rheo's own listener"
	}
	kind := inner(ip)
	if kind == "" || d.c.Open || d.listed(target, netip.AddrPortFrom(ip, ap.Port())) {
		return ""
	}
	return kind + ", which the operator's list does not allow"
}

func (d *Dialer) listed(target string, ap netip.AddrPort) bool {
	for _, r := range d.c.Allow {
		if r.matches(target, ap) {
			return true
		}
	}
	return false
}

// own says whether rheo itself listens at ip and port.
func (d *Dialer) own(ip netip.Addr, port uint16) bool {
	if d.c.Own == nil {
		return false
	}
	for _, l := range d.c.Own() {
		if l.Port() != port {
			continue
		}
		if at := l.Addr().Unmap(); at == ip || at.IsUnspecified() && ofThisMachine(ip) {
			return true
		}
	}
	return false
}

func ofThisMachine(ip netip.Addr) bool {
	if ip.IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true // it cannot be told, and the port is ours
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if at, ok := netip.AddrFromSlice(n.IP); ok && at.Unmap() == ip {
				return true
			}
		}
	}
	return false
}

// ClientConfig of an HTTP client. The zero value takes the defaults.
type ClientConfig struct {
	Timeout          time.Duration  // of a request with its answer; 0 is 15 minutes, which is also the most
	ResponseBytesMax int64          // of an answer's body; 0 is 16 MiB, negative is none (for who streams it)
	CAs              *x509.CertPool // of this client's servers; nil: [Config.CAs]
	ConnsPerHostMax  int            // 0: no limit
}

// Client returns an HTTP client under the rules: of https, and of http where open
// mode or the list allow it; a redirect is the answer; a longer body than allowed
// ends in an error.
func (d *Dialer) Client(c ClientConfig) *http.Client {
	if c.Timeout <= 0 || c.Timeout > responseTimeoutMax {
		c.Timeout = responseTimeoutMax
	}
	if c.ResponseBytesMax == 0 {
		c.ResponseBytesMax = responseBytesMax
	}
	if c.CAs == nil {
		c.CAs = d.c.CAs
	}
	return &http.Client{
		Timeout:       c.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &transport{
			dialer: d, bytesMax: c.ResponseBytesMax,
			http: &http.Transport{
				DialContext: d.DialContext, TLSClientConfig: &tls.Config{RootCAs: c.CAs, MinVersion: tls.VersionTLS12},
				TLSHandshakeTimeout: handshakeTimeout, ForceAttemptHTTP2: true, DisableCompression: true,
				MaxIdleConnsPerHost: idlePerHostMax, MaxConnsPerHost: c.ConnsPerHostMax, IdleConnTimeout: idleTimeout,
				MaxResponseHeaderBytes: headerBytesMax,
			},
		},
	}
}
