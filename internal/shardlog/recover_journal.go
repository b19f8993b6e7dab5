package shardlog

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/rheostream/rheo/internal/vfs"
)

// The part of a recovery that reads journal/.

// hole says where something of the journal is lost: from there on, offsets that
// are not met may have been.
func (r *recovery) hole(where string) { r.holes = append(r.holes, where) }

// note says of damage that lost no records.
func (r *recovery) note(where string) { r.notes = append(r.notes, where) }

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
	j.group = group
	j.lastGroup.Store(group)
	return nil
}

// replayFile applies the groups after group of one file, up to bound. Without a
// bound the file's end is where no good block follows; it is a torn tail only if
// nothing later is found behind it.
func (r *recovery) replayFile(f *journalFile, group, bound uint64, bounded bool) (uint64, error) {
	br := newBlockReader(f.f, f.size)
	br.pos = max(br.pos, f.start)
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
	if err := r.quarantineJournal(f, bad.at, end); err != nil {
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

func (r *recovery) quarantineJournal(f *journalFile, from, to int64) error {
	_, err := r.quarantine(f.f, fmt.Sprintf("%s-use%d-%d", filepath.Base(f.name), f.head.use, from), from, to)
	return err
}

// quarantine copies a bad range to a file of its own and returns its name.
func (r *recovery) quarantine(f vfs.File, as string, from, to int64) (name string, err error) {
	dir := filepath.Join(r.d.cfg.Dir, "quarantine")
	if err := r.d.fs.MkdirAll(dir); err != nil {
		return "", err
	}
	name = filepath.Join(dir, as)
	for n := 2; ; n++ { // an earlier one is of an earlier attempt, or of other damage
		if _, err := r.d.fs.Stat(name); errors.Is(err, errNotExist) {
			break
		} else if err != nil {
			return "", err
		}
		name = filepath.Join(dir, fmt.Sprintf("%s.%d", as, n))
	}
	temp := name + ".tmp"
	if err := r.d.fs.Remove(temp); err != nil && !errors.Is(err, errNotExist) {
		return "", err
	}
	out, err := r.d.fs.Create(temp)
	if err != nil {
		return "", err
	}
	defer out.Close()
	buf := make([]byte, chunkBytes)
	for at := from; at < to; {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), to-at)], at)
		if n == 0 {
			if isEOF(err) {
				break
			}
			return "", err
		}
		if _, err := out.WriteAt(buf[:n], at-from); err != nil {
			return "", err
		}
		at += int64(n)
	}
	if err := out.Sync(); err != nil {
		return "", err
	}
	if err := r.d.fs.Rename(temp, name); err != nil {
		return "", err
	}
	return name, errors.Join(r.d.fs.SyncDir(dir), r.d.fs.SyncDir(r.d.cfg.Dir))
}
