package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrFrozen is what every call returns on a Crash whose machine has lost power or whose process was killed.
var ErrFrozen = errors.New("the machine of this file system is down")

// Crash is a file system in memory that knows what is durable. Each file has
// its saved image and the ordered changes since its last Sync; each directory
// has its saved names and the changes since its last SyncDir.
//
//   - Crash is a power cut: it returns the file system that the next boot finds.
//   - Kill is the end of the process alone: all is there, but what was not
//     synced still is not, so a power cut may yet take it.
//
// Both freeze the receiver: what the dead process still does returns ErrFrozen
// and touches nothing. Both may be called again on a frozen receiver, for
// another outcome of the same moment.
//
// What a power cut leaves of a file's unsynced changes is drawn anew for every
// file: all, none, all up to some moment, or each change by itself kept, dropped
// or torn. A torn write changes any subset of its 512-byte sectors; a sector
// holds what some moment's page cache held, never a mixture. The size may be
// that of before or after. A name follows the same four ways; a rename within a
// directory happens or does not, and one between directories becomes two facts
// once one of the two is synced. A file whose name was dropped is gone, synced or not.
//
// Pages are immutable and shared between images, so a crash copies pointers.
// The working directory is the root.
type Crash struct {
	mu       sync.RWMutex
	rng      *rand.Rand
	frozen   bool
	root     *inode
	renames  []nameChange // unsynced changes of names, in order
	locked   map[*inode]bool
	used     int64 // bytes of pages of files that are named or open
	capacity int64 // 0: unlimited
}

// NewCrash returns an empty file system whose crashes are drawn from seed.
func NewCrash(seed uint64) *Crash {
	return newCrash(seed, newDir())
}

func newCrash(seed uint64, root *inode) *Crash {
	return &Crash{rng: rand.New(rand.NewPCG(seed, 0)), root: root, locked: map[*inode]bool{}}
}

// nameChange is a create, remove or rename that is not, or not wholly, durable.
type nameChange struct {
	halves []nameHalf
}

// nameHalf says what one name of one directory became.
type nameHalf struct {
	dir  *inode
	name string
	to   *inode // nil: removed
}

func (c *Crash) Create(name string) (File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dir, base, err := c.parent("create", name)
	if err != nil {
		return nil, err
	}
	if dir.names[base] != nil {
		return nil, pathError("create", name, fs.ErrExist)
	}
	n := &inode{links: 1, opens: 1}
	dir.names[base] = n
	c.renames = append(c.renames, nameChange{[]nameHalf{{dir, base, n}}})
	return &crashFile{fs: c, name: name, n: n}, nil
}

func (c *Crash) Open(name string) (File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.find("open", name)
	if err != nil {
		return nil, err
	}
	if n.isDir() {
		return nil, pathError("open", name, syscall.EISDIR)
	}
	n.opens++
	return &crashFile{fs: c, name: name, n: n}, nil
}

func (c *Crash) Remove(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	dir, base, err := c.parent("remove", name)
	if err != nil {
		return err
	}
	n := dir.names[base]
	if n == nil {
		return pathError("remove", name, fs.ErrNotExist)
	}
	if len(n.names) > 0 {
		return pathError("remove", name, syscall.ENOTEMPTY)
	}
	delete(dir.names, base)
	c.unlink(n)
	c.renames = append(c.renames, nameChange{[]nameHalf{{dir, base, nil}}})
	return nil
}

func (c *Crash) Rename(oldname, newname string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	from, oldBase, err := c.parent("rename", oldname)
	if err != nil {
		return err
	}
	to, newBase, err := c.parent("rename", newname)
	if err != nil {
		return err
	}
	n := from.names[oldBase]
	if n == nil {
		return pathError("rename", oldname, fs.ErrNotExist)
	}
	replaced := to.names[newBase]
	if replaced == n {
		return nil
	}
	if replaced != nil {
		if replaced.isDir() != n.isDir() || len(replaced.names) > 0 {
			return pathError("rename", newname, fs.ErrExist)
		}
		c.unlink(replaced)
	}
	delete(from.names, oldBase)
	to.names[newBase] = n
	c.renames = append(c.renames, nameChange{[]nameHalf{{from, oldBase, nil}, {to, newBase, n}}})
	return nil
}

func (c *Crash) MkdirAll(dir string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frozen {
		return pathError("mkdir", dir, ErrFrozen)
	}
	at := c.root
	for _, part := range components(dir) {
		next := at.names[part]
		if next == nil {
			next = newDir()
			at.names[part] = next
			c.renames = append(c.renames, nameChange{[]nameHalf{{at, part, next}}})
		}
		if !next.isDir() {
			return pathError("mkdir", dir, syscall.ENOTDIR)
		}
		at = next
	}
	return nil
}

func (c *Crash) List(dir string) ([]string, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n, err := c.findDir("list", dir)
	if err != nil {
		return nil, err
	}
	return n.sortedNames(), nil
}

func (c *Crash) Stat(name string) (fs.FileInfo, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n, err := c.find("stat", name)
	if err != nil {
		return nil, err
	}
	return crashInfo{filepath.Base(name), n.now.size, n.isDir()}, nil
}

