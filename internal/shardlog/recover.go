package shardlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"
)

// DamageReport is Open's error when acknowledged records are damaged. Each range
// says what is concerned, as far as the rest tells.
type DamageReport struct{ Ranges []DamagedError }

func (e *DamageReport) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d damaged ranges; open with repair to go on without them:", len(e.Ranges))
	for i := range e.Ranges {
		r := &e.Ranges[i]
		if r.Shard == "" {
			fmt.Fprintf(&b, "\n  %s", r.Where)
		} else {
			fmt.Fprintf(&b, "\n  shard %s, offsets %d to %d (%s)", r.Shard, r.From, r.To, r.Where)
		}
	}
	return b.String()
}

// recovery is the state of an Open.
type recovery struct {
	d      *Disk
	report DamageReport
	holes  []string // where something of the journal could not be read, in order
	shards map[uint32]*recovered
	// missing are shards of the checkpoint whose segments are not there. Those
	// that the journal deletes later on are none the worse for it.
	missing map[uint32]DamagedError

	lastAt   int64 // place of the last group of the last file
	lastSize int

	unreadable []*journalFile // their headers are damaged, or their making was cut short
}

// recovered is what a recovery knows of one shard.
type recovered struct {
	s       *shard
	checked bool   // its segments were verified up to their end
	seen    uint64 // last offset in segments or in the journal so far
	holes   int    // how many holes there were when it was seen
}

// recover brings the log to the state of the last group that was synced: the
// checkpoint, then all journal uses since, in order. Nothing that a previous
// recovery decided to drop comes back: it has started a file whose header says
// which group is the last that counts.
func (d *Disk) recover() error {
	r := &recovery{d: d, shards: map[uint32]*recovered{}, missing: map[uint32]DamagedError{}}
	ck, err := d.loadCheckpoint()
	if err != nil {
		return err
	}
	if ck == nil {
		ck = &checkpoint{replayFrom: 1, nextUse: 1, nextRef: 1}
	}
	if err := r.restore(ck); err != nil {
		return err
	}
	chain, err := r.openJournal(ck)
	if err != nil {
		return err
	}
	if err := r.replay(ck, chain); err != nil {
		return err
	}
	for ref, e := range r.missing {
		if r.shards[ref] != nil {
			r.report.Ranges = append(r.report.Ranges, e)
		}
	}
	for _, where := range r.holes {
		r.report.Ranges = append(r.report.Ranges, DamagedError{Where: where})
	}
	if len(r.report.Ranges) > 0 {
		if !d.cfg.Repair {
			return &r.report
		}
		for _, e := range r.report.Ranges {
			d.damaged(e)
		}
	}
	return r.finish(chain)
}

// restore makes the shards of the checkpoint.
func (r *recovery) restore(ck *checkpoint) error {
	d := r.d
	d.nextRef = ck.nextRef
	d.checkpoints = ck.number
	for i := range ck.shards {
		st := &ck.shards[i]
		s := d.newShard(st.ref, st.id)
		s.retention, s.floor, s.trim = st.retention, st.floor, st.trim
		s.next, s.lastArrival = st.next, st.lastArrival
		s.sealed, s.end = st.sealed, st.end
		s.saved, s.savedDurably = st.saved, st.saved.base
		s.flushed, s.flushedAt = st.saved.last, st.saved.lastAt
		if err := r.listSegments(s); err != nil {
			return err
		}
		d.byID[s.id], d.byRef[s.ref] = s, s
		r.shards[s.ref] = &recovered{s: s, seen: s.flushed}
	}
	return nil
}

