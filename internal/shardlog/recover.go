package shardlog

import (
	"errors"
	"fmt"
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
	passed int      // counts what could not be read: holes, and frames in them
	notes  []string // of damage that lost nothing
	shards map[uint32]*recovered
	// By ref: shards that the journal deletes later on are none the worse for it.
	missing map[uint32]DamagedError   // segments that the checkpoint names are not there
	lost    map[uint32][]DamagedError // what a repair gave up
	deleted map[uint32]bool
	unnamed map[uint32]*unnamed // shards whose creation is lost

	mended   bool // a segment is not what it was
	rebuilt  bool // there is no checkpoint to go by
	unlinked bool // a journal file that a later one continues is missing
	ring     ring // what the list of journal files says
	ringNew  bool // it must be written anew

	headless []*journalFile // with damaged headers

	live []liveFile // what segments can be restored from

	lastAt   int64 // place of the last group of the last file
	lastSize int
}

// recovered is what a recovery knows of one shard.
type recovered struct {
	s       *shard
	checked bool   // its segments were verified up to their end
	seen    uint64 // last offset in segments or in the journal so far
	passed  int    // what recovery.passed was when it was seen
	holed   bool   // there are holes among its records in memory
}

// recover brings the log to the state of the last group that was synced: the
// checkpoint, then all journal uses since, in order. Nothing that a previous
// recovery decided to drop comes back: it has started a file whose header says
// which group is the last that counts.
func (d *Disk) recover() error {
	r := &recovery{
		d: d, shards: map[uint32]*recovered{}, missing: map[uint32]DamagedError{}, lost: map[uint32][]DamagedError{},
		deleted: map[uint32]bool{}, unnamed: map[uint32]*unnamed{},
	}
	if err := r.readRing(); err != nil {
		return err
	}
	ck, err := d.loadCheckpoint()
	if ck == nil && err == nil && r.ring.checkpointed {
		err = fmt.Errorf("%w: there is none, and there was", errCheckpoint)
	}
	none := ck == nil
	switch {
	case errors.Is(err, errCheckpoint):
		r.note(fmt.Sprintf("both copies of the checkpoint are lost (%s): "+
			"a repair finds the shards by their segments and what the journal still has; what was trimmed may be visible again",
			strings.ReplaceAll(err.Error(), "\n", ", ")))
		if !d.cfg.Repair {
			return r.reported()
		}
		r.rebuilt = true
	case err != nil:
		return err
	}
	if none {
		ck = &checkpoint{replayFrom: 1, nextUse: 1, nextRef: 1}
	}
	if err := r.restore(ck); err != nil {
		return err
	}
	chain, err := r.openJournal(ck)
	if err != nil {
		return err
	}
	r.rebuilt = r.rebuilt || none && r.unlinked // there was one
	if d.cfg.Repair {
		if r.rebuilt {
			err = r.rebuild()
		} else {
			err = r.mend()
		}
		if err != nil {
			return err
		}
	}
	if err := r.replay(ck, chain); err != nil {
		return err
	}
	r.dropNamesakes()
	if r.rebuilt && d.cfg.Repair {
		if err := r.keepOrphans(); err != nil {
			return err
		}
	}
	if err := r.reported(); err != nil && !d.cfg.Repair {
		return err
	}
	for _, e := range r.report.Ranges {
		d.damaged(e)
	}
	return r.finish(chain)
}

