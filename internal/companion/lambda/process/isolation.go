package process

import (
	"fmt"
	"strings"
)

// Isolation is what keeps functions from rheo and from each other, as it was tried
// out on this machine.
type Isolation struct {
	Wall        Wall
	Users       string // that functions run as
	Files       string // that they can see
	Processes   string
	Network     string
	Memory      string // how its limit is enforced
	Disk        string // how that of /tmp is
	LandlockABI int    // 0: no Landlock
	Seccomp     bool
	// Missing says what is not in force, and why; empty: all is.
	Missing []string
}

// String is a sentence for people.
func (i Isolation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Functions run as processes of this machine, which is not the boundary of a virtual machine: the kernel is shared. Users: %s. Files: %s. Processes: %s. Network: %s. Memory: %s. Disk: %s. Landlock: %s. System calls: %s.",
		i.Users, i.Files, i.Processes, i.Network, i.Memory, i.Disk, ternary(i.LandlockABI > 0, fmt.Sprintf("ABI %d", i.LandlockABI), "none"), ternary(i.Seccomp, "filtered", "not filtered"))
	if len(i.Missing) > 0 {
		b.WriteString(" Not in force: " + strings.Join(i.Missing, "; ") + ".")
	}
	return b.String()
}

func ternary(condition bool, yes, no string) string {
	if condition {
		return yes
	}
	return no
}