// listSegments finds a shard's segments. Up to the one in the checkpoint they are
// taken as they are, that one up to its saved size; what follows is for verify.
func (r *recovery) listSegments(s *shard) error {
	d := r.d
	dir := d.shardDir(s.ref)
	names, err := d.fs.List(dir)
	if err != nil && !errors.Is(err, errNotExist) {
		return err
	}
	s.dirMade = err == nil
	for _, name := range names {
		base, arrival, ok := parseSegmentName(name)
		if strings.HasSuffix(name, ".tmp") {
			if err := d.fs.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
		if !ok {
			continue
		}
		g := s.newSegment(base, arrival)
		info, err := d.fs.Stat(g.path)
		if err != nil {
			return err
		}
		g.size = info.Size()
		s.segments = append(s.segments, g)
	}
	sort.Slice(s.segments, func(i, k int) bool { return s.segments[i].base < s.segments[k].base })
	// Only the newest may be empty. An older one is of a roll that failed half way
	// and says nothing of where the one before it ends. (From the checkpoint's
	// segment on it may be one whose records were not durable; verify sees to those.)
	full := s.segments[:0]
	for _, g := range s.segments {
		if g.size == 0 && s.saved.present && g.base < s.saved.base {
			if err := d.fs.Remove(g.path); err != nil {
				return err
			}
			continue
		}
		full = append(full, g)
	}
	s.segments = full
	for i, g := range s.segments {
		if i+1 < len(s.segments) {
			g.last, g.lastAt = s.segments[i+1].base-1, s.segments[i+1].baseArrival
		}
		if g.size > 0 {
			g.firstAt = g.baseArrival
		}
	}
	if !s.saved.present {
		return nil
	}
	i := slices.IndexFunc(s.segments, func(g *segment) bool { return g.base == s.saved.base })
	if i < 0 || s.segments[i].size < s.saved.size {
		r.missing[s.ref] = DamagedError{
			Shard: s.id, From: Offset(s.saved.base), To: Offset(s.saved.last),
			Where: filepath.Join(dir, segmentName(s.saved.base, 0)) + " is missing or cut short",
		}
		// For a repair: what is there is read anew.
		switch {
		case i >= 0:
			s.saved.size = s.segments[i].size
		case len(s.segments) > 0:
			g := s.segments[0]
			s.saved = saved{present: true, base: g.base, last: g.base - 1, lastAt: g.baseArrival}
		default:
			s.saved = saved{}
		}
	}
	return nil
}

// openJournal opens all journal files and returns those to replay, oldest first:
// the newest use, and its predecessors as the headers name them.
func (r *recovery) openJournal(ck *checkpoint) (chain []*journalFile, err error) {
	j := r.d.journal
	names, err := j.fs.List(j.dir)
	if err != nil {
		return nil, err
	}
	// A killed process may have made a file without having synced its name.
	if err := j.fs.SyncDir(j.dir); err != nil {
		return nil, err
	}
	byUse := map[uint64]*journalFile{}
	j.nextUse = max(ck.nextUse, ck.replayFrom, 1)
	var unreadable []*journalFile
	for _, name := range names {
		f := &journalFile{name: filepath.Join(j.dir, name)}
		if _, err := fmt.Sscanf(name, "%d.journal", &f.num); err != nil || name != journalName(f.num) {
			continue
		}
		if f.f, err = j.fs.Open(f.name); err != nil {
			return nil, err
		}
		if f.size, err = f.f.Size(); err != nil {
			return nil, err
		}
		f.size &^= blockAlign - 1
		j.files++
		j.nextNum = max(j.nextNum, f.num+1)
		head := make([]byte, fileHeaderBytes)
		if _, err := f.f.ReadAt(head, 0); err != nil && !isEOF(err) {
			return nil, fmt.Errorf("cannot read %s: %w", f.name, err)
		}
		f.head, err = parseFileHeader(head)
		switch {
		case f.size < 3*blockAlign: // its making was cut short
			j.files--
			f.f.Close()
			if err := j.fs.Remove(f.name); err != nil {
				return nil, err
			}
			continue
		case errors.Is(err, errFileHeader):
			unreadable = append(unreadable, f)
		case err != nil:
			return nil, fmt.Errorf("%s: %w", f.name, err)
		default:
			j.nextUse = max(j.nextUse, f.head.use+1)
			if f.head.use >= ck.replayFrom {
				byUse[f.head.use] = f
				continue
			}
			j.free = append(j.free, f)
		}
	}
	var newest *journalFile
	for _, f := range byUse {
		if newest == nil || f.head.use > newest.head.use {
			newest = f
		}
	}
	for f := newest; f != nil; {
		chain = append(chain, f)
		delete(byUse, f.head.use)
		p := byUse[f.head.prevUse]
		if f.head.prevUse >= ck.replayFrom && (p == nil || p.head.gen != f.head.prevGen) {
			r.hole(fmt.Sprintf("%s continues use %d of a journal file, which is missing", f.name, f.head.prevUse))
			p = nil
			for _, q := range byUse { // the newest one below it
				if q.head.use < f.head.prevUse && (p == nil || q.head.use > p.head.use) {
					p = q
				}
			}
		}
		f = p
	}
	slices.Reverse(chain)
	// The rest was given up after a failed sync, or never held anything.
	for _, f := range byUse {
		j.free = append(j.free, f)
	}
	r.unreadable = unreadable
	j.free = append(j.free, unreadable...)
	sort.Slice(j.free, func(a, b int) bool { return j.free[a].num < j.free[b].num })
	j.closed = append(j.closed, chain...)
	return chain, nil
}

func (r *recovery) hole(where string) { r.holes = append(r.holes, where) }

// replay applies the groups of the chain.
func (r *recovery) replay(ck *checkpoint, chain []*journalFile) error {
	j := r.d.journal
	group := ck.lastGroup
	for i, f := range chain {
		if i == 0 {
			group = f.head.prevGroup
		}
		group = max(group, f.head.prevGroup)
		bound, bounded := uint64(0), false // the last group that counts, if that is known
		if i+1 < len(chain) {
			bound, bounded = chain[i+1].head.prevGroup, true
		}
		var err error
		if group, err = r.replayFile(f, group, bound, bounded); err != nil {
			return err
		}
		f.durable = true
		f.last.Store(group)
		j.prev = f.head
	}
	for _, f := range r.unreadable {
		// Groups above all that was replayed: those of the newest use.
		at, later, err := newBlockReader(f.f, f.size).later(blockAlign, 0, group)
		if err != nil {
			return err
		}
		if at == 0 {
			continue
		}
		r.hole(fmt.Sprintf("%s has a damaged header before group %d", f.name, later))
		if r.d.cfg.Repair {
			if err := r.quarantine(f, 0, f.size); err != nil {
				return err
			}
		}
	}
	j.group = group
	j.lastGroup.Store(group)
	return nil
}

// replayFile applies the groups after group of one file, up to bound. Without a
// bound the file's end is where no good block follows; it is a torn tail only if
// nothing later is found behind it.
func (r *recovery) replayFile(f *journalFile, group, bound uint64, bounded bool) (uint64, error) {
	br := newBlockReader(f.f, f.size)
	r.lastAt, r.lastSize = 0, 0
	for !bounded || group < bound {
		k, payload, err := br.next(f.head.gen, group+1)
		if err == nil {
			group++
			r.lastSize = k.size()
			r.lastAt = br.pos - int64(r.lastSize)
			if err := r.applyFrames(f, payload); err != nil {
				return 0, err
			}
			continue
		}
		var bad *badBlock
		if !errors.As(err, &bad) {
			return 0, err
		}
		salvage := append([]byte(nil), bad.payload...)
		from := bad.at + int64(max(bad.size, blockAlign))
		at, later, err := br.later(from, f.head.gen, group)
		if err != nil {
			return 0, err
		}
		if bounded && (later > bound || later == 0) {
			// The rest of what its successor counts on is gone.
			at, later = f.size, bound+1
		}
		if later == 0 {
			return group, nil // a torn tail: never synced, so never acknowledged
		}
		if later == group+1 {
			// Only after a header that was written over; cannot be told from damage.
			later++
			at = max(at, from)
		}
		if err := r.damage(f, bad, salvage, at, group+1, later-1); err != nil {
			return 0, err
		}
		group = later - 1
		br.pos = at
		if at >= f.size {
			return group, nil
		}
	}
	return group, nil
}

// damage notes that groups from to to, in a file from bad on to end, cannot be
// read, keeps a copy, and applies what single frames can be made out.
func (r *recovery) damage(f *journalFile, bad *badBlock, salvage []byte, end int64, from, to uint64) error {
	where := fmt.Sprintf("%s from %d to %d, groups %d to %d", f.name, bad.at, end, from, to)
	r.hole(where)
	if !r.d.cfg.Repair {
		return nil
	}
	if err := r.quarantine(f, bad.at, end); err != nil {
		return err
	}
	for at := 0; at < len(salvage); {
		fr, err := parseFrame(salvage[at:])
		switch {
		case err == nil:
			if err := r.applyFrame(f, fr, salvage[at:at+fr.size]); err != nil {
				return err
			}
			at += fr.size
		case frameLength(salvage[at:]) > 0 && at+frameLength(salvage[at:]) <= len(salvage):
			at += frameLength(salvage[at:]) // perhaps only its content is bad
		default:
			at = len(salvage)
		}
	}
	return nil
}

// quarantine copies a bad range to a file of its own.
func (r *recovery) quarantine(f *journalFile, from, to int64) error {
	dir := filepath.Join(r.d.cfg.Dir, "quarantine")
	if err := r.d.fs.MkdirAll(dir); err != nil {
		return err
	}
	name := filepath.Join(dir, fmt.Sprintf("%s-use%d-%d", filepath.Base(f.name), f.head.use, from))
	out, err := r.d.fs.Create(name)
	if errors.Is(err, errExist) {
		return nil // by an earlier attempt
	}
	if err != nil {
		return err
	}
	defer out.Close()
	buf := make([]byte, chunkBytes)
	for at := from; at < to; {
		n, err := f.f.ReadAt(buf[:min(int64(len(buf)), to-at)], at)
		if n == 0 {
			if isEOF(err) {
				break
			}
			return err
		}
		if _, err := out.WriteAt(buf[:n], at-from); err != nil {
			return err
		}
		at += int64(n)
	}
	if err := out.Sync(); err != nil {
		return err
	}
	return r.d.fs.SyncDir(dir)
}

func (r *recovery) applyFrames(f *journalFile, payload []byte) error {
	for at := 0; at < len(payload); {
		fr, err := parseFrame(payload[at:])
		if err != nil {
			return err
		}
		if err := r.applyFrame(f, fr, payload[at:at+fr.size]); err != nil {
			return err
		}
		at += fr.size
	}
	return nil
}

func (r *recovery) applyFrame(f *journalFile, fr frame, raw []byte) error {
	if fr.flags&flagControl != 0 {
		return r.applyControl(fr)
	}
	sh := r.shards[fr.ref]
	if sh == nil {
		return nil // deleted since
	}
	if err := r.verify(sh); err != nil {
		return err
	}
	s := sh.s
	if sh.holes < len(r.holes) && fr.seq > sh.seen+1 {
		r.report.Ranges = append(r.report.Ranges, DamagedError{
			Shard: s.id, From: Offset(sh.seen + 1), To: Offset(fr.seq - 1), Where: r.holes[len(r.holes)-1],
		})
	}
	sh.holes = len(r.holes)
	s.noteIn(f, fr.seq)
	if fr.flags&flagEnd != 0 {
		s.sealed, s.end = true, fr.seq
	}
	s.next = max(s.next, fr.seq+1)
	s.lastArrival = max(s.lastArrival, fr.arrival)
	if fr.seq <= sh.seen {
		return nil
	}
	sh.seen = fr.seq
	if len(r.holes) > 0 && !r.d.cfg.Repair {
		return nil // only the report is wanted by now
	}
	return r.keep(s, fr, raw)
}

// noteIn remembers that a journal file holds a frame of the shard.
func (s *shard) noteIn(f *journalFile, seq uint64) {
	if s.noted != f.head.use {
		s.noted, s.notedAt = f.head.use, len(f.shards)
		f.shards = append(f.shards, part{s, seq})
	}
	f.shards[s.notedAt].last = max(f.shards[s.notedAt].last, seq)
}

// keep puts a replayed frame in memory, readable at once.
func (r *recovery) keep(s *shard, fr frame, raw []byte) error {
	d, c := r.d, r.d.commit
	for tries := 0; c.slab == nil || c.slabAt+len(raw) > len(c.slab.buf); tries++ {
		if c.slab != nil {
			c.slab.unref()
			c.slab = nil
		}
		if d.arena.used.Load() > d.arena.budget/2 || tries > 0 {
			if err := d.relieve(); err != nil {
				return err
			}
		}
		if c.slab, c.slabAt = d.arena.take(len(raw)), 0; c.slab == nil && tries > 2 {
			return fmt.Errorf("a record of %d bytes does not fit the memory budget", len(raw))
		}
	}
	at := c.slabAt
	c.slabAt += copy(c.slab.buf[at:], raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memBytes += len(raw)
	if all := s.mem.all(); len(all) > 0 {
		if l := &all[len(all)-1]; l.slab == c.slab && int(l.off+l.size) == at && l.arrival == fr.arrival && fr.flags&flagEnd == 0 {
			l.size += uint32(len(raw))
			l.count++
			l.last = fr.seq
			return nil
		}
	}
	c.slab.ref()
	d.arena.used.Add(runBytes)
	s.mem.list = append(s.mem.list, run{
		slab: c.slab, off: uint32(at), size: uint32(len(raw)), count: 1,
		first: fr.seq, last: fr.seq, arrival: fr.arrival,
	})
	if !s.dirty {
		s.dirty = true
		d.addDirty(s)
	}
	return nil
}

func (r *recovery) applyControl(fr frame) error {
	d := r.d
	c, err := decodeCommand(fr.data)
	if err != nil {
		return err
	}
	d.nextRef = max(d.nextRef, fr.ref+1)
	sh := r.shards[fr.ref]
	switch {
	case c.op == opCreate && sh == nil:
		s := d.newShard(fr.ref, c.id)
		s.retention = c.retention
		if err := r.listSegments(s); err != nil {
			return err
		}
		r.shards[fr.ref] = &recovered{s: s}
		d.byRef[fr.ref] = s
		d.byID[c.id] = s
	case sh == nil:
	case c.op == opDelete:
		if d.byID[sh.s.id] == sh.s {
			delete(d.byID, sh.s.id)
		}
		delete(d.byRef, fr.ref)
		delete(r.shards, fr.ref)
		sh.s.deleted = true
		d.garbage = append(d.garbage, sh.s)
	default:
		sh.s.apply(&c)
	}
	return nil
}

// verify reads what was written to a shard's segments since the checkpoint. Up
// to the first bad frame it is as good as the journal; from there on the journal
// has it all, so the rest is cut off.
func (r *recovery) verify(sh *recovered) error {
	if sh.checked {
		return nil
	}
	sh.checked = true
	d, s := r.d, sh.s
	i := 0
	if s.saved.present {
		i = max(slices.IndexFunc(s.segments, func(g *segment) bool { return g.base == s.saved.base }), 0)
	}
	if !s.saved.present && len(s.segments) > 0 && s.segments[0].base != 1 {
		// Not even the first one's name was durable.
		if err := r.dropSegments(s, 0); err != nil {
			return err
		}
	}
	for ; i < len(s.segments); i++ {
		g := s.segments[i]
		from, last, lastAt := int64(0), g.base-1, g.baseArrival
		if s.saved.present && g.base == s.saved.base {
			from, last, lastAt = s.saved.size, s.saved.last, s.saved.lastAt
		}
		g.index.from = from
		g.synced = from
		h, err := d.files.open(g.path)
		if err != nil {
			return err
		}
		at := from
		err = scanFrames(h.f, s.ref, from, g.size, last, func(fr frame, raw []byte) error {
			if at == 0 {
				g.firstAt = fr.arrival
			}
			g.index.add(raw, at)
			at += int64(fr.size)
			last, lastAt = fr.seq, fr.arrival
			return nil
		})
		var bad *badFrame
		if errors.As(err, &bad) {
			err = nil
		}
		if err == nil && at < g.size {
			err = h.f.Truncate(at)
		}
		h.release()
		if err != nil {
			return err
		}
		g.size, g.last, g.lastAt = at, last, lastAt
		s.touch(g)
		s.namesNew = true
		whole := i+1 == len(s.segments) || s.segments[i+1].base == last+1
		if !whole {
			if err := r.dropSegments(s, i+1); err != nil {
				return err
			}
		}
	}
	if k := len(s.segments); k > 0 {
		g := s.segments[k-1]
		s.flushed, s.flushedAt = g.last, g.lastAt
		sh.seen = max(sh.seen, g.last)
	}
	return nil
}

// dropSegments removes the segments from the n-th on: the journal has what they held.
func (r *recovery) dropSegments(s *shard, n int) error {
	for _, g := range s.segments[n:] {
		r.d.files.forget(g.path)
		if err := r.d.fs.Remove(g.path); err != nil {
			return err
		}
		if err := r.d.fs.Remove(indexPath(g.path)); err != nil && !errors.Is(err, errNotExist) {
			return err
		}
	}
	s.segments = s.segments[:n]
	s.namesNew = true
	return nil
}

// repairGap is more than any shard's records in the groups that can be lost.
const repairGap = 1 << 24

// finish makes what was decided durable: from the next file on, only the groups
// that were replayed count.
func (r *recovery) finish(chain []*journalFile) error {
	d, j := r.d, r.d.journal
	for _, sh := range r.shards {
		if err := r.settleShard(sh); err != nil {
			return err
		}
	}
	for _, s := range d.byRef {
		s.next = max(s.next, s.flushed+1)
		if len(r.report.Ranges) > 0 {
			// Offsets that were lost at the end are not given out again.
			s.next += repairGap
		}
		s.openedNext = s.next
		if len(s.mem.all()) == 0 {
			s.flushedAt = max(s.flushedAt, s.lastArrival)
		}
	}
	if err := r.removeOrphans(); err != nil {
		return err
	}
	d.removeGarbage()
	if c := d.commit; c.slab != nil {
		c.slab.unref()
		c.slab = nil
	}
	// The last group may be one that a killed process had not synced, or failed to:
	// it must be durable before anybody reads it.
	if n := len(chain); n > 0 {
		if err := r.renew(chain[n-1]); err != nil {
			return err
		}
	}
	if len(j.free) == 0 && j.files >= j.filesMax {
		// Start after start found no time for a checkpoint: now there must be one.
		if err := d.checkpoint(); err != nil {
			return err
		}
	}
	if err := j.advance(blockAlign, time.Now().Add(waitMax)); err != nil {
		return err
	}
	if err := j.syncHeader(); err != nil {
		return err
	}
	if len(r.report.Ranges) > 0 {
		// After a repair the damage must not be met again.
		return d.checkpoint()
	}
	return nil
}

// renew writes a file's header and last group once more before it syncs them. For
// after a failed sync the page cache may say that what the disk never got is
// written, and a sync alone would believe it. Groups before the last were synced, or
// it would not have been written.
func (r *recovery) renew(f *journalFile) error {
	for _, at := range []struct {
		from int64
		size int
	}{{0, fileHeaderBytes}, {r.lastAt, r.lastSize}} {
		b := make([]byte, at.size)
		if _, err := f.f.ReadAt(b, at.from); err != nil {
			return err
		}
		if _, err := f.f.WriteAt(b, at.from); err != nil {
			return err
		}
	}
	return f.f.Sync()
}

// settleShard brings a shard that no frame was replayed for to its saved state.
// Its files are as the checkpoint says, or were not durable beyond that.
func (r *recovery) settleShard(sh *recovered) error {
	s := sh.s
	k := len(s.segments)
	if sh.checked || k == 0 {
		return nil
	}
	g := s.segments[k-1]
	if !s.saved.present || g.base != s.saved.base || g.size != s.saved.size {
		return r.verify(sh)
	}
	g.last, g.lastAt = s.saved.last, s.saved.lastAt
	g.synced, g.index.from = g.size, g.size
	if g.size > 0 && g.firstAt == 0 {
		g.firstAt = g.lastAt
	}
	return nil
}

// removeOrphans removes the directories of shards that are no more.
func (r *recovery) removeOrphans() error {
	names, err := r.d.fs.List(r.d.shardsDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		var ref uint32
		if _, err := fmt.Sscanf(name, "%08x", &ref); err != nil || len(name) != 8 || r.d.byRef[ref] != nil {
			continue
		}
		if err := r.d.removeShardDir(ref); err != nil {
			return err
		}
	}
	return nil
}
