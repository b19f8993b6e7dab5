//go:build linux

package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A reason is why the platform ended an instance.
type reason string

const (
	endedTimeout reason = "timeout"
	endedMemory  reason = "memory"
	endedDisk    reason = "disk"
	endedIdle    reason = "idle"
	endedError   reason = "error" // it ended by itself, or answered wrongly
)

// An instance is one process of a function, from its start to its end.
type instance struct {
	r       *Runner
	fn      *Function
	limits  *Limits
	user    int    // id that it runs as; 0: rheo's
	stream  string // log stream
	log     *instanceLog
	logEnd  *os.File             // that the runtime writes to; closed by launch
	temp    string               // its /tmp on this machine; empty: in a world of its own
	api     net.Listener         // of its Runtime API
	apiAddr string               // as the runtime sees it
	kept    atomic.Pointer[kept] // nil until the runtime runs
	gone    chan struct{}        // closed when the runtime and all that it started have ended

	ready       chan struct{} // closed at the first /next
	readyOnce   sync.Once
	initFailure chan answer // holds one
	initClaimed atomic.Bool // an error of initialisation is being read

	credentialsUntil time.Time // zero: for ever
	maxMemoryMiB     atomic.Int64
	sampled          atomic.Int64 // when memory was last looked at, Unix ms
	hurry            atomic.Bool  // it had more than half of its memory then

	release  func() // gives up code; nil before it has it
	freed    chan struct{}
	freeOnce sync.Once
	ended    atomic.Pointer[reason] // the first reason to end it

	// Owned by the Runner's mutex.
	busy      bool
	retired   bool // not to be used again
	listed    bool // in its pool's idle
	idleSince time.Time

	mu        sync.Mutex
	event     *event   // of the invocation in progress
	delivered bool     // the runtime has event
	claimed   bool     // its answer is being read
	answered  bool     // and has come
	waiter    *apiConn // that waits for an event; nil: none
}

// claim is the event that the runtime has and has not begun to answer, if that is its
// id. The caller is to answer it: there is one answer to an event, and one body of it in
// memory.
func (in *instance) claim(id string) *event {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.event == nil || in.event.RequestID != id || !in.delivered || in.claimed || in.answered {
		return nil
	}
	in.claimed = true
	return in.event
}

// answer ends e, unless it has ended.
func (in *instance) answer(e *event, a answer) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.event != e || in.answered {
		return false
	}
	in.answered = true
	e.answered <- a
	return true
}

// initialising tells whether the runtime may say that it cannot; once.
func (in *instance) initialising() bool {
	select {
	case <-in.ready:
		return false
	default:
		return in.initClaimed.CompareAndSwap(false, true)
	}
}

// begin starts the process and waits until it asks for an event. A non-nil answer
// says that it did not come to that; an error, that there was nothing to try.
func (in *instance) begin(ctx context.Context, requestID string, timeout time.Duration) (*answer, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	if err := in.launch(ctx, requestID); err != nil {
		var entry *entrypointError
		if errors.As(err, &entry) {
			a := failed("Runtime.InvalidEntrypoint", "RequestId: "+requestID+" Error: "+entry.problem)
			a.end = endedError
			return &a, nil
		}
		return nil, err
	}
	select {
	case <-in.ready:
		return nil, nil
	case a := <-in.initFailure:
		in.end(endedError)
		<-in.gone
		return &a, nil
	case <-timer.C:
		in.end(endedTimeout)
		<-in.gone
		a := timedOut(requestID, timeout)
		return &a, nil
	case <-in.gone:
		select {
		case a := <-in.initFailure:
			return &a, nil
		default:
		}
		a := in.death(requestID)
		return &a, nil
	}
}

