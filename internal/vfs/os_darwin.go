package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncFile asks the drive to empty its cache too: plain fsync on macOS hands
// the bytes to the drive and returns.
func syncFile(f *os.File) error {
	err := onFD(f, "F_FULLFSYNC", func(fd uintptr) error {
		_, err := unix.FcntlInt(fd, unix.F_FULLFSYNC, 0)
		return err
	})
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOTTY) {
		// Network and foreign file systems do not have it; fsync is their promise.
		return f.Sync()
	}
	return err
}

func reserve(f *os.File, size int64) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if fi.Size() >= size {
		return nil
	}
	err = onFD(f, "F_PREALLOCATE", func(fd uintptr) error {
		return unix.FcntlFstore(fd, unix.F_PREALLOCATE, &unix.Fstore_t{
			Flags:   unix.F_ALLOCATEALL,
			Posmode: unix.F_PEOFPOSMODE,
			Length:  size - fi.Size(),
		})
	})
	if errors.Is(err, unix.ENOTSUP) {
		return reserveByZeros(f, size)
	}
	if err != nil {
		return err
	}
	return f.Truncate(size)
}

func dontNeed(*os.File, int64, int64) {}

func writeOut(*os.File, int64, int64) {}
func openDirect(*os.File) *os.File    { return nil }
func refusesDirect(error) bool        { return false }
