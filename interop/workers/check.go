package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/rheostream/rheo/interop/contents"
)

// A report is what workers did with the stream.
type report struct {
	sessions  int
	delivered int // records, repeated ones too
	repeated  int // after another worker, or an earlier session, had been given them
	faults    []string
}

const faultsMost = 50

func (r *report) fault(format string, args ...any) {
	if len(r.faults) < faultsMost {
		r.faults = append(r.faults, fmt.Sprintf(format, args...))
	}
}

func (r *report) String() string {
	return fmt.Sprintf("%d sessions, %d records delivered, %d of them again", r.sessions, r.delivered, r.repeated)
}

// progress is how far a shard has been read.
type progress struct {
	contents.Shard
	index      map[contents.Position]int
	highest    int // of the records that some session was given, -1 at first
	checkpoint int // of the records that were checkpointed, -1 at first
}

// next is the first record behind i that consumers must be given.
func (p *progress) next(i int) int {
	for i++; i < len(p.Records) && p.Records[i].Dropped; i++ {
	}
	return i
}

// whole says that all of the shard was delivered.
func (p *progress) whole() bool { return p.next(p.highest) == len(p.Records) }

// session is how far one session has read its shard.
type session struct {
	*progress
	from int // last record that it was given, -1 before its first
	over bool
}

// check compares what workers were given with what is in the stream:
//
//   - a session is given records of its shard, with their keys and bytes, each after
//     the one before it, none twice and none left out;
//   - it begins right behind a record that was delivered before, or at the start of
//     the shard, and not before a record that was checkpointed when it began;
//   - a child shard begins when its parents have been delivered to their end;
//   - records of one key are given for the first time in the order of the stream;
//   - every record is given at least once.
func check(shards []contents.Shard, events []event) *report {
	r := &report{}
	all := map[string]*progress{}
	for _, s := range shards {
		p := &progress{Shard: s, index: map[contents.Position]int{}, highest: -1, checkpoint: -1}
		for i, rec := range s.Records {
			p.index[rec.Position] = i
		}
		all[s.ID] = p
	}
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	sessions := map[[2]string]*session{}
	newest := map[string]contents.Position{} // of each key
	for _, e := range events {
		id := [2]string{e.worker, e.session}
		s := sessions[id]
		if e.kind == "start" {
			switch p := all[e.shard]; {
			case s != nil:
				r.fault("%s: session %s starts twice", e.worker, e.session)
			case p == nil:
				r.fault("%s: a session of %s, which is no shard", e.worker, e.shard)
			default:
				r.sessions++
				sessions[id] = &session{progress: p, from: -1}
			}
			continue
		}
		if s == nil {
			r.fault("%s: %s in session %s, which has not started", e.worker, e.kind, e.session)
			continue
		}
		switch e.kind {
		case "record":
			r.record(all, s, e, newest)
		case "checkpoint":
			if i, ok := s.index[e.pos]; ok {
				s.checkpoint = max(s.checkpoint, i)
			} else {
				r.fault("%s: checkpoint of %s at %v, where nothing is", e.worker, s.ID, e.pos)
			}
		case "ended":
			s.over = true
			if !s.whole() {
				r.fault("%s: %s ended with %d of %d records delivered", e.worker, s.ID, s.highest+1, len(s.Records))
			}
		case "lost":
			s.over = true
		}
	}
	for _, p := range shards {
		for i := all[p.ID].next(all[p.ID].highest); i < len(p.Records); i++ {
			if rec := p.Records[i]; !rec.Dropped {
				r.fault("never delivered: %s %s/%d of key %s", p.ID, rec.Sequence, rec.Sub, rec.Key)
			}
		}
	}
	return r
}

// record takes one delivery into account.
func (r *report) record(all map[string]*progress, s *session, e event, newest map[string]contents.Position) {
	r.delivered++
	i, ok := s.index[e.pos]
	if !ok {
		r.fault("%s: was given %v in a session of %s, where nothing is", e.worker, e.pos, s.ID)
		return
	}
	rec := s.Records[i]
	if rec.Key != e.key || rec.Data != e.data {
		r.fault("%s: %s %v is %.40q of key %s, was given as %.40q of key %s", e.worker, s.ID, e.pos, rec.Data, rec.Key, e.data, e.key)
	}
	// Records that consumers drop may be left out, but need not be.
	leavesOut := func(after int) bool { return i > s.next(after) }
	switch {
	case s.over:
		r.fault("%s: was given %s %v after the session was over", e.worker, s.ID, e.pos)
	case s.from < 0:
		if leavesOut(s.highest) {
			r.fault("%s: began %s at record %d, but only %d were delivered before", e.worker, s.ID, i, s.highest+1)
		}
		if i <= s.checkpoint {
			r.fault("%s: began %s at record %d, but %d was checkpointed", e.worker, s.ID, i, s.checkpoint)
		}
		for _, parent := range s.Parents {
			if p := all[parent]; p != nil && !p.whole() {
				r.fault("%s: began %s before its parent %s was delivered to its end", e.worker, s.ID, parent)
			}
		}
	case i <= s.from:
		r.fault("%s: was given record %d of %s after record %d", e.worker, i, s.ID, s.from)
	case leavesOut(s.from):
		r.fault("%s: was given record %d of %s right after record %d", e.worker, i, s.ID, s.from)
	}
	s.from = i
	if i <= s.highest {
		r.repeated++
		return
	}
	s.highest = i
	if rec.Dropped {
		return // its producer sends it again
	}
	if last, ok := newest[rec.Key]; ok && rec.Compare(last) < 0 {
		r.fault("%s: %s %v of key %s came after %v", e.worker, s.ID, e.pos, rec.Key, last)
		return
	}
	newest[rec.Key] = rec.Position
}

func sortByPosition(records []contents.Record) {
	slices.SortFunc(records, func(a, b contents.Record) int { return a.Compare(b.Position) })
}
