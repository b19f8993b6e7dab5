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

func writeOut(f *os.File, off, n int64) {
	onFD(f, "sync_file_range", func(fd uintptr) error {
		return unix.SyncFileRange(int(fd), off, n, unix.SYNC_FILE_RANGE_WRITE)
	})
}

// openDirect opens f's file once more, past the page cache; nil where the file system has no such way.
func openDirect(f *os.File) *os.File {
	d, err := os.OpenFile(f.Name(), os.O_WRONLY|unix.O_DIRECT, 0)
	if err != nil {
		return nil
	}
	a, err := f.Stat()
	if err == nil {
		var b os.FileInfo
		if b, err = d.Stat(); err == nil && os.SameFile(a, b) {
			return d
		}
	}
	d.Close() // renamed or removed meanwhile
	return nil
}

// refusesDirect says that nothing was written because this write cannot go past the page cache.
func refusesDirect(err error) bool { return errors.Is(err, unix.EINVAL) }
