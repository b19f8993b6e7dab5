package shardlog

import (
	"errors"
	"time"
)

// tickLoop does what is due every second: space, retention, ballast.
func (d *Disk) tickLoop() {
	t := time.NewTicker(retentionTick)
	defer t.Stop()
	for n := 0; ; n++ {
		select {
		case <-t.C:
		case <-d.stop:
			return
		}
		d.space.look()
		d.space.fillBallast()
		d.expire(d.clock.Now())
		if n%60 == 0 && d.arena.used.Load() < d.arena.budget/8 {
			d.arena.shrink()
		}
	}
}

// expire unlinks the segments whose records are all out of view, and rolls
// active ones that are old enough for their turn to come.
func (d *Disk) expire(now time.Time) {
	for _, s := range d.allShards() {
		if err := s.expire(now); err != nil {
			d.log.Warn("cannot expire a segment for now", "shard", s.id, "error", err)
		}
	}
}

// rollAge is how old a shard's active segment gets.
func rollAge(retention time.Duration) time.Duration { return max(time.Hour, retention/64) }

func (s *shard) expire(now time.Time) error {
	s.mu.Lock()
	cut, trim := s.horizon(now), s.trim
	roll := false
	if k := len(s.segments); k > 0 && !s.gone() {
		g := s.segments[k-1]
		old := s.retention > 0 && now.UnixMilli()-g.firstAt >= rollAge(s.retention).Milliseconds()
		out := g.lastAt < cut || g.last < trim
		roll = g.size > 0 && (old || out)
	}
	expired := s.expired(cut, trim)
	s.mu.Unlock()
	if !roll && expired == 0 {
		return nil
	}
	// The one who flushes has the segments; if it is at work, the next tick will do.
	if !s.flushing.TryLock() {
		return nil
	}
	defer s.flushing.Unlock()
	if roll {
		if _, err := s.roll(); err != nil {
			return err
		}
		if err := s.sync(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	n := s.expired(cut, trim)
	// A checkpoint names the newest segment of its time: one that is missing
	// then would be damage. So a segment goes only after a newer one is in a checkpoint.
	for i := 0; i < n; i++ {
		if s.segments[i].base >= s.savedDurably {
			n = i
			s.d.wantSave.Store(true)
			s.d.kick(s.d.keep)
		}
	}
	gone := append([]*segment(nil), s.segments[:n]...)
	s.segments = append([]*segment(nil), s.segments[n:]...)
	s.mu.Unlock()
	for _, g := range gone {
		s.d.indexes.forget(g.path)
		s.d.files.forget(g.path)
		s.forgetUnsynced(g)
		// A name that a crash brings back is out of view and removed again.
		if err := s.d.fs.Remove(g.path); err != nil && !errors.Is(err, errNotExist) {
			return err
		}
		if err := s.d.fs.Remove(indexPath(g.path)); err != nil && !errors.Is(err, errNotExist) {
			return err
		}
		s.d.stats.expired.Add(1)
	}
	return nil
}

// expired counts the oldest segments that hold nothing visible; never the
// newest. Called with mu held.
func (s *shard) expired(cut int64, trim uint64) (n int) {
	for n+1 < len(s.segments) && (s.segments[n+1].baseArrival < cut || s.segments[n+1].base <= trim) {
		n++
	}
	return n
}

func (s *shard) forgetUnsynced(g *segment) {
	for i, u := range s.unsynced {
		if u == g {
			s.unsynced = append(s.unsynced[:i], s.unsynced[i+1:]...)
			return
		}
	}
}
