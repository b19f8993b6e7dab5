package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// echoProto answers with the protocol that a request came in.
var echoProto = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	n, _ := io.Copy(io.Discard, r.Body)
	fmt.Fprintf(w, "%s tls=%t body=%d", r.Proto, tlsState(r.Context()) != nil, n)
})

// TestTransports are rules T1 to T4: every way in which clients speak to the one port.
func TestTransports(t *testing.T) {
	s, a := startServer(t, echoProto, nil)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.CertificatePEM())
	trusting := func(alpn ...string) *tls.Config {
		return &tls.Config{RootCAs: roots, NextProtos: alpn, ServerName: "localhost"}
	}
	prior := new(http.Protocols) // HTTP/2 with prior knowledge on an http:// URL
	prior.SetUnencryptedHTTP2(true)
	// inTLS lets a client for http:// URLs speak inside TLS: it sends the preface, or
	// HTTP/1.1, whatever ALPN said.
	inTLS := func(config *tls.Config) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := (&tls.Dialer{Config: config}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return struct{ net.Conn }{c}, nil
		}
	}
	port := s.Addr().Port
	plain, secure := fmt.Sprintf("http://127.0.0.1:%d/", port), fmt.Sprintf("https://localhost:%d/", port)
	for _, tt := range []struct {
		name      string
		transport *http.Transport
		url       string
		want      string
	}{
		{"T1 HTTP/1.1", &http.Transport{}, plain, "HTTP/1.1 tls=false"},
		{"T1 T4 HTTP/2 with prior knowledge", &http.Transport{Protocols: prior}, plain, "HTTP/2.0 tls=false"},
		{"T2 TLS, ALPN h2", &http.Transport{TLSClientConfig: trusting(), ForceAttemptHTTP2: true}, secure, "HTTP/2.0 tls=true"},
		{"T2 TLS, ALPN http/1.1", &http.Transport{TLSClientConfig: trusting("http/1.1")}, secure, "HTTP/1.1 tls=true"},
		{"TLS without ALPN, HTTP/1.1", &http.Transport{DialContext: inTLS(trusting())}, plain, "HTTP/1.1 tls=true"},
		{"T3 TLS without ALPN, HTTP/2 preface", &http.Transport{DialContext: inTLS(trusting()), Protocols: prior}, plain, "HTTP/2.0 tls=true"},
		{"T3a TLS with ALPN h2, HTTP/2 preface", &http.Transport{DialContext: inTLS(trusting("h2")), Protocols: prior}, plain, "HTTP/2.0 tls=true"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer tt.transport.CloseIdleConnections()
			for range 2 { // the second request is on a connection that is known
				resp, err := (&http.Client{Transport: tt.transport}).Post(tt.url, "text/plain", strings.NewReader(strings.Repeat("x", 3<<20)))
				if err != nil {
					t.Fatal(err)
				}
				if got, want := readAll(t, resp), tt.want+" body=3145728"; got != want {
					t.Fatalf("%s, want %s", got, want)
				}
			}
		})
	}
}

// TestHTTP1Only: the port for video has no HTTP/2, neither offered nor taken.
func TestHTTP1Only(t *testing.T) {
	s, a := startServer(t, echoProto, func(c *ServerConfig) { c.HTTP1Only = true })
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.CertificatePEM())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(fmt.Sprintf("https://127.0.0.1:%d/", s.Addr().Port))
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, resp); got != "HTTP/1.1 tls=true body=0" {
		t.Fatal(got)
	}
	prior := new(http.Protocols)
	prior.SetUnencryptedHTTP2(true)
	if resp, err := (&http.Client{Transport: &http.Transport{Protocols: prior}}).Get(fmt.Sprintf("http://127.0.0.1:%d/", s.Addr().Port)); err == nil {
		t.Fatalf("HTTP/2 answered %s", resp.Status)
	}
}

// TestSilentConnectionsHoldNobodyUp: Accept does not wait for what a connection says first.
func TestSilentConnectionsHoldNobodyUp(t *testing.T) {
	s, _ := startServer(t, echoProto, nil)
	for range 50 {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	half, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	half.Write([]byte{tlsHandshakeRecord, 3, 1}) // a TLS hello that never ends
	resp, err := http.Get("http://" + s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, resp)
}

func TestTooManyConnections(t *testing.T) {
	s, _ := startServer(t, echoProto, func(c *ServerConfig) { c.ConnsMax = 2 })
	open := func() net.Conn {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	answers := func(c net.Conn) error {
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			readAll(t, resp)
		}
		return err
	}
	a, b := open(), open()
	if err := answers(a); err != nil {
		t.Fatal(err)
	}
	if err := answers(b); err != nil {
		t.Fatal(err)
	}
	if err := answers(open()); err == nil {
		t.Fatal("a third connection was served")
	}
	a.Close()
	for s.Conns() > 1 {
		runtime.Gosched() // until the server has seen it
	}
	if err := answers(open()); err != nil {
		t.Fatalf("after one had closed: %v", err)
	}
}

func TestPortInUse(t *testing.T) {
	s, _ := startServer(t, echoProto, nil)
	_, err := Listen(ServerConfig{Addr: s.Addr().String()})
	if err == nil {
		t.Fatal("listened twice")
	}
	want := fmt.Sprintf("cannot listen on %s: ", s.Addr())
	if runtime.GOOS == "linux" {
		comm, _ := os.ReadFile("/proc/self/comm")
		want += fmt.Sprintf("the port is in use by %s (pid %d)", strings.TrimSpace(string(comm)), os.Getpid())
	}
	if !strings.HasPrefix(err.Error(), want) {
		t.Fatalf("%v, want %s", err, want)
	}
}

// TestShutdown: requests under way are answered; then the port is free.
func TestShutdown(t *testing.T) {
	arrived, finish := make(chan bool), make(chan bool)
	s, _ := startServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- true
		<-finish
		io.WriteString(w, "done")
	}), nil)
	got := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + s.Addr().String())
		if err != nil {
			got <- err.Error()
			return
		}
		b, _ := io.ReadAll(resp.Body)
		got <- string(b)
	}()
	<-arrived
	down := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go func() { down <- s.Shutdown(ctx) }()
	close(finish)
	if body := <-got; body != "done" {
		t.Fatal(body)
	}
	if err := <-down; err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
