package shardlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"sort"
	"sync"
	"time"
)

const (
	checkpointMagic   = 0x31504b434f454852 // "RHEOCKP1"
	checkpointVersion = 1
	checkpointHeader  = 64
	checkpointWorkers = 8
	checkpointName    = "checkpoint"
	checkpointCopy    = "checkpoint.copy"
)

// checkpoint is what is known without the journal uses before replayFrom.
type checkpoint struct {
	number     uint64
	replayFrom uint64 // the first use of a journal file that must be read
	nextUse    uint64
	lastGroup  uint64 // at least all groups of uses before replayFrom
	nextRef    uint32
	shards     []shardState
}

type shardState struct {
	ref         uint32
	id          ID
	retention   time.Duration
	floor       int64
	trim        uint64
	next        uint64
	lastArrival int64
	sealed      bool
	end         uint64
	saved       saved
}

func (c *checkpoint) encode() []byte {
	b := make([]byte, checkpointHeader, checkpointHeader+len(c.shards)*160)
	le.PutUint64(b, checkpointMagic)
	le.PutUint32(b[12:], checkpointVersion)
	le.PutUint64(b[16:], c.number)
	le.PutUint64(b[24:], c.replayFrom)
	le.PutUint64(b[32:], c.nextUse)
	le.PutUint64(b[40:], c.lastGroup)
	le.PutUint32(b[48:], c.nextRef)
	le.PutUint32(b[52:], uint32(len(c.shards)))
	for i := range c.shards {
		s := &c.shards[i]
		var flags byte
		if s.sealed {
			flags |= 1
		}
		if s.saved.present {
			flags |= 2
		}
		b = le.AppendUint32(b, s.ref)
		b = append(b, flags, byte(len(s.id)))
		b = append(b, s.id...)
		for _, v := range []uint64{
			uint64(s.retention), uint64(s.floor), s.trim, s.next, uint64(s.lastArrival), s.end,
			s.saved.base, uint64(s.saved.size), s.saved.last, uint64(s.saved.lastAt),
		} {
			b = le.AppendUint64(b, v)
		}
	}
	le.PutUint32(b[8:], checksum(b[12:]))
	return b
}

var errCheckpoint = errors.New("checkpoint is damaged")

func decodeCheckpoint(b []byte) (*checkpoint, error) {
	if len(b) < checkpointHeader || le.Uint64(b) != checkpointMagic || checksum(b[12:]) != le.Uint32(b[8:]) {
		return nil, errCheckpoint
	}
	if v := le.Uint32(b[12:]); v != checkpointVersion {
		return nil, fmt.Errorf("checkpoint version %d is newer than this program", v)
	}
	c := &checkpoint{
		number: le.Uint64(b[16:]), replayFrom: le.Uint64(b[24:]), nextUse: le.Uint64(b[32:]),
		lastGroup: le.Uint64(b[40:]), nextRef: le.Uint32(b[48:]),
	}
	n := int(le.Uint32(b[52:]))
	b = b[checkpointHeader:]
	for range n {
		if len(b) < 6 {
			return nil, errCheckpoint
		}
		s := shardState{ref: le.Uint32(b), sealed: b[4]&1 != 0, saved: saved{present: b[4]&2 != 0}}
		idLen := int(b[5])
		b = b[6:]
		if len(b) < idLen+80 {
			return nil, errCheckpoint
		}
		s.id = ID(b[:idLen])
		b = b[idLen:]
		s.retention, s.floor, s.trim = time.Duration(le.Uint64(b)), int64(le.Uint64(b[8:])), le.Uint64(b[16:])
		s.next, s.lastArrival, s.end = le.Uint64(b[24:]), int64(le.Uint64(b[32:])), le.Uint64(b[40:])
		s.saved.base, s.saved.size = le.Uint64(b[48:]), int64(le.Uint64(b[56:]))
		s.saved.last, s.saved.lastAt = le.Uint64(b[64:]), int64(le.Uint64(b[72:]))
		b = b[80:]
		c.shards = append(c.shards, s)
	}
	if len(b) != 0 {
		return nil, errCheckpoint
	}
	return c, nil
}

// loadCheckpoint returns the newer of the two copies that is whole, nil if there
// never was one. Either may be used: no journal file is recycled before both are durable.
func (d *Disk) loadCheckpoint() (best *checkpoint, err error) {
	var problems error
	for _, name := range []string{checkpointName, checkpointCopy} {
		c, err := d.readCheckpoint(filepath.Join(d.cfg.Dir, name))
		switch {
		case errors.Is(err, errNotExist):
		case err != nil:
			problems = errors.Join(problems, fmt.Errorf("%s: %w", name, err))
		case best == nil || c.number > best.number:
			best = c
		}
	}
	if best == nil && problems != nil {
		return nil, problems
	}
	if problems != nil {
		d.log.Warn("one copy of the checkpoint is damaged; the other is used", "error", problems)
	}
	return best, nil
}

func (d *Disk) readCheckpoint(name string) (*checkpoint, error) {
	f, err := d.fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && !isEOF(err) {
		return nil, err
	}
	return decodeCheckpoint(b)
}

