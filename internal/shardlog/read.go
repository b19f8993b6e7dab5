package shardlog

import (
	"context"
	"errors"
	"slices"
	"sort"
)

const readFirst = 64 << 10 // bytes of a Read's first look into a segment; then twice as many each time

// gather collects raw, verified frames for a Read in the batch's memory.
type gather struct {
	b          *Batch
	recordsMax int
	bytesMax   int
	whole      bool // not even records that a repair gave up may be left out
	records    int
	bytes      int
	next       uint64 // offset to go on at
	spans      []span // of b.Buf that hold frames to return
	full       bool   // a limit is reached; next is a record that was left out
	nextAt     int64  // its arrival
}

type span struct{ from, to int }

// take asks whether one more record with n bytes of payload fits.
func (g *gather) take(n int) bool {
	if g.records > 0 && (g.records >= g.recordsMax || g.bytes+n > g.bytesMax) {
		return false
	}
	g.records++
	g.bytes += n
	return true
}

// Read fills b: from segments, with every frame verified, then from memory. A
// flush in between moves frames from here to there; so each step looks again
// where the next offset is.
func (s *shard) Read(ctx context.Context, from Offset, maxRecords, maxBytes int, b *Batch) error {
	g := gather{b: b, recordsMax: max(maxRecords, 1), bytesMax: max(maxBytes, 0), spans: b.spans[:0]}
	defer func() { b.spans = g.spans[:0] }()
	b.Records, b.Buf, b.marks = b.Records[:0], b.Buf[:0], b.marks[:0]
	b.Next, b.NextArrival, b.End = from, 0, false
	g.next = uint64(max(from, 1))

	cut := int64(0)
	for first := true; ; first = false {
		if err := ctx.Err(); err != nil {
			return err
		}
		if s.d.closed.Load() {
			return ErrClosed
		}
		s.mu.Lock()
		if s.deleted {
			s.mu.Unlock()
			return ErrNotFound
		}
		if first {
			cut = s.horizon(s.d.clock.Now())
			g.next = max(g.next, s.trim)
			g.whole = s.retention == 0
		}
		next, _ := s.durableNext()
		if g.next >= next {
			b.End = s.sealed && next > s.end
			s.mu.Unlock()
			break
		}
		if v, ok := s.segmentOf(g.next); ok {
			s.mu.Unlock()
			if err := s.gatherSegment(&g, v); err != nil {
				if errors.Is(err, errNotExist) {
					continue // expired under our hands
				}
				return err
			}
		} else {
			s.gatherMemory(&g) // unlocks
		}
		if !g.full && g.records == 0 {
			continue // only a gap here
		}
		if cut > 0 && g.records > 0 && !g.inView(cut) {
			// The first of them is out of view already: start at the first that is not.
			at, err := s.find(cut)
			if err != nil {
				return err
			}
			cut = 0
			g = gather{b: b, recordsMax: g.recordsMax, bytesMax: g.bytesMax, whole: g.whole, spans: g.spans[:0], next: at}
			b.Buf = b.Buf[:0]
			continue
		}
		cut = 0
		if g.full {
			b.NextArrival = g.nextAt
			break
		}
	}
	b.Next = max(from, Offset(g.next))
	for _, sp := range g.spans {
		for raw := b.Buf[sp.from:sp.to]; len(raw) > 0; {
			fr, err := sliceFrame(raw[:frameLength(raw):frameLength(raw)])
			if err != nil {
				return err
			}
			b.Records = append(b.Records, Record{})
			fr.record(&b.Records[len(b.Records)-1], &b.marks)
			raw = raw[fr.size:]
		}
	}
	return nil
}

// inView tells whether the first gathered record arrived at cut or later.
func (g *gather) inView(cut int64) bool {
	return int64(le.Uint64(g.b.Buf[g.spans[0].from+offArrival:])) >= cut
}

// plausible bounds an arrival that was read without its frame's checksum.
func (s *shard) plausible(arrival int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(min(arrival, s.lastArrival), 1)
}

