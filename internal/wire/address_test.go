package wire

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
)

// localhost is answered on both loopbacks, whichever a client tries first.
func TestListenLocalhost(t *testing.T) {
	s, _ := startServer(t, echoProto, func(c *ServerConfig) { c.Addr = "localhost:0" })
	port := s.Addr().Port
	loopbacks := []string{"127.0.0.1"}
	if hasIPv6() {
		loopbacks = append(loopbacks, "::1")
	}
	if len(s.Addrs()) != len(loopbacks) {
		t.Errorf("it listens on %v", s.Addrs())
	}
	for _, host := range append(loopbacks, "localhost") {
		resp, err := http.Get(fmt.Sprintf("http://%s/", net.JoinHostPort(host, fmt.Sprint(port))))
		if err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, resp); got != "HTTP/1.1 tls=false body=0" {
			t.Errorf("%s: %s", host, got)
		}
	}
}

// A port that one of the loopbacks has given to another is not half taken.
func TestListenLocalhostInUse(t *testing.T) {
	if !hasIPv6() {
		t.Skip("this machine has no IPv6")
	}
	other, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	port := other.Addr().(*net.TCPAddr).Port
	s, err := Listen(ServerConfig{Addr: fmt.Sprint("localhost:", port), Handler: echoProto})
	if err == nil {
		s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("%v", err)
	}
	free, err := net.Listen("tcp4", fmt.Sprint("127.0.0.1:", port))
	if err != nil {
		t.Fatalf("the other loopback was kept: %v", err)
	}
	free.Close()
}

// 0.0.0.0 is what it says, all addresses of IPv4.
func TestListenIPv4(t *testing.T) {
	s, _ := startServer(t, echoProto, func(c *ServerConfig) { c.Addr = "0.0.0.0:0" })
	if got := s.Addr().IP.String(); got != "0.0.0.0" {
		t.Errorf("it listens on %s", got)
	}
	if c, err := net.Dial("tcp6", fmt.Sprintf("[::1]:%d", s.Addr().Port)); err == nil {
		c.Close()
		t.Error("IPv6 is answered")
	}
}

// Closing a server that never came to Serve gives its port back.
func TestCloseBeforeServe(t *testing.T) {
	s, err := Listen(ServerConfig{Addr: "127.0.0.1:0", Handler: echoProto})
	if err != nil {
		t.Fatal(err)
	}
	addr := s.Addr().String()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func hasIPv6() bool {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		return false
	}
	return l.Close() == nil
}