// keepLoop makes checkpoints when the journal asks for free files, and removes
// the files of deleted shards.
func (d *Disk) keepLoop() {
	var retry <-chan time.Time
	for {
		select {
		case <-d.keep:
		case <-retry:
		case <-d.stop:
			return
		}
		retry = nil
		d.removeGarbage()
		if files, _ := d.journal.full(); len(files) > 0 || d.wantSave.Swap(false) {
			if err := d.checkpoint(); err != nil {
				d.log.Error("cannot make a checkpoint; the journal keeps what it covers", "error", err)
				retry = time.After(waitMax)
			}
		}
	}
}

// checkpoint brings all that the closed journal files hold to synced segments,
// writes down the state of every shard, and frees those files. A crash before
// the new checkpoint is durable leaves the old one and all that it needs.
func (d *Disk) checkpoint() error {
	d.checkpointing.Lock()
	defer d.checkpointing.Unlock()
	files, replayFrom := d.journal.full()
	lastGroup := d.journal.lastGroup.Load()

	upTo := map[*shard]uint64{}
	for _, f := range files {
		for _, p := range f.shards {
			upTo[p.shard] = max(upTo[p.shard], p.last)
		}
	}
	if err := d.settle(upTo); err != nil {
		return err
	}
	// New shard directories.
	if err := d.fs.SyncDir(d.shardsDir); err != nil {
		return err
	}
	c := d.snapshot()
	c.replayFrom, c.lastGroup = replayFrom, lastGroup
	d.checkpoints++
	c.number = d.checkpoints
	b := c.encode()
	for _, name := range []string{checkpointCopy, checkpointName} {
		if err := d.writeFile(filepath.Join(d.cfg.Dir, name), b); err != nil {
			d.space.failed(err)
			return err
		}
	}
	if err := d.journal.checkpointed(); err != nil {
		d.space.failed(err)
		return err
	}
	d.stats.checkpoints.Add(1)
	for _, s := range c.shards {
		if s.saved.present {
			d.mu.RLock()
			sh := d.byRef[s.ref]
			d.mu.RUnlock()
			if sh != nil {
				sh.mu.Lock()
				sh.savedDurably = s.saved.base
				sh.mu.Unlock()
			}
		}
	}
	d.journal.recycle(len(files))
	return nil
}

// settle flushes and syncs shards, a few at a time.
func (d *Disk) settle(upTo map[*shard]uint64) error {
	work := make(chan *shard)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for range min(checkpointWorkers, len(upTo)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for s := range work {
				if err := s.settle(upTo[s]); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
				}
			}
		}()
	}
	for s := range upTo {
		mu.Lock()
		stop := failed != nil
		mu.Unlock()
		if stop {
			break
		}
		work <- s
	}
	close(work)
	wg.Wait()
	return failed
}

// settle makes all records up to an offset durable in segments.
func (s *shard) settle(upTo uint64) error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.mu.Lock()
	done := s.deleted || s.saved.present && s.saved.last >= upTo
	s.mu.Unlock()
	if done {
		return nil
	}
	if err := s.flushLocked(); err != nil {
		return err
	}
	return s.sync()
}

// snapshot is the state of all shards now. What happens meanwhile is in the
// journal uses that a recovery replays on top; applying it twice does no harm.
func (d *Disk) snapshot() *checkpoint {
	all := d.allShards()
	sort.Slice(all, func(i, k int) bool { return all[i].ref < all[k].ref })
	d.mu.RLock()
	c := &checkpoint{nextRef: d.nextRef}
	d.mu.RUnlock()
	d.journal.mu.Lock()
	c.nextUse = d.journal.nextUse
	d.journal.mu.Unlock()
	for _, s := range all {
		s.mu.Lock()
		_, arrival := s.durableNext()
		c.shards = append(c.shards, shardState{
			ref: s.ref, id: s.id, retention: s.retention, floor: s.floor, trim: s.trim,
			next: s.next, lastArrival: arrival, sealed: s.sealed, end: s.end, saved: s.saved,
		})
		s.mu.Unlock()
	}
	return c
}

// removeGarbage removes the files of deleted shards.
func (d *Disk) removeGarbage() {
	d.mu.Lock()
	list := d.garbage
	d.garbage = nil
	d.mu.Unlock()
	for _, s := range list {
		s.flushing.Lock()
		s.mu.Lock()
		runs := append([]run(nil), s.mem.all()...)
		s.mem.pop(len(runs))
		s.memBytes = 0
		segments := s.segments
		s.segments = nil
		s.mu.Unlock()
		s.unsynced = nil
		d.arena.used.Add(int64(-runBytes * len(runs)))
		for i := range runs {
			runs[i].slab.unref()
		}
		for _, g := range segments {
			d.indexes.forget(g.path)
			d.files.forget(g.path)
		}
		if err := d.removeShardDir(s.ref); err != nil {
			d.log.Warn("cannot remove a deleted shard's files; the next start will", "shard", s.id, "error", err)
		}
		s.flushing.Unlock()
	}
}

func (d *Disk) removeShardDir(ref uint32) error {
	dir := d.shardDir(ref)
	names, err := d.fs.List(dir)
	if errors.Is(err, errNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := d.fs.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, errNotExist) {
			return err
		}
	}
	return d.fs.Remove(dir)
}
