package shardlog

import (
	"context"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

// run is a stretch of frames of one shard that lie side by side in a slab.
type run struct {
	slab    *slab
	off     uint32
	size    uint32
	count   uint32
	group   uint64 // readable once the committer is past it
	first   uint64
	last    uint64
	arrival int64 // the same for all of them
}

func (r *run) bytes() []byte { return r.slab.buf[r.off : r.off+r.size] }

// shard is one shard of a Disk. Its records are, in order: in segments (the last
// of them active), then in mem.
type shard struct {
	d   *Disk
	id  ID
	ref uint32

	mu           sync.Mutex // guards all below; leaf but for committer.mu
	next         uint64     // the next record's offset
	lastArrival  int64      // of the last record that got an offset
	retention    time.Duration
	floor        int64  // ms; nothing that arrived earlier is visible
	trim         uint64 // nothing below is visible
	sealing      *group // holds the END marker under way
	sealed       bool
	end          uint64
	deleting     bool
	deleted      bool
	mem          runs
	memBytes     int
	queued       bool // handed to a flusher
	dirty        bool // in Disk.dirty
	segments     []*segment
	openedNext   uint64 // what next was after recovery: nothing below is still to come
	flushed      uint64 // last offset in segments
	flushedAt    int64  // its arrival
	saved        saved  // what the next checkpoint says of the segments
	savedDurably uint64 // base of the active segment in the last durable checkpoint
	wake         chan struct{}

	waiting atomic.Bool // somebody waits on wake

	noted   uint64 // the committer's: the use of a journal file that lists this shard
	notedAt int    // and where in its list

	flushing sync.Mutex // held by the one that moves runs to segments; taken before mu
	unsynced []*segment // guarded by flushing
	dirMade  bool       // guarded by flushing
	// guarded by flushing: the directory says whose it is
	identified bool
	namesNew   bool // guarded by flushing: names in the directory are not durable
}

// runs is a queue of runs in order of offset.
type runs struct {
	list []run
	head int
}

func (q *runs) all() []run { return q.list[q.head:] }

func (q *runs) pop(n int) {
	clear(q.list[q.head : q.head+n])
	q.head += n
	if q.head == len(q.list) {
		q.list, q.head = q.list[:0], 0
		if cap(q.list) > 4096 {
			q.list = nil
		}
	} else if q.head > 64 && q.head > len(q.list)/2 {
		k := copy(q.list, q.list[q.head:])
		clear(q.list[k:])
		q.list, q.head = q.list[:k], 0
	}
}

func (d *Disk) newShard(ref uint32, id ID) *shard {
	return &shard{d: d, id: id, ref: ref, next: 1}
}

func (s *shard) gone() bool { return s.deleting || s.deleted }

// took notes that count records up to offset last have size bytes at place in
// group g. They are invisible until g is committed. Called with mu held.
func (s *shard) took(g *group, place, size, count int, last uint64, arrival int64, merge bool) {
	s.next, s.lastArrival = last+1, arrival
	s.memBytes += size
	at := uint32(g.off + blockHeader + place)
	if all := s.mem.all(); merge && len(all) > 0 {
		if r := &all[len(all)-1]; r.slab == g.slab && r.group == g.id && r.off+r.size == at && r.arrival == arrival {
			r.size += uint32(size)
			r.count += uint32(count)
			r.last = last
			return
		}
	}
	g.slab.ref()
	s.d.arena.used.Add(runBytes)
	s.mem.list = append(s.mem.list, run{
		slab: g.slab, off: at, size: uint32(size), count: uint32(count),
		group: g.id, first: last + 1 - uint64(count), last: last, arrival: arrival,
	})
	if !s.dirty {
		s.dirty = true
		s.d.addDirty(s)
	}
	if s.memBytes >= flushBytes && !s.queued {
		s.queued = s.d.queueFlush(s)
	}
}

// dropGroup forgets the runs of a group that failed.
func (s *shard) dropGroup(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.mem.list[:s.mem.head]
	for _, r := range s.mem.all() {
		if r.group != id {
			list = append(list, r)
			continue
		}
		s.memBytes -= int(r.size)
		s.d.arena.used.Add(-runBytes)
		r.slab.unref()
	}
	clear(s.mem.list[len(list):])
	s.mem.list = list
}

// visible returns the runs that may be read. Called with mu held.
func (s *shard) visible() []run {
	all := s.mem.all()
	done := s.d.commit.committed.Load()
	n := len(all)
	if n > 0 && all[n-1].group > done {
		n = sort.Search(n, func(i int) bool { return all[i].group > done })
	}
	return all[:n]
}

// durableNext is the offset above the last readable record. Called with mu held.
func (s *shard) durableNext() (next uint64, arrival int64) {
	next, arrival = s.flushed+1, s.flushedAt
	if v := s.visible(); len(v) > 0 {
		next, arrival = v[len(v)-1].last+1, v[len(v)-1].arrival
	}
	return max(next, s.openedNext), arrival
}

// horizon is the arrival before which nothing is visible. Called with mu held.
func (s *shard) horizon(now time.Time) int64 {
	if s.retention == 0 {
		return s.floor
	}
	return max(s.floor, now.Add(-s.retention).UnixMilli())
}

// apply carries out a control record on a shard that exists.
func (s *shard) apply(c *command) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch c.op {
	case opRetention:
		s.retention = c.retention
		s.floor = max(s.floor, c.floor)
	case opTrim:
		s.trim = max(s.trim, c.trim)
	}
}

func (s *shard) wakeWaiters() {
	if !s.waiting.Load() {
		return
	}
	s.mu.Lock()
	if s.wake != nil {
		close(s.wake)
		s.wake = nil
	}
	s.waiting.Store(false)
	s.mu.Unlock()
}

func (s *shard) ID() ID { return s.id }

func (s *shard) Info() Info {
	now := s.d.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	next, arrival := s.durableNext()
	first := uint64(1)
	if len(s.segments) > 0 {
		first = s.segments[0].base
		for i := 1; i < len(s.segments) && s.segments[i].baseArrival < s.horizon(now); i++ {
			first = s.segments[i].base
		}
	}
	i := Info{
		First: Offset(min(max(first, s.trim), next)), Next: Offset(next), LastArrival: arrival,
		Sealed: s.sealed, End: Offset(s.end), Retention: s.retention, Bytes: int64(s.memBytes),
	}
	for _, g := range s.segments {
		i.Bytes += g.size
	}
	return i
}

// Wait blocks until there is something to read. The order matters: first say
// that somebody waits, then look, while the committer first publishes and then
// looks whether somebody waits.
func (s *shard) Wait(ctx context.Context, from Offset) error {
	for {
		s.mu.Lock()
		s.waiting.Store(true)
		if s.deleted {
			s.mu.Unlock()
			return ErrNotFound
		}
		next, _ := s.durableNext()
		if next > uint64(max(from, 1)) || s.sealed {
			s.mu.Unlock()
			return nil
		}
		if s.d.closed.Load() {
			s.mu.Unlock()
			return ErrClosed
		}
		if s.wake == nil {
			s.wake = make(chan struct{})
		}
		wake := s.wake
		s.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
