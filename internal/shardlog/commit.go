package shardlog

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	queueMax    = 4           // groups that are full and wait for the disk
	waitMax     = time.Second // for memory or for a journal file
	idleConfirm = 50 * time.Millisecond
)

// A group is what is written and synced in one go. Writers reserve their place
// under the committer's lock and fill it outside; the last one to finish lets
// the committer go on.
type group struct {
	id      uint64 // counts groups of this process; failed ones too
	slab    *slab
	off     int // of the block's header in the slab
	n       int // bytes so far, header included; guarded by committer.mu
	count   uint32
	opened  time.Time
	parts   []part    // guarded by committer.mu, then the committer's
	control []control // likewise
	digest  atomic.Uint64
	pending atomic.Int32 // writers that still fill, and one for being open
	filled  chan struct{}
	done    chan struct{} // closed when the outcome is known
	err     error         // set before done is closed
}

// part says that a group holds frames of a shard, the last of them last.
type part struct {
	shard *shard
	last  uint64
}

// control is one of the log's own records: what to do when it is durable, or is not.
type control struct {
	apply func()
	fail  func()
}

// finish says that a writer has filled its place.
func (g *group) finish(digest uint64) {
	g.digest.Add(digest)
	if g.pending.Add(-1) == 0 {
		g.filled <- struct{}{}
	}
}

// wait returns the group's outcome, or ctx's error if that comes first.
func (g *group) wait(ctx context.Context) error {
	select {
	case <-g.done:
		return g.err
	default:
	}
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// committer is the one goroutine that writes the journal.
type committer struct {
	journal *journal
	arena   *arena
	room    *notifier // told when the queue gets shorter; shared with the arena
	full    func()    // called when memory gets short; must not block
	waitMax time.Duration

	work      chan struct{} // something is there to commit
	stopped   chan struct{} // closed when run returns
	committed atomic.Uint64 // records of groups up to this one are readable

	mu     sync.Mutex // guards all below
	open   *group
	queue  []*group
	slab   *slab // where the next group starts, at slabAt
	slabAt int
	nextID uint64
	closed bool
	spare  [][]part

	stats commitStats // the committer's, read atomically
}

type commitStats struct {
	groups, records, bytes, failed atomic.Uint64
}

func newCommitter(j *journal, a *arena, room *notifier, waitMax time.Duration, full func()) *committer {
	c := &committer{
		journal: j, arena: a, room: room, full: full, waitMax: waitMax, nextID: 1,
		work: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	return c
}

var errBusy = fmt.Errorf("no room now") // never leaves the package

// reserve gives size bytes of the open group to a writer, who must call finish
// when it has filled them. It never blocks: errBusy means to wait for room and
// try again. The caller holds its shard's lock, so that the order of groups is
// the order of offsets.
func (c *committer) reserve(size int, count int, p part, ctl *control) (g *group, b []byte, at int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, 0, ErrClosed
	}
	g = c.open
	if g != nil && g.off+g.n+size > len(g.slab.buf) {
		if len(c.queue) >= queueMax {
			return nil, nil, 0, errBusy
		}
		c.queue = append(c.queue, g)
		c.closeOpen()
		g = nil
	}
	if g == nil {
		if g = c.openGroup(size); g == nil {
			return nil, nil, 0, errBusy
		}
	}
	at = g.n - blockHeader
	b = g.slab.buf[g.off+g.n : g.off+g.n+size : g.off+g.n+size]
	g.n += size
	g.count += uint32(count)
	g.pending.Add(1)
	if k := len(g.parts); k > 0 && g.parts[k-1].shard == p.shard {
		g.parts[k-1].last = p.last
	} else if p.shard != nil {
		g.parts = append(g.parts, p)
	}
	if ctl != nil {
		g.control = append(g.control, *ctl)
	}
	return g, b, at, nil
}

// openGroup starts a group in the current slab, or in a new one if it would
// have less than a quarter of it or the first writer does not fit. Called with mu held.
func (c *committer) openGroup(size int) *group {
	need := alignUp(blockHeader + size)
	if c.slab == nil || c.slabAt+need > len(c.slab.buf) {
		s := c.arena.take(need)
		if s == nil {
			c.full()
			return nil
		}
		if c.slab != nil {
			c.slab.unref()
		}
		c.slab, c.slabAt = s, 0
		if c.arena.used.Load() > c.arena.budget/2 {
			c.full()
		}
	}
	g := &group{
		id: c.nextID, slab: c.slab, off: c.slabAt, n: blockHeader, opened: time.Now(),
		filled: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if k := len(c.spare); k > 0 {
		g.parts, c.spare = c.spare[k-1], c.spare[:k-1]
	}
	g.pending.Store(1)
	g.slab.ref()
	c.nextID++
	c.open = g
	c.wakeUp()
	return g
}

func (c *committer) wakeUp() {
	select {
	case c.work <- struct{}{}:
	default:
	}
}

// closeOpen takes the open group out of writers' reach. Called with mu held.
func (c *committer) closeOpen() {
	c.slabAt = alignUp(c.open.off + c.open.n)
	c.open = nil
}

// next takes the oldest group, nil if there is none.
func (c *committer) next() (g *group, closed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) > 0 {
		g = c.queue[0]
		c.queue = c.queue[:copy(c.queue, c.queue[1:])]
		c.room.wake()
	} else if c.open != nil {
		g = c.open
		c.closeOpen()
	}
	return g, c.closed
}

// run commits until stop has been called and all is committed.
func (c *committer) run() {
	defer close(c.stopped)
	idle := time.NewTimer(idleConfirm)
	idle.Stop()
	defer idle.Stop()
	confirm := false // the last group is not yet confirmed by one behind it
	for {
		g, closed := c.next()
		switch {
		case g != nil:
			c.commit(g)
			confirm = g.err == nil
			// Those just acknowledged, if they have more to say, share the next group.
			runtime.Gosched()
			continue
		case closed:
			return
		}
		if confirm {
			idle.Reset(idleConfirm)
		}
		select {
		case <-c.work:
			idle.Stop()
		case <-idle.C:
			// One disk cannot tell its last group from a torn one. A group behind
			// it can: so the last group that was acknowledged does not stay last.
			c.confirmLast()
			confirm = false
		}
	}
}

// stop ends run after what is under way.
func (c *committer) stop() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.wakeUp()
	c.room.wake()
	<-c.stopped
}

