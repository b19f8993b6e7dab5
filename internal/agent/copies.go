package agent

import (
	"bytes"
	"errors"
	"io"
	"os"
	"time"
)

// How a new file is told from a copy of one that is read: all that both have is compared,
// and must be more than some lines again and again. Where there is doubt the file is read:
// lines too many are better than one too few.

// waitForOriginal bounds how long a file that has all of another one and more waits
// until that is read.
const waitForOriginal = 10 * time.Second

// candidatesMax bounds how many sources a new file is compared with, the ones
// written to last.
const candidatesMax = 64

// mayRead opens a source, and says whether its records are to be read now.
//
// A source is not read before it is stored: of a file that anything was taken of, a start
// after a crash knows, and finds it under whatever name it has then.
func (t *tailer) mayRead(s *source, now time.Time) bool {
	if !s.stored {
		if s.savedIn == 0 || !t.store.safe(s.savedIn) {
			t.dirty, t.unsaved, t.waiting = true, t.unsaved || s.savedIn == 0, true
			return false
		}
		s.stored = true
	}
	if s.copyOf != nil || s.finished || !t.openFile(s, now) {
		return false
	}
	if s.judged || s.offset > 0 {
		return true
	}
	if s.size < headBytes {
		s.judged = true
		return true
	}
	wait, err := t.judge(s, now)
	if err != nil {
		t.say(now, "cannot read a file", "file", s.path, "error", err)
		return false
	}
	t.waiting = t.waiting || wait
	return !wait && s.copyOf == nil && s.offset < s.size
}

// judge finds out whether a file that nothing was read of is a copy. If it is the
// same as a source, it is not read; if it has all of one and more, it goes on where
// that is. wait: that cannot be said before the source is read to its end.
func (t *tailer) judge(s *source, now time.Time) (wait bool, err error) {
	head, err := readExactly(s.file, 0, headBytes)
	if err != nil {
		return false, eofIsNo(err)
	}
	others := t.sourcesByTime()
	compared := 0
	for i := len(others) - 1; i >= 0 && compared < candidatesMax; i-- {
		o := others[i]
		if o == s || o.copyOf != nil || s.succeeds(o) || len(o.begins()) == 0 || !bytes.HasPrefix(head, o.begins()) || len(o.head) == 0 && len(o.glimpse) < headBytes {
			continue
		}
		compared++
		t.refresh(o, now)
		same, done, err := t.compare(s, o, min(s.size, o.size))
		if !done && err == nil {
			return true, nil
		}
		if !same && o.file != nil {
			if still, err := o.isIn(o.file, o.size); err == nil && !still { // not seen before: it was truncated
				t.lose(o, now)
				return true, nil
			}
		}
		if err != nil && now.Sub(s.since) < waitForOriginal {
			return true, nil // it changes just now, or cannot be read for a moment
		}
		if !same {
			continue
		}
		if s.size <= o.size {
			for _, c := range t.sources {
				if c.copyOf == s { // so it is one of the same
					c.copyOf, c.against = o, nil
				}
			}
			t.passOver(s, o)
			return false, nil
		}
		if o.offset == 0 { // nothing was read of either: the shorter one is the copy
			o.against = map[*source]*comparison{s: s.against[o]}
			t.passOver(o, s)
			continue
		}
		is, err := o.isIn(s.file, s.size)
		if err != nil {
			return false, err
		}
		if !is {
			continue
		}
		if o.offset < o.size && !(o.tried && o.triedSize == o.size) && !t.once && now.Sub(s.since) < waitForOriginal {
			return true, nil
		}
		s.judged, s.against = true, nil
		s.header = 0
		t.counts.copies.Add(1)
		t.log.Info("a file has all of another one, and is read on from where that is", "file", s.path, "other", o.path, "passed over", o.offset)
		return false, s.startAt(o.offset, o.running.at(o.offset), s.file)
	}
	s.judged, s.against = true, nil
	return false, nil
}

// passOver makes a source a copy of another one.
func (t *tailer) passOver(s, o *source) {
	s.copyOf, s.judged, s.copied = o, true, true
	s.against = map[*source]*comparison{o: s.against[o]}
	t.dirty = true
	t.counts.copies.Add(1)
	t.log.Info("a file is a copy of another one and is not read", "file", s.path, "other", o.path, "passed over", s.size)
}

// refresh looks at the size of a source before it is compared with another's.
func (t *tailer) refresh(s *source, now time.Time) {
	if s.file != nil {
		if info, err := s.file.Stat(); err == nil {
			t.resize(s, info.Size(), now)
			t.glance(s, now)
		}
	}
}

// judgeCopy looks again at a copy that grew: it may turn out to be none.
func (t *tailer) judgeCopy(s *source, now time.Time) {
	o := s.copyOf
	if o == nil || s.tried && s.triedSize == s.size {
		return
	}
	s.tried, s.triedSize = true, s.size
	t.refresh(o, now)
	if !t.openFile(s, now) || o.size < o.offset { // the original is about to be lost, see lose
		s.tried = false
		return
	}
	same, done, err := t.compare(s, o, min(s.size, o.size))
	switch {
	case err != nil || !done:
		s.tried = false
	case !same:
		s.copyOf, s.copied, s.tried, s.against = nil, false, false, nil
		s.judged = false
		t.counts.copies.Add(-1)
		t.log.Info("a file goes on otherwise than the one that it was taken for a copy of", "file", s.path, "other", o.path)
	case s.size > o.size && o.offset >= o.size:
		t.release(s, o, now) // it has more by now
	}
}

