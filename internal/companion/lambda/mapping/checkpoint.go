package mapping

import (
	"slices"
	"time"
)

// checkpoint is how far the shard is done.
func (s *shard) checkpoint(ended bool) Checkpoint {
	lanes := make([]SequenceNumber, len(s.lanes))
	for i := range s.lanes {
		lanes[i] = s.lanes[i].done()
	}
	c := Checkpoint{
		Shard: s.id, Stream: s.stream, From: s.from, Done: slices.MinFunc(lanes, compare),
		Ended: ended, Window: s.window.stored(),
	}
	if c.Done != slices.MaxFunc(lanes, compare) {
		c.Lanes = lanes
	}
	return c
}

// store begins to store a checkpoint if there is one to store and none is being stored,
// or says when it will be time to. That the shard has ended is stored too.
func (s *shard) store(now time.Time, leaving, ended bool) (wake time.Time) {
	if ended && !s.dirty && !s.storing && !s.endStored {
		s.dirty, s.soft = true, false
	}
	if s.storing || !s.dirty {
		return
	}
	if leaving {
		// The last one is not waited for again: what it says is done will be done again.
		if s.failures > 0 || s.busy() {
			return
		}
	} else if at := s.storeAgain; at.After(now) {
		return at
	} else if at := s.lastStore.Add(checkpointEvery); s.soft && !ended && at.After(now) {
		return at
	}
	c := s.checkpoint(ended)
	if s.soft && !ended && c.Done == s.saved.Done && slices.Equal(c.Lanes, s.saved.Lanes) {
		s.dirty, s.soft = false, false // what was read is all to be done yet
		return
	}
	s.saved = c
	s.storing, s.dirty, s.soft, s.endStored = true, false, false, ended
	s.lastStore = now
	go func() { s.stored <- s.m.services.Checkpoints.Store(s.m.hard, s.m.cfg.UUID, c) }()
	return
}

// storeDone takes note of what became of a store.
func (s *shard) storeDone(err error) {
	s.storing = false
	if err == nil {
		s.failures = 0
		return
	}
	s.m.fault(s.id, err)
	s.failures++
	s.dirty, s.soft, s.endStored = true, false, false
	s.storeAgain = time.Now().Add(storeBackoff.after(s.failures))
}
