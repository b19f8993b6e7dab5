package logs

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/rheostream/rheo/internal/companion/logs/pattern"
	"github.com/rheostream/rheo/internal/shardlog"
)

// A search is what a call wants of a group's events.
type search struct {
	log     *groupLog
	streams func(number uint64) (name string, wanted bool)
	some    []uint64 // the numbers of the streams that are wanted; nil if there may be many
	from    int64    // events of this time and later, ms
	to      int64    // and before this one
	match   *pattern.Pattern
	limit   int // events of a page
}

// A found event is one of a page.
type found struct {
	position
	stream  string
	arrival int64 // ms
	message string
}

const (
	pageBytes = 1 << 20 // of the events of a page, each with its overhead
	pageMax   = 10_000  // events of a page

	// windowBytes is how much of the log one call reads: the chunks of a window that
	// can have what is wanted.
	windowBytes = 64 << 20
)

// A span is a part of the log that can have what is wanted.
type span struct {
	from, to    shardlog.Offset
	least, most int64
	bytes       int64
}

// read reads one page from a cursor. It returns the events in the order of their
// times, and the cursor moved on behind them, in its direction; more says that
// there may be others behind it now. start is the cursor of the page's other end.
// A page of no events with more was as much as one call reads.
func (s *Service) read(ctx context.Context, w *search, c cursor) (events []found, next, start cursor, more bool, err error) {
	budget, forged := s.window, false
	start = c
	for {
		var spans []span
		end := shardlog.Offset(0)
		err := s.logs.look(ctx, w.log, func(x *index) {
			if end = x.next; c.end > 0 {
				end = min(end, c.end)
			}
			given := c.opened
			if !given {
				c.open(w, x, end, s.window)
			}
			spans = w.spans(x, &c)
			if given && total(spans) > 2*s.window+4*x.grain+8<<20 {
				forged = true // or of a search for something else
			}
		})
		if err != nil {
			return nil, c, c, false, err
		}
		if forged {
			return nil, c, c, false, badToken
		}
		p := &page{search: w, cursor: c}
		if err := s.fill(ctx, p, spans, &budget); err != nil {
			return nil, c, c, false, err
		}
		events := p.sorted()
		exhausted := !p.cut
		switch {
		case len(events) > 0:
			start, next := c, c
			start.backward, next.inside, start.inside = !c.backward, true, true
			first, last := events[0].position, events[len(events)-1].position
			if c.backward {
				first, last = last, first
			}
			start.at, next.at = first, last
			if !c.inside { // the page begins where the window does
				start = cursor{backward: !c.backward, lo: c.hi, hi: c.lo, end: c.end}
			}
			if exhausted {
				next = c.beyond()
			}
			return events, next, start, !exhausted || next.left(end), nil
		case !c.beyond().left(end):
			return nil, c.beyond(), start, false, nil
		}
		c = c.beyond()
		if budget <= 0 {
			return nil, c, start, true, nil
		}
	}
}

// beyond is the cursor behind a window.
func (c cursor) beyond() cursor {
	return cursor{backward: c.backward, lo: c.hi, hi: c.lo, end: c.end}
}

// turned is the cursor that reads the other way from where c is, with the event
// that c is behind.
func (c cursor) turned() cursor {
	t := c
	t.backward = !c.backward
	if !c.opened {
		t.lo, t.hi = c.hi, c.lo
	}
	switch {
	case !c.inside:
	case t.backward:
		t.at.place++
	case t.at.place > 0:
		t.at.place--
	default:
		t.at.offset--
		t.at.place = math.MaxUint32
	}
	return t
}

// left says whether a cursor between windows has any of the log before it.
func (c cursor) left(end shardlog.Offset) bool {
	if c.backward {
		return c.hi > 1
	}
	return c.lo < end
}

// open opens the next window: it takes in chunks up to the log's end, or its
// beginning, or until those that can have what is wanted are as many bytes.
func (c *cursor) open(w *search, x *index, end shardlog.Offset, bytes int64) {
	c.opened = true
	sum := int64(0)
	take := func(ch *chunk) bool {
		if !w.wants(ch) {
			return true
		}
		sum += ch.bytes
		return sum <= bytes || sum == ch.bytes
	}
	if !c.backward {
		c.hi = max(end, c.lo)
		for i := x.at(c.lo); i < len(x.chunks) && x.chunks[i].first < end; i++ {
			if !take(&x.chunks[i]) {
				c.hi = x.chunks[i].first
				break
			}
		}
		return
	}
	c.lo = 1
	if c.hi > end {
		c.hi = end
	}
	for i := min(x.at(c.hi), len(x.chunks)-1); i >= 0; i-- {
		if ch := &x.chunks[i]; ch.first < c.hi && !take(ch) {
			c.lo = ch.next
			break
		}
	}
}

// at is the chunk that an offset is in, or the first behind it.
func (x *index) at(offset shardlog.Offset) int {
	i, _ := slices.BinarySearchFunc(x.chunks, offset, func(c chunk, o shardlog.Offset) int {
		return sign(c.next <= o)
	})
	return i
}

// wants says whether a chunk can have what is wanted.
func (w *search) wants(c *chunk) bool {
	return c.most >= w.from && c.least < w.to && (w.some == nil || slices.ContainsFunc(w.some, c.streams.has))
}

