package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/blob"
)

// Memory is the budget that reads are taken from while they are made, until their
// answers have been sent.
type Memory interface {
	// Reserve takes n bytes, or none and returns false.
	Reserve(n int64) bool
	Release(n int64)
}

// room is what one call holds of the memory. It is one goroutine's.
type room struct {
	memory     Memory // nil: unlimited
	held, used int64
}

// roomStep is how much is reserved at a time.
const roomStep = 256 << 10

// take makes room for n more bytes; false if there is none.
func (r *room) take(n int64) bool {
	if r.used += n; r.memory == nil || r.used <= r.held {
		return true
	}
	more := max(r.used-r.held, roomStep)
	if !r.memory.Reserve(more) {
		return false
	}
	r.held += more
	return true
}

// give gives back what was taken and is not needed any more.
func (r *room) give(n int64) { r.used -= n }

func (r *room) release() {
	if r.held > 0 {
		r.memory.Release(r.held)
		r.held = 0
	}
}

// sent has the memory given back once the answer has been sent.
func (r *room) sent(ctx context.Context) {
	if !rheo.Hold(ctx, r.release) {
		r.release()
	}
}

var errNoRoom = throttled("Rate exceeded: the server is answering as many bytes as it may. Ask for a shorter time, or try again.")

// A query asks for data of a metric.
type query struct {
	key    string // of the metric
	unit   int    // -1: any
	from   int64  // seconds; data before are not wanted, and periods count from it
	to     int64  // nor are these and later ones
	period int64
	spread bool // percentiles are wanted
}

// periods are summaries by the begin of their period.
type periods map[int64]*summary

// A reading reads for one call, which may have many queries: chunks of segments
// that they share are read once.
type reading struct {
	*Service
	ctx    context.Context
	room   room
	chunks map[chunkKey][]byte
	cached int64 // bytes in chunks
}

type chunkKey struct {
	*segment
	n int
}

// cachedMax bounds the chunks that a call keeps.
const cachedMax = 4 << 20

func (s *Service) newReading(ctx context.Context) *reading {
	return &reading{Service: s, ctx: ctx, room: room{memory: s.answers}, chunks: map[chunkKey][]byte{}}
}

// found is a series with what it has in memory for a query.
type found struct {
	id     uint32
	unit   byte
	points [len(tiers)][]point // copies
}

// look finds the series of a query, their data in memory, and the segments that
// have the rest: all of one moment.
func (s *store) look(q *query) (all []found, m *manifest) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	prefix := q.key + keyUnit
	s.series.Ascend(prefix, func(key string, sr *series) bool {
		if !strings.HasPrefix(key, prefix) {
			return false
		}
		f := found{id: sr.id, unit: key[len(key)-1]}
		if q.unit >= 0 && int(f.unit) != q.unit {
			return true
		}
		for t := range tiers {
			if tiers[t].width > q.period {
				break
			}
			for _, list := range [][]point{sr.frozen[t], sr.heads[t]} {
				for i := range list {
					if list[i].at >= q.from && list[i].at < q.to {
						f.points[t] = append(f.points[t], list[i])
					}
				}
			}
		}
		all = append(all, f)
		return true
	})
	return all, s.manifest
}

// read returns what there is for a query, by unit.
func (r *reading) read(q *query) (map[byte]periods, error) {
	for try := 0; ; try++ {
		out, err := r.readOnce(q)
		if !errors.Is(err, blob.ErrNotFound) || try == 5 {
			return out, err
		}
		// The segments that were listed have been replaced meanwhile.
	}
}

func (r *reading) readOnce(q *query) (map[byte]periods, error) {
	all, m := r.store.look(q)
	out := make(map[byte]periods, len(all))
	for i := range all {
		f := &all[i]
		got := periods{}
		out[f.unit] = got
		for t := range tiers {
			for j := range f.points[t] {
				if !r.add(got, q, &f.points[t][j]) {
					return nil, errNoRoom
				}
			}
		}
		for _, sg := range m.segments {
			if tiers[sg.tier].width > q.period || !sg.overlaps(q.from, q.to) {
				continue
			}
			if err := r.readSegment(got, q, sg, f.id); err != nil {
				return nil, err
			}
		}
		if len(got) == 0 {
			delete(out, f.unit)
		}
	}
	return out, nil
}

// periodCost is what a period takes in memory while a query is read, beside its values.
const periodCost = 160

// add adds a bucket to its period; false if there is no room.
func (r *reading) add(got periods, q *query, p *point) bool {
	if p.at < q.from || p.at >= q.to {
		return true
	}
	at := q.from + down(p.at-q.from, q.period)
	s, ok := got[at]
	if !ok {
		if !r.room.take(periodCost) {
			return false
		}
		s = new(summary)
		got[at] = s
	}
	if !q.spread {
		p.values, p.opaque = nil, p.opaque || p.values != nil
	}
	before := s.cost()
	s.add(&p.summary)
	return r.room.take(s.cost() - before)
}

// readSegment adds what a segment has of a series.
func (r *reading) readSegment(got periods, q *query, sg *segment, series uint32) error {
	n := sg.chunkOf(series)
	if n < 0 {
		return nil
	}
	body, err := r.chunk(sg, n)
	if err != nil {
		return err
	}
	for rest := (reader{rest: body}); len(rest.rest) > 0; {
		id, points := nextBlock(&rest)
		if rest.failed {
			return fmt.Errorf("%s: %w", sg.name, errDamaged)
		}
		if id < series {
			continue
		}
		if id > series {
			break
		}
		fits := true
		err := sg.eachPoint(points, func(p *point) { fits = fits && r.add(got, q, p) })
		if err == nil && !fits {
			err = errNoRoom
		}
		return err
	}
	return nil
}

// chunk reads a chunk, or has it from a query before.
func (r *reading) chunk(sg *segment, n int) ([]byte, error) {
	key := chunkKey{sg, n}
	if body, ok := r.chunks[key]; ok {
		return body, nil
	}
	size := sg.chunks[n].bytes
	if r.cached+size > cachedMax {
		clear(r.chunks)
		r.room.give(r.cached)
		r.cached = 0
	}
	if !r.room.take(size) {
		return nil, errNoRoom
	}
	body, err := sg.readChunk(r.ctx, r.blobs(), r.keeper.sealer, n)
	if err != nil {
		return nil, err
	}
	r.chunks[key] = body
	r.cached += size
	return body, nil
}

func (s *Service) blobs() blob.Store { return s.keeper.blobs }

// times are the begins of periods, in order.
func (p periods) times() []int64 { return slices.Sorted(maps.Keys(p)) }

// startOf is where a time begins that a caller asks for: the older it is, the
// coarser, as data are.
func startOf(start time.Time, now time.Time, period int64) int64 {
	at, age := start.Unix(), now.Sub(start)
	switch {
	case age > 63*24*time.Hour:
		return down(at, hour)
	case age > 15*24*time.Hour:
		return down(at, 300)
	case period < 60:
		return down(at, period)
	}
	return down(at, 60)
}

// endOf rounds up, so that a part of a second counts.
func endOf(end time.Time) int64 {
	at := end.Unix()
	if end.Nanosecond() > 0 {
		at++
	}
	return at
}

// validPeriod says whether data can be had in periods of so many seconds.
func validPeriod(p int32) bool {
	switch p {
	case 1, 5, 10, 20, 30:
		return true
	}
	return p > 0 && p%60 == 0
}

// periodMax is a period that is longer than anything is kept; it keeps sums in bounds.
const periodMax = 500 * day
