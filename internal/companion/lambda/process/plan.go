//go:build linux

package process

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A plan is all that the helper is told about the instance it starts. Both ends are
// the same executable, so it has no version.
type plan struct {
	Wall  Wall
	Probe bool // try the walls and start nothing
	User  int  // user and group id; 0: those of rheo

	World *world   // nil: the machine's own directories
	Ports []string // TCP addresses to listen on, in the instance's network; their listeners are handed up

	Argv []string
	Env  []string
	Dir  string

	Limits   []rlimit
	Landlock landlockRules
}

// A world is the root directory of an instance. Everything is read-only but Temp.
type world struct {
	On    string // an empty directory to build it on
	Binds []bind
	Links []symlink
	Files []file
	Temp  int64 // bytes of /tmp
}

type bind struct {
	Source, Target string
	Device         bool // a device node, to be used as one
}
type symlink struct{ Target, Name string }
type file struct{ Name, Content string }

type rlimit struct {
	Resource int
	Max      uint64
}

// landlockRules are what an instance may reach at most. Paths that do not exist are left out.
type landlockRules struct {
	Read  []string // files and directories, to read and execute
	Write []string // directories, with all in them
	Use   []string // files and devices, to read and write
	// Ports are the TCP ports that it may connect to, where it shares the
	// machine's network; it may listen on none then.
	HostNetwork bool
	Ports       []uint16
}

// A notice is what the helper says to rheo.
type notice struct {
	Ready   *struct{}        // the world stands; the listeners of plan.Ports come along
	Walls   *wallsInForce    // just before the runtime starts
	Started *struct{}        // the runtime has been started
	Failed  *failure         // it has not
	Exited  *unix.WaitStatus // it has ended, and all that it started
}

// wallsInForce is what could be put in place in the instance itself.
type wallsInForce struct {
	LandlockABI int
	Seccomp     bool
	Problems    []string // what could not, and why
}

// A failure is a step that did not work.
type failure struct {
	Step  string
	Errno unix.Errno
	Text  string
}

func (f *failure) Error() string { return fmt.Sprintf("cannot %s: %s", f.Step, f.Text) }

func (f *failure) Unwrap() error {
	if f.Errno == 0 {
		return nil
	}
	return f.Errno
}

func failedTo(step string, err error) *failure {
	f := &failure{Step: step, Text: err.Error()}
	if f2, ok := err.(*failure); ok {
		return f2
	}
	var errno unix.Errno
	if asErrno(err, &errno) {
		f.Errno = errno
	}
	return f
}

// Messages go over a socket that keeps their boundaries, so that files can go along.
const messageBytesMax = 128 << 10

// send writes one message, with files.
func send(socket int, message any, files ...int) error {
	b, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if len(b) > messageBytesMax {
		return fmt.Errorf("a message of %d bytes is too long", len(b))
	}
	var rights []byte
	if len(files) > 0 {
		rights = unix.UnixRights(files...)
	}
	for {
		err = unix.Sendmsg(socket, b, rights, nil, unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return os.NewSyscallError("sendmsg", err)
		}
	}
}

// receive reads one message and the files that came along; at the end of the
// conversation ok is false.
func receive(socket int, message any) (files []int, ok bool, err error) {
	b := make([]byte, messageBytesMax)
	rights := make([]byte, unix.CmsgSpace(8*4))
	var n, rn int
	for {
		n, rn, _, _, err = unix.Recvmsg(socket, b, rights, unix.MSG_CMSG_CLOEXEC)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return nil, false, os.NewSyscallError("recvmsg", err)
	}
	if n == 0 {
		return nil, false, nil
	}
	files, err = filesOf(rights[:rn])
	if err != nil {
		return nil, false, err
	}
	return files, true, json.Unmarshal(b[:n], message)
}

// filesOf are the files that came along with a message.
func filesOf(rights []byte) (files []int, err error) {
	if len(rights) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return nil, err
		}
		files = append(files, fds...)
	}
	return files, nil
}
