//go:build linux

package process

import (
	"errors"
	"runtime"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// The filter of system calls refuses what no function needs and what would go around
// the other walls: calls that mount, make namespaces, load code into the kernel or
// look into other processes, keyrings (which users share), io_uring (which makes
// calls that filters do not see), and sockets that Landlock's rules for TCP do not
// cover. It is a list of what is refused, not of what is allowed: runtimes are many.
var refusedCalls = map[uint32]unix.Errno{
	unix.SYS_MOUNT: unix.EPERM, unix.SYS_UMOUNT2: unix.EPERM, unix.SYS_PIVOT_ROOT: unix.EPERM, unix.SYS_CHROOT: unix.EPERM,
	unix.SYS_OPEN_TREE: unix.EPERM, unix.SYS_MOVE_MOUNT: unix.EPERM, unix.SYS_FSOPEN: unix.EPERM, unix.SYS_FSCONFIG: unix.EPERM,
	unix.SYS_FSMOUNT: unix.EPERM, unix.SYS_FSPICK: unix.EPERM, unix.SYS_MOUNT_SETATTR: unix.EPERM,
	unix.SYS_UNSHARE: unix.EPERM, unix.SYS_SETNS: unix.EPERM,
	unix.SYS_PTRACE: unix.EPERM, unix.SYS_PROCESS_VM_READV: unix.EPERM, unix.SYS_PROCESS_VM_WRITEV: unix.EPERM,
	unix.SYS_KCMP: unix.EPERM, unix.SYS_PIDFD_GETFD: unix.EPERM,
	unix.SYS_BPF: unix.EPERM, unix.SYS_PERF_EVENT_OPEN: unix.EPERM, unix.SYS_USERFAULTFD: unix.EPERM,
	unix.SYS_KEXEC_LOAD: unix.EPERM, unix.SYS_INIT_MODULE: unix.EPERM, unix.SYS_FINIT_MODULE: unix.EPERM, unix.SYS_DELETE_MODULE: unix.EPERM,
	unix.SYS_KEYCTL: unix.EPERM, unix.SYS_ADD_KEY: unix.EPERM, unix.SYS_REQUEST_KEY: unix.EPERM,
	unix.SYS_OPEN_BY_HANDLE_AT: unix.EPERM, unix.SYS_NAME_TO_HANDLE_AT: unix.EPERM, unix.SYS_FANOTIFY_INIT: unix.EPERM,
	unix.SYS_SWAPON: unix.EPERM, unix.SYS_SWAPOFF: unix.EPERM, unix.SYS_REBOOT: unix.EPERM, unix.SYS_ACCT: unix.EPERM,
	unix.SYS_QUOTACTL: unix.EPERM, unix.SYS_SYSLOG: unix.EPERM, unix.SYS_SETHOSTNAME: unix.EPERM, unix.SYS_SETDOMAINNAME: unix.EPERM,
	unix.SYS_SETTIMEOFDAY: unix.EPERM, unix.SYS_CLOCK_SETTIME: unix.EPERM, unix.SYS_CLOCK_ADJTIME: unix.EPERM, unix.SYS_ADJTIMEX: unix.EPERM,
	// Programs have another way when these do not exist.
	unix.SYS_IO_URING_SETUP: unix.ENOSYS, unix.SYS_IO_URING_ENTER: unix.ENOSYS, unix.SYS_IO_URING_REGISTER: unix.ENOSYS,
	// Its flags are in memory, where a filter cannot look; clone has them in a register.
	unix.SYS_CLONE3: unix.ENOSYS,
}

const (
	newNamespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP
	protocolMPTCP = 262

	// Offsets in struct seccomp_data: number, architecture, instruction pointer, arguments.
	offNumber, offArch, offArg0, offArg2 = 0, 4, 16, 32

	returnAllow = 0x7fff0000
	returnErrno = 0x00050000
	returnKill  = 0x80000000
	x32Bit      = 0x40000000
)

// filterSyscalls puts the filter on this thread, for good. no_new_privs must be set.
// Sockets of this machine (AF_UNIX) are refused where nothing else keeps a function from
// those that it can name: a container engine's leads to everything. Pairs of sockets,
// which programs talk to their children by, are another call.
func filterSyscalls(unixSockets bool) error {
	arch, ok := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if !ok {
		return errors.New("there is no filter for " + runtime.GOARCH)
	}
	raw, err := bpf.Assemble(syscallFilter(arch, unixSockets))
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
}

// syscallFilter is the program. It jumps forward only, and by little, so each test
// is followed at once by what it decides.
func syscallFilter(arch uint32, unixSockets bool) []bpf.Instruction {
	load := func(off uint32) bpf.Instruction { return bpf.LoadAbsolute{Off: off, Size: 4} }
	is := func(v uint32, skip uint8) bpf.Instruction {
		return bpf.JumpIf{Cond: bpf.JumpEqual, Val: v, SkipFalse: skip}
	}
	refuse := func(e unix.Errno) bpf.Instruction { return bpf.RetConstant{Val: returnErrno | uint32(e)} }
	p := []bpf.Instruction{
		load(offArch), is(arch, 1), bpf.Jump{Skip: 1}, bpf.RetConstant{Val: returnKill},
		load(offNumber),
	}
	if arch == unix.AUDIT_ARCH_X86_64 {
		p = append(p, bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: x32Bit, SkipFalse: 1}, refuse(unix.ENOSYS))
	}
	for number, errno := range refusedCalls {
		p = append(p, is(number, 1), refuse(errno))
	}
	// clone with a flag of a namespace.
	p = append(p, is(unix.SYS_CLONE, 4),
		load(offArg0), bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: newNamespaces, SkipFalse: 1}, refuse(unix.EPERM), bpf.RetConstant{Val: returnAllow})
	family := uint32(unix.AF_UNIX)
	if !unixSockets {
		family = unix.AF_INET // nothing more
	}
	// socket: of this machine or the Internet, of netlink only what tells of addresses
	// and routes, and no TCP that Landlock does not know.
	p = append(p, is(unix.SYS_SOCKET, 13), load(offArg0),
		is(unix.AF_NETLINK, 4), load(offArg2), is(unix.NETLINK_ROUTE, 1), bpf.RetConstant{Val: returnAllow}, refuse(unix.EPROTONOSUPPORT),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: family, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET6, SkipTrue: 1},
		refuse(unix.EAFNOSUPPORT),
		load(offArg2), is(protocolMPTCP, 1), refuse(unix.EPROTONOSUPPORT))
	return append(p, bpf.RetConstant{Val: returnAllow})
}
