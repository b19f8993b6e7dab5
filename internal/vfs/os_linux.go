package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncFile leaves out what fdatasync leaves out: times. The size is written.
func syncFile(f *os.File) error {
	return onFD(f, "fdatasync", func(fd uintptr) error { return unix.Fdatasync(int(fd)) })
}

func reserve(f *os.File, size int64) error {
	err := onFD(f, "fallocate", func(fd uintptr) error { return unix.Fallocate(int(fd), 0, 0, size) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return reserveByZeros(f, size)
	}
	return err
}

func dontNeed(f *os.File, off, n int64) {
	onFD(f, "fadvise", func(fd uintptr) error { return unix.Fadvise(int(fd), off, n, unix.FADV_DONTNEED) })
}
