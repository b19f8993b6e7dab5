// Package vfs is the file system as the engines see it: a few calls with stated
// durability, so that a crash, a failing call, a short write or a full disk can
// be put anywhere (see Crash and Faults in this package).
//
// Nothing is durable until it is synced. File.Sync makes a file's bytes and
// size durable, not its name; SyncDir makes the names of a directory durable
// (creates, renames, removes). Names are absolute or relative paths of the host
// with the host's separator.
package vfs

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"
)

// ErrLocked is what Lock's error wraps when the lock is held.
var ErrLocked = errors.New("locked by another process")

// FS is a file system. All methods may be called concurrently. Errors wrap
// fs.ErrNotExist, fs.ErrExist and syscall.ENOSPC as the operating system's do.
type FS interface {
	// Create makes a new file, open for reading and writing; it fails if the name exists.
	Create(name string) (File, error)
	// Open opens an existing file for reading and writing.
	Open(name string) (File, error)
	Remove(name string) error
	// Rename replaces newname atomically if it exists.
	Rename(oldname, newname string) error
	MkdirAll(dir string) error
	// List returns the names in a directory, sorted.
	List(dir string) ([]string, error)
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
	// Lock takes an exclusive lock on a file of its own, made if missing and left
	// behind, held until Close or the end of the process. Its error wraps
	// ErrLocked if someone else holds it, and names the holder where it is known.
	Lock(name string) (io.Closer, error)
	// Usage reports the bytes free to this user and in total on dir's volume.
	Usage(dir string) (free, total int64, err error)
}

// SyncUpwards makes the names of dir and of all directories above it durable:
// after MkdirAll any of them may be new. Those that we may not even open are not ours.
func SyncUpwards(fsys FS, dir string) error {
	for {
		if err := fsys.SyncDir(dir); err != nil {
			if errors.Is(err, fs.ErrPermission) {
				return nil
			}
			return err
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil
		}
		dir = parent
	}
}

// DirectAlign is what Direct asks of buffers, offsets and lengths: no disk in
// use has larger sectors.
const DirectAlign = 4 << 10

// File is an open file. ReadAt and WriteAt may be called concurrently.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes bytes and size durable (fdatasync; F_FULLFSYNC on macOS). After
	// a failed Sync nothing is known about any byte written since the last good
	// one: never sync the file again.
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
	// Reserve allocates blocks so that writing [0, size) cannot run out of
	// space, and extends the file with zeros to at least size. No other call on
	// the file may be under way. Blocks that were reserved but never written
	// cost the file system more at their first write than written ones.
	Reserve(size int64) error
	// DontNeed drops [off, off+n) from the page cache, as a hint.
	DontNeed(off, n int64)
	// WriteOut starts to write [off, off+n) to the disk and does not wait for it, as
	// a hint: a Sync to come then has less to do, and delays others less. It makes
	// nothing durable.
	WriteOut(off, n int64)
	// Direct asks that writes go past the page cache from now on: those whose
	// buffer, offset and length are multiples of DirectAlign, where the system and
	// the file system can (Linux, O_DIRECT). It is for files that are written in
	// large pieces and hardly ever read, which the cache would copy for nothing.
	// No other call on the file may be under way. What is durable does not change:
	// Sync is needed as before.
	Direct()
}
