package shardlog

import (
	"container/list"
	"errors"
	"io"
	"io/fs"
	"sync"

	"github.com/rheostream/rheo/internal/vfs"
)

var (
	errExist    = fs.ErrExist
	errNotExist = fs.ErrNotExist
)

func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// files keeps segment files open, those used last, so that a log of many shards
// stays below the process's limit of descriptors.
type files struct {
	fs  vfs.FS
	max int

	mu     sync.Mutex // guards all below
	byPath map[string]*list.Element
	order  *list.List // of *handle, last used first
}

// handle is an open file in use. Release it.
type handle struct {
	f     vfs.File
	path  string
	owner *files
	refs  int  // guarded by owner.mu
	gone  bool // no longer in the table: close with the last reference
}

func newFiles(f vfs.FS, max int) *files {
	return &files{fs: f, max: max, byPath: map[string]*list.Element{}, order: list.New()}
}

func (t *files) open(path string) (*handle, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.byPath[path]; e != nil {
		t.order.MoveToFront(e)
		h := e.Value.(*handle)
		h.refs++
		return h, nil
	}
	f, err := t.fs.Open(path)
	if err != nil {
		return nil, err
	}
	h := &handle{f: f, path: path, owner: t, refs: 1}
	t.byPath[path] = t.order.PushFront(h)
	for e := t.order.Back(); e != nil && t.order.Len() > t.max; {
		prev := e.Prev()
		if old := e.Value.(*handle); old.refs == 0 {
			t.drop(e)
		}
		e = prev
	}
	return h, nil
}

// drop takes a file out of the table. Called with mu held.
func (t *files) drop(e *list.Element) {
	h := t.order.Remove(e).(*handle)
	delete(t.byPath, h.path)
	h.gone = true
	if h.refs == 0 {
		h.f.Close() // nothing depends on it: what must last was synced
	}
}

func (h *handle) release() {
	h.owner.mu.Lock()
	defer h.owner.mu.Unlock()
	h.refs--
	if h.gone && h.refs == 0 {
		h.f.Close()
	}
}

// forget closes a file that was removed or replaced, once nobody uses it.
func (t *files) forget(path string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.byPath[path]; e != nil {
		t.drop(e)
	}
}

func (t *files) closeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.order.Len() > 0 {
		t.drop(t.order.Front())
	}
}

func (t *files) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.order.Len()
}
