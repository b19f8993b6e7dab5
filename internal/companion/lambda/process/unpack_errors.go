package process

import (
	"compress/flate"
	"errors"
	"syscall"
)

// Errors of the file system that a name in a zip can cause.
const (
	errNotDir      = syscall.ENOTDIR
	errNameTooLong = syscall.ENAMETOOLONG
)

// isFlate tells whether err is of compressed bytes that are none.
func isFlate(err error) bool {
	var corrupt flate.CorruptInputError
	return errors.As(err, &corrupt)
}
