package shardlog

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"sort"
)

// The part of a recovery that finds out which journal files there are, in which
// order they were used, and which of them count.

// openJournal opens all journal files and returns those to replay, oldest first:
// the newest use, and its predecessors as the headers name them.
func (r *recovery) openJournal(ck *checkpoint) (chain []*journalFile, err error) {
	j := r.d.journal
	// A killed process may have made a file without having synced its name.
	if err := j.fs.SyncDir(j.dir); err != nil {
		return nil, err
	}
	good, unreadable, err := r.openFiles()
	if err != nil {
		return nil, err
	}
	j.nextUse = max(ck.nextUse, ck.replayFrom, 1)
	byUse := map[uint64]*journalFile{}
	for _, f := range good {
		if f.head.use > 0 {
			byUse[f.head.use] = f
		}
	}
	r.headless = unreadable
	for _, f := range unreadable {
		if ok, err := r.inferHeader(f, byUse, ck); err != nil {
			return nil, err
		} else if ok {
			byUse[f.head.use] = f
		} else {
			good = append(good, f)
		}
	}
	for use := range byUse {
		j.nextUse = max(j.nextUse, use+1)
	}
	chain = r.link(byUse, ck.replayFrom)
	r.live = liveFiles(byUse, chain, ck)
	for _, f := range chain {
		delete(byUse, f.head.use)
	}
	// The rest was recycled, or given up after a failed sync, or never held anything.
	for _, f := range byUse {
		j.free = append(j.free, f)
	}
	for _, f := range good {
		if f.head.use == 0 {
			j.free = append(j.free, f)
		}
	}
	sort.Slice(j.free, func(a, b int) bool { return j.free[a].num < j.free[b].num })
	j.closed = append(j.closed, chain...)
	return chain, nil
}

// readRing reads the list of files that must be there.
func (r *recovery) readRing() (err error) {
	j := r.d.journal
	r.ring, err = j.readRing()
	if errors.Is(err, errRing) {
		r.note(fmt.Sprintf("%s: %v, so it cannot tell whether one is missing", j.ringFile(), err))
		r.ring = ring{}
		return nil
	}
	j.ring.checkpointed = r.ring.checkpointed
	return err
}

// openFiles opens the files of the journal and compares them with the list.
func (r *recovery) openFiles() (good, unreadable []*journalFile, err error) {
	j := r.d.journal
	listed := r.ring.files
	known := listed != nil
	names, err := j.fs.List(j.dir)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		f := &journalFile{name: filepath.Join(j.dir, name)}
		if _, err := fmt.Sscanf(name, "%d.journal", &f.num); err != nil || name != journalName(f.num) {
			continue
		}
		if f.f, err = j.fs.Open(f.name); err != nil {
			return nil, nil, err
		}
		size, err := f.f.Size()
		if err != nil {
			return nil, nil, err
		}
		want, must := listed[f.num]
		delete(listed, f.num)
		j.nextNum = max(j.nextNum, f.num+1)
		head := make([]byte, fileHeaderBytes)
		if _, err := f.f.ReadAt(head, 0); err != nil && !isEOF(err) {
			return nil, nil, fmt.Errorf("cannot read %s: %w", f.name, err)
		}
		f.head, err = parseFileHeader(head)
		f.size = size &^ (blockAlign - 1)
		if must && size < want {
			r.hole(fmt.Sprintf("%s is cut short: %d of %d bytes", f.name, size, want))
			r.ringNew = true
		}
		switch {
		case err != nil && !errors.Is(err, errFileHeader):
			return nil, nil, fmt.Errorf("%s: %w", f.name, err)
		case f.size < 3*blockAlign, known && !must && f.head.use == 0:
			// Its making was cut short, or there is nothing left of it.
			f.f.Close()
			if must && !r.d.cfg.Repair {
				continue
			}
			if err := j.fs.Remove(f.name); err != nil {
				return nil, nil, err
			}
			continue
		case err != nil:
			f.listed = must
			unreadable = append(unreadable, f)
		default:
			good = append(good, f)
		}
		if !must || size < want {
			// Its size is to be counted on.
			if err := f.f.Sync(); err != nil {
				return nil, nil, err
			}
			r.ringNew = true
		}
		j.files++
		j.ring.files[f.num] = f.size
	}
	for num := range listed {
		r.hole(filepath.Join(j.dir, journalName(num)) + " is missing")
		r.ringNew = true
	}
	return good, unreadable, nil
}

