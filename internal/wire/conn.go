package wire

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// firstReadTimeout is how long a connection may take to say what it speaks,
	// and to shake hands if that is TLS.
	firstReadTimeout = 10 * time.Second
	// writeTimeout is how long one piece of writeBytes may take to leave. A reader
	// who is gone, or as good as gone, so pins neither memory nor a goroutine. How
	// long the whole of an answer may take is said by who writes it, with
	// SetWriteDeadline.
	writeTimeout = 30 * time.Second
	writeBytes   = 64 << 10

	tlsHandshakeRecord = 0x16 // the first byte of a TLS connection; no HTTP method starts with it
)

// A conn is an accepted connection that finds out on its first Read, in the
// goroutine that serves it, whether it is TLS. It is deliberately no *tls.Conn:
// net/http then looks for the HTTP/2 preface itself, inside TLS as on a plain
// connection, whether or not ALPN was spoken of. Old Java clients send the
// preface after a handshake without ALPN.
type conn struct {
	raw    *pacedConn
	config *tls.Config // nil: no TLS here
	ctx    context.Context
	cancel context.CancelFunc // of ctx, on Close
	closed func()             // called once
	close  sync.Once

	open atomic.Pointer[opened] // set by the first Read

	mu           sync.Mutex
	opening      bool      // under mu: the first Read's deadline is in force
	readDeadline time.Time // under mu: what was last asked for
}

// opened is what a connection turned out to be.
type opened struct {
	net.Conn
	tls *tls.ConnectionState // nil if plain
}

func (c *conn) Read(p []byte) (int, error) {
	if o := c.open.Load(); o != nil {
		return o.Read(p)
	}
	if len(p) == 0 {
		return 0, nil
	}
	c.beginOpening()
	n, err := c.raw.Read(p)
	if err != nil {
		return n, err
	}
	if c.config == nil || p[0] != tlsHandshakeRecord {
		c.open.Store(&opened{Conn: c.raw})
		c.endOpening()
		return n, nil
	}
	t := tls.Server(&prefixedConn{Conn: c.raw, prefix: append([]byte(nil), p[:n]...)}, c.config)
	if err := t.HandshakeContext(c.ctx); err != nil {
		return 0, err
	}
	state := t.ConnectionState()
	c.open.Store(&opened{Conn: t, tls: &state})
	c.endOpening()
	return t.Read(p)
}

func (c *conn) Write(p []byte) (int, error) {
	if o := c.open.Load(); o != nil {
		return o.Write(p)
	}
	return 0, net.ErrClosed // nobody answers a connection before it has said anything
}

func (c *conn) Close() error {
	c.close.Do(c.closed)
	c.cancel()
	if o := c.open.Load(); o != nil {
		return o.Close()
	}
	return c.raw.Close()
}

// CloseWrite tells the peer that no more will come, so that it reads the last
// answer before the connection goes.
func (c *conn) CloseWrite() error {
	if o := c.open.Load(); o != nil {
		if w, ok := o.Conn.(interface{ CloseWrite() error }); ok {
			return w.CloseWrite()
		}
	}
	return net.ErrClosed
}

// TLS is the connection's TLS state, nil if it is plain or has not spoken yet.
func (c *conn) TLS() *tls.ConnectionState {
	if o := c.open.Load(); o != nil {
		return o.tls
	}
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return c.raw.LocalAddr() }
func (c *conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// SetWriteDeadline bounds the writes that follow beside their own deadlines.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.raw.SetWriteDeadline(t) }

func (c *conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readDeadline = t
	if c.opening && (t.IsZero() || time.Until(t) > firstReadTimeout) {
		return nil
	}
	return c.raw.SetReadDeadline(t)
}

func (c *conn) beginOpening() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opening = true
	first := time.Now().Add(firstReadTimeout)
	if c.readDeadline.IsZero() || c.readDeadline.After(first) {
		c.raw.SetReadDeadline(first)
	}
}

func (c *conn) endOpening() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opening = false
	c.raw.SetReadDeadline(c.readDeadline)
}

// A prefixedConn reads first what was read too far.
type prefixedConn struct {
	net.Conn
	prefix []byte
}

func (c *prefixedConn) Read(p []byte) (int, error) {
	if len(c.prefix) > 0 {
		n := copy(p, c.prefix)
		c.prefix = c.prefix[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// A pacedConn writes in pieces, each under a deadline of its own, and all before
// the one that was set.
type pacedConn struct {
	net.Conn
	mu       sync.Mutex
	deadline time.Time // under mu: the write deadline in force
	last     time.Time // under mu: the one that was set; zero: none
}

func (c *pacedConn) Write(p []byte) (written int, err error) {
	for {
		piece := p[written:min(len(p), written+writeBytes)]
		if err := c.extend(); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(piece)
		written += n
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

func (c *pacedConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return net.ErrClosed
}

// SetWriteDeadline says when the writes that follow must be done at the latest.
func (c *pacedConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = t
	return nil
}

// extend moves the deadline, though not for every small write.
func (c *pacedConn) extend() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	by := time.Now().Add(writeTimeout)
	if !c.last.IsZero() && c.last.Before(by) {
		by = c.last
	}
	if d := by.Sub(c.deadline); d >= 0 && d < time.Second {
		return nil
	}
	c.deadline = by
	return c.Conn.SetWriteDeadline(by)
}
