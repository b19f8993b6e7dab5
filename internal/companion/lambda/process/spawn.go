//go:build linux

package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A kept is a running keeper, with the runtime below it.
type kept struct {
	pid       int // of the keeper
	listeners []net.Listener
	walls     wallsInForce
	conn      *net.UnixConn

	process *os.Process
	gone    chan struct{} // closed when the keeper has ended, and all below it
	ended   ending        // valid then
	ending  sync.Once
}

// An ending is how a runtime ended.
type ending struct {
	status unix.WaitStatus
	known  bool // false: the keeper was killed, or died
}

// String is the ending in Lambda's words.
func (e ending) String() string {
	switch {
	case !e.known || e.status.Signaled() && e.status.Signal() == unix.SIGKILL:
		return "Runtime exited with error: signal: killed"
	case e.status.Signaled():
		return "Runtime exited with error: signal: " + e.status.Signal().String()
	case e.status.ExitStatus() != 0:
		return fmt.Sprintf("Runtime exited with error: exit status %d", e.status.ExitStatus())
	}
	return "Runtime exited without providing a reason"
}

const (
	spawnTimeout = 10 * time.Second // for the keeper to have started the runtime
	killPatience = 5 * time.Second  // for the keeper to end by itself
)

// keeperCapabilities are what a keeper needs in a user's namespaces; the function has none of them.
var keeperCapabilities = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_NET_BIND_SERVICE, unix.CAP_SETPCAP, unix.CAP_SYS_CHROOT, unix.CAP_DAC_OVERRIDE}

// userInside is the id that a function sees as its own in a user's namespaces.
const userInside = 993

// spawn starts a keeper by the plan, and returns when the runtime runs. What it
// writes goes to log.
func spawn(p *plan, log *os.File) (_ *kept, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	theirs, ours := os.NewFile(uintptr(pair[1]), "keeper"), os.NewFile(uintptr(pair[0]), "rheo")
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		return nil, err
	}
	k := &kept{conn: conn.(*net.UnixConn), gone: make(chan struct{})}
	k.conn.SetWriteBuffer(2 * messageBytesMax)
	defer func() {
		if err != nil {
			k.conn.Close()
		}
	}()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{keeperName}
	cmd.Env = []string{"GOMAXPROCS=1"}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = p.Wall.attributes()
	if err := cmd.Start(); err != nil {
		return nil, failedTo("start a helper with "+string(p.Wall), err)
	}
	k.pid, k.process = cmd.Process.Pid, cmd.Process
	defer func() {
		if err != nil {
			for _, l := range k.listeners {
				l.Close()
			}
			cmd.Process.Kill()
			cmd.Wait()
		}
	}()
	theirs.Close()
	k.conn.SetDeadline(time.Now().Add(spawnTimeout))
	if err := k.tell(p); err != nil {
		return nil, err
	}
	if err := k.started(p); err != nil {
		return nil, err
	}
	k.conn.SetDeadline(time.Time{})
	go k.follow(cmd)
	return k, nil
}

// tell sends one message to the keeper.
func (k *kept) tell(message any) error {
	b, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if len(b) > messageBytesMax {
		return fmt.Errorf("a message of %d bytes is too long for the helper", len(b))
	}
	_, err = k.conn.Write(b)
	return err
}

// hear reads the keeper's next notice, and the listeners that come along; io.EOF is the end.
func (k *kept) hear() (n notice, err error) {
	b, rights := make([]byte, 16<<10), make([]byte, unix.CmsgSpace(8*4))
	bn, rn, _, _, err := k.conn.ReadMsgUnix(b, rights)
	if err == nil && bn == 0 {
		err = io.EOF
	}
	if err != nil {
		return n, err
	}
	files, err := filesOf(rights[:rn])
	if err != nil {
		return n, err
	}
	for _, f := range files {
		file := os.NewFile(uintptr(f), "listener")
		l, err := net.FileListener(file)
		file.Close()
		if err != nil {
			return n, err
		}
		k.listeners = append(k.listeners, l)
	}
	return n, json.Unmarshal(b[:bn], &n)
}

// started reads the keeper's notices until the runtime runs, or does not.
func (k *kept) started(p *plan) error {
	for {
		n, err := k.hear()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("the helper did not start the runtime in %v", spawnTimeout)
		case err == io.EOF:
			return errors.New("the helper ended before it started the runtime")
		case err != nil:
			return err
		case n.Ready != nil && len(k.listeners) != len(p.Ports):
			return errors.New("the helper did not hand up its listeners")
		case n.Walls != nil:
			k.walls = *n.Walls
		case n.Failed != nil:
			return n.Failed
		case n.Started != nil:
			return nil
		}
	}
}

// follow waits for the end.
func (k *kept) follow(cmd *exec.Cmd) {
	for {
		n, err := k.hear()
		if err != nil {
			break
		}
		if n.Exited != nil {
			k.ended = ending{*n.Exited, true}
		}
	}
	cmd.Wait()
	k.conn.Close()
	for _, l := range k.listeners {
		l.Close()
	}
	close(k.gone)
}

// kill ends the runtime and all that it started; gone is closed soon after.
func (k *kept) kill(wall Wall) {
	k.ending.Do(func() {
		if wall != WallLandlock {
			k.process.Kill() // the kernel ends the rest of its process namespace
			return
		}
		k.tell(struct{}{})
		time.AfterFunc(killPatience, func() { k.process.Kill() })
	})
}

// attributes are what a keeper is started with.
func (w Wall) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	const spaces = syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS | syscall.CLONE_NEWCGROUP
	switch w {
	case WallNamespaces:
		attr.Cloneflags = spaces
	case WallUserNamespaces:
		attr.Cloneflags = spaces | syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: userInside, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: userInside, HostID: os.Getgid(), Size: 1}}
		attr.AmbientCaps = keeperCapabilities
	}
	return attr
}

// machineMemoryMiB is the machine's memory, or a modest guess.
func machineMemoryMiB() int {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 2048
	}
	return int(uint64(info.Totalram) * uint64(info.Unit) >> 20)
}
