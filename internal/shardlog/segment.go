package shardlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

const (
	flushBytes = 1 << 20 // a shard with as much in memory is flushed
	chunkBytes = 1 << 20 // of one write to a segment
	// A write to a segment that is at least as long goes on to the disk at once;
	// shorter ones the file system may gather.
	writeOutBytes = 64 << 10
)

// segment is a file with nothing but frames of one shard. Its name is a lower
// bound for what it holds, and says how far the one before it reaches: base is
// one more than the last offset there, baseArrival that record's arrival.
type segment struct {
	base        uint64
	baseArrival int64
	path        string

	// Guarded by shard.mu; a sealed segment (any but the newest) no longer changes.
	size    int64  // bytes that may be read
	last    uint64 // base-1 while empty
	lastAt  int64  // arrival of last
	firstAt int64  // arrival of the first record, 0 while empty
	index   activeIndex

	// Guarded by shard.flushing.
	synced int64 // bytes that are durable
	stale  bool  // a sync failed: to be rewritten
}

// saved is what a checkpoint says of a shard's segments: up to where all is durable.
type saved struct {
	present bool // there is a segment at all
	base    uint64
	size    int64
	last    uint64
	lastAt  int64
}

func segmentName(base uint64, baseArrival int64) string {
	return fmt.Sprintf("%016x-%016x.seg", base, uint64(baseArrival))
}

func parseSegmentName(name string) (base uint64, baseArrival int64, ok bool) {
	stem, found := strings.CutSuffix(name, ".seg")
	a, b, cut := strings.Cut(stem, "-")
	if !found || !cut || len(a) != 16 || len(b) != 16 {
		return 0, 0, false
	}
	base, err := strconv.ParseUint(a, 16, 64)
	arrival, err2 := strconv.ParseUint(b, 16, 64)
	return base, int64(arrival), errors.Join(err, err2) == nil && base > 0
}

func (d *Disk) shardDir(ref uint32) string {
	return filepath.Join(d.shardsDir, fmt.Sprintf("%08x", ref))
}

func (s *shard) newSegment(base uint64, baseArrival int64) *segment {
	return &segment{
		base: base, baseArrival: baseArrival, last: base - 1, lastAt: baseArrival,
		path: filepath.Join(s.d.shardDir(s.ref), segmentName(base, baseArrival)),
	}
}

// chunks are the buffers that frames are gathered in on their way to a segment.
var chunks = sync.Pool{New: func() any { b := make([]byte, 0, chunkBytes); return &b }}

// flush writes what is readable in memory to the shard's active segment. It does
// not sync: until a checkpoint does, the journal holds the same frames.
func (s *shard) flush() error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	return s.flushLocked()
}

func (s *shard) flushLocked() error {
	buf := chunks.Get().(*[]byte)
	defer chunks.Put(buf)
	var batch []run
	for {
		s.mu.Lock()
		s.queued = false
		if s.deleted {
			s.mu.Unlock()
			return nil
		}
		batch = batch[:0]
		total := 0
		for _, r := range s.visible() {
			if total > 0 && total+int(r.size) > chunkBytes {
				break
			}
			batch = append(batch, r)
			total += int(r.size)
		}
		s.mu.Unlock()
		if len(batch) == 0 {
			return nil
		}
		if err := s.writeRuns(batch, total, buf); err != nil {
			return fmt.Errorf("cannot write a segment of shard %s: %w", s.id, err)
		}
		s.mu.Lock()
		s.mem.pop(len(batch))
		s.memBytes -= total
		s.mu.Unlock()
		s.d.arena.used.Add(int64(-runBytes * len(batch)))
		for i := range batch {
			batch[i].slab.unref()
		}
	}
}

// writeRuns appends runs to the active segment and makes them readable there.
// Called with flushing held.
func (s *shard) writeRuns(batch []run, total int, buf *[]byte) error {
	active, err := s.activeFor(int64(total))
	if err != nil {
		return err
	}
	h, err := s.d.files.open(active.path)
	if err != nil {
		return err
	}
	defer h.release()
	b := batch[0].bytes()
	if len(batch) > 1 {
		b = (*buf)[:0]
		for i := range batch {
			b = append(b, batch[i].bytes()...)
		}
	}
	if _, err := h.f.WriteAt(b, active.size); err != nil {
		s.d.space.failed(err)
		return err
	}
	if len(b) >= writeOutBytes {
		// Else a checkpoint's syncs find all of it dirty at once, and the journal's
		// stand behind them: 100 ms every few seconds at 10 MB/s, 10 ms with this.
		// The last page is still to be added to.
		h.f.WriteOut(active.size, (active.size+int64(len(b)))&^(blockAlign-1)-active.size)
	}
	s.d.space.wrote(len(b))
	s.d.stats.segmentBytes.Add(uint64(len(b)))
	last := &batch[len(batch)-1]
	s.mu.Lock()
	if active.firstAt == 0 {
		active.firstAt = batch[0].arrival
	}
	active.index.add(b, active.size)
	active.size += int64(len(b))
	active.last, active.lastAt = last.last, last.arrival
	s.flushed, s.flushedAt = last.last, last.arrival
	s.mu.Unlock()
	s.touch(active)
	return nil
}

// touch notes that a segment has bytes, or a name, to be synced. Called with flushing held.
func (s *shard) touch(g *segment) {
	for _, u := range s.unsynced {
		if u == g {
			return
		}
	}
	s.unsynced = append(s.unsynced, g)
}

// activeFor returns the active segment, a new one if n more bytes would make it
// too large. Called with flushing held.
func (s *shard) activeFor(n int64) (*segment, error) {
	s.mu.Lock()
	var active *segment
	if k := len(s.segments); k > 0 {
		active = s.segments[k-1]
	}
	s.mu.Unlock()
	if active != nil && (active.size == 0 || active.size+n <= s.d.cfg.SegmentBytes) {
		return active, nil
	}
	return s.roll()
}