// reported makes the report of what was found; nil if that is nothing.
func (r *recovery) reported() error {
	for _, ref := range r.refs() {
		r.report.Ranges = append(r.report.Ranges, r.lost[ref]...)
		if e, ok := r.missing[ref]; ok && !r.d.cfg.Repair {
			r.report.Ranges = append(r.report.Ranges, e)
		}
	}
	for ref, u := range r.unnamed {
		r.report.Ranges = append(r.report.Ranges, u.damage(ref))
	}
	for _, where := range append(r.notes, r.holes...) {
		r.report.Ranges = append(r.report.Ranges, DamagedError{Where: where})
	}
	if len(r.report.Ranges) == 0 {
		return nil
	}
	return &r.report
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

// applyFrames applies the frames of a block that was checked.
func (r *recovery) applyFrames(f *journalFile, payload []byte) error {
	for at := 0; at < len(payload); {
		end := at + frameLength(payload[at:])
		fr, err := sliceFrame(payload[at:end:end])
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
	if sh == nil && (len(r.holes) > 0 || r.rebuilt) && !r.deleted[fr.ref] {
		var err error
		if sh, err = r.nameless(fr, raw); err != nil {
			return err
		}
	}
	if sh == nil {
		return nil // deleted since
	}
	if err := r.verify(sh); err != nil {
		return err
	}
	s := sh.s
	if sh.passed < r.passed && fr.seq > sh.seen+1 {
		r.report.Ranges = append(r.report.Ranges, DamagedError{
			Shard: s.id, From: Offset(sh.seen + 1), To: Offset(fr.seq - 1), Where: r.holes[len(r.holes)-1],
		})
		if r.d.cfg.Repair {
			hole := make([]byte, frameFixed)
			putHole(hole, s.ref, sh.seen+1, fr.seq-1, s.lastArrival)
			if err := r.keep(s, frame{size: len(hole), seq: fr.seq - 1, arrival: s.lastArrival}, hole); err != nil {
				return err
			}
			sh.holed = true
		}
	}
	sh.passed = r.passed
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
	if c.op == opDelete {
		r.deleted[fr.ref] = true
		delete(r.unnamed, fr.ref)
	}
	switch {
	case c.op == opCreate && sh == nil:
		if r.deleted[fr.ref] {
			break // the file that says so was replayed, and then this older one
		}
		s := d.newShard(fr.ref, c.id)
		s.retention = c.retention
		return r.found(s)
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

// found adds a shard that the checkpoint does not have.
func (r *recovery) found(s *shard) error {
	if r.rebuilt && r.d.cfg.Repair {
		return r.adopt(s)
	}
	if err := r.listSegments(s); err != nil {
		return err
	}
	r.shards[s.ref] = &recovered{s: s}
	r.enter(s)
	return nil
}

// enter makes a shard known. The checkpoint may have a later one of that ID already,
// and the journal this one's deletion yet to come.
func (r *recovery) enter(s *shard) {
	d := r.d
	d.byRef[s.ref] = s
	if was := d.byID[s.id]; was == nil || was.ref < s.ref {
		d.byID[s.id] = s
	}
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
		if len(r.holes) > 0 || r.rebuilt {
			// Offsets that were lost at the end are not given out again.
			s.next += repairGap
		}
		s.openedNext = s.next
		if len(s.mem.all()) == 0 {
			s.flushedAt = max(s.flushedAt, s.lastArrival)
		}
	}
	for _, sh := range r.shards {
		if sh.holed { // for readers to find in a segment
			if err := sh.s.flush(); err != nil {
				return err
			}
		}
	}
	if err := r.removeOrphans(); err != nil {
		return err
	}
	d.removeGarbage()
	if r.ringNew {
		if err := j.writeRing(); err != nil {
			return err
		}
	}
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
	if len(r.report.Ranges) > 0 || r.mended {
		// After a repair the damage must not be met again.
		if err := d.checkpoint(); err != nil {
			return err
		}
		return r.newHeaders()
	}
	return nil
}

// newHeaders gives files whose headers are damaged those of files that were never
// used: what they held is in segments now, and in a checkpoint.
func (r *recovery) newHeaders() error {
	for _, f := range r.headless {
		if f == r.d.journal.active {
			continue
		}
		head := make([]byte, fileHeaderBytes)
		(&fileHeader{}).put(head)
		if _, err := f.f.WriteAt(head, 0); err != nil {
			return err
		}
		if err := f.f.Sync(); err != nil {
			return err
		}
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
