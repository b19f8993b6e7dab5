//go:build linux

package process

import (
	"fmt"
	"os"
	"strconv"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	landlocksys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// confine gives up what a function must not have, on this thread. What the kernel
// does not know is a problem that is told; what it refuses is an error.
func (p *plan) confine() (*wallsInForce, error) {
	walls := &wallsInForce{}
	for _, l := range p.Limits {
		var now syscall.Rlimit
		if err := syscall.Getrlimit(l.Resource, &now); err != nil {
			return nil, failedTo("read resource limit "+strconv.Itoa(l.Resource), err)
		}
		lower := min(l.Max, now.Max)
		// syscall's, because it is the one that tells exec not to put an old limit back.
		if err := syscall.Setrlimit(l.Resource, &syscall.Rlimit{Cur: lower, Max: lower}); err != nil {
			return nil, failedTo("set resource limit "+strconv.Itoa(l.Resource), err)
		}
	}
	// The first to go when memory runs out; more than we have needs no right.
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0); err != nil {
		walls.Problems = append(walls.Problems, "the kernel does not prefer functions when memory runs out: "+err.Error())
	}
	if err := dropCapabilities(); err != nil {
		return nil, err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return nil, failedTo("renounce new privileges", err)
	}
	abi, err := p.Landlock.enforce()
	if err != nil {
		return nil, err
	}
	walls.LandlockABI = abi
	// Landlock knows sockets with names from ABI 9 on; in a world there are none.
	unixSockets := !p.Landlock.HostNetwork || abi >= 9
	if err := filterSyscalls(unixSockets); err != nil {
		walls.Problems = append(walls.Problems, "system calls are not filtered: "+err.Error())
		if !unixSockets {
			walls.Problems = append(walls.Problems, "sockets of this machine that rheo's user may open, such as a container engine's, are open to functions")
		}
	} else {
		walls.Seccomp = true
	}
	return walls, nil
}

// dropCapabilities empties every set of them that this thread has.
func dropCapabilities() error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && err != unix.EINVAL {
		return failedTo("clear ambient capabilities", err)
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP+8; c++ {
		// Needs a capability that only a privileged starter has; without it there is
		// nothing that no_new_privs does not bar as well.
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			break
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return failedTo("drop capabilities", err)
	}
	return nil
}

// enforce puts this thread under the rules, as far as the kernel knows them, and
// returns the version of Landlock that it does; 0 without any.
func (r *landlockRules) enforce() (abi int, err error) {
	abi, err = landlocksys.LandlockGetABIVersion()
	if err != nil || abi <= 0 {
		return 0, nil
	}
	config := landlock.V9.BestEffort()
	rules := []landlock.Rule{
		landlock.RWDirs(existing(r.Write)...).WithRefer(),
		landlock.RWFiles(existing(r.Use)...),
	}
	for _, path := range existing(r.Read) {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			rules = append(rules, landlock.RODirs(path))
		} else {
			rules = append(rules, landlock.ROFiles(path))
		}
	}
	if r.HostNetwork {
		for _, port := range r.Ports {
			rules = append(rules, landlock.ConnectTCP(port))
		}
	} else {
		config.HandledAccessNet = 0
	}
	fd, flags, err := config.NewRulesetFD(rules...)
	if err != nil {
		return 0, failedTo("make Landlock rules", err)
	}
	if fd < 0 {
		return 0, nil
	}
	defer unix.Close(fd)
	if err := landlocksys.LandlockRestrictSelf(fd, flags); err != nil {
		return 0, failedTo("enforce Landlock rules", err)
	}
	return abi, nil
}

func existing(paths []string) []string {
	var found []string
	for _, p := range paths {
		if _, err := os.Stat(p); err == nil {
			found = append(found, p)
		}
	}
	return found
}

// limitsOf an instance's processes.
func limitsOf(l Limits, processes int) []rlimit {
	return []rlimit{
		{unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_NOFILE, uint64(l.OpenFiles)},
		{unix.RLIMIT_NPROC, uint64(processes)},
		{unix.RLIMIT_FSIZE, uint64(l.TempBytes)},
		{unix.RLIMIT_MEMLOCK, 64 << 10},
		{unix.RLIMIT_MSGQUEUE, 0},
		{unix.RLIMIT_RTPRIO, 0},
		{unix.RLIMIT_NICE, 0},
	}
}

// processesOf counts the threads of a user, where limits are per user.
func processesOf(uid int) int {
	n := 0
	procs, _ := os.ReadDir("/proc")
	for _, p := range procs {
		if _, err := strconv.Atoi(p.Name()); err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Stat("/proc/"+p.Name(), &st) != nil || int(st.Uid) != uid {
			continue
		}
		tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%s/task", p.Name()))
		n += len(tasks)
	}
	return n
}
