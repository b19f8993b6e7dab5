//go:build linux

package process

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// listenOnHost listens for an instance that shares the machine's network. TCP does not
// say who connects; the kernel's table of sockets does.
func (in *instance) listenOnHost() (net.Listener, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	l, err := config.Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &ownListener{l, in}, nil
}

// ownListener accepts connections of its instance's processes; others are reset.
type ownListener struct {
	net.Listener
	in *instance
}

func (l *ownListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		err = l.in.owns(c)
		if err == nil {
			return c, nil
		}
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
		if !errors.Is(err, errHungUp) {
			l.in.r.logger.Warn("a connection to a function's runtime interface was refused", "function", l.in.fn.ARN, "from", c.RemoteAddr().String(), "error", err)
		}
	}
}

// errHungUp says that the other end of a connection is no more.
var errHungUp = errors.New("it is closed")

// owns is an error unless a process of the instance has the other end of c: by the
// socket's user where the instance has one of its own, else by who has the socket open.
func (in *instance) owns(c net.Conn) error {
	uid, inode, err := socketOwner(c.RemoteAddr().(*net.TCPAddr).AddrPort(), c.LocalAddr().(*net.TCPAddr).AddrPort())
	if err != nil {
		return err
	}
	if in.user != 0 {
		if uid != in.user {
			return fmt.Errorf("it is of user %d, and the function's is %d", uid, in.user)
		}
		return nil
	}
	k := in.keptWithin(time.Second)
	if k == nil {
		return errors.New("the function has not been started")
	}
	// Twice, because a process whose parent ends between two looks may be in neither place.
	for range 2 {
		for _, pid := range descendants(k.pid) {
			if hasSocket(pid, inode) {
				return nil
			}
		}
	}
	return errors.New("it is of none of the function's processes")
}

// hasSocket tells whether a process has the socket open.
func hasSocket(pid int, inode uint64) bool {
	link := "socket:[" + strconv.FormatUint(inode, 10) + "]"
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	fds, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, fd := range fds {
		if to, err := os.Readlink(dir + "/" + fd.Name()); err == nil && to == link {
			return true
		}
	}
	return false
}

// keptWithin waits for the keeper: a runtime may connect before its start is told.
func (in *instance) keptWithin(d time.Duration) *kept {
	for end := time.Now().Add(d); ; time.Sleep(time.Millisecond) {
		if k := in.kept.Load(); k != nil || time.Now().After(end) {
			return k
		}
	}
}

// socketOwner finds the TCP socket of this machine that is bound to local and
// connected to remote: its user, and its inode. The kernel is asked for that socket
// alone; where it cannot be, its whole table is read.
func socketOwner(local, remote netip.AddrPort) (uid int, inode uint64, err error) {
	uid, inode, err = askSocketOwner(local, remote)
	if errors.Is(err, unix.ENOENT) {
		return 0, 0, errHungUp
	}
	if err != nil {
		return readSocketOwner(local, remote)
	}
	return uid, inode, nil
}

const (
	diagRequestBytes = unix.NLMSG_HDRLEN + 56 // struct inet_diag_req_v2
	diagAnswerBytes  = unix.NLMSG_HDRLEN + 72 // struct inet_diag_msg
)

// askSocketOwner asks by netlink.
func askSocketOwner(local, remote netip.AddrPort) (uid int, inode uint64, err error) {
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return 0, 0, err
	}
	defer unix.Close(s)
	limit := unix.NsecToTimeval(int64(time.Second))
	unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)

	host := binary.NativeEndian
	b := make([]byte, diagRequestBytes)
	host.PutUint32(b[0:], diagRequestBytes)
	host.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	host.PutUint16(b[6:], unix.NLM_F_REQUEST)
	r := b[unix.NLMSG_HDRLEN:]
	r[0], r[1] = unix.AF_INET, unix.IPPROTO_TCP
	host.PutUint32(r[4:], ^uint32(0)) // in whatever state
	binary.BigEndian.PutUint16(r[8:], local.Port())
	binary.BigEndian.PutUint16(r[10:], remote.Port())
	from, to := local.Addr().Unmap().As4(), remote.Addr().Unmap().As4()
	copy(r[12:], from[:])
	copy(r[28:], to[:])
	host.PutUint32(r[48:], ^uint32(0)) // no cookie
	host.PutUint32(r[52:], ^uint32(0))
	if err := unix.Sendto(s, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, 0, err
	}
	b = make([]byte, 4096)
	n, _, err := unix.Recvfrom(s, b, 0)
	if err != nil {
		return 0, 0, err
	}
	if n >= unix.NLMSG_HDRLEN+4 && host.Uint16(b[4:]) == unix.NLMSG_ERROR {
		return 0, 0, unix.Errno(-int32(host.Uint32(b[unix.NLMSG_HDRLEN:])))
	}
	if n < diagAnswerBytes || host.Uint16(b[4:]) != unix.SOCK_DIAG_BY_FAMILY {
		return 0, 0, errors.New("the kernel's answer is not understood")
	}
	a := b[unix.NLMSG_HDRLEN:]
	if host.Uint32(a[68:]) == 0 {
		return 0, 0, errHungUp // a socket without a file: nobody has it any more
	}
	return int(host.Uint32(a[64:])), uint64(host.Uint32(a[68:])), nil
}

// readSocketOwner looks in /proc/net/tcp.
func readSocketOwner(local, remote netip.AddrPort) (uid int, inode uint64, err error) {
	b, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		return 0, 0, err
	}
	want := hexAddr(local) + " " + hexAddr(remote) + " "
	for line := range strings.Lines(string(b)) {
		_, rest, ok := strings.Cut(line, ": ")
		if !ok || !strings.HasPrefix(rest, want) {
			continue
		}
		// local remote state queues timer retransmits uid timeout inode
		f := strings.Fields(rest)
		if len(f) < 9 {
			break
		}
		uid, err := strconv.Atoi(f[6])
		if err != nil {
			return 0, 0, err
		}
		inode, err := strconv.ParseUint(f[8], 10, 64)
		if inode == 0 && err == nil {
			err = errHungUp
		}
		return uid, inode, err
	}
	return 0, 0, errHungUp
}

// hexAddr is an IPv4 address as the table has it: the address in the machine's byte order.
func hexAddr(a netip.AddrPort) string {
	ip := a.Addr().Unmap().As4()
	return fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(ip[:]), a.Port())
}
