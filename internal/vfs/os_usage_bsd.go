//go:build netbsd || openbsd

package vfs

import (
	"errors"
	"io/fs"
)

func usage(dir string) (free, total int64, err error) {
	return 0, 0, &fs.PathError{Op: "statfs", Path: dir, Err: errors.ErrUnsupported}
}
