//go:build linux || darwin || freebsd || dragonfly

package vfs

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

func usage(dir string) (free, total int64, err error) {
	var st unix.Statfs_t
	for {
		err = unix.Statfs(dir, &st)
		if !interrupted(err) {
			break
		}
	}
	if err != nil {
		return 0, 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	// The types of these fields differ between systems.
	size := int64(st.Bsize)
	return int64(st.Bavail) * size, int64(st.Blocks) * size, nil
}