// roll seals the active segment and starts an empty one behind it. Called with flushing held.
func (s *shard) roll() (*segment, error) {
	dir := s.d.shardDir(s.ref)
	if !s.dirMade {
		if err := s.d.fs.MkdirAll(dir); err != nil {
			s.d.space.failed(err)
			return nil, err
		}
		s.dirMade = true
	}
	s.mu.Lock()
	next := s.newSegment(1, 0)
	var active *segment
	var index activeIndex
	if k := len(s.segments); k > 0 {
		active = s.segments[k-1]
		index = active.index // a reader may complete it meanwhile
		next = s.newSegment(active.last+1, active.lastAt)
	}
	s.mu.Unlock()
	if active != nil {
		if err := s.cutTail(active); err != nil {
			return nil, err
		}
	}
	f, err := s.d.fs.Create(next.path)
	if errors.Is(err, errExist) {
		// Left over from a create whose outcome was lost; it holds nothing that counts.
		if f, err = s.d.fs.Open(next.path); err == nil {
			err = f.Truncate(0)
		}
	}
	if err != nil {
		s.d.space.failed(err)
		return nil, err
	}
	s.namesNew = true
	if err := f.Close(); err != nil {
		return nil, errors.Join(err, s.d.fs.Remove(next.path))
	}
	if active != nil && index.whole() {
		// Best effort: a missing index is built by reading the segment. It is not
		// synced, its checksum tells whether it is whole.
		if err := s.d.writeIndexFile(active.path, encodeIndex(active.size, active.last, index.entries)); err != nil {
			s.d.log.Warn("cannot write an index", "segment", active.path, "error", err)
		}
	}
	s.mu.Lock()
	if active != nil {
		active.index = activeIndex{}
	}
	s.segments = append(s.segments, next)
	s.mu.Unlock()
	s.touch(next)
	return next, nil
}

// cutTail removes what a failed write left behind a segment's end: once sealed,
// its size is the file's.
func (s *shard) cutTail(g *segment) error {
	h, err := s.d.files.open(g.path)
	if err != nil {
		return err
	}
	defer h.release()
	size, err := h.f.Size()
	if err != nil || size == g.size {
		return err
	}
	s.touch(g)
	return h.f.Truncate(g.size)
}

// sync makes all that flush wrote durable, with its names. What it covered it
// leaves in saved. Called with flushing held.
func (s *shard) sync() error {
	for len(s.unsynced) > 0 {
		g := s.unsynced[0]
		if g.stale {
			if err := s.rewrite(g); err != nil {
				s.dropUnsynced(g)
				return fmt.Errorf("cannot rewrite %s: %w", g.path, err)
			}
		}
		h, err := s.d.files.open(g.path)
		if err != nil {
			return err
		}
		size := g.size // only flush changes it, and we hold flushing
		s.d.stats.segmentSyncs.Add(1)
		err = h.f.Sync()
		h.release()
		if err != nil {
			s.d.stats.failedSyncs.Add(1)
			s.d.log.Error("a segment failed to sync and is rewritten from the journal", "segment", g.path, "error", err)
			g.stale = true
			continue
		}
		g.synced = size
		s.unsynced = s.unsynced[:copy(s.unsynced, s.unsynced[1:])]
	}
	if err := s.identify(); err != nil {
		return err
	}
	if s.namesNew {
		if err := s.d.fs.SyncDir(s.d.shardDir(s.ref)); err != nil {
			return err
		}
		s.namesNew = false
	}
	s.mu.Lock()
	if k := len(s.segments); k > 0 {
		g := s.segments[k-1]
		s.saved = saved{present: true, base: g.base, size: g.size, last: g.last, lastAt: g.lastAt}
	}
	s.mu.Unlock()
	return nil
}

// dropUnsynced cuts off what a failed sync left in the page cache alone: else the
// next process would read it there, and be told that a sync of it succeeds. Until
// the segment is rewritten, reads of that part fail.
func (s *shard) dropUnsynced(g *segment) {
	h, err := s.d.files.open(g.path)
	if err == nil {
		err = h.f.Truncate(g.synced)
		h.release()
	}
	if err != nil {
		s.d.log.Error("cannot cut off what failed to sync", "segment", g.path, "error", err)
	}
}

// rewrite replaces a segment whose sync failed: of the old file only what an
// earlier sync covered is known, the rest comes from the journal. Called with flushing held.
func (s *shard) rewrite(g *segment) (err error) {
	old, err := s.d.files.open(g.path)
	if err != nil {
		return err
	}
	defer old.release()
	temp := g.path + ".tmp"
	if err := s.d.fs.Remove(temp); err != nil && !errors.Is(err, errNotExist) {
		return err
	}
	f, err := s.d.fs.Create(temp)
	if err != nil {
		return err
	}
	defer f.Close()
	at := int64(0)
	write := func(b []byte) error {
		_, err := f.WriteAt(b, at)
		at += int64(len(b))
		return err
	}
	seen := g.base - 1
	err = scanFrames(old.f, s.ref, 0, g.synced, seen, func(fr frame, raw []byte) error {
		seen = fr.seq
		return write(raw)
	})
	if err == nil {
		err = s.d.journal.frames(s.ref, seen+1, g.last, write)
	}
	if err == nil && at != g.size {
		err = fmt.Errorf("rewriting %s gave %d bytes instead of %d", g.path, at, g.size)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = s.d.fs.Rename(temp, g.path)
	}
	if err != nil {
		return err
	}
	g.stale = false
	s.namesNew = true
	s.d.files.forget(g.path)
	return nil
}
