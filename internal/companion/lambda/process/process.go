// Package process runs functions as processes of this machine, by the protocol
// that AWS Lambda's runtimes speak. It has not heard of Lambda's own API, of
// streams or of where code and logs are kept: it is given a published Function and
// an event, and gives back what the function answered.
//
//	Runner    all functions of a server, their limits, and where they live
//	Function  what is run: code, runtime, handler, environment, limits
//	instance  one process (with its children) of one Function, for one event at a time
//	helper    rheo itself, started anew, that locks the instance in and stays with it
//
// # One invocation
//
// Invoke takes an idle instance of the function, or starts one: unpack the code
// (once, by its hash), find the runtime on this machine, start the helper. The
// helper makes the instance's world, hands the listener of its Runtime API up to
// rheo, starts the runtime in it and waits. The runtime asks the listener for its
// first event (GET /2018-06-01/runtime/invocation/next): initialised. Then it is
// given events, one at a time, and posts an answer to each. What it writes to
// standard output and standard error is its log.
//
//	starting ──/next──> idle <──answer── busy
//	    │                │ idle too long   │ timeout, out of memory
//	    └── exit ────────┴──── exit ───────┴──> dead, with all that it started
//
// An instance that fails to initialise is started a second time as part of its
// first invocation, as Lambda does. One that runs out of time or memory is killed;
// the next event starts a new one.
//
// # The walls
//
// A function is somebody's code, and rheo's data, keys and memory are next to it.
// Where the machine allows, an instance has namespaces of its own: a root directory
// in which rheo's files do not exist, a process table in which rheo is not, a
// network with nothing but its Runtime API and rheo's endpoint. On top, and
// alone where namespaces are refused (in most containers): Landlock, a user of its
// own when rheo is root, no_new_privs, a seccomp filter, resource limits. What is
// in force is tried out by New, and Isolation says it, with what is missing. It is
// not the boundary of a virtual machine: the kernel is shared.
package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"
)

// Config of a Runner. Dir is required; the rest has defaults.
type Config struct {
	// Dir holds unpacked code and what instances need. It is emptied at New, and
	// belongs to one Runner alone. Where functions have users of their own but no
	// root directories of their own (see Isolation), every user must be able to
	// pass through to it.
	Dir string
	// Credentials of a function's role, asked at each start of an instance; nil: none.
	Credentials func(context.Context, *Function) (Credentials, error)
	// Endpoint is rheo's own, as functions should see it (AWS_ENDPOINT_URL): a
	// name, or a loopback address. Nil: none.
	Endpoint *url.URL
	// DialEndpoint connects to Endpoint for an instance with a network of its own;
	// nil: TCP to Endpoint's host and port.
	DialEndpoint func(context.Context) (net.Conn, error)
	// CAFile holds certificates (PEM) that functions should trust beside the
	// system's; empty: none.
	CAFile string
	// Egress opens connections for functions with a network of their own, through
	// an HTTP proxy that their environment names; nil: they reach Endpoint alone.
	Egress func(ctx context.Context, network, addr string) (net.Conn, error)
	// HostPorts are the TCP ports that functions may connect to where they share
	// the machine's network; nil: 443 and 53. Where functions have a network of their own
	// they are not asked for.
	HostPorts []uint16
	// Runtimes says where language runtimes are, beside the path.
	Runtimes Runtimes
	// Users are those that instances run as when rheo is root.
	Users UserRange
	// Walls are the kinds of isolation to try, best first; nil: all. The first
	// that this machine allows is taken.
	Walls []Wall
	// Unconfined allows functions to run where neither a root directory of their
	// own nor Landlock keeps them from rheo's files. Without it New refuses.
	Unconfined bool
	Limits     Limits
	// Logs takes what functions write; nil: only Result.Log has it.
	Logs LogSink
	// Logger is told what goes wrong outside functions; nil: slog's default.
	Logger *slog.Logger
}

