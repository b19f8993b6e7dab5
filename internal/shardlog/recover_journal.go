package shardlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
)

// The part of a recovery that reads journal/.

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
