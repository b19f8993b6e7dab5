package shardlog

import (
	"sync"
	"sync/atomic"
)

// A slab is a stretch of memory that groups are built in, one after the other,
// and that their frames stay in until they are in a segment. It goes back to the
// arena when nobody holds it: an open group, a run of frames, a reader.
type slab struct {
	buf   []byte
	refs  atomic.Int32
	arena *arena
}

func (s *slab) ref() { s.refs.Add(1) }

func (s *slab) unref() {
	if s.refs.Add(-1) == 0 {
		s.arena.put(s)
	}
}

// runBytes is what a run of frames is charged for beside its frames.
const runBytes = 64

// arena hands out slabs within a budget that it never exceeds.
type arena struct {
	budget    int64
	slabBytes int
	used      atomic.Int64 // slabs handed out, and runs
	room      *notifier    // told when memory comes back

	mu    sync.Mutex
	spare [][]byte // guarded by mu; all of slabBytes
}

// take returns a slab of at least n bytes with one reference, or nil if the
// budget does not allow it now.
func (a *arena) take(n int) *slab {
	if n < a.slabBytes {
		n = a.slabBytes
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.used.Load()+int64(n) > a.budget {
		return nil
	}
	a.used.Add(int64(n))
	s := &slab{arena: a}
	s.refs.Store(1)
	if k := len(a.spare); k > 0 && n == a.slabBytes {
		s.buf, a.spare = a.spare[k-1], a.spare[:k-1]
		return s
	}
	// Spare slabs count too when a large one is asked for.
	for len(a.spare) > 0 && a.used.Load()+int64(len(a.spare)*a.slabBytes) > a.budget {
		a.spare = a.spare[:len(a.spare)-1]
	}
	s.buf = make([]byte, n)
	return s
}

func (a *arena) put(s *slab) {
	a.mu.Lock()
	a.used.Add(-int64(len(s.buf)))
	if len(s.buf) == a.slabBytes {
		a.spare = append(a.spare, s.buf)
	}
	s.buf = nil
	a.mu.Unlock()
	a.room.wake()
}

// shrink gives spare slabs back to the Go heap, all but one.
func (a *arena) shrink() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.spare) > 1 {
		clear(a.spare[1:])
		a.spare = a.spare[:1]
	}
}

// notifier wakes all that wait for something to change. Whoever waits takes the
// channel first, looks again, and then waits.
type notifier struct {
	mu sync.Mutex
	ch chan struct{} // nil while nobody waits
}

func (n *notifier) wait() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch == nil {
		n.ch = make(chan struct{})
	}
	return n.ch
}

func (n *notifier) wake() {
	n.mu.Lock()
	if n.ch != nil {
		close(n.ch)
		n.ch = nil
	}
	n.mu.Unlock()
}
