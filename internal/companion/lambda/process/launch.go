//go:build linux

package process

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// launch starts the instance's process: its code, its runtime, its environment, its
// walls. When it returns without an error, in.kept is set, and in.gone will be closed
// when that ends.
func (in *instance) launch(ctx context.Context, requestID string) error {
	r, fn := in.r, in.fn
	logEnd := in.logEnd
	defer logEnd.Close()

	code, release, err := r.code.get(ctx, fn)
	if err != nil {
		return err
	}
	in.release = release
	at := places{taskRoot: "/var/task", runtimeDir: "/var/runtime", optDir: "/opt"}
	own := r.isolation.Wall != WallLandlock // directories of its own
	if !own {
		at.taskRoot, at.runtimeDir = code, r.clientDir
	}
	launch, err := r.runtimes.find(ctx, fn, at)
	if err != nil {
		return err
	}
	if launch.argv == nil {
		path := filepath.Join(at.taskRoot, "bootstrap")
		if info, err := os.Stat(filepath.Join(code, "bootstrap")); err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			return &entrypointError{"Couldn't find valid bootstrap(s): [" + path + "]"}
		}
		launch.argv = []string{path}
	}
	var credentials Credentials
	if r.config.Credentials != nil {
		if credentials, err = r.config.Credentials(ctx, fn); err != nil {
			return fmt.Errorf("no credentials for the function: %w", err)
		}
		in.credentialsUntil = credentials.Expires
	}

	p := &plan{Wall: r.isolation.Wall, User: in.user, Argv: launch.argv, Dir: at.taskRoot, Limits: limitsOf(r.limits, in.processes())}
	s := surroundings{places: at, stream: in.stream, credentials: credentials, launch: launch, tempDir: "/tmp"}
	if r.caFile != "" {
		s.caFile, s.caBundle = filepath.Join(at.runtimeDir, caName), filepath.Join(at.runtimeDir, bundleName)
	}
	if r.config.Endpoint != nil {
		s.endpoint = r.config.Endpoint.String()
	}
	var api net.Listener
	if own {
		s.api = runtimeAPIAddr
		p.Ports = []string{runtimeAPIAddr}
		if r.endpoint.inside != "" {
			p.Ports = append(p.Ports, r.endpoint.inside)
		}
		if r.config.Egress != nil {
			p.Ports = append(p.Ports, egressAddr)
			s.proxy = "http://" + egressAddr
		}
		p.World = newWorld(r.rootDir, launch.expose, code, r.clientDir, r.limits.TempBytes, r.worldFiles(in.user))
		p.Landlock = landlockRules{Read: []string{"/"}, Write: []string{"/tmp"}, Use: devices}
	} else {
		if api, err = in.listenOnHost(); err != nil {
			return err
		}
		s.api = api.Addr().String()
		if in.temp, err = r.makeTemp(in.user); err != nil {
			api.Close()
			return err
		}
		s.tempDir = in.temp
		p.Landlock = hostRules(launch.expose, code, r.clientDir, in.temp)
		p.Landlock.Ports = append(append(p.Landlock.Ports, portOf(s.api)), r.hostPorts()...)
	}
	p.Env = environment(fn, s)
	in.apiAddr = s.api

	k, err := spawn(p, logEnd)
	if err != nil {
		if api != nil {
			api.Close()
		}
		return execProblem(err, launch.name == "AWS_Lambda_"+fn.Runtime && launch.env == nil && launch.expose == nil)
	}
	if own {
		api = k.listeners[0]
	}
	in.kept.Store(k)
	in.api = &limitedListener{Listener: api, slots: make(chan struct{}, apiConnectionsMax)}
	go in.serveAPI(in.api)
	r.forward(in, k.listeners)
	go func() {
		<-k.gone
		in.api.Close()
		select {
		case <-in.log.done: // all writers are gone
		case <-time.After(logCloseWait):
		}
		close(in.gone)
		in.r.free(in)
	}()
	if in.ended.Load() != nil { // meanwhile
		k.kill(r.isolation.Wall)
	}
	return nil
}

// processes is the limit of processes and threads. It counts those of the
// instance's user: alone where that is its own, beside rheo's and others' where it
// is not.
func (in *instance) processes() int {
	if in.user != 0 || in.r.isolation.Wall == WallUserNamespaces {
		return in.limits.Processes
	}
	return in.limits.Processes + processesOf(os.Getuid())
}

// hostRules are the files that an instance may reach where it has no root directory
// of its own.
func hostRules(expose []string, code, client, temp string) landlockRules {
	rules := landlockRules{HostNetwork: true, Write: []string{temp}, Use: devices}
	rules.Read = append(rules.Read, systemPaths...)
	rules.Read = append(rules.Read, expose...)
	rules.Read = append(rules.Read, code, client,
		"/etc/hosts", "/etc/resolv.conf", "/etc/host.conf", "/etc/passwd", "/etc/group",
		// Of /proc only what says nothing of other processes.
		"/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/version", "/proc/uptime", "/proc/loadavg", "/proc/filesystems", "/proc/sys/vm", "/proc/sys/kernel",
		"/sys/devices/system/cpu", "/sys/kernel/mm/transparent_hugepage")
	return rules
}

// makeTemp makes a directory that the user alone can use.
func (r *Runner) makeTemp(user int) (string, error) {
	dir, err := os.MkdirTemp(r.tempDir, "")
	if err != nil {
		return "", err
	}
	if user != 0 {
		if err := os.Chown(dir, user, user); err != nil {
			os.RemoveAll(dir)
			return "", err
		}
	}
	return dir, nil
}

// worldFiles are the files of a world's /etc that differ from the machine's.
func (r *Runner) worldFiles(user int) []file {
	id := itoa(int64(user))
	if user == 0 {
		id = itoa(userInside)
	}
	hosts := "127.0.0.1 localhost function\n::1 localhost\n"
	if r.endpoint.name != "" {
		hosts += "127.0.0.1 " + r.endpoint.name + "\n"
	}
	return []file{
		{"/etc/passwd", "root:x:0:0:root:/:/usr/sbin/nologin\nsbx_user:x:" + id + ":" + id + "::/tmp:/usr/sbin/nologin\n"},
		{"/etc/group", "root:x:0:\nsbx_user:x:" + id + ":\n"},
		{"/etc/hosts", hosts},
		{"/etc/resolv.conf", "# Names are resolved by rheo.\n"},
	}
}
