//go:build linux

package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// In a network of its own an instance finds its Runtime API where Lambda has it, the
// way out beside it, and rheo's endpoint at the endpoint's own address. Nobody else
// is in that network, so nobody else can connect.
const (
	runtimeAPIAddr = "127.0.0.1:9001"
	egressAddr     = "127.0.0.1:9002"
)

// Connections of one instance at once: a function is not to fill rheo's memory.
const (
	forwardsMax       = 128 // to the endpoint, and as many to the way out
	apiConnectionsMax = 16  // to its Runtime API
)

// An endpoint is Config.Endpoint, taken apart.
type endpoint struct {
	inside  string // where instances listen for it; empty: none
	outside string // where rheo connects to
	name    string // its name, if it is one; instances resolve it to loopback
	port    uint16
}

func endpointOf(u *url.URL) (endpoint, error) {
	if u == nil {
		return endpoint{}, nil
	}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if host == "" || err != nil || n == 0 || u.Scheme != "http" && u.Scheme != "https" {
		return endpoint{}, fmt.Errorf("%q is no endpoint for functions: it must be http:// or https:// with a host", u)
	}
	e := endpoint{outside: net.JoinHostPort(host, port), port: uint16(n)}
	switch ip, err := netip.ParseAddr(host); {
	case err != nil:
		e.name, e.inside = host, net.JoinHostPort("127.0.0.1", port)
	case ip.IsLoopback():
		e.inside = e.outside
	default:
		return endpoint{}, fmt.Errorf("%q is no endpoint for functions: an address must be of this machine's loopback interface; others need a name", u)
	}
	if e.inside == runtimeAPIAddr || e.inside == egressAddr {
		return endpoint{}, fmt.Errorf("%q is no endpoint for functions: they have their Runtime API there", u)
	}
	return e, nil
}

// forward takes connections of an instance to rheo's endpoint, and to the way out.
func (r *Runner) forward(in *instance, listeners []net.Listener) {
	if len(listeners) == 0 {
		return
	}
	rest := listeners[1:]
	if r.endpoint.inside != "" {
		dial := r.config.DialEndpoint
		if dial == nil {
			dial = func(ctx context.Context) (net.Conn, error) {
				return (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", r.endpoint.outside)
			}
		}
		go acceptAll(rest[0], func(c net.Conn) {
			if to, err := dial(context.Background()); err == nil {
				splice(c, to)
			}
		})
		rest = rest[1:]
	}
	if r.config.Egress != nil {
		go r.serveEgress(&limitedListener{Listener: rest[0], slots: make(chan struct{}, forwardsMax)})
	}
}

// acceptAll handles connections, at most forwardsMax at once, until l is closed.
func acceptAll(l net.Listener, handle func(net.Conn)) {
	l = &limitedListener{Listener: l, slots: make(chan struct{}, forwardsMax)}
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of files, most likely
			continue
		}
		go func() {
			defer c.Close()
			handle(c)
		}()
	}
}

// A limitedListener accepts no more connections than it has slots until others are closed.
type limitedListener struct {
	net.Listener
	slots chan struct{}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	l.slots <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: c, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// CloseWrite ends one way, for splice.
func (c *limitedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// splice copies both ways until both ends are done.
func splice(a, b net.Conn) {
	defer b.Close()
	var wg sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		wg.Go(func() {
			io.Copy(way[0], way[1])
			if c, ok := way[0].(interface{ CloseWrite() error }); ok {
				c.CloseWrite()
			} else {
				way[0].Close()
			}
		})
	}
	wg.Wait()
}

// hostPorts are those that instances on the machine's network may connect to, beside
// their own Runtime API. Landlock knows ports, not addresses: the port of metadata
// services, 80, is not among them unless the operator says so.
func (r *Runner) hostPorts() []uint16 {
	ports := r.config.HostPorts
	if ports == nil {
		ports = []uint16{443, 53}
	}
	if r.endpoint.port != 0 {
		ports = append(append([]uint16{}, ports...), r.endpoint.port)
	}
	return ports
}

func portOf(addr string) uint16 {
	_, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.ParseUint(port, 10, 16)
	return uint16(n)
}
