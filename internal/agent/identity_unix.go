//go:build unix

package agent

import (
	"io/fs"
	"syscall"
)

// hasName says whether a file that is open still has a name anywhere.
func hasName(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || st.Nlink > 0
}

// idOf is which file it is.
func idOf(path string, info fs.FileInfo) fileID {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fileID{uint64(st.Dev), uint64(st.Ino)}
	}
	return idOfName(path)
}
