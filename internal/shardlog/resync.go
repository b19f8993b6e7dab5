package shardlog

import (
	"errors"

	"github.com/rheostream/rheo/internal/vfs"
)

// gap is a stretch of a segment that is not what was written: bytes [at, end),
// which held some of the offsets from to to. With at == end the bytes are gone.
type gap struct {
	at, end  int64
	from, to uint64
}

// resync looks behind a bad frame at a place for the next good one: its checksum
// is right, it is the shard's, and its offset is above the bad one's, which is
// above seen, and not above last. Without one the gap reaches to the end.
//
// A record's data may look like a frame. To be taken for one it would have to lie
// in a damaged record and hold the shard's ref and an offset between that record's
// and the next good one's; as a rule there is none between.
func resync(f vfs.File, ref uint32, at, end int64, seen, last uint64) (gap, error) {
	g := gap{at: at, end: end, from: seen + 1, to: last}
	s := resyncer{f: f, ref: ref, end: end, above: seen + 1, last: last}
	// Mostly the length is good, and something else is not.
	var buf [frameFixed]byte
	head, err := s.readTo(buf[:], at, frameFixed)
	if err != nil {
		return g, err
	}
	if n := int64(frameLength(head)); n > 0 {
		if at+n == end {
			return g, nil
		}
		if seq, ok, err := s.frameAt(at + n); ok || err != nil {
			g.end, g.to = at+n, seq-1
			return g, err
		}
	}
	// The bad frame was one, so the next cannot start within its fixed part.
	pos, err := s.search(at+frameFixed, func(pos int64) (bool, error) {
		seq, ok, err := s.frameAt(pos)
		if ok {
			g.to = seq - 1
		}
		return ok, err
	})
	g.end = pos
	return g, err
}

// search returns the first place from one on that could start a frame of the
// shard and is accepted; the end if there is none.
func (s *resyncer) search(from int64, accept func(at int64) (bool, error)) (int64, error) {
	buf := make([]byte, min(resyncStep+frameFixed, max(s.end-from, 0)))
	for ; from < s.end; from += resyncStep {
		window, err := s.readTo(buf, from, len(buf))
		if err != nil {
			return 0, err
		}
		for i := 0; i+frameFixed <= len(window) && i < resyncStep; i++ {
			if window[i+offVersion] != frameVersion || le.Uint32(window[i+offRef:]) != s.ref {
				continue
			}
			if ok, err := accept(from + int64(i)); ok || err != nil {
				return from + int64(i), err
			}
		}
	}
	return s.end, nil
}

const resyncStep = 256 << 10

type resyncer struct {
	f     vfs.File
	ref   uint32
	end   int64
	above uint64
	last  uint64
	body  []byte
}

// readTo reads n bytes at a place, fewer at the end.
func (s *resyncer) readTo(buf []byte, at int64, n int) ([]byte, error) {
	b := buf[:max(min(int64(n), s.end-at), 0)]
	k, err := s.f.ReadAt(b, at)
	if err != nil && !isEOF(err) {
		return nil, err
	}
	return b[:k], nil
}

// frameAt tells whether a good frame starts at a place, and its offset.
func (s *resyncer) frameAt(at int64) (seq uint64, ok bool, err error) {
	fr, ok, err := s.parse(at, s.above)
	if !ok || err != nil || fr.seq > s.last {
		return 0, false, err
	}
	seq = fr.seq
	// The next good one, whatever is between, has a higher offset.
	higher := true
	_, err = s.search(at+int64(fr.size), func(at int64) (bool, error) {
		next, ok, err := s.parse(at, 0)
		higher = !ok || next.seq > seq
		return ok, err
	})
	return seq, higher, err
}

func (s *resyncer) parse(at int64, above uint64) (fr frame, ok bool, err error) {
	var head [frameFixed]byte
	b, err := s.readTo(head[:], at, frameFixed)
	n := frameLength(b)
	if err != nil || n == 0 || at+int64(n) > s.end || le.Uint32(b[offRef:]) != s.ref || le.Uint64(b[offSeq:]) <= above {
		return fr, false, err
	}
	if cap(s.body) < n {
		s.body = make([]byte, n)
	}
	if b, err = s.readTo(s.body, at, n); err != nil {
		return fr, false, err
	}
	fr, err = parseFrame(b)
	return fr, err == nil && fr.flags&flagControl == 0, nil
}

// scanPast is scanFrames for a segment that may be damaged: it goes on behind
// each gap and hands it to lost. last is the last offset of the segment: if the
// frames end below it, that is a gap of no bytes.
func scanPast(f vfs.File, ref uint32, from, to int64, seen, last uint64,
	visit func(fr frame, raw []byte) error, lost func(gap) error) error {
	for {
		err := scanFrames(f, ref, from, to, seen, func(fr frame, raw []byte) error {
			from += int64(fr.size)
			seen = fr.seq
			return visit(fr, raw)
		})
		var bad *badFrame
		switch {
		case err != nil && !errors.As(err, &bad):
			return err
		case err == nil && seen >= last:
			return nil
		case err == nil: // also if the file ends before to
			return lost(gap{at: from, end: from, from: seen + 1, to: last})
		}
		g, err := resync(f, ref, from, to, seen, last)
		if err != nil {
			return err
		}
		if err := lost(g); err != nil {
			return err
		}
		if g.end >= to {
			return nil
		}
		from, seen = g.end, g.to
	}
}
