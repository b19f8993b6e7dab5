package vfs

import (
	"io"
	"io/fs"
	"maps"
	"slices"
	"syscall"
)

const (
	pageSize   = 4096
	sectorSize = 512
)

// page is immutable from the moment an image or a change points to it.
type page [pageSize]byte

var zeroPage = new(page)

// inode is a file or a directory of a Crash, whose mu guards it.
type inode struct {
	names      map[string]*inode // of a directory, nil in a file
	savedNames map[string]*inode

	now      image    // what reads see
	saved    image    // what is durable whatever happens
	unsynced []change // what leads from saved to now, in order

	// writesLost: a Sync failed, and now holds bytes that no later Sync will save.
	writesLost bool

	links, opens int
}

func newDir() *inode {
	return &inode{names: map[string]*inode{}, savedNames: map[string]*inode{}}
}

func (n *inode) isDir() bool { return n.names != nil }

func (n *inode) sortedNames() []string { return slices.Sorted(maps.Keys(n.names)) }

// image is a file's content. A nil page is a hole; what a page has beyond size is zero.
type image struct {
	pages []*page
	size  int64
}

func (m *image) clone() image { return image{slices.Clone(m.pages), m.size} }

// bytes is what the image takes on the disk.
func (m *image) bytes() int64 {
	var n int64
	for _, p := range m.pages {
		if p != nil {
			n += pageSize
		}
	}
	return n
}

func (m *image) page(i int64) *page {
	if i < int64(len(m.pages)) && m.pages[i] != nil {
		return m.pages[i]
	}
	return zeroPage
}

func (m *image) setPage(i int64, p *page) {
	for int64(len(m.pages)) <= i {
		m.pages = append(m.pages, nil)
	}
	m.pages[i] = p
}

func (m *image) readAt(p []byte, off int64) int {
	p = p[:max(0, min(int64(len(p)), m.size-off))]
	for done := 0; done < len(p); {
		at := off + int64(done)
		done += copy(p[done:], m.page(at / pageSize)[at%pageSize:])
	}
	return len(p)
}

func (m *image) truncate(size int64) {
	if size < m.size {
		if keep := pagesOf(size); keep < int64(len(m.pages)) {
			clear(m.pages[keep:])
			m.pages = m.pages[:keep]
		}
		if last := size / pageSize; size%pageSize != 0 && m.page(last) != zeroPage {
			cut := new(page)
			copy(cut[:size%pageSize], m.page(last)[:])
			m.pages[last] = cut
		}
	}
	m.size = size
}

func (m *image) reserve(size int64) {
	for i := range pagesOf(size) {
		if i >= int64(len(m.pages)) || m.pages[i] == nil {
			m.setPage(i, zeroPage)
		}
	}
	m.size = max(m.size, size)
}

func (m *image) flip(bit int64) {
	p := *m.page(bit / 8 / pageSize)
	p[bit/8%pageSize] ^= 1 << (bit % 8)
	m.setPage(bit/8/pageSize, &p)
}

func pagesOf(size int64) int64 { return (size + pageSize - 1) / pageSize }

type changeKind byte

const (
	changeWrite changeKind = iota
	changeTruncate
	changeReserve
)

// change is a write, truncate or reserve that is not yet saved.
type change struct {
	kind     changeKind
	off, end int64 // of a write; end is the size asked for otherwise
	size     int64 // of the file, just after
	// pages is the page cache over [off, end) just after the write, earlier unsynced writes included.
	pages []*page
}

// apply does the whole change to an image that has all changes before it.
func (ch *change) apply(m *image) {
	switch ch.kind {
	case changeWrite:
		first := ch.off / pageSize
		for i, p := range ch.pages {
			m.setPage(first+int64(i), p)
		}
		m.size = max(m.size, ch.end)
	case changeTruncate:
		m.truncate(ch.end)
	case changeReserve:
		m.reserve(ch.end)
	}
}

// crashFile is an open file of a Crash.
type crashFile struct {
	fs     *Crash
	name   string
	n      *inode
	closed bool // guarded by fs.mu
}

// alive needs fs.mu.
func (f *crashFile) alive(op string) error {
	if f.fs.frozen {
		return pathError(op, f.name, ErrFrozen)
	}
	if f.closed {
		return pathError(op, f.name, fs.ErrClosed)
	}
	return nil
}

