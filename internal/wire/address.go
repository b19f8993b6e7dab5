package wire

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
)

// listen takes addr's port on every address that it means. localhost is both
// loopbacks, for a client that is told to call it may try either first; a
// machine without IPv6 has one. An address of IPv4 is that alone: net.Listen
// would make [::] of 0.0.0.0.
func listen(addr string) ([]net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if host == "localhost" {
		return listenLocal(port)
	}
	network := "tcp"
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is4() {
		network = "tcp4"
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		return nil, err
	}
	return []net.Listener{l}, nil
}

// freePortTries is how often any free port is looked for that is free on both
// loopbacks.
const freePortTries = 20

func listenLocal(port string) ([]net.Listener, error) {
	for try := 1; ; try++ {
		l4, err4 := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", port))
		if err4 != nil && !isNoAddress(err4) {
			return nil, err4
		}
		port6 := port
		if err4 == nil {
			port6 = strconv.Itoa(l4.Addr().(*net.TCPAddr).Port)
		}
		l6, err6 := net.Listen("tcp6", net.JoinHostPort("::1", port6))
		switch {
		case err4 == nil && err6 == nil:
			return []net.Listener{l4, l6}, nil
		case err4 == nil && isNoAddress(err6):
			return []net.Listener{l4}, nil
		case err6 == nil:
			return []net.Listener{l6}, nil
		case err4 != nil:
			return nil, err4
		}
		l4.Close()
		if port != "0" || try == freePortTries {
			return nil, err6
		}
	}
}

// isNoAddress says that the machine has no such address at all.
func isNoAddress(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EPROTONOSUPPORT)
}
