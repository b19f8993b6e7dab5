package agent

import (
	"bytes"
	"errors"
	"io"
	"time"
)

// read takes records from the first source that has any. It reports whether
// anything came of it.
func (t *tailer) read(now time.Time) bool {
	for len(t.ready) > 0 {
		s := t.ready[0]
		if t.sources[s.id] != s {
			t.ready = t.ready[1:]
			continue
		}
		before := s.offset
		more := t.consume(s, now)
		if !more {
			t.ready = t.ready[1:]
		}
		if s.offset != before {
			return true
		}
		if more {
			return false // no room
		}
	}
	return false
}

// consume takes records from a source, up to a buffer of them. It reports whether
// there is more to take now.
func (t *tailer) consume(s *source, now time.Time) (more bool) {
	if !t.mayRead(s, now) {
		return false
	}
	filled := false
	began := s.offset
	defer func() {
		if s.offset != began && t.rawOf == s {
			t.reach(s, now)
			s.remember(t.raw, t.rawStart)
		}
	}()
	for {
		var data []byte
		if t.rawOf == s && s.offset >= t.rawStart && s.offset < t.rawStart+int64(len(t.raw)) {
			data = t.raw[s.offset-t.rawStart:]
		}
		g := growing
		if t.rawEOF && t.rawStart+int64(len(t.raw)) >= s.size {
			g = t.growthOf(s, now)
		}
		n, long := t.next(s, data, g)
		if n == 0 && filled {
			if t.rawEOF {
				s.tried, s.triedSize, s.triedGrowth = true, s.size, g
				return false
			}
			return true
		}
		if n == 0 {
			if s.offset != began { // the buffer is used up
				return true
			}
			if !t.fill(s, now) {
				return false
			}
			filled = true
			continue
		}
		switch t.take(s, data[:n], long, now) {
		case noRoom:
			return true
		case atFooter:
			s.finished = true
			return false
		}
		s.offset += int64(n)
	}
}

// next is how long the first record of data is, and whether its end is still to
// come although there is no more room for it.
func (t *tailer) next(s *source, data []byte, g growth) (n int, long bool) {
	if len(data) == 0 {
		return 0, false
	}
	if s.skipZeros {
		if zeros := len(data) - len(bytes.TrimLeft(data, "\x00")); zeros > 0 {
			return zeros, false
		}
		s.skipZeros = false
	}
	split := t.flow.split
	if s.header > 0 {
		split = lines{}
	}
	n = split.next(data, g)
	if n == 0 && len(data) >= chunkBytes {
		return len(data), true
	}
	return n, false
}

type taken int

const (
	isTaken  taken = iota
	noRoom         // not now
	atFooter       // this is the file's end
)

// take puts the record that stands at the offset into a batch, if it is to be sent.
func (t *tailer) take(s *source, data []byte, long bool, now time.Time) taken {
	switch {
	case s.skipZeros:
		return isTaken
	case s.header > 0:
		s.header--
		return isTaken
	case s.discarding:
		s.discarding = long
		return isTaken
	case t.flow.footer != nil && t.flow.footer.Match(bytes.TrimFunc(data, func(r rune) bool { return r <= ' ' })):
		return atFooter
	}
	if b := t.batch; b != nil && (len(b.ends) >= t.flow.BufferRecords || b.bytes >= t.flow.BufferBytes) && !t.room() {
		return noRoom
	}
	out, err := t.flow.convert.convert(data, moment{now, t.host()})
	if errors.Is(err, errDrop) {
		t.counts.read(len(data))
		t.counts.skipped.Add(1)
		s.discarding = long
		return isTaken
	}
	if err != nil {
		out = data
	}
	key := t.keyOf(out)
	limit := t.flow.limits.recordBytes - len(key)
	cut := len(out) > limit
	if cut {
		out = truncate(out, limit, t.flow.Terminator)
	}
	if !t.put(s, out, key, now) {
		return noRoom
	}
	t.counts.read(len(data))
	if err != nil {
		t.counts.failed.Add(1)
		t.say(now, "records could not be converted and are sent as they are", "file", s.path, "error", err)
	}
	if cut || long {
		t.counts.truncated.Add(1)
		t.say(now, "a record is too long and was cut", "file", s.path, "offset", s.offset, "bytes", len(data), "kept", len(out))
	}
	s.discarding = long
	return isTaken
}

// fill reads what stands at the source's offset, with the trail before it. It
// reports false if that cannot be read, or the content is no longer there.
func (t *tailer) fill(s *source, now time.Time) bool {
	if t.buf == nil {
		t.buf = make([]byte, trailBytes+chunkBytes)
	}
	t.rawOf = nil
	lead := len(s.trail)
	n, err := s.file.ReadAt(t.buf[:lead+chunkBytes], s.offset-int64(lead))
	if err != nil && !errors.Is(err, io.EOF) {
		t.say(now, "cannot read a file", "file", s.path, "error", err)
		return false
	}
	if n < lead || !bytes.Equal(t.buf[:lead], s.trail) || s.offset == 0 && !bytes.HasPrefix(t.buf[:n], s.glimpse) {
		t.lose(s, now)
		return false
	}
	t.raw, t.rawStart, t.rawOf, t.rawEOF = t.buf[:n], s.offset-int64(lead), s, err != nil
	if end := t.rawStart + int64(n); end > s.size {
		t.resize(s, end, now)
	}
	return true
}
