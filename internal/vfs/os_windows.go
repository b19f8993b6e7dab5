package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

func interrupted(error) bool { return false }

func syncFile(f *os.File) error            { return f.Sync() }
func syncDir(dir string) error             { _, err := os.Stat(dir); return err }
func reserve(f *os.File, size int64) error { return reserveByZeros(f, size) }
func dontNeed(*os.File, int64, int64)      {}

// lockFile locks a byte far behind the process id: a locked byte cannot be
// read, and whoever is refused wants to read that id.
func lockFile(f *os.File) (held bool, err error) {
	err = onFD(f, "LockFileEx", func(fd uintptr) error {
		at := windows.Overlapped{OffsetHigh: 1}
		return windows.LockFileEx(windows.Handle(fd), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
	})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return true, nil
	}
	return false, err
}

func usage(dir string) (free, total int64, err error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, 0, err
	}
	var avail, size, all uint64
	if err := windows.GetDiskFreeSpaceEx(name, &avail, &size, &all); err != nil {
		return 0, 0, &os.PathError{Op: "GetDiskFreeSpaceEx", Path: dir, Err: err}
	}
	return int64(avail), int64(size), nil
}

func writeOut(*os.File, int64, int64) {}
func openDirect(*os.File) *os.File    { return nil }
func refusesDirect(error) bool        { return false }
