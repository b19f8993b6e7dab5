package shardlog

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
)

// The part of a repair that goes on without a checkpoint, both copies of which
// are damaged: the directories say which shards there are and the segments what
// they hold; the journal is replayed as far back as its files are linked, which
// repeats what is known and adds what is not. What only the checkpoint knew is lost:
// trims, changes of retention, and shards that never had a segment.

// rebuild makes the shards that directories tell of.
func (r *recovery) rebuild() error {
	d := r.d
	names, err := d.fs.List(d.shardsDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		ref, ok := parseShardDir(name)
		if !ok {
			continue
		}
		d.nextRef = max(d.nextRef, ref+1)
		i, err := d.readIdentity(ref)
		if errors.Is(err, errNotExist) || errors.Is(err, errIdentity) {
			continue // perhaps the journal knows
		}
		if err != nil {
			return err
		}
		s := d.newShard(ref, i.id)
		s.retention = i.retention
		if err := r.adopt(s); err != nil {
			return err
		}
	}
	return nil
}

func parseShardDir(name string) (ref uint32, ok bool) {
	n, err := fmt.Sscanf(name, "%08x", &ref)
	return ref, n == 1 && err == nil && len(name) == 8
}

// adopt takes a shard's segments for all that is known of it.
func (r *recovery) adopt(s *shard) error {
	if err := r.listSegments(s); err != nil {
		return err
	}
	if err := r.dropEmpty(s, math.MaxUint64); err != nil {
		return err
	}
	for i, g := range s.segments {
		size, upTo := g.size, uint64(0)
		if i+1 < len(s.segments) {
			g.last, g.lastAt = s.segments[i+1].base-1, s.segments[i+1].baseArrival
			upTo = g.last
		} else {
			var err error
			if size, upTo, err = r.cutTorn(s, g); err != nil {
				return err
			}
		}
		size, lastAt, err := r.mendSegment(s, g, size, upTo)
		if err != nil {
			return err
		}
		g.size, g.last, g.lastAt = size, upTo, lastAt
		s.saved = saved{present: true, base: g.base, size: size, last: upTo, lastAt: lastAt}
	}
	s.flushed, s.flushedAt = s.saved.last, s.saved.lastAt
	s.next, s.lastArrival = s.saved.last+1, s.saved.lastAt
	r.shards[s.ref] = &recovered{s: s, seen: s.flushed}
	r.enter(s)
	return nil
}

// cutTorn cuts off what follows the last good frame of the newest segment, which
// is what a crash leaves: the journal has it. It tells up to which offset the segment
// goes, and notes if that is the shard's END.
func (r *recovery) cutTorn(s *shard, g *segment) (size int64, last uint64, err error) {
	h, err := r.d.files.open(g.path)
	if err != nil {
		return 0, 0, err
	}
	defer h.release()
	last = g.base - 1
	err = scanPast(h.f, s.ref, 0, g.size, last, math.MaxUint64, func(fr frame, _ []byte) error {
		size += int64(fr.size)
		last = fr.seq
		if fr.flags&flagEnd != 0 {
			s.sealed, s.end = true, fr.seq
		}
		return nil
	}, func(lost gap) error {
		if lost.to != math.MaxUint64 {
			size = lost.end // and what follows is good
		}
		return nil
	})
	if err != nil || size == g.size {
		return size, last, err
	}
	if _, err := r.quarantine(h.f, fmt.Sprintf("%08x-%s-%d", s.ref, filepath.Base(g.path), size), size, g.size); err != nil {
		return 0, 0, err
	}
	if err := h.f.Truncate(size); err != nil {
		return 0, 0, err
	}
	return size, last, h.f.Sync()
}

// keepOrphans puts the segments aside that nothing says the owner of.
func (r *recovery) keepOrphans() error {
	d := r.d
	names, err := d.fs.List(d.shardsDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		ref, ok := parseShardDir(name)
		if !ok || d.byRef[ref] != nil || r.deleted[ref] {
			continue
		}
		dir := filepath.Join(d.shardsDir, name)
		files, err := d.fs.List(dir)
		if err != nil {
			return err
		}
		kept := filepath.Join(d.cfg.Dir, "quarantine", "shard-"+name)
		if err := d.fs.MkdirAll(kept); err != nil {
			return err
		}
		for _, file := range files {
			if strings.HasSuffix(file, ".seg") {
				if err := d.fs.Rename(filepath.Join(dir, file), filepath.Join(kept, file)); err != nil {
					return err
				}
			}
		}
		for _, dir := range []string{kept, filepath.Dir(kept), d.cfg.Dir} {
			if err := d.fs.SyncDir(dir); err != nil {
				return err
			}
		}
		r.note(fmt.Sprintf("%s: nothing says which shard's it is; its segments are in %s", dir, kept))
	}
	return nil
}