// Limits of a Runner. A zero field is its default.
type Limits struct {
	Instances            int           // live at once, over all functions: 100
	InstancesPerFunction int           // 100
	MemoryMiB            int           // sum of the memory of live instances: half of the machine's
	IdleAfter            time.Duration // an instance without events is ended after: 10 min
	CodeBytes            int64         // unpacked code kept, beside that in use: 2 GiB
	TempBytes            int64         // of /tmp of an instance: 512 MiB
	TempMemoryBytes      int64         // of all that are in memory together: a quarter of the machine's
	Processes            int           // and threads of an instance: 1024
	OpenFiles            int           // of one process: 1024
	InitTimeout          time.Duration // of the initialisation phase: 10 s
	PayloadBytes         int           // of an event: 6 MiB
	ResponseBytes        int           // of an answer, in rheo's memory: 6 MiB and 100 bytes
	LogQueueBytes        int           // lines of one instance that wait for Logs: 1 MiB
}

func (l Limits) withDefaults() Limits {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def64 := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	defTime := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&l.Instances, 100)
	def(&l.InstancesPerFunction, 100)
	def(&l.MemoryMiB, machineMemoryMiB()/2)
	defTime(&l.IdleAfter, 10*time.Minute)
	def64(&l.CodeBytes, 2<<30)
	def64(&l.TempBytes, 512<<20)
	def64(&l.TempMemoryBytes, int64(machineMemoryMiB())<<20/4)
	def(&l.Processes, 1024)
	def(&l.OpenFiles, 1024)
	defTime(&l.InitTimeout, 10*time.Second)
	def(&l.PayloadBytes, 6<<20)
	def(&l.ResponseBytes, 6<<20+100)
	def(&l.LogQueueBytes, 1<<20)
	return l
}

// A UserRange is a range of user ids (and equal group ids) that nothing else on
// the machine uses; the zero value is 58000 to 58999.
type UserRange struct {
	First uint32
	Count int
}

// A Wall is a kind of isolation; see Isolation.
type Wall string

// The kinds, best first.
const (
	WallNamespaces     Wall = "namespaces"      // own root, processes and network; needs root
	WallUserNamespaces Wall = "user-namespaces" // the same, where users may make namespaces
	WallLandlock       Wall = "landlock"        // the machine's, restricted by Landlock
)

// Credentials of AWS's kind. A zero Expires is never.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string
	Expires                                    time.Time
}

// A LogSink takes the log of functions.
type LogSink interface {
	// PutLogs takes lines of one log stream, in order, oldest first; the next call
	// for that stream comes after it returned. An error drops the lines; it is
	// counted in the next call's first line.
	PutLogs(ctx context.Context, to LogTarget, lines []LogLine) error
}

// A LogTarget is the log stream of an instance.
type LogTarget struct{ Account, Region, Group, Stream string }

// A LogLine is one event of a log: at most 256 KiB, without its newline.
type LogLine struct {
	Time    time.Time
	Message string
}

// ErrThrottled says that a limit on instances or memory is reached by busy
// instances: nothing was run, and a later try may succeed.
var ErrThrottled = errors.New("the limit of concurrent instances is reached")

// ErrClosed says that the Runner has been closed.
var ErrClosed = errors.New("functions are being shut down")

// A RuntimeError says that the function's runtime is not on this machine, or is
// another version, or lacks its runtime client. Nothing was run.
type RuntimeError struct {
	Runtime string // as in the function's configuration
	Problem string // what was looked for, and what was found
	Remedy  string // what to install or configure
}

func (e *RuntimeError) Error() string {
	return fmt.Sprintf("runtime %s cannot run here: %s. %s", e.Runtime, e.Problem, e.Remedy)
}

// A CodeError says that a package of code cannot be unpacked. Nothing was run.
type CodeError struct{ Problem string }

func (e *CodeError) Error() string { return "the function's code cannot be unpacked: " + e.Problem }

// An EventError says that an event cannot be given to a function. Nothing was run.
type EventError struct{ Problem string }

func (e *EventError) Error() string { return e.Problem }
