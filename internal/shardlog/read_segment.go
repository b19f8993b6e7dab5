package shardlog

import (
	"errors"
	"fmt"
	"slices"
	"sort"
)

// segmentView is a segment as it was at one moment: what is behind size is none
// of the reader's business.
type segmentView struct {
	*segment
	bytes  int64
	upTo   uint64       // last offset in bytes
	active *activeIndex // nil if the segment is sealed
}

// viewOf is the view of the i-th segment. Called with mu held.
func (s *shard) viewOf(i int) segmentView {
	g := s.segments[i]
	v := segmentView{segment: g, bytes: g.size, upTo: g.last}
	if i == len(s.segments)-1 {
		x := g.index
		v.active = &x
	}
	return v
}

// segmentOf returns the segment that holds offset seq or the first one after
// it; false if the frame is in memory. Called with mu held.
func (s *shard) segmentOf(seq uint64) (v segmentView, ok bool) {
	k := len(s.segments)
	if k == 0 || seq > s.segments[k-1].last {
		return v, false
	}
	return s.viewOf(sort.Search(k, func(i int) bool { return s.segments[i].last >= seq })), true
}

// entries returns an index of a segment.
func (s *shard) entries(v segmentView) ([]indexEntry, error) {
	if v.active == nil {
		return s.d.loadIndex(s.ref, v.segment, v.bytes)
	}
	if v.active.whole() {
		return v.active.entries, nil
	}
	// After a restart: read what was written before it, once.
	head, _, whole, err := s.d.buildIndex(s.ref, v.segment, v.active.from, v.upTo)
	if err != nil {
		return nil, err
	}
	all := append(head, v.active.entries...)
	s.mu.Lock()
	if g := v.segment; whole && g.index.from == v.active.from && len(g.index.entries) >= len(v.active.entries) {
		g.index = activeIndex{entries: append(head[:len(head):len(head)], g.index.entries...)}
	}
	s.mu.Unlock()
	return all, nil
}

// segmentReader gathers frames of one segment, each verified. Bytes are read to
// the end of the batch's buffer, good frames stay there and become a span.
type segmentReader struct {
	*gather
	s      *shard
	v      segmentView
	h      *handle
	at     int64 // place in the file of the first byte not yet parsed
	start  int   // and in the buffer
	from   int   // of the span, in the buffer
	seen   uint64
	seenAt int64 // arrival of seen, 0 before the first
	step   int64 // bytes of the next look
}

// gatherSegment reads frames from g.next on out of a segment.
func (s *shard) gatherSegment(g *gather, v segmentView) error {
	entries, err := s.entries(v)
	if err != nil {
		return err
	}
	h, err := s.d.files.open(v.path)
	if err != nil {
		return err
	}
	defer h.release()
	r := segmentReader{gather: g, s: s, v: v, h: h, seen: v.base - 1, step: readFirst, start: len(g.b.Buf), from: len(g.b.Buf)}
	if g.recordsMax > 1000 {
		r.step = min(max(int64(g.bytesMax), readFirst), 1<<20)
	}
	if len(entries) > 0 {
		if e := entries[placeOf(entries, g.next)]; e.seq <= g.next {
			r.at, r.seen = e.at, e.seq-1
		}
	}
	for r.at < v.bytes {
		if done, err := r.fill(); done || err != nil {
			return err
		}
		if done, err := r.parse(); done || err != nil {
			return err
		}
		if r.at < v.bytes && g.enough() {
			if done, err := r.peek(); done || err != nil {
				return err
			}
		}
	}
	if r.seen < v.upTo { // it is cut short, or the one behind it is missing
		if done, err := r.pass(gap{at: v.bytes, end: v.bytes, from: r.seen + 1, to: v.upTo}); done || err != nil {
			return err
		}
	}
	r.end()
	g.next = max(g.next, v.upTo+1)
	return nil
}

// enough tells whether a limit is reached, so that no further record fits.
func (g *gather) enough() bool { return g.records >= g.recordsMax || g.bytes >= g.bytesMax }

// fill reads the next bytes.
func (r *segmentReader) fill() (done bool, err error) {
	b := r.b
	have := int64(len(b.Buf) - r.start)
	n := min(r.step, r.v.bytes-r.at-have)
	if n <= 0 {
		return false, nil
	}
	b.Buf = slices.Grow(b.Buf, int(n))
	k, err := r.h.f.ReadAt(b.Buf[len(b.Buf):len(b.Buf)+int(n)], r.at+have)
	b.Buf = b.Buf[:len(b.Buf)+k]
	if err != nil && !isEOF(err) {
		return false, fmt.Errorf("cannot read %s: %w", r.v.path, err)
	}
	if k < int(n) && have+int64(k) == 0 {
		// The file ends where there should be more.
		return r.pass(gap{at: r.at, end: r.v.bytes, from: r.seen + 1, to: r.v.upTo})
	}
	r.step = min(2*r.step, 4<<20)
	return false, nil
}

