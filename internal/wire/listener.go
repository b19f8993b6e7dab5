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
	// Addr is "127.0.0.1:4566"; port 0 is any free one. "localhost:4566" is both
	// loopback addresses, and 0.0.0.0 all of IPv4's alone.
	Addr    string
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
	http      *http.Server
	listeners []*listener // one an address
	open      *openConns
}

// Listen takes the port. If another process has it, the error says which.
func Listen(c ServerConfig) (*Server, error) {
	listeners, err := listen(c.Addr)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			if holder := portHolder(c.Addr); holder != "" {
				return nil, fmt.Errorf("cannot listen on %s: the port is in use by %s", c.Addr, holder)
			}
		}
		return nil, fmt.Errorf("cannot listen on %s: %w", c.Addr, err)
	}
	return newServer(c, listeners...), nil
}

func newServer(c ServerConfig, listeners ...net.Listener) *Server {
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
	s := &Server{open: &openConns{max: c.ConnsMax, log: c.Log}}
	if s.open.max == 0 {
		s.open.max = connsMaxDefault
	}
	for _, l := range listeners {
		s.listeners = append(s.listeners, &listener{Listener: l, config: tlsConfig, open: s.open})
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

// Addr is the address listened on, the first of [Server.Addrs].
func (s *Server) Addr() *net.TCPAddr { return s.Addrs()[0] }

// Addrs are the addresses listened on; all have the same port.
func (s *Server) Addrs() []*net.TCPAddr {
	var all []*net.TCPAddr
	for _, l := range s.listeners {
		all = append(all, l.Listener.Addr().(*net.TCPAddr))
	}
	return all
}

// Conns is how many connections are open.
func (s *Server) Conns() int { return int(s.open.count.Load()) }

// Serve serves until Shutdown or Close, and then returns nil. If one address
// fails, it closes all.
func (s *Server) Serve() error {
	ended := make(chan error, len(s.listeners))
	for _, l := range s.listeners {
		go func() {
			err := s.http.Serve(l)
			if errors.Is(err, http.ErrServerClosed) {
				ended <- nil
				return
			}
			ended <- fmt.Errorf("cannot accept connections on %s: %w", l.Addr(), err)
			s.http.Close()
		}()
	}
	var errs []error
	for range s.listeners {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}

// Shutdown stops accepting, lets requests under way finish, and closes what is
// left when ctx ends. Event streams do not end of themselves: [Handler.Drain]
// them first.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.closePort()
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
	}
	return err
}

// Close closes the port and every connection at once.
func (s *Server) Close() error {
	defer s.closePort()
	return s.http.Close()
}

// closePort is for a server that never came to Serve, of whose listeners the
// http.Server does not know.
func (s *Server) closePort() {
	for _, l := range s.listeners {
		l.Close()
	}
}

type connKey struct{}

// tlsState is the TLS state of the connection that a request came over; nil if plain.
func tlsState(ctx context.Context) *tls.ConnectionState {
	if c, ok := ctx.Value(connKey{}).(*conn); ok {
		return c.TLS()
	}
	return nil
}

// openConns counts the open connections of a server, and bounds them.
type openConns struct {
	max   int
	count atomic.Int64
	full  sync.Once // one warning
	log   *slog.Logger
}

// A listener wraps what it accepts. Accept never reads, so no client can hold up
// another.
type listener struct {
	net.Listener
	config *tls.Config
	open   *openConns
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.count.Add(1) > int64(l.open.max) {
			l.open.count.Add(-1)
			raw.Close()
			l.open.full.Do(func() { l.open.log.Warn("connections are refused: too many are open", "max", l.open.max) })
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		return &conn{raw: &pacedConn{Conn: raw}, config: l.config, ctx: ctx, cancel: cancel,
			closed: func() { l.open.count.Add(-1) }}, nil
	}
}
