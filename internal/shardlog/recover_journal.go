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
func (r *recovery) hole(where string) {
	r.holes = append(r.holes, where)
	r.passed++
}

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
		left := remains{block: k, payload: append([]byte(nil), bad.payload...)}
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
		if bad.size == 0 && at < f.size {
			if left.payload, err = framesAt(br, bad.at+blockHeader, at); err != nil {
				return 0, err
			}
		}
		if err := r.damage(f, bad.at, at, left, group+1, later-1); err != nil {
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

// damage notes that groups first to last, in a file from at to end, cannot be
// read, keeps a copy, and applies the frames that are left.
func (r *recovery) damage(f *journalFile, at, end int64, left remains, first, last uint64) error {
	r.hole(fmt.Sprintf("%s from %d to %d, groups %d to %d", f.name, at, end, first, last))
	if r.d.cfg.Repair {
		if err := r.quarantineJournal(f, at, end); err != nil {
			return err
		}
	}
	for _, raw := range left.frames() {
		if raw == nil {
			r.passed++
			continue
		}
		fr, err := sliceFrame(raw)
		if err != nil {
			return err
		}
		if err := r.applyFrame(f, fr, raw); err != nil {
			return err
		}
	}
	return nil
}

// remains are what is left of a damaged group: if its header is good all of its
// payload, as it is now; else the good frames that it starts with.
type remains struct {
	block   block
	payload []byte
}

// frames returns the good frames, in order, and nil for each bad one. Where frames
// start is known up to the first bad one. Behind it that rests on lengths that may
// be damaged, and one who chose what a record holds must not choose what is taken for a
// frame; so they count only if the group's digest, which is of all places and
// checksums, agrees.
func (l *remains) frames() (list [][]byte) {
	prefix, bad := -1, 0
	var badAt int
	var digest uint64
	at := 0
	for at < len(l.payload) {
		n := frameLength(l.payload[at:])
		if n == 0 || at+n > len(l.payload) {
			break
		}
		raw := l.payload[at : at+n : at+n]
		digest += mix(at, le.Uint32(raw))
		if _, err := parseFrame(raw); err != nil {
			if prefix < 0 {
				prefix = len(list)
			}
			bad, badAt, raw = bad+1, at, nil
		}
		list = append(list, raw)
		at += n
	}
	if prefix < 0 {
		prefix = len(list)
	}
	if at == len(l.payload) && len(list) == int(l.block.count) {
		if digest == l.block.digest {
			return list
		}
		// Perhaps it is the checksum that is bad, and the frame is good.
		if bad == 1 {
			raw := l.payload[badAt : badAt+frameLength(l.payload[badAt:])]
			crc := checksum(raw[4:])
			if digest-mix(badAt, le.Uint32(raw))+mix(badAt, crc) == l.block.digest {
				le.PutUint32(raw, crc)
				list[prefix] = raw
				return list
			}
		}
	}
	return append(list[:prefix], nil)
}

// framesAt reads the good frames that follow each other from a place on.
func framesAt(br *blockReader, at, end int64) (all []byte, err error) {
	for {
		head, err := br.window(at, frameFixed)
		if err != nil {
			return nil, err
		}
		n := frameLength(head)
		if n == 0 || at+int64(n) > end {
			return all, nil
		}
		raw, err := br.window(at, n)
		if err != nil {
			return nil, err
		}
		if _, err := parseFrame(raw); err != nil {
			return all, nil
		}
		all = append(all, raw...)
		at += int64(n)
	}
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
