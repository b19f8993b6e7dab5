//go:build !linux && !darwin && !freebsd && !dragonfly && !netbsd && !openbsd && !windows

package vfs

import (
	"errors"
	"os"
)

// Systems without an exclusive file lock that ends with its process: Lock
// refuses, so a store cannot be opened on them.

func interrupted(error) bool { return false }

func syncFile(f *os.File) error            { return f.Sync() }
func reserve(f *os.File, size int64) error { return reserveByZeros(f, size) }
func dontNeed(*os.File, int64, int64)      {}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func lockFile(*os.File) (held bool, err error) { return false, errors.ErrUnsupported }

func usage(string) (free, total int64, err error) { return 0, 0, errors.ErrUnsupported }

func writeOut(*os.File, int64, int64) {}
func openDirect(*os.File) *os.File    { return nil }
func refusesDirect(error) bool        { return false }
