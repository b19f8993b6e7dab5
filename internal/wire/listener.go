package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	headerBytesMax    = 64 << 10 // a presigned query with a session token is a few KiB
	connsMaxDefault   = 10_000
)

// ServerConfig says where and how to listen.
type ServerConfig struct {
	Addr    string      // "127.0.0.1:4566"; port 0 is any free one
	TLS     *tls.Config // also speak TLS on the same port; nil: plain HTTP only
	Handler http.Handler
	// HTTP1Only leaves HTTP/2 out: for producers of video that take ALPN's offer
	// and then cannot read while they write.
	HTTP1Only bool
	ConnsMax  int // open connections; 10,000 if 0
	Log       *slog.Logger
}

// A Server serves one port: plain HTTP/1.1, HTTP/2 with prior knowledge and TLS
// with either inside, told apart by what a connection sends first.
type Server struct {
	http     *http.Server
	listener *listener
}

// Listen takes the port. If another process has it, the error says which.
func Listen(c ServerConfig) (*Server, error) {
	l, err := net.Listen("tcp", c.Addr)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			if holder := portHolder(c.Addr); holder != "" {
				return nil, fmt.Errorf("cannot listen on %s: the port is in use by %s", c.Addr, holder)
			}
		}
		return nil, fmt.Errorf("cannot listen on %s: %w", c.Addr, err)
	}
	return newServer(c, l), nil
}

func newServer(c ServerConfig, l net.Listener) *Server {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	tlsConfig := c.TLS
	if tlsConfig != nil {
		tlsConfig = tlsConfig.Clone()
		tlsConfig.NextProtos = []string{"h2", "http/1.1"}
		if c.HTTP1Only {
			tlsConfig.NextProtos = []string{"http/1.1"}
		}
	}
	s := &Server{listener: &listener{Listener: l, config: tlsConfig, connsMax: c.ConnsMax, log: c.Log}}
	if s.listener.connsMax == 0 {
		s.listener.connsMax = connsMaxDefault
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(!c.HTTP1Only)
	s.http = &http.Server{
		Handler:           c.Handler,
		Protocols:         protocols,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytesMax,
		// No ReadTimeout and no WriteTimeout: a subscription lasts five minutes. The
		// handler gives each body its time, a conn gives each write its own.
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 256,
			// A body of 14 MB comes in windows of 1 MiB.
			MaxReceiveBufferPerStream:     1 << 20,
			MaxReceiveBufferPerConnection: 2 << 20,
			SendPingTimeout:               30 * time.Second,
			PingTimeout:                   15 * time.Second,
			WriteByteTimeout:              writeTimeout,
		},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
	}
	return s
}

// Addr is the address listened on.
func (s *Server) Addr() *net.TCPAddr { return s.listener.Listener.Addr().(*net.TCPAddr) }

// Conns is how many connections are open.
func (s *Server) Conns() int { return int(s.listener.conns.Load()) }

// Serve serves until Shutdown or Close, and then returns nil.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot accept connections on %s: %w", s.Addr(), err)
	}
	return nil
}

// Shutdown stops accepting, lets requests under way finish, and closes what is
// left when ctx ends. Event streams do not end of themselves: [Handler.Drain]
// them first.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
	}
	return err
}

// Close closes the port and every connection at once.
func (s *Server) Close() error { return s.http.Close() }

type connKey struct{}

// tlsState is the TLS state of the connection that a request came over; nil if plain.
func tlsState(ctx context.Context) *tls.ConnectionState {
	if c, ok := ctx.Value(connKey{}).(*conn); ok {
		return c.TLS()
	}
	return nil
}

// A listener wraps what it accepts and bounds how many there are. Accept never
// reads, so no client can hold up another.
type listener struct {
	net.Listener
	config   *tls.Config
	connsMax int
	conns    atomic.Int64
	full     sync.Once // one warning
	log      *slog.Logger
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.conns.Add(1) > int64(l.connsMax) {
			l.conns.Add(-1)
			raw.Close()
			l.full.Do(func() { l.log.Warn("connections are refused: too many are open", "max", l.connsMax) })
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		return &conn{raw: &pacedConn{Conn: raw}, config: l.config, ctx: ctx, cancel: cancel,
			closed: func() { l.conns.Add(-1) }}, nil
	}
}
