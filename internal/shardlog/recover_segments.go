package shardlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// The part of a recovery that reads shards/.

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
		if name == identityName {
			// Until a checkpoint names a segment it may not be durable.
			i, err := d.readIdentity(s.ref)
			s.identified = err == nil && i.id == s.id && s.saved.present
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
	// (From the checkpoint's segment on an empty one may be one whose records were
	// not durable; verify sees to those.)
	if s.saved.present {
		if err := r.dropEmpty(s, s.saved.base); err != nil {
			return err
		}
	}
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
			Where: fmt.Sprintf("%s, %016x-*.seg is missing or cut short", dir, s.saved.base),
		}
	}
	return nil
}

// dropEmpty removes the empty segments below a base. Only the newest may be empty: an
// older one is of a roll that failed half way, and says nothing of where the
// one before it ends. Without one before it, it has lost what it held, unless what that
// was is out of view.
func (r *recovery) dropEmpty(s *shard, below uint64) error {
	var full []*segment
	for i, g := range s.segments {
		last := i+1 == len(s.segments)
		if g.size > 0 || g.base >= below || last {
			full = append(full, g)
			continue
		}
		next := s.segments[i+1]
		if len(full) == 0 && next.base > s.trim && next.baseArrival >= s.horizon(r.d.clock.Now()) {
			full = append(full, g)
			continue
		}
		if err := r.d.fs.Remove(g.path); err != nil {
			return err
		}
	}
	s.segments = full
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
