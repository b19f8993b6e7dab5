package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"unsafe"
)

// What we store is for its owner's eyes only.
const (
	filePerm = 0o600
	dirPerm  = 0o700
)

// OS is the host's file system. On Windows SyncDir does nothing: NTFS keeps its
// own journal of names and offers no call to wait for it.
func OS() FS { return osFS{} }

type osFS struct{}

func (osFS) Create(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return nil, err
	}
	return &osFile{f: f}, nil
}

func (osFS) Open(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &osFile{f: f}, nil
}

func (osFS) Remove(name string) error              { return os.Remove(name) }
func (osFS) Rename(oldname, newname string) error  { return os.Rename(oldname, newname) }
func (osFS) MkdirAll(dir string) error             { return os.MkdirAll(dir, dirPerm) }
func (osFS) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

func (osFS) List(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

func (osFS) SyncDir(dir string) error { return syncDir(dir) }

// Lock writes our process id into the lock file once it holds it, so that the
// next one to come can say who is in its way.
func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, filePerm)
	if err != nil {
		return nil, err
	}
	held, err := lockFile(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot lock %s: %w", name, err)
	}
	if held {
		holder := readHolder(f)
		f.Close()
		return nil, lockedError(name, holder)
	}
	if err := writeHolder(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot write our process id to %s: %w", name, err)
	}
	return f, nil
}

// lockedError says that name is held; holder is a process id, or empty if unknown.
func lockedError(name, holder string) error {
	if holder == "" {
		return fmt.Errorf("cannot lock %s: %w", name, ErrLocked)
	}
	return fmt.Errorf("cannot lock %s: %w: process %s", name, ErrLocked, holder)
}

// holderMax bounds what is read of a lock file; a process id is shorter.
const holderMax = 32

func readHolder(f *os.File) string {
	b := make([]byte, holderMax)
	n, _ := f.ReadAt(b, 0)
	holder := strings.TrimSpace(string(b[:n]))
	if _, err := strconv.ParseUint(holder, 10, 32); err != nil {
		return ""
	}
	return holder
}

func writeHolder(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func (osFS) Usage(dir string) (free, total int64, err error) { return usage(dir) }

type osFile struct {
	f      *os.File
	direct *os.File // the same file past the page cache, for WriteAt; nil: none
}

func (o *osFile) ReadAt(p []byte, off int64) (int, error) { return o.f.ReadAt(p, off) }
func (o *osFile) Sync() error                             { return syncFile(o.f) }
func (o *osFile) Truncate(size int64) error               { return o.f.Truncate(size) }
func (o *osFile) DontNeed(off, n int64)                   { dontNeed(o.f, off, n) }
func (o *osFile) WriteOut(off, n int64)                   { writeOut(o.f, off, n) }

func (o *osFile) WriteAt(p []byte, off int64) (int, error) {
	if o.direct != nil && isAligned(p, off) {
		if n, err := o.direct.WriteAt(p, off); err == nil || !refusesDirect(err) {
			return n, err
		}
	}
	return o.f.WriteAt(p, off)
}

// isAligned says that a write is one of whole blocks from a block's place in memory.
func isAligned(p []byte, off int64) bool {
	return len(p) > 0 && len(p)%DirectAlign == 0 && off%DirectAlign == 0 &&
		uintptr(unsafe.Pointer(unsafe.SliceData(p)))%DirectAlign == 0
}

func (o *osFile) Direct() {
	if o.direct == nil {
		o.direct = openDirect(o.f)
	}
}

func (o *osFile) Close() error {
	if o.direct != nil {
		return errors.Join(o.direct.Close(), o.f.Close())
	}
	return o.f.Close()
}

func (o *osFile) Size() (int64, error) {
	fi, err := o.f.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

func (o *osFile) Reserve(size int64) error {
	if err := reserve(o.f, size); err != nil {
		return fmt.Errorf("cannot reserve %d bytes for %s: %w", size, o.f.Name(), err)
	}
	return nil
}

// reserveByZeros is Reserve where the system has no call for it: blocks exist
// because they were written. Holes below the present end stay holes.
func reserveByZeros(f *os.File, size int64) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	zeros := make([]byte, 256<<10)
	for off := fi.Size(); off < size; {
		n := min(size-off, int64(len(zeros)))
		if _, err := f.WriteAt(zeros[:n], off); err != nil {
			return err
		}
		off += n
	}
	return nil
}

// onFD runs fn on f's descriptor, which stays open meanwhile, again for as long as a signal interrupts it.
func onFD(f *os.File, call string, fn func(fd uintptr) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var callErr error
	err = c.Control(func(fd uintptr) {
		for {
			if callErr = fn(fd); !interrupted(callErr) {
				return
			}
		}
	})
	if err != nil { // Control's own error has no public name; it means closed
		return &fs.PathError{Op: call, Path: f.Name(), Err: fs.ErrClosed}
	}
	if callErr != nil {
		return &fs.PathError{Op: call, Path: f.Name(), Err: callErr}
	}
	return nil
}
