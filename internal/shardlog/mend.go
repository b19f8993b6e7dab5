package shardlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
)

// The part of a repair that mends segments. All of them are read. What is damaged
// is restored from the journal, if that still has the frames, recycled files
// included; else a copy of it goes to quarantine and holes take its place. Nothing behind
// what the checkpoint says is durable is touched here: verify sees to that.

// mend mends the segments of all shards.
func (r *recovery) mend() error {
	for _, ref := range r.refs() {
		if err := r.mendShard(r.shards[ref].s); err != nil {
			return fmt.Errorf("cannot repair shard %s: %w", r.shards[ref].s.id, err)
		}
	}
	return nil
}

func (r *recovery) refs() []uint32 {
	refs := make([]uint32, 0, len(r.shards))
	for ref := range r.shards {
		refs = append(refs, ref)
	}
	slices.Sort(refs)
	return refs
}

// mendShard mends a shard's segments up to what the checkpoint says of them.
func (r *recovery) mendShard(s *shard) error {
	if !s.saved.present {
		return nil
	}
	n := sort.Search(len(s.segments), func(i int) bool { return s.segments[i].base > s.saved.base })
	if n == 0 {
		// Nothing is left but what the checkpoint says of it, and perhaps what
		// was written since. If that does not follow, it is in the journal, too.
		if len(s.segments) > 0 && s.segments[0].base != s.saved.last+1 {
			if err := r.dropSegments(s, 0); err != nil {
				return err
			}
		}
		if len(s.segments) > 0 && s.trim > s.saved.last {
			g := s.segments[0]
			s.saved = saved{present: true, base: g.base, last: g.base - 1, lastAt: g.baseArrival}
			r.mended = true
			return nil
		}
		g, err := r.emptySegment(s)
		if err != nil {
			return err
		}
		s.segments = slices.Insert(s.segments, 0, g)
		n, r.mended = 1, true
	}
	for i, g := range s.segments[:n] {
		size, upTo := g.size, g.last
		if i == n-1 {
			upTo = s.saved.last
			if g.base == s.saved.base {
				size = min(size, s.saved.size)
			}
		}
		size, arrival, err := r.mendSegment(s, g, size, upTo)
		if err != nil {
			return err
		}
		if i == n-1 {
			lastAt := max(arrival, g.baseArrival)
			if g.last == upTo {
				lastAt = max(lastAt, g.lastAt) // as the name of the one behind it says
			}
			s.saved = saved{present: true, base: g.base, size: size, last: upTo, lastAt: max(lastAt, s.saved.lastAt)}
			g.size = max(g.size, size)
		} else {
			g.size = size
		}
	}
	return nil
}

// emptySegment makes the segment of a shard that has lost all of its own.
func (r *recovery) emptySegment(s *shard) (*segment, error) {
	d := r.d
	if err := d.fs.MkdirAll(d.shardDir(s.ref)); err != nil {
		return nil, err
	}
	if err := d.fs.SyncDir(d.shardsDir); err != nil {
		return nil, err
	}
	g := s.newSegment(max(s.trim, 1), 0)
	if g.base > s.saved.last {
		g = s.newSegment(s.saved.last+1, s.saved.lastAt)
	}
	f, err := d.fs.Create(g.path)
	if err != nil {
		return nil, err
	}
	s.dirMade = true
	return g, errors.Join(f.Close(), d.fs.SyncDir(d.shardDir(s.ref)))
}

// mendSegment mends the first size bytes of a segment, which should hold all up to
// an offset. It returns how many bytes these are now, and the last arrival in them.
func (r *recovery) mendSegment(s *shard, g *segment, size int64, upTo uint64) (newSize, lastAt int64, err error) {
	d := r.d
	h, err := d.files.open(g.path)
	if err != nil {
		return 0, 0, err
	}
	defer h.release()
	type wound struct {
		gap
		arrival int64 // of the last good record before it
	}
	var wounds []wound
	lastAt = g.baseArrival
	err = scanPast(h.f, s.ref, 0, size, g.base-1, upTo, func(fr frame, _ []byte) error {
		lastAt = fr.arrival
		return nil
	}, func(lost gap) error {
		wounds = append(wounds, wound{lost, lastAt})
		return nil
	})
	if err != nil || len(wounds) == 0 {
		return size, lastAt, err
	}
	r.mended = true
	// No index may point into what changes.
	d.indexes.forget(g.path)
	if err := d.fs.Remove(indexPath(g.path)); err != nil && !errors.Is(err, errNotExist) {
		return 0, 0, err
	}
	if err := d.fs.SyncDir(d.shardDir(s.ref)); err != nil {
		return 0, 0, err
	}
	for _, w := range wounds {
		end, arrival, err := r.mendGap(s, g, h, w.gap, w.end == size, w.arrival)
		if err != nil {
			return 0, 0, err
		}
		lastAt = max(lastAt, arrival)
		if w.end == size {
			size = end
		}
	}
	return size, lastAt, h.f.Sync()
}

