package mapping

import (
	"errors"
	"slices"

	"github.com/rheostream/rheo/internal/companion/lambda/mapping/pattern"
)

// take deals an answer's records to the lanes. An error is that the shard cannot be read on.
func (s *shard) take(a *answer) error {
	switch {
	case errors.Is(a.err, ErrShardGone):
		// What was not read expired with it.
		s.m.fault(s.id, a.err)
		s.atEnd = true
		for i := range s.lanes {
			s.lanes[i].lossy, s.lanes[i].marks = false, nil
		}
		return nil
	case a.err != nil && s.ctx.Err() != nil:
		return nil
	case a.err != nil:
		return a.err
	}
	if len(s.lanes) == 1 {
		s.lanes[0].queue = slices.Grow(s.lanes[0].queue, len(a.records))
	}
	var counts Counts
	free := int64(0)
	for i := range a.records {
		p := &a.records[i]
		p.before, s.last = s.last, p.SequenceNumber
		if isNew := s.high.less(s.last); isNew {
			s.high = s.last
			counts.PolledEvents++
		}
		kept, dropped := s.deal(p)
		if !kept {
			free += p.held()
		}
		if dropped {
			counts.FilteredOutEvents++
		}
	}
	s.m.engine.budget.release(free)
	for i := range s.lanes {
		if l := &s.lanes[i]; !l.lossy && l.readTo.less(s.last) {
			l.readTo = s.last
		}
	}
	s.atEnd, s.tip = a.atEnd, a.tip
	if len(a.records) > 0 {
		s.soft = s.soft || !s.dirty
		s.dirty = true
		s.m.services.Observer.Count(s.m.cfg.UUID, counts)
	}
	return nil
}

// deal gives a record to its lane, unless the lane has had it, the filter drops it, or
// the lane is blocked and has no room.
func (s *shard) deal(p *pending) (kept, dropped bool) {
	l := &s.lanes[laneOf(p.PartitionKey, len(s.lanes))]
	seq := p.SequenceNumber
	if !l.readTo.less(seq) || l.lossy || s.doneBefore(p) {
		return false, false
	}
	if !s.m.passes(s.id, p) {
		l.readTo = seq
		return false, true
	}
	if l.blocked && l.full() {
		l.lossy = true
		return false, false
	}
	if len(s.lanes) > 1 || !s.m.filters.Empty() {
		p.Data = slices.Clone(p.Data) // so that it does not keep all of the answer
	}
	l.push(p)
	l.readTo = seq
	return true, false
}

// doneBefore says whether a lane of another factor had done the record.
func (s *shard) doneBefore(p *pending) bool {
	if s.old == nil {
		return false
	}
	if far := slices.MaxFunc(s.old, compare); far.less(p.SequenceNumber) {
		s.old = nil
		return false
	}
	return !s.old[laneOf(p.PartitionKey, len(s.old))].less(p.SequenceNumber)
}

func compare(a, b SequenceNumber) int {
	switch {
	case a.less(b):
		return -1
	case b.less(a):
		return 1
	}
	return 0
}

// passes applies the mapping's filters.
func (m *Mapping) passes(id ShardID, p *pending) bool {
	if m.filters.Empty() {
		return true
	}
	return m.filters.Match(&pattern.Event{
		Constants: &m.constants, ShardID: string(id), PartitionKey: p.PartitionKey, SequenceNumber: string(p.SequenceNumber),
		Arrival: string(appendSeconds(nil, p.Arrival)), Data: p.Data,
	})
}
