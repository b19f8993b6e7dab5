//go:build linux

package process

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The helper is rheo's own executable under other names. Its two stages:
//
//	keeper  the first process of the instance's world. Makes the world, hands up the
//	        listeners, starts the second stage, reaps what the function leaves
//	        behind, and ends when the runtime has, taking everything along. Ends
//	        too when rheo does: its socket to rheo is closed then.
//	starter gives up every right that a function must not have, and becomes the
//	        runtime by exec.
//
// The starter restricts only its own thread: exec keeps that one and ends the others.
const (
	keeperName  = "rheo-function-keeper"
	starterName = "rheo-function-starter"
)

// Files that the stages find open.
const (
	keeperSocket  = 3
	starterPlan   = 3
	starterStatus = 4
)

// became says that Become was called: New would otherwise start a program that starts
// itself, and knows no end.
var became atomic.Bool

// Become is to be called first in main, and first in TestMain of tests that start
// functions: in a process that was started as a helper it does the helper's work and
// does not return. In all others it does nothing. New wants it to have been called.
func Become() {
	became.Store(true)
	if len(os.Args) != 1 {
		return
	}
	switch os.Args[0] {
	case keeperName:
		keep(keeperSocket)
		os.Exit(0)
	case starterName:
		start()
	}
}

// keep is the keeper's life.
func keep(socket int) {
	runtime.LockOSThread() // the runtime dies with this thread where there is no process namespace
	unix.CloseOnExec(socket)
	var p plan
	if _, ok, err := receive(socket, &p); err != nil || !ok {
		return // rheo is gone
	}
	say := func(n notice, files ...int) { send(socket, n, files...) }
	k := keeper{plan: &p, namespaces: p.Wall != WallLandlock}
	listeners, err := k.prepare()
	if err != nil {
		say(notice{Failed: failedTo("prepare the function's surroundings", err)})
		return
	}
	say(notice{Ready: &struct{}{}}, listeners...)
	for _, l := range listeners {
		unix.Close(l)
	}
	child, walls, err := k.start()
	if walls != nil {
		say(notice{Walls: walls})
	}
	if err != nil {
		say(notice{Failed: failedTo("start the runtime", err)})
		k.killAll()
		return
	}
	say(notice{Started: &struct{}{}})
	go func() {
		// Any message, and the end of rheo, is the order to end everything.
		var order struct{}
		receive(socket, &order)
		if k.namespaces {
			os.Exit(0) // the first process of a process namespace: the kernel ends all others
		}
		k.killAll()
	}()
	status := k.reap(child)
	k.killAll()
	say(notice{Exited: &status})
}

type keeper struct {
	plan       *plan
	namespaces bool
}

// prepare makes the world and its listeners.
func (k *keeper) prepare() (listeners []int, err error) {
	unix.Umask(0o022)
	if !k.namespaces {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return nil, &failure{Step: "become the parent of orphans", Text: err.Error()}
		}
		return nil, nil
	}
	unix.Sethostname([]byte("function"))
	if err := loopbackUp(); err != nil {
		return nil, failedTo("bring the function's loopback interface up", err)
	}
	for _, addr := range k.plan.Ports {
		fd, err := listen(addr)
		if err != nil {
			return nil, failedTo("listen on "+addr, err)
		}
		listeners = append(listeners, fd)
	}
	if k.plan.World != nil {
		if err := k.plan.World.enter(); err != nil {
			return nil, err
		}
	}
	return listeners, nil
}

func listen(addr string) (int, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	l, err := config.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return -1, err
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return -1, err
	}
	defer f.Close()
	return unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 10)
}

func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, r); err != nil {
		return err
	}
	r.SetUint16(r.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, r)
}

// start starts the starter and waits until it has become the runtime.
func (k *keeper) start() (child int, walls *wallsInForce, err error) {
	planR, planW, err := os.Pipe()
	if err != nil {
		return 0, nil, err
	}
	defer planR.Close()
	defer planW.Close()
	statusR, statusW, err := os.Pipe()
	if err != nil {
		return 0, nil, err
	}
	defer statusR.Close()
	defer statusW.Close()
	attr := &syscall.ProcAttr{
		Env:   []string{"GOMAXPROCS=1"},
		Files: []uintptr{0, 1, 2, planR.Fd(), statusW.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
	}
	if k.plan.User != 0 {
		id := uint32(k.plan.User)
		attr.Sys.Credential = &syscall.Credential{Uid: id, Gid: id, Groups: []uint32{}}
	}
	child, err = syscall.ForkExec("/proc/self/exe", []string{starterName}, attr)
	if err != nil {
		return 0, nil, failedTo("start rheo as the function's user", err)
	}
	planR.Close()
	statusW.Close()
	if err := json.NewEncoder(planW).Encode(k.plan); err != nil && !errors.Is(err, syscall.EPIPE) {
		return 0, nil, err
	}
	planW.Close()
	dec := json.NewDecoder(statusR)
	for {
		var n notice
		if err := dec.Decode(&n); err == io.EOF {
			if walls == nil {
				return 0, nil, errors.New("the helper ended before it could start the runtime")
			}
			return child, walls, nil
		} else if err != nil {
			return 0, walls, err
		}
		if n.Failed != nil {
			return 0, walls, n.Failed
		}
		walls = n.Walls
	}
}

// reap waits for the runtime, and for whatever else becomes ours to wait for.
func (k *keeper) reap(child int) unix.WaitStatus {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0
		case pid == child:
			return status
		}
	}
}

// killAll ends all that descends from the keeper. In a process namespace that is the
// kernel's affair, when the keeper ends.
func (k *keeper) killAll() {
	if k.namespaces {
		return
	}
	// Stopped first, so that none starts another meanwhile; again until there are
	// none: what was being started at the time is found in the next round.
	for range 200 {
		found := descendants(os.Getpid())
		if len(found) == 0 {
			return
		}
		for _, sig := range []unix.Signal{unix.SIGSTOP, unix.SIGKILL} {
			for _, pid := range found {
				unix.Kill(pid, sig)
			}
		}
		for {
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// start is the starter's life: it becomes the runtime, or says why not.
func start() {
	runtime.LockOSThread()
	unix.CloseOnExec(starterPlan)
	unix.CloseOnExec(starterStatus)
	status := os.NewFile(starterStatus, "status")
	say := json.NewEncoder(status)
	var p plan
	if err := json.NewDecoder(os.NewFile(starterPlan, "plan")).Decode(&p); err != nil {
		say.Encode(notice{Failed: failedTo("read the plan", err)})
		os.Exit(126)
	}
	walls, err := p.confine()
	if err != nil {
		say.Encode(notice{Failed: failedTo("confine the function", err)})
		os.Exit(126)
	}
	say.Encode(notice{Walls: walls})
	if p.Probe {
		os.Exit(0)
	}
	if err := unix.Chdir(p.Dir); err != nil {
		say.Encode(notice{Failed: failedTo("enter the function's directory", err)})
		os.Exit(126)
	}
	// Nothing but the standard files survives the exec.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		closeOnExecAll()
	}
	err = syscall.Exec(p.Argv[0], p.Argv, p.Env)
	say.Encode(notice{Failed: &failure{Step: "exec " + p.Argv[0], Text: err.Error(), Errno: unix.Errno(err.(syscall.Errno))}})
	os.Exit(127)
}

// closeOnExecAll marks what is open, on kernels without close_range.
func closeOnExecAll() {
	for fd := 3; fd < 1024; fd++ {
		unix.CloseOnExec(fd)
	}
}