func timedOut(requestID string, timeout time.Duration) answer {
	a := failed("Sandbox.Timedout", fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", requestID, timeout.Seconds()))
	a.end = endedTimeout
	return a
}

// death is the answer of an instance that is gone without one.
func (in *instance) death(requestID string) answer {
	kind, text := "Runtime.ExitError", in.kept.Load().ended.String()
	if why := in.ended.Load(); why != nil {
		switch *why {
		case endedMemory:
			kind = "Runtime.OutOfMemory"
		case endedDisk:
			text = fmt.Sprintf("Runtime was ended: it wrote more than %d MiB to %s", in.limits.TempBytes>>20, in.temp)
		}
	}
	a := failed(kind, "RequestId: "+requestID+" Error: "+text)
	a.end = endedError
	return a
}

// give gives the instance an event, which it may take timeout for: to the connection that
// waits for one, or to the next that does.
func (in *instance) give(inv Invocation, timeout time.Duration) *event {
	now := time.Now()
	e := &event{Invocation: inv, began: now, deadline: now.Add(timeout), answered: make(chan answer, 1)}
	in.mu.Lock()
	c := in.waiter
	in.event, in.delivered, in.claimed, in.answered, in.waiter = e, c != nil, false, false, nil
	in.mu.Unlock()
	if c != nil {
		in.deliver(c, e)
	}
	return e
}

// await waits for e's answer, until its deadline. lost says that the instance was gone
// before the runtime had the event: another may have it. When ctx ends first, err is its
// error, and e is still to be awaited.
func (in *instance) await(ctx context.Context, e *event) (a answer, took time.Duration, lost bool, err error) {
	timer := time.NewTimer(time.Until(e.deadline))
	defer timer.Stop()
	select {
	case a = <-e.answered:
		return a, time.Since(e.began), false, nil
	case <-ctx.Done():
		return answer{}, 0, false, ctx.Err()
	case <-timer.C:
		took = time.Since(e.began)
		if !in.answer(e, answer{}) {
			return <-e.answered, took, false, nil // in the last moment
		}
		in.end(endedTimeout)
		<-in.gone
		return timedOut(e.RequestID, in.fn.Timeout), took, false, nil
	case <-in.gone:
		took = time.Since(e.began)
		in.mu.Lock()
		delivered := in.delivered
		in.mu.Unlock()
		if !in.answer(e, answer{}) {
			return <-e.answered, took, false, nil
		}
		return in.death(e.RequestID), took, !delivered, nil
	}
}

// end ends the instance, with all that it started; gone is closed soon after.
func (in *instance) end(why reason) {
	in.ended.CompareAndSwap(nil, &why)
	if k := in.kept.Load(); k != nil {
		k.kill(in.r.isolation.Wall)
	}
}

// alive tells whether the instance can take an event.
func (in *instance) alive() bool {
	if in.ended.Load() != nil {
		return false
	}
	select {
	case <-in.gone:
		return false
	default:
		return in.credentialsUntil.IsZero() || time.Until(in.credentialsUntil) > in.fn.Timeout
	}
}

// sample looks at the instance's memory, ends it when it has too much, and returns the peak.
func (in *instance) sample() int {
	k := in.kept.Load()
	if k == nil {
		return 0
	}
	in.sampled.Store(time.Now().UnixMilli())
	now := residentMiB(k.pid)
	in.hurry.Store(now > in.fn.MemoryMiB/2)
	if now > in.fn.MemoryMiB {
		if exact, ok := proportionalMiB(k.pid); ok {
			now = exact
		}
	}
	if now > in.fn.MemoryMiB {
		in.end(endedMemory)
	}
	for {
		peak := in.maxMemoryMiB.Load()
		if int64(now) <= peak || in.maxMemoryMiB.CompareAndSwap(peak, int64(now)) {
			break
		}
	}
	return min(int(in.maxMemoryMiB.Load()), in.fn.MemoryMiB)
}

// peakMemoryMiB is the peak as of now; it looks again where the last look is old.
func (in *instance) peakMemoryMiB() int {
	if time.Now().UnixMilli()-in.sampled.Load() > sampleInterval.Milliseconds() {
		select {
		case <-in.gone:
		default:
			return in.sample()
		}
	}
	return min(int(in.maxMemoryMiB.Load()), in.fn.MemoryMiB)
}

// An entrypointError says that the function's own executable does not start.
type entrypointError struct{ problem string }

func (e *entrypointError) Error() string { return e.problem }

// execProblem is err as the function's fault where the exec of its own file failed.
func execProblem(err error, provided bool) error {
	var f *failure
	if !errors.As(err, &f) || !provided || len(f.Step) < 5 || f.Step[:5] != "exec " {
		return err
	}
	switch f.Errno {
	case unix.ENOENT, unix.ENOEXEC, unix.EACCES, unix.ELOOP, unix.ENOTDIR, unix.ETXTBSY, unix.EINVAL, unix.ELIBBAD:
		return &entrypointError{"fork/" + f.Step + ": " + f.Text}
	}
	return err
}