// link returns the newest use and its predecessors down to use from.
func (r *recovery) link(byUse map[uint64]*journalFile, from uint64) (chain []*journalFile) {
	below := func(use uint64) (f *journalFile) { // the newest one below a use
		for _, g := range byUse {
			if g.head.use >= max(from, 1) && g.head.use < use && (f == nil || g.head.use > f.head.use) {
				f = g
			}
		}
		return f
	}
	for f := below(math.MaxUint64); f != nil; {
		chain = append(chain, f)
		p := byUse[f.head.prevUse]
		switch {
		case f.head.prevUse < from || f.head.prevUse == 0:
			p = nil
		case p == nil || p.head.gen != f.head.prevGen:
			if r.rebuilt {
				p = nil // it may have been recycled
				break
			}
			r.unlinked = true
			r.hole(fmt.Sprintf("%s continues use %d of a journal file, which is missing", f.name, f.head.prevUse))
			p = below(min(f.head.prevUse, f.head.use))
		}
		f = p
	}
	slices.Reverse(chain)
	return chain
}

// liveFile is a journal file whose groups up to one are known to count.
type liveFile struct {
	*journalFile
	upTo uint64
}

// liveFiles finds, oldest first, the files that a damaged segment can be
// restored from: those to be replayed, and recycled ones as long as something says
// after which group they end.
func liveFiles(byUse map[uint64]*journalFile, chain []*journalFile, ck *checkpoint) (live []liveFile) {
	newest := uint64(0)
	upTo := map[uint64]uint64{} // by generation
	for use, f := range byUse {
		newest = max(newest, use)
		if f.head.prevGen != 0 {
			upTo[f.head.prevGen] = f.head.prevGroup
		}
	}
	for use, f := range byUse {
		last, ok := upTo[f.head.gen]
		switch {
		case use == 0:
			continue
		case !ok && len(chain) > 0 && f == chain[len(chain)-1]:
			last = math.MaxUint64
		case !ok && use == newest && use+1 == ck.replayFrom:
			last = ck.lastGroup
		case !ok:
			continue
		}
		live = append(live, liveFile{f, last})
	}
	sort.Slice(live, func(i, k int) bool { return live[i].head.use < live[k].head.use })
	return live
}

// inferHeader makes out from a file's blocks what its damaged header said. It
// returns false if the file is not needed, or nothing can be made out.
func (r *recovery) inferHeader(f *journalFile, byUse map[uint64]*journalFile, ck *checkpoint) (bool, error) {
	at, k, err := newBlockReader(f.f, f.size).first(blockAlign)
	if err != nil {
		return false, err
	}
	if at == 0 {
		// A file that was never used has no blocks, and one whose making was cut short is not listed.
		if f.listed {
			r.hole(f.name + " has a damaged header, and no group in it can be read")
			return false, r.setAside(f, f.size)
		}
		return false, nil
	}
	f.head = fileHeader{gen: k.gen, prevGroup: k.group - 1}
	f.start = at
	var newest *journalFile
	for _, g := range byUse {
		if g.head.prevGen == k.gen {
			f.head.use = g.head.prevUse
		}
		if newest == nil || g.head.use > newest.head.use {
			newest = g
		}
	}
	if f.head.use == 0 {
		// No other continues it: it is the newest, or was recycled and is old.
		last := ck.lastGroup
		if newest != nil {
			_, g, err := newBlockReader(newest.f, newest.size).last(newest.head.gen)
			if err != nil {
				return false, err
			}
			last = max(last, g, newest.head.prevGroup)
		}
		_, mine, err := newBlockReader(f.f, f.size).last(k.gen)
		if err != nil {
			return false, err
		}
		if mine <= last {
			f.head, f.start = fileHeader{}, 0
			if at != blockAlign && f.listed {
				r.hole(f.name + " has a damaged header and a damaged first group")
				return false, r.setAside(f, f.size)
			}
			return false, nil
		}
		f.head.use = max(ck.replayFrom, 1)
		if newest != nil {
			f.head.use = max(f.head.use, newest.head.use+1)
		}
	}
	if f.head.use < ck.replayFrom {
		return true, nil // recycled
	}
	for _, g := range byUse {
		if u := g.head.use; u > 0 && u < f.head.use && u >= ck.replayFrom && u > f.head.prevUse {
			f.head.prevUse, f.head.prevGen = u, g.head.gen
		}
	}
	r.hole(fmt.Sprintf("%s has a damaged header; its groups from %d on are found", f.name, k.group))
	return true, r.setAside(f, at)
}

// setAside copies the beginning of a file to quarantine, in a repair.
func (r *recovery) setAside(f *journalFile, to int64) error {
	if !r.d.cfg.Repair {
		return nil
	}
	return r.quarantineJournal(f, 0, to)
}