func (c *Crash) SyncDir(dir string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, err := c.findDir("sync", dir)
	if err != nil {
		return err
	}
	left := c.renames[:0]
	for _, ch := range c.renames {
		ch.halves = slices.DeleteFunc(ch.halves, func(h nameHalf) bool {
			if h.dir != d {
				return false
			}
			setName(d.savedNames, h)
			return true
		})
		if len(ch.halves) > 0 {
			left = append(left, ch)
		}
	}
	clear(c.renames[len(left):])
	c.renames = left
	return nil
}

func (c *Crash) Lock(name string) (io.Closer, error) {
	f, err := c.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = c.Create(name)
	}
	if err != nil {
		return nil, err
	}
	file := f.(*crashFile)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.locked[file.n] {
		file.n.opens--
		return nil, lockedError(name, "")
	}
	c.locked[file.n] = true
	return &crashLock{file}, nil
}

type crashLock struct{ f *crashFile }

func (l *crashLock) Close() error {
	if err := l.f.Close(); err != nil {
		return err
	}
	l.f.fs.mu.Lock()
	defer l.f.fs.mu.Unlock()
	delete(l.f.fs.locked, l.f.n)
	return nil
}

// Usage reports the space below SetCapacity; without one, a disk that is always a tebibyte from full.
func (c *Crash) Usage(dir string) (free, total int64, err error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if _, err := c.findDir("usage", dir); err != nil {
		return 0, 0, err
	}
	if c.capacity == 0 {
		return 1 << 40, 1<<40 + c.used, nil
	}
	return max(0, c.capacity-c.used), c.capacity, nil
}

// SetCapacity makes writes fail with ENOSPC once files hold this many bytes,
// counted in pages of 4 KiB; 0 lifts it. A write takes what fits.
func (c *Crash) SetCapacity(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.capacity = bytes
}

// Files lists the paths of all files, sorted, with the host's separator and
// without one in front.
func (c *Crash) Files() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var files []string
	var walk func(path string, n *inode)
	walk = func(path string, n *inode) {
		for _, name := range n.sortedNames() {
			p := filepath.Join(path, name)
			if child := n.names[name]; child.isDir() {
				walk(p, child)
			} else {
				files = append(files, p)
			}
		}
	}
	walk("", c.root)
	slices.Sort(files)
	return files
}

// FlipBit inverts one bit of a file (bit/8 is the byte's offset), durably, as a failing disk does.
func (c *Crash) FlipBit(name string, bit int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.find("flip", name)
	if err != nil {
		return err
	}
	if n.isDir() || bit < 0 || bit/8 >= n.now.size {
		return pathError("flip", name, fmt.Errorf("there is no bit %d", bit))
	}
	n.now.flip(bit)
	if bit/8 < n.saved.size {
		n.saved.flip(bit)
	}
	return nil
}

// find needs mu.
func (c *Crash) find(op, name string) (*inode, error) {
	if c.frozen {
		return nil, pathError(op, name, ErrFrozen)
	}
	at := c.root
	for _, part := range components(name) {
		if !at.isDir() {
			return nil, pathError(op, name, syscall.ENOTDIR)
		}
		if at = at.names[part]; at == nil {
			return nil, pathError(op, name, fs.ErrNotExist)
		}
	}
	return at, nil
}

func (c *Crash) findDir(op, name string) (*inode, error) {
	n, err := c.find(op, name)
	if err == nil && !n.isDir() {
		return nil, pathError(op, name, syscall.ENOTDIR)
	}
	return n, err
}

func (c *Crash) parent(op, name string) (dir *inode, base string, err error) {
	clean := filepath.Clean(name)
	if len(components(clean)) == 0 {
		return nil, "", pathError(op, name, fs.ErrInvalid)
	}
	dir, err = c.findDir(op, filepath.Dir(clean))
	return dir, filepath.Base(clean), err
}

// unlink takes a name from n; its pages are free once nobody has it open. It needs mu.
func (c *Crash) unlink(n *inode) {
	n.links--
	c.freeIfUnused(n)
}

func (c *Crash) freeIfUnused(n *inode) {
	if n.links == 0 && n.opens == 0 {
		c.used -= n.now.bytes()
	}
}

func components(name string) []string {
	clean := filepath.ToSlash(strings.TrimPrefix(filepath.Clean(name), filepath.VolumeName(name)))
	if clean == "." {
		return nil
	}
	return strings.FieldsFunc(clean, func(r rune) bool { return r == '/' })
}

func setName(names map[string]*inode, h nameHalf) {
	if h.to == nil {
		delete(names, h.name)
	} else {
		names[h.name] = h.to
	}
}

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

type crashInfo struct {
	name string
	size int64
	dir  bool
}

func (i crashInfo) Name() string       { return i.name }
func (i crashInfo) Size() int64        { return i.size }
func (i crashInfo) IsDir() bool        { return i.dir }
func (i crashInfo) ModTime() time.Time { return time.Time{} }
func (i crashInfo) Sys() any           { return nil }
func (i crashInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | dirPerm
	}
	return filePerm
}