// spans are the parts of an open window that can have what is wanted and has not
// been read, those first that come first.
func (w *search) spans(x *index, c *cursor) (spans []span) {
	for i := x.at(c.lo); i < len(x.chunks) && x.chunks[i].first < c.hi; i++ {
		ch := &x.chunks[i]
		switch {
		case !w.wants(ch),
			c.inside && !c.backward && (ch.most < c.at.at || ch.most == c.at.at && uint64(ch.next) <= c.at.offset),
			c.inside && c.backward && (ch.least > c.at.at || ch.least == c.at.at && uint64(ch.first) > c.at.offset):
			continue
		}
		spans = append(spans, span{max(ch.first, c.lo), min(ch.next, c.hi), ch.least, ch.most, ch.bytes})
	}
	slices.SortFunc(spans, func(a, b span) int {
		if c.backward {
			return cmp.Or(cmp.Compare(b.most, a.most), cmp.Compare(b.from, a.from))
		}
		return cmp.Or(cmp.Compare(a.least, b.least), cmp.Compare(a.from, b.from))
	})
	return spans
}

func total(spans []span) (bytes int64) {
	for _, sp := range spans {
		bytes += sp.bytes
	}
	return bytes
}

// fill puts into a page what belongs there of some spans.
func (s *Service) fill(ctx context.Context, p *page, spans []span, budget *int64) error {
	for _, sp := range spans {
		if !p.reaches(sp) {
			continue
		}
		*budget -= sp.bytes
		_, err := readRecords(ctx, p.log.shard, sp.from, sp.to, func(r *shardlog.Record, rec *record) (bool, error) {
			return true, s.pick(p, r, rec)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// pick puts into a page what belongs there of a record.
func (s *Service) pick(p *page, r *shardlog.Record, rec *record) error {
	if rec.most < p.from || rec.least >= p.to || !p.reaches(span{from: r.Offset, to: r.Offset + 1, least: rec.least, most: rec.most}) {
		return nil
	}
	name, wanted := p.streams(rec.stream)
	if !wanted {
		return nil
	}
	return rec.events(s.sealer, func(place uint32, at int64, message []byte) bool {
		if at < p.from || at >= p.to {
			return true
		}
		pos := position{at, uint64(r.Offset), place}
		if p.takes(pos) && (p.match == nil || p.match.Match(message)) {
			p.add(found{pos, name, r.Arrival, string(message)})
		}
		return true
	})
}

// A page collects the first events of a window behind a cursor, the last ones
// before it if that goes backward: as many as there are, up to its limits. What
// comes in is in any order.
type page struct {
	*search
	cursor cursor
	events []found // a heap, of which the first is the one to go first
	bytes  int
	cut    bool     // the window has more
	bound  position // if cut: nothing behind this belongs to the page
}

// before says whether p comes before q in the direction of reading.
func (c *cursor) before(p, q position) bool {
	if c.backward {
		p, q = q, p
	}
	return p.compare(q) < 0
}

// takes says whether an event at a position belongs to the page, as far as is known.
func (p *page) takes(at position) bool {
	return (!p.cursor.inside || p.cursor.before(p.cursor.at, at)) && (!p.cut || p.cursor.before(at, p.bound))
}

// reaches says whether a span can have anything for the page.
func (p *page) reaches(sp span) bool {
	if !p.cut {
		return true
	}
	if p.cursor.backward { // of events of one time those that came later come first
		return sp.most > p.bound.at || sp.most == p.bound.at && uint64(sp.to) > p.bound.offset
	}
	return sp.least < p.bound.at || sp.least == p.bound.at && uint64(sp.from) <= p.bound.offset
}

func (f *found) size() int { return len(f.message) + eventOverhead }

func (p *page) add(f found) {
	p.push(f)
	p.bytes += f.size()
	for len(p.events) > p.limit || p.bytes > pageBytes && len(p.events) > 1 {
		last := p.pop()
		p.bytes -= last.size()
		p.cut, p.bound = true, last.position
	}
}

// push and pop keep the heap: pop takes the event that comes last.
func (p *page) push(f found) {
	h := append(p.events, f)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !p.cursor.before(h[up].position, h[i].position) {
			break
		}
		h[up], h[i] = h[i], h[up]
		i = up
	}
	p.events = h
}

func (p *page) pop() found {
	h := p.events
	last := h[0]
	n := len(h) - 1
	h[0], h[n] = h[n], found{}
	h = h[:n]
	for i := 0; ; {
		down := 2*i + 1
		if down >= n {
			break
		}
		if down+1 < n && p.cursor.before(h[down].position, h[down+1].position) {
			down++
		}
		if !p.cursor.before(h[i].position, h[down].position) {
			break
		}
		h[i], h[down] = h[down], h[i]
		i = down
	}
	p.events = h
	return last
}

// sorted are the events in the order of their times.
func (p *page) sorted() []found {
	slices.SortFunc(p.events, func(a, b found) int { return a.position.compare(b.position) })
	return p.events
}

// times are the bounds that a call sets, and those that the group's retention does.
func (s *Service) times(d *groupDoc, start, end *int64) (from, to int64) {
	from, to = s.expired(d), math.MaxInt64
	if start != nil {
		from = max(from, *start)
	}
	if end != nil {
		to = *end
	}
	return from, to
}

// expired is the time before which a group's events have expired.
func (s *Service) expired(d *groupDoc) int64 {
	if d.Days == 0 {
		return d.Floor
	}
	return max(d.Floor, s.now().UnixMilli()-int64(d.Days)*dayMillis)
}

const dayMillis = 24 * 60 * 60 * 1000