func (f *crashFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.RLock()
	defer f.fs.mu.RUnlock()
	if err := f.alive("read"); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError("read", f.name, fs.ErrInvalid)
	}
	n := f.n.now.readAt(p, off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *crashFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.alive("write"); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError("write", f.name, fs.ErrInvalid)
	}
	fits := f.fs.allot(f.n, off, int64(len(p)))
	f.write(p[:fits], off)
	if fits < len(p) {
		return fits, pathError("write", f.name, syscall.ENOSPC)
	}
	return fits, nil
}

// allot takes the space that a write of [off, off+n) needs, and returns how
// many of its bytes got some. It needs mu.
func (c *Crash) allot(n *inode, off, length int64) int {
	for at := off; at < off+length; at = (at/pageSize + 1) * pageSize {
		i := at / pageSize
		if i < int64(len(n.now.pages)) && n.now.pages[i] != nil {
			continue
		}
		if c.capacity > 0 && c.used+pageSize > c.capacity {
			return int(at - off)
		}
		c.used += pageSize
	}
	return int(length)
}

func (f *crashFile) write(p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	m := &f.n.now
	end := off + int64(len(p))
	first := off / pageSize
	fresh := make([]page, pagesOf(end)-first)
	ch := change{kind: changeWrite, off: off, end: end, pages: make([]*page, len(fresh))}
	for i := range fresh {
		at := (first + int64(i)) * pageSize
		if at < off || at+pageSize > end {
			fresh[i] = *m.page(first + int64(i))
		}
		from := max(at, off)
		copy(fresh[i][from-at:], p[from-off:])
		ch.pages[i] = &fresh[i]
	}
	f.change(ch)
}

func (f *crashFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.alive("truncate"); err != nil {
		return err
	}
	if size < 0 {
		return pathError("truncate", f.name, fs.ErrInvalid)
	}
	before := f.n.now.bytes()
	f.change(change{kind: changeTruncate, end: size})
	f.fs.used += f.n.now.bytes() - before
	return nil
}

func (f *crashFile) Reserve(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.alive("reserve"); err != nil {
		return err
	}
	var holes int64
	for i := range pagesOf(size) {
		if i >= int64(len(f.n.now.pages)) || f.n.now.pages[i] == nil {
			holes += pageSize
		}
	}
	if f.fs.capacity > 0 && f.fs.used+holes > f.fs.capacity {
		return pathError("reserve", f.name, syscall.ENOSPC)
	}
	f.fs.used += holes
	f.change(change{kind: changeReserve, end: size})
	return nil
}

func (f *crashFile) change(ch change) {
	ch.apply(&f.n.now)
	ch.size = f.n.now.size
	f.n.unsynced = append(f.n.unsynced, ch)
}

func (f *crashFile) Size() (int64, error) {
	f.fs.mu.RLock()
	defer f.fs.mu.RUnlock()
	if err := f.alive("stat"); err != nil {
		return 0, err
	}
	return f.n.now.size, nil
}

func (f *crashFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.alive("sync"); err != nil {
		return err
	}
	for i := range f.n.unsynced {
		f.n.unsynced[i].apply(&f.n.saved)
	}
	f.n.saved.size = f.n.now.size
	f.n.forgetUnsynced()
	return nil
}

// loseUnsynced is a Sync that failed as the kernel's does: of what was unsynced
// some reached the disk, and the rest never will, though reads still see it
// until the page cache lets go (DontNeed), and the next Sync reports success.
func (f *crashFile) loseUnsynced() {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.alive("sync") != nil {
		return
	}
	f.n.saved = f.fs.afterPowerCut(f.n)
	f.n.forgetUnsynced()
	f.n.writesLost = true
}

func (n *inode) forgetUnsynced() {
	clear(n.unsynced)
	n.unsynced = n.unsynced[:0]
}

// DontNeed shows what a failed Sync lost; otherwise memory and disk agree and there is nothing to do.
func (f *crashFile) DontNeed(off, n int64) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.alive("fadvise") != nil || !f.n.writesLost || len(f.n.unsynced) > 0 {
		return
	}
	m := &f.n.now
	for i := max(0, off) / pageSize; i < min(pagesOf(off+n), int64(len(m.pages))); i++ {
		if m.pages[i] != nil {
			m.pages[i] = f.n.saved.page(i)
		}
	}
}

// WriteOut changes nothing here: what is not synced may be kept or lost anyway.
func (f *crashFile) WriteOut(off, n int64) {}

// Direct changes nothing here: what is not synced may be lost either way.
func (f *crashFile) Direct() {}

func (f *crashFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.alive("close"); err != nil {
		return err
	}
	f.closed = true
	f.n.opens--
	f.fs.freeIfUnused(f.n)
	return nil
}