// release lets a copy go on by itself, behind what was read of its original.
func (t *tailer) release(s, original *source, now time.Time) {
	offset := min(s.size, original.offset)
	if c := s.against[original]; c != nil {
		offset = min(offset, c.same)
	}
	s.copyOf, s.tried, s.against = nil, false, nil
	s.judged, s.copied, s.header = true, true, 0
	var err error
	if t.openFile(s, now) {
		err = s.startAt(offset, original.running.at(offset), s.file)
	} else {
		s.offset, s.committed = offset, mark{offset: offset}
	}
	if err != nil {
		t.say(now, "cannot read a file", "file", s.path, "error", err)
	}
	t.dirty = true
}

// lose is when a source's file does not have its content any more: it was truncated,
// or written anew. If another file has it, it is a copy that was made before: the
// source goes on there. The file gets a new source.
func (t *tailer) lose(s *source, now time.Time) {
	old := *s // for its file
	moved, shorter := t.moveToCopy(s, now)
	if t.rawOf == s {
		t.rawOf = nil
	}
	if !moved {
		if left := old.largest - max(s.offset, t.elsewhere(s)); left > 0 {
			t.counts.lost.Add(left)
			t.log.Warn("a file shrank before it was read to its end, and no other file has the rest", "file", old.path, "size", old.size, "lost at most", left)
		} else {
			t.log.Info("a file shrank; it is read from its start", "file", old.path, "size", old.size)
		}
		for _, c := range t.sources {
			if c.copyOf == s {
				t.release(c, s, now)
				shorter = c
			}
		}
		if shorter != nil {
			shorter.inherit(s)
		}
		t.shut(s)
		t.forget(old.id)
	}
	fresh := &source{id: old.id, path: old.path, size: old.size, largest: old.size, modified: old.modified, grew: now, since: now, gone: old.gone,
		header: t.flow.SkipHeaderLines, judged: true, skipZeros: true}
	t.know(fresh)
	t.idle = false
	if t.openFile(fresh, now) {
		t.glance(fresh, now)
	}
	t.dirty = true
}

// elsewhere is how many bytes of a content that its file lost another source has: they are
// read there.
func (t *tailer) elsewhere(s *source) (bytes int64) {
	for _, c := range t.sources {
		if c.id == s.id || c.size <= bytes {
			continue
		}
		is, err := c.withFile(func(f io.ReaderAt) (bool, error) {
			if s.offset > 0 {
				if c.size < s.offset {
					return false, nil
				}
				return t.has(s, f, c.size)
			}
			return s.mayBeIn(f, c.size, 0)
		})
		if err == nil && is {
			bytes = min(c.size, s.largest)
		}
	}
	return bytes
}

// moveToCopy looks into the files of the directory for a source's content, and moves
// it there. shorter is one that has the content but for what was read last.
func (t *tailer) moveToCopy(s *source, now time.Time) (moved bool, shorter *source) {
	files, err := t.list(true, now)
	if err != nil {
		t.say(now, "cannot list a directory", "directory", t.flow.Dir, "error", err)
		return false, nil
	}
	for _, f := range files {
		known := t.sources[f.id]
		if f.id == s.id || known != nil && known.copyOf != s && (known.judged || known.offset > 0) {
			continue
		}
		file, err := os.Open(f.path)
		if err != nil {
			continue
		}
		var whole bool
		if s.offset > 0 {
			if f.size >= s.offset {
				whole, err = t.has(s, file, f.size)
			}
		} else {
			whole, err = s.mayBeIn(file, f.size, s.largest)
			whole = whole && !f.modified.Before(s.modified)
		}
		if err == nil && whole && !moved {
			if known != nil {
				t.shut(known)
			}
			t.shut(s)
			s.id, s.path, s.file, s.size, s.modified = f.id, f.path, file, f.size, f.modified
			s.largest, s.grew, s.gone, s.tried, s.copied = f.size, now, time.Time{}, false, true
			if !f.matches {
				s.gone = now
			}
			t.open++
			t.know(s)
			t.log.Info("a file was copied and truncated; the copy is read to its end", "file", f.path, "left", f.size-s.offset)
			moved = true
			continue
		}
		var ends bool
		var err2 error
		if f.size <= s.offset {
			ends, err2 = t.has(s, file, f.size)
		}
		file.Close()
		if errors.Join(err, err2) != nil || !(ends || known != nil && known.copyOf == s && f.size <= s.offset) {
			continue
		}
		// It was copied before the last lines were written, which were read where they stood.
		if known == nil {
			if !f.matches {
				continue
			}
			known = t.adopt(f, now, false)
		}
		t.release(known, &source{offset: f.size}, now)
		shorter = known
	}
	return moved, shorter
}

// inherit takes over what is under way of a source that is no more: it is committed
// in this one, which has the same content.
func (s *source) inherit(from *source) {
	for _, sp := range from.spans {
		sp.src = s
	}
	s.spans, from.spans = append(from.spans, s.spans...), nil
	if len(s.spans) > 0 {
		s.committed = from.committed
	}
}
