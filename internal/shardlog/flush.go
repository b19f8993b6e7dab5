package shardlog

import "slices"

func (d *Disk) addDirty(s *shard) {
	d.dirtyMu.Lock()
	d.dirty = append(d.dirty, s)
	d.dirtyMu.Unlock()
}

// queueFlush hands a shard to a flusher, unless they are all far behind.
func (d *Disk) queueFlush(s *shard) bool {
	select {
	case d.flushes <- s:
		return true
	default:
		return false
	}
}

func (d *Disk) flushLoop() {
	for {
		select {
		case s := <-d.flushes:
			if err := s.flush(); err != nil {
				d.flushFailed(err)
			}
		case <-d.stop:
			return
		}
	}
}

func (d *Disk) flushFailed(err error) {
	d.stats.failedFlushes.Add(1)
	d.log.Error("records stay in memory and in the journal for now", "error", err)
}

func (d *Disk) pressureLoop() {
	for {
		select {
		case <-d.pressure:
			if err := d.relieve(); err != nil {
				d.flushFailed(err)
			}
		case <-d.stop:
			return
		}
	}
}

// relieve flushes shards until a quarter of the memory budget is in use, those
// first whose oldest record has waited longest: a slab is free only when all of
// its frames are in segments.
func (d *Disk) relieve() error {
	d.dirtyMu.Lock()
	list := d.dirty
	d.dirty = nil
	d.dirtyMu.Unlock()
	type aged struct {
		s     *shard
		group uint64
	}
	order := make([]aged, 0, len(list))
	for _, s := range list {
		s.mu.Lock()
		if all := s.mem.all(); len(all) > 0 && !s.deleted {
			order = append(order, aged{s, all[0].group})
		} else {
			s.dirty = false
		}
		s.mu.Unlock()
	}
	slices.SortFunc(order, func(a, b aged) int { return int(int64(a.group - b.group)) })
	var first error
	for i, a := range order {
		if d.arena.used.Load() <= d.arena.budget/4 || first != nil {
			d.dirtyMu.Lock()
			for _, rest := range order[i:] {
				d.dirty = append(d.dirty, rest.s)
			}
			d.dirtyMu.Unlock()
			return first
		}
		a.s.mu.Lock()
		a.s.dirty = false
		a.s.mu.Unlock()
		first = a.s.flush()
		a.s.mu.Lock()
		if len(a.s.mem.all()) > 0 && !a.s.dirty {
			a.s.dirty = true
			d.addDirty(a.s)
		}
		a.s.mu.Unlock()
	}
	return first
}
