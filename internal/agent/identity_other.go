//go:build !unix

package agent

import "io/fs"

// idOf is the name's where the system has no number for a file that Go shows: a
// renamed file is then found by its content, as a copy is.
func idOf(path string, _ fs.FileInfo) fileID { return idOfName(path) }

// hasName cannot be said there.
func hasName(fs.FileInfo) bool { return true }
