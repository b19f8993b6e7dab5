//go:build linux

package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// probe tries the kinds of wall, best first, by starting a keeper with each, and
// returns the first that holds.
func (r *Runner) probe() (Isolation, error) {
	walls := r.config.Walls
	root := os.Geteuid() == 0
	if walls == nil {
		walls = []Wall{WallUserNamespaces, WallLandlock}
		if root {
			walls = []Wall{WallNamespaces, WallLandlock}
		}
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return Isolation{}, err
	}
	defer null.Close()
	var missing []string
	for _, wall := range walls {
		user := 0
		if root {
			user = int(r.config.Users.First)
		}
		if root && wall == WallUserNamespaces {
			// Root's id would stay root's outside.
			missing = append(missing, "user namespaces: they are of no use to root")
			continue
		}
		in, err := r.try(wall, user, null)
		if err != nil {
			missing = append(missing, fmt.Sprintf("%s: %v", wall, err))
			continue
		}
		i := r.describe(wall, user, in)
		i.Missing = append(missing, i.Missing...)
		if wall == WallLandlock && in.LandlockABI == 0 && !r.config.Unconfined {
			missing = append(missing, "Landlock: this kernel has none")
			continue
		}
		if wall == WallLandlock && user != 0 {
			if err := reachable(r.config.Dir); err != nil {
				return Isolation{}, fmt.Errorf("%w: choose another directory for functions", err)
			}
			r.runtimes.reach = reachable
		}
		return i, nil
	}
	return Isolation{}, fmt.Errorf("functions cannot be kept from rheo's files on this machine, so they are not run: %q", missing)
}

// try starts a keeper that does everything but start a runtime.
func (r *Runner) try(wall Wall, user int, out *os.File) (wallsInForce, error) {
	p := &plan{Wall: wall, Probe: true, User: user, Limits: limitsOf(r.limits, r.limits.Processes+processesOf(os.Getuid()))}
	if wall == WallLandlock {
		p.Landlock = hostRules(nil, r.clientDir, r.clientDir, r.tempDir)
		p.Landlock.Ports = []uint16{443}
	} else {
		p.Ports = []string{runtimeAPIAddr}
		p.World = newWorld(r.rootDir, nil, r.clientDir, r.clientDir, r.limits.TempBytes, r.worldFiles(user))
		p.Landlock = landlockRules{Read: []string{"/"}, Write: []string{"/tmp"}, Use: devices}
	}
	k, err := spawn(p, out)
	if err != nil {
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
			return wallsInForce{}, fmt.Errorf("refused here (%w)", err)
		}
		return wallsInForce{}, err
	}
	select {
	case <-k.gone:
	case <-time.After(spawnTimeout):
		k.kill(wall)
		<-k.gone
	}
	return k.walls, nil
}

func (r *Runner) describe(wall Wall, user int, in wallsInForce) Isolation {
	i := Isolation{Wall: wall, LandlockABI: in.LandlockABI, Seccomp: in.Seccomp, Missing: in.Problems,
		Memory: fmt.Sprintf("looked at every %v, and the instance ended over its limit", sampleInterval)}
	switch {
	case user != 0:
		i.Users = fmt.Sprintf("one for each instance, of %d to %d", r.config.Users.First, int(r.config.Users.First)+r.config.Users.Count-1)
	case wall == WallUserNamespaces:
		i.Users = "rheo's own, without rights, in a user namespace"
	default:
		i.Users = "rheo's own"
		i.Missing = append(i.Missing, "users of their own: rheo is not root")
	}
	if wall != WallLandlock {
		i.Files = "a root directory of its own, read-only, with the system, the runtime and the code"
		i.Processes = "a process table of its own"
		i.Network = "its own, with its runtime interface and rheo's endpoint" + ternary(r.config.Egress != nil, ", and a proxy", "")
		i.Disk = fmt.Sprintf("%d MiB of memory as /tmp", r.limits.TempBytes>>20)
		return i
	}
	i.Files = ternary(in.LandlockABI > 0, "the machine's, by Landlock only the system's, the runtime's and the code's", "the machine's")
	i.Processes = "the machine's; /proc is barred by Landlock"
	i.Disk = fmt.Sprintf("looked at every second, and the instance ended over %d MiB", r.limits.TempBytes>>20)
	if in.LandlockABI >= 4 {
		i.Network = fmt.Sprintf("the machine's; TCP by Landlock to ports %v, and none to listen on", r.hostPorts())
		i.Missing = append(i.Missing, "a network of its own: UDP is open, and TCP to those ports anywhere")
		if slices.Contains(r.hostPorts(), 80) {
			i.Missing = append(i.Missing, "a bar to metadata services: port 80 is one of those ports")
		}
	} else {
		i.Network = "the machine's"
		i.Missing = append(i.Missing, "a limit on the network: metadata services and rheo's other ports can be reached (Landlock ABI 4 would bar them)")
	}
	if in.LandlockABI == 0 {
		i.Missing = append(i.Missing, "a limit on files")
		i.Processes = "the machine's"
	}
	if in.LandlockABI < 6 && user == 0 {
		i.Missing = append(i.Missing, "a limit on signals: functions can end rheo")
	}
	return i
}

// reachable is an error unless every user can pass through to a directory or an executable.
func reachable(dir string) error {
	for d := dir; ; d = filepath.Dir(d) {
		info, err := os.Stat(d)
		if err != nil {
			return err
		}
		if info.Mode()&0o001 == 0 {
			return fmt.Errorf("functions run as users of their own here, and they cannot pass through %s (mode %04o) to %s", d, info.Mode().Perm(), dir)
		}
		if d == "/" || d == "." {
			return nil
		}
	}
}