// gatherMemory copies frames from g.next on out of memory. It is called with mu
// held and lets go of it before it copies: a reference keeps each slab meanwhile.
func (s *shard) gatherMemory(g *gather) {
	runs := s.visible()
	runs = runs[sort.Search(len(runs), func(i int) bool { return runs[i].last >= g.next }):]
	if len(runs) == 0 {
		// Only offsets that were used up before a restart and left nothing behind.
		g.next, _ = s.durableNext()
	}
	n, bytes, count := 0, 0, 0
	for n < len(runs) && (n == 0 || count < g.recordsMax-g.records && bytes < g.bytesMax-g.bytes) {
		bytes += int(runs[n].size)
		count += int(runs[n].count)
		n++
	}
	rest := int64(0)
	if n < len(runs) && !(s.sealed && runs[n].first == s.end) {
		rest = runs[n].arrival
	}
	held := append(g.b.runs[:0], runs[:n]...)
	for i := range held {
		held[i].slab.ref()
	}
	end, sealed := s.end, s.sealed
	s.mu.Unlock()
	b := g.b
	b.Buf = slices.Grow(b.Buf, min(bytes, g.bytesMax+frameBytesMax))
	for i := range held {
		r := &held[i]
		if !g.full && !(sealed && r.first == end) {
			g.copyRun(r)
		} else if sealed && r.first == end && !g.full {
			g.next = end + 1
		}
		r.slab.unref()
	}
	clear(held)
	b.runs = held[:0]
	if !g.full && rest != 0 && (g.records >= g.recordsMax || g.bytes >= g.bytesMax) {
		g.full, g.nextAt = true, rest
	}
}

// copyRun copies a run's frames from g.next on, as far as the limits allow.
func (g *gather) copyRun(r *run) {
	raw := r.bytes()
	for len(raw) > 0 && le.Uint64(raw[offSeq:]) < g.next {
		raw = raw[le.Uint32(raw[offLength:]):]
	}
	used := 0
	for used < len(raw) {
		f := raw[used:]
		f = f[:le.Uint32(f[offLength:])]
		if !g.take(framePayload(f)) {
			g.full, g.nextAt = true, r.arrival
			break
		}
		used += len(f)
		g.next = le.Uint64(f[offSeq:]) + 1
	}
	if g.full && used < len(raw) {
		g.next = le.Uint64(raw[used+offSeq:])
	}
	if used == 0 {
		return
	}
	from := len(g.b.Buf)
	g.b.Buf = append(g.b.Buf, raw[:used]...)
	if k := len(g.spans); k > 0 && g.spans[k-1].to == from {
		g.spans[k-1].to += used
	} else {
		g.spans = append(g.spans, span{from, from + used})
	}
}

// Find returns the first visible record that arrived at ms or later.
func (s *shard) Find(ctx context.Context, ms int64) (Offset, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	ms = max(ms, s.horizon(s.d.clock.Now()))
	trim := s.trim
	s.mu.Unlock()
	at, err := s.find(ms)
	return Offset(max(at, trim, 1)), err
}

func (s *shard) find(ms int64) (uint64, error) {
	for {
		if s.d.closed.Load() {
			return 0, ErrClosed
		}
		s.mu.Lock()
		if s.deleted {
			s.mu.Unlock()
			return 0, ErrNotFound
		}
		next, _ := s.durableNext()
		none := next // where the marker is, there is no record
		if s.sealed && next > s.end {
			none = s.end
		}
		i := sort.Search(len(s.segments), func(i int) bool { return s.segments[i].lastAt >= ms })
		for i < len(s.segments) && s.segments[i].size == 0 {
			i++
		}
		if i == len(s.segments) {
			at := next
			runs := s.visible()
			if k := sort.Search(len(runs), func(k int) bool { return runs[k].arrival >= ms }); k < len(runs) {
				at = runs[k].first
			}
			s.mu.Unlock()
			if at >= none {
				at = next
			}
			return at, nil
		}
		v := s.viewOf(i)
		s.mu.Unlock()
		at, err := s.findIn(v, ms)
		if errors.Is(err, errNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if at >= none {
			at = next
		}
		return at, nil
	}
}
