//go:build linux

package process

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestDescendants: both ways to find them find the same, children of children too.
func TestDescendants(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sleep 60 & echo started; wait")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	out.Read(make([]byte, 100))
	got := descendants(os.Getpid())
	if !slices.Contains(got, cmd.Process.Pid) || len(descendants(cmd.Process.Pid)) != 1 {
		t.Errorf("below %d are %v, below %d %v", os.Getpid(), got, cmd.Process.Pid, descendants(cmd.Process.Pid))
	}
	byParent := childrenByParent()
	if a, b := childrenOf(cmd.Process.Pid), byParent(cmd.Process.Pid); len(a) != 1 || !slices.Equal(a, b) {
		t.Errorf("the kernel lists %v, the parents say %v", a, b)
	}
	for _, pid := range descendants(cmd.Process.Pid) {
		p, _ := os.FindProcess(pid)
		p.Kill()
	}
}

// TestSocketOwner: the kernel's answer, and that read from its table, for a socket of ours.
func TestSocketOwner(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	local, remote := c.LocalAddr().(*net.TCPAddr).AddrPort(), c.RemoteAddr().(*net.TCPAddr).AddrPort()
	for name, ask := range map[string]func(local, remote netip.AddrPort) (int, uint64, error){"netlink": askSocketOwner, "table": readSocketOwner} {
		uid, inode, err := ask(local, remote)
		if err != nil || uid != os.Getuid() || !hasSocket(os.Getpid(), inode) {
			t.Errorf("%s: user %d, inode %d, %v", name, uid, inode, err)
		}
	}
	c.Close()
	if _, _, err := socketOwner(local, remote); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("a closed socket: %v", err)
	}
}
