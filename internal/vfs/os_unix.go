//go:build linux || darwin || freebsd || dragonfly || netbsd || openbsd

package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func interrupted(err error) bool { return errors.Is(err, unix.EINTR) }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// lockFile tells with held that another open file holds the lock. flock belongs
// to the open file, so a second Lock in this process is refused as well.
func lockFile(f *os.File) (held bool, err error) {
	err = onFD(f, "flock", func(fd uintptr) error { return unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}