// parse takes the frames that are wholly there. It is done when a limit or the
// shard's end is reached.
func (r *segmentReader) parse() (done bool, err error) {
	b := r.b
	for r.start < len(b.Buf) {
		fr, err := parseFrame(b.Buf[r.start:])
		if err == errFrameShort && r.at+int64(len(b.Buf)-r.start) < r.v.bytes {
			n := int64(frameLength(b.Buf[r.start:]))
			if size, err := r.h.f.Size(); err != nil {
				return false, err
			} else if r.at+max(n, frameFixed) <= size {
				r.step = max(r.step, n)
				return false, nil
			}
		}
		if err != nil || fr.ref != r.s.ref || fr.seq <= r.seen {
			return r.damaged()
		}
		switch {
		case fr.seq < r.next: // still on the way from the index's place
			r.from = r.start + fr.size
		case fr.flags&flagHole != 0:
			lost := gap{at: r.at, end: r.at + int64(fr.size), from: max(fr.holeFrom(), r.seen+1), to: fr.seq}
			if r.whole {
				return r.pass(lost)
			}
			r.skip(lost)
			continue
		case fr.flags&flagEnd != 0:
			r.end()
			r.next = fr.seq + 1
			return true, nil
		case !r.take(len(fr.key) + len(fr.data)):
			r.stop(fr.seq, fr.arrival)
			return true, nil
		}
		r.seen, r.seenAt = fr.seq, fr.arrival
		r.start += fr.size
		r.at += int64(fr.size)
	}
	return false, nil
}

// damaged finds out how far the damage goes whose first frame is not good.
func (r *segmentReader) damaged() (done bool, err error) {
	g, err := resync(r.h.f, r.s.ref, r.at, r.v.bytes, r.seen, r.v.upTo)
	if err != nil {
		return false, fmt.Errorf("cannot read %s: %w", r.v.path, err)
	}
	return r.pass(g)
}

// pass goes on behind lost records if none of them is wanted. If they are, it
// ends the Read before them, or if there is nothing before them fails with them.
func (r *segmentReader) pass(lost gap) (done bool, err error) {
	switch {
	case r.next > lost.to:
		r.skip(lost)
		return false, nil
	case r.records > 0:
		// What came before is good; the next Read reports the damage.
		r.stop(max(r.seen+1, r.next), max(r.seenAt, r.v.baseArrival, 1))
		return true, nil
	}
	e := &DamagedError{
		Shard: r.s.id, From: Offset(max(lost.from, r.next)), To: Offset(lost.to), Where: lost.where(r.v.path),
	}
	r.s.d.damaged(*e)
	return false, e
}

// skip goes on behind lost records.
func (r *segmentReader) skip(lost gap) {
	r.closeSpan()
	if n := lost.end - r.at; n < int64(len(r.b.Buf)-r.start) {
		r.start += int(n)
		r.from = r.start
	} else {
		r.b.Buf = r.b.Buf[:r.start]
	}
	r.at, r.seen = lost.end, lost.to
	r.next = max(r.next, lost.to+1)
}

// peek looks at what follows when nothing more fits. Of that only the arrival is
// wanted, and its header says it.
func (r *segmentReader) peek() (done bool, err error) {
	var head [frameFixed]byte
	if _, err := r.h.f.ReadAt(head[:], r.at); err != nil && !isEOF(err) {
		return false, fmt.Errorf("cannot read %s: %w", r.v.path, err)
	}
	if head[offFlags]&flagEnd != 0 {
		return false, nil // to be verified before it is believed
	}
	r.stop(r.seen+1, r.s.plausible(int64(le.Uint64(head[offArrival:]))))
	return true, nil
}

// stop ends the Read before a record.
func (r *segmentReader) stop(next uint64, arrival int64) {
	r.end()
	r.next, r.full, r.nextAt = next, true, arrival
}

// end keeps the good frames and gives up what was read behind them.
func (r *segmentReader) end() {
	r.closeSpan()
	r.b.Buf = r.b.Buf[:r.start]
}

func (r *segmentReader) closeSpan() {
	if r.from < r.start {
		r.spans = append(r.spans, span{r.from, r.start})
		r.from = r.start
	}
}

// where names a gap in a file.
func (g *gap) where(path string) string {
	if g.at == g.end {
		return fmt.Sprintf("%s, missing at byte %d", path, g.at)
	}
	return fmt.Sprintf("%s, bytes %d to %d", path, g.at, g.end)
}

var errFound = errors.New("found") // ends a scan

// findIn returns the first offset in a segment that arrived at ms or later. When
// that may be one of damaged records, it is the first of them: a Read there says so.
func (s *shard) findIn(v segmentView, ms int64) (uint64, error) {
	entries, err := s.entries(v)
	if err != nil {
		return 0, err
	}
	at, seen := int64(0), v.base-1
	if len(entries) > 0 {
		e := entries[placeAt(entries, ms)]
		at, seen = e.at, e.seq-1
	}
	h, err := s.d.files.open(v.path)
	if err != nil {
		return 0, err
	}
	defer h.release()
	found, damage := v.upTo+1, uint64(0)
	err = scanPast(h.f, s.ref, at, v.bytes, seen, v.upTo, func(fr frame, _ []byte) error {
		switch {
		case fr.flags&flagHole != 0:
		case fr.arrival >= ms:
			found = fr.seq
			return errFound
		default:
			damage = 0
		}
		return nil
	}, func(lost gap) error {
		if damage == 0 {
			damage = lost.from
		}
		return nil
	})
	if err != nil && err != errFound {
		return 0, fmt.Errorf("cannot read %s: %w", v.path, err)
	}
	if damage > 0 {
		return damage, nil
	}
	return found, nil
}
