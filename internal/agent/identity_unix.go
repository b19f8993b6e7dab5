//go:build unix

package agent

import (
	"io/fs"
	"syscall"
)

// idOf is which file it is.
func idOf(path string, info fs.FileInfo) fileID {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fileID{uint64(st.Dev), uint64(st.Ino)}
	}
	return idOfName(path)
}