// mendGap fills a gap with the frames that were there, as far as the journal has
// them, and holes for the rest. At the end of a segment it may need more bytes than
// are left. It returns where the gap ends now, and the last arrival in it.
func (r *recovery) mendGap(s *shard, g *segment, h *handle, x gap, atEnd bool, arrival int64) (end, lastAt int64, err error) {
	room := x.end - x.at
	if atEnd {
		room += r.d.cfg.SegmentBytes + frameBytesMax
	}
	have, err := r.fromJournal(s.ref, x.from, x.to, room)
	if err != nil {
		return 0, 0, err
	}
	where := x.where(g.path)
	if x.end > x.at {
		kept, err := r.quarantine(h.f, fmt.Sprintf("%08x-%s-%d", s.ref, filepath.Base(g.path), x.at), x.at, x.end)
		if err != nil {
			return 0, 0, err
		}
		where += ", copied to " + kept
	}
	end = x.at
	for _, p := range fillings(x, have, atEnd) {
		if p.raw != nil {
			_, err = h.f.WriteAt(p.raw, end)
			arrival = lastArrival(p.raw)
			r.d.log.Warn("damaged records of a segment are restored from the journal",
				"shard", s.id, "from", p.from, "to", p.to, "where", where)
		} else {
			err = writeHoles(h.f, end, p.size, s.ref, p.from, p.to, arrival)
			r.lost[s.ref] = append(r.lost[s.ref], DamagedError{Shard: s.id, From: Offset(p.from), To: Offset(p.to), Where: where})
		}
		if err != nil {
			return 0, 0, err
		}
		end += p.size
	}
	return end, arrival, nil
}

// lastArrival is the arrival of the last of some good frames.
func lastArrival(raw []byte) (ms int64) {
	for at := 0; at < len(raw); at += frameLength(raw[at:]) {
		ms = int64(le.Uint64(raw[at+offArrival:]))
	}
	return ms
}

// filling is a part of what takes a gap's place: frames, or a hole if raw is nil.
type filling struct {
	raw      []byte
	size     int64
	from, to uint64
}

// fillings says what takes the place of a gap. They are as long as the gap, but at
// the end of a segment, which may have been cut short, as long as they must be.
func fillings(x gap, have []filling, atEnd bool) []filling {
	room := x.end - x.at
	lost := []filling{{size: max(room, frameFixed), from: x.from, to: x.to}}
	if len(have) == 0 {
		return lost
	}
	size := int64(0)
	for _, f := range have {
		size += f.size
	}
	if size == room {
		return have // every byte is back
	}
	var all []filling
	hole, next := -1, x.from
	lose := func(to uint64) {
		if next <= to {
			hole = len(all)
			size += frameFixed
			all = append(all, filling{size: frameFixed, from: next, to: to})
		}
	}
	for _, f := range have {
		lose(f.from - 1)
		all = append(all, f)
		next = f.to + 1
	}
	lose(x.to)
	switch {
	case atEnd && size >= room:
		return all
	case hole < 0 || size > room:
		return lost // this cannot be what was there
	}
	all[hole].size += room - size
	return all
}

var errEnough = errors.New("enough")

// fromJournal collects the frames of a shard with offsets in [from, to], up to max
// bytes: those that follow each other in one piece, and a new piece where the
// journal may have lost some between.
func (r *recovery) fromJournal(ref uint32, from, to uint64, max int64) (have []filling, err error) {
	size, last, broken := int64(0), uint64(0), true
	for i, f := range r.live {
		broken = broken || i > 0 && f.head.prevUse != r.live[i-1].head.use
		err := f.visit(func(fr frame, raw []byte) error {
			if fr.ref != ref || fr.flags&flagControl != 0 || fr.seq < from || fr.seq > to || fr.seq <= last {
				return nil
			}
			if size += int64(len(raw)); size > max {
				return errEnough
			}
			if len(have) == 0 || broken && fr.seq > last+1 {
				have = append(have, filling{from: fr.seq})
			}
			h := &have[len(have)-1]
			h.raw, h.size, h.to = append(h.raw, raw...), h.size+int64(len(raw)), fr.seq
			last, broken = fr.seq, false
			return nil
		}, func() { broken = true })
		if err == errEnough {
			return have, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return have, nil
}

// visit hands over all frames of the groups that count, and says where some of
// them cannot be read.
func (f *liveFile) visit(each func(fr frame, raw []byte) error, lost func()) error {
	br := newBlockReader(f.f, f.size)
	br.pos = max(br.pos, f.start)
	for group := f.head.prevGroup + 1; group <= f.upTo; group++ {
		_, payload, err := br.next(f.head.gen, group)
		var bad *badBlock
		if errors.As(err, &bad) {
			lost()
			at, later, err := br.later(bad.at+int64(max(bad.size, blockAlign)), f.head.gen, group)
			if err != nil || later == 0 {
				return err
			}
			br.pos, group = at, later-1
			continue
		}
		if err != nil {
			return err
		}
		for at := 0; at < len(payload); {
			end := at + frameLength(payload[at:])
			fr, err := sliceFrame(payload[at:end:end])
			if err != nil {
				return err
			}
			if err := each(fr, payload[at:end]); err != nil {
				return err
			}
			at = end
		}
	}
	return nil
}
