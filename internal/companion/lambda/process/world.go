//go:build linux

package process

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// asErrno finds the system's error in err.
func asErrno(err error, errno *unix.Errno) bool { return errors.As(err, errno) }

// rootBytesMax is room for the directories and small files of a world itself.
const rootBytesMax = "4m"

// enter builds the world on w.On, in the mount namespace of the caller alone, and
// makes it the root directory. What is bound is read-only, without set-user-ID and
// devices. The old root is gone afterwards.
func (w *world) enter() error {
	at := func(name string) string { return filepath.Join(w.On, name) }
	step := func(what string, err error) error {
		if err != nil {
			return failedTo(what, err)
		}
		return nil
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return failedTo("keep mounts to itself", err)
	}
	if err := unix.Mount("tmpfs", w.On, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size="+rootBytesMax); err != nil {
		return failedTo("mount a root directory", err)
	}
	// First, so that what is bound below /tmp is not hidden.
	for _, dir := range []string{"proc", "tmp", "opt"} {
		if err := os.MkdirAll(at(dir), 0o755); err != nil {
			return step("make /"+dir, err)
		}
	}
	if err := unix.Mount("proc", at("proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return failedTo("mount /proc", err)
	}
	if err := unix.Mount("tmpfs", at("tmp"), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, tempOptions(w.Temp)); err != nil {
		return failedTo("mount /tmp", err)
	}
	for _, b := range w.Binds {
		if err := b.mount(at(b.Target)); err != nil {
			return step("bind "+b.Source, err)
		}
	}
	for _, l := range w.Links {
		if err := os.MkdirAll(filepath.Dir(at(l.Name)), 0o755); err != nil {
			return step("make "+l.Name, err)
		}
		if err := os.Symlink(l.Target, at(l.Name)); err != nil {
			return step("make "+l.Name, err)
		}
	}
	for _, f := range w.Files {
		if err := os.MkdirAll(filepath.Dir(at(f.Name)), 0o755); err != nil {
			return step("write "+f.Name, err)
		}
		if err := os.WriteFile(at(f.Name), []byte(f.Content), 0o644); err != nil {
			return step("write "+f.Name, err)
		}
	}
	if err := os.Chdir(w.On); err != nil {
		return failedTo("enter the root directory", err)
	}
	// The old root comes to lie over the new one, and is taken off.
	if err := unix.PivotRoot(".", "."); err != nil {
		return failedTo("change the root directory", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return failedTo("leave the old root directory", err)
	}
	if err := os.Chdir("/"); err != nil {
		return failedTo("enter the root directory", err)
	}
	return step("make the root directory read-only", readOnly("/", false))
}

// tempOptions of /tmp: room for size bytes, and for a file for every 4 KiB of them.
func tempOptions(size int64) string {
	return "mode=1777,size=" + itoa(size) + ",nr_inodes=" + itoa(max(size/4096, 1024))
}

// mount binds b at target.
func (b bind) mount(target string) error {
	info, err := os.Stat(b.Source)
	if err != nil {
		return err
	}
	if info.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(target), 0o755); err == nil {
		err = os.WriteFile(target, nil, 0o644)
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(b.Source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if b.Device {
		return nil
	}
	return readOnly(target, true)
}

// readOnly makes a mount read-only, with those below it if deep. What is locked on
// it (in a user's namespace) stays.
func readOnly(path string, deep bool) error {
	flags := uint(0)
	if deep {
		flags = unix.AT_RECURSIVE
	}
	return unix.MountSetattr(unix.AT_FDCWD, path, flags, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV})
}

// systemPaths are what programs of a Linux system need to run: code, and
// configuration that holds no secrets. /etc is not among them as a whole.
var systemPaths = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/nix/store", "/gnu/store",
	"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives",
	"/etc/ld-musl-x86_64.path", "/etc/ld-musl-aarch64.path",
	"/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted", "/etc/ca-certificates",
	"/etc/localtime", "/etc/mime.types", "/etc/nsswitch.conf", "/etc/protocols", "/etc/services", "/etc/gai.conf",
	"/etc/fonts", "/etc/python3", "/etc/python3.11", "/etc/python3.12", "/etc/python3.13",
	"/etc/java-8-openjdk", "/etc/java-11-openjdk", "/etc/java-17-openjdk", "/etc/java-21-openjdk", "/etc/java-25-openjdk",
}

// devices that programs expect.
var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

// newWorld is the world of an instance: the system, the directories of its runtime,
// its code and its client.
func newWorld(on string, expose []string, code, client string, temp int64, files []file) *world {
	w := &world{On: on, Temp: temp, Files: files}
	covered := func(path string) bool {
		for _, b := range w.Binds {
			if path == b.Target || strings.HasPrefix(path, b.Target+"/") {
				return true
			}
		}
		return false
	}
	for _, path := range append(append([]string{}, systemPaths...), expose...) {
		info, err := os.Lstat(path)
		if err != nil || covered(path) || path == "/" {
			continue
		}
		if target, err := os.Readlink(path); err == nil && info.Mode()&os.ModeSymlink != 0 && filepath.Dir(path) == "/" {
			w.Links = append(w.Links, symlink{target, path}) // such as /bin -> usr/bin
			continue
		}
		w.Binds = append(w.Binds, bind{Source: path, Target: path})
	}
	for _, d := range devices {
		w.Binds = append(w.Binds, bind{Source: d, Target: d, Device: true})
	}
	w.Binds = append(w.Binds, bind{Source: code, Target: "/var/task"}, bind{Source: client, Target: "/var/runtime"})
	w.Links = append(w.Links, symlink{"/proc/self/fd", "/dev/fd"}, symlink{"/proc/self/fd/0", "/dev/stdin"},
		symlink{"/proc/self/fd/1", "/dev/stdout"}, symlink{"/proc/self/fd/2", "/dev/stderr"})
	return w
}