// commit is the whole way of a group. A crash before the sync has returned
// loses it or keeps it, and nobody was told; a crash after it loses nothing.
func (c *committer) commit(g *group) {
	if g.pending.Add(-1) != 0 {
		<-g.filled
	}
	b := g.slab.buf[g.off : g.off+alignUp(g.n)]
	clear(b[g.n:])
	k := block{length: uint32(g.n - blockHeader), count: g.count, digest: g.digest.Load()}

	err := c.journal.write(b, &k, g.opened.Add(c.waitMax))
	if err == nil {
		c.journal.note(g.parts) // before readers, so before any flush and checkpoint
		for i := range g.control {
			g.control[i].apply()
		}
		c.stats.groups.Add(1)
		c.stats.records.Add(uint64(g.count))
		c.stats.bytes.Add(uint64(len(b)))
	} else {
		c.stats.failed.Add(1)
		for _, p := range g.parts {
			p.shard.dropGroup(g.id)
		}
		for i := range g.control {
			g.control[i].fail()
		}
	}
	c.committed.Store(g.id) // all of it readable at once
	g.err = err
	close(g.done)
	if err == nil {
		for _, p := range g.parts {
			p.shard.wakeWaiters()
		}
	}
	g.slab.unref()
	c.mu.Lock()
	if len(c.spare) < queueMax {
		clear(g.parts)
		c.spare = append(c.spare, g.parts[:0])
	}
	c.mu.Unlock()
	g.parts = nil
}

// confirmLast writes an empty group. That it fails matters to nobody but the next group.
func (c *committer) confirmLast() {
	b := make([]byte, blockAlign)
	if c.journal.write(b, &block{}, time.Now()) == nil {
		c.stats.groups.Add(1)
		c.stats.bytes.Add(blockAlign)
	}
}
