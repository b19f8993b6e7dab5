package agent

import (
	"io"
	"math"
	"os"
	"slices"
	"time"
)

// likeness is what makes a file the one of an entry, the surest first.
type likeness int

const (
	sameFile  likeness = iota // device and inode, and the content
	samePath                  // the name, and the content: devices are numbered anew
	sameBytes                 // the content alone: renamed, or copied and truncated
)

// progress is what an entry says of its file; a file is taken for one that was read
// before it is taken for another: it may be the copy of that.
type progress int

const (
	read   progress = iota
	isCopy          // not read, as what it is a copy of was
	untouched
	progressEnd
)

func (e *entry) progress() progress {
	switch {
	case e.Copy:
		return isCopy
	case e.Offset == 0:
		return untouched
	}
	return read
}

// begin finds the sources of the last run again, whatever their files are called now,
// and then what is new.
func (t *tailer) begin(now time.Time) {
	entries, known := t.store.of(t.flow.ID)
	t.dirty = true
	if !known {
		t.scan(now, func(found) bool { return !t.flow.FromStart })
		return
	}
	t.missing = slices.Clone(entries)
	t.vacated, t.compareLeft = map[string]*source{}, math.MaxInt64
	var readBefore time.Time // by the Kinesis Agent, which stores one file of those that it read
	for _, e := range entries {
		if e.foreign && e.Modified.After(readBefore) {
			readBefore = e.Modified
		}
	}
	files, err := t.list(true, now)
	if err != nil {
		t.say(now, "cannot list a directory", "directory", t.flow.Dir, "error", err)
	}
	for p := read; p < progressEnd; p++ {
		for like := sameFile; like <= sameBytes; like++ {
			for _, f := range files {
				if t.sources[f.id] == nil {
					t.recall(f, like, p, now)
				}
			}
		}
	}
	for _, s := range t.sourcesByTime() { // copies that grew meanwhile
		if s.copied && s.size > s.offset && s.file != nil {
			if _, err := t.judge(s, now); err != nil {
				t.say(now, "cannot read a file", "file", s.path, "error", err)
			}
		}
	}
	t.scan(now, func(f found) bool { return !readBefore.IsZero() && !f.modified.After(readBefore) })
}

// recall resumes a file if there is an entry for it among those whose files are missing.
func (t *tailer) recall(f found, like likeness, p progress, now time.Time) *source {
	for i := range t.missing {
		e := &t.missing[i]
		if e.progress() != p {
			continue
		}
		var is bool
		switch like {
		case sameFile:
			is = fileID{e.Device, e.Inode} == f.id
		case samePath:
			is = e.Path == f.path && !e.foreign
		case sameBytes:
			is = e.Content != "" || e.mayBeCopied(f)
		}
		if !is || !f.matches && f.size <= e.Offset {
			continue
		}
		file, err := os.Open(f.path)
		if err != nil {
			if like == sameBytes {
				continue
			}
			is = f.size >= e.Offset && e.Inode == f.id.ino // it shows when the file can be read
		} else {
			is, err = t.isOf(f, e, file)
			file.Close()
			if err != nil {
				t.say(now, "cannot read a file", "file", f.path, "error", err)
			}
		}
		if is {
			s := t.resume(f, e, now)
			t.missing = slices.Delete(t.missing, i, i+1)
			return s
		}
	}
	return nil
}

// mayBeCopied says whether a file may have the content of which nothing was taken
// yet: all that is known of it is how it begins, how long it was, and when.
func (e *entry) mayBeCopied(f found) bool {
	return e.Offset == 0 && e.Head.length() == headBytes && f.size >= e.Size && !f.modified.Before(e.Modified)
}

// isOf says whether a file has the content of an entry, up to its offset: what is passed
// over. A file that was not written to since is known by that. Of others all is hashed
// that was read; if it has another name (inodes are used again), or is another one, there
// must be enough of it, see linesMin. A file that was read by an agent that stored no digest, or of which not all is
// hashed yet, is the same if it is the same inode, and begins as it did and has the same
// before the offset; others are read anew.
func (t *tailer) isOf(f found, e *entry, file io.ReaderAt) (bool, error) {
	is, err := e.isIn(file, f.size)
	sameInode := e.Inode == f.id.ino
	switch {
	case err != nil || !is:
		return false, err
	case e.foreign || e.Offset == 0 || sameInode && f.size == e.Size && f.modified.Equal(e.Modified):
		return true, nil
	case e.Content == "":
		return sameInode, nil
	}
	p, err := t.prefixOfFound(f, file, e.Offset)
	return err == nil && p.digest == e.Content && (sameInode && f.path == e.Path || p.varied), err
}

// resume makes a source of a file and the entry for it.
func (t *tailer) resume(f found, e *entry, now time.Time) *source {
	s := &source{id: f.id, path: f.path, size: f.size, largest: f.size, modified: f.modified, grew: now, since: now,
		judged: e.Offset > 0, copied: e.Copy, discarding: e.Discarding, follows: e.Follows}
	if e.Offset == 0 {
		s.header = t.flow.SkipHeaderLines
	}
	if !f.matches {
		s.gone = now
	}
	if left := t.leftOf(e, f.size, f.id); left > 0 {
		t.counts.lost.Add(left)
		t.log.Warn("a file shrank while the agent was away", "file", f.path, "lost at most", left)
	}
	if e.Inode != f.id.ino && e.Offset > 0 {
		t.counts.copies.Add(1)
		t.log.Info("a file has what was read of another one, and is read on from there", "file", f.path, "other", e.Path, "passed over", e.Offset)
	}
	if f.path != e.Path && e.Inode == f.id.ino {
		t.vacated[e.Path] = s
	}
	t.know(s)
	var err error
	if t.openFile(s, now) {
		err = s.startAt(e.Offset, e.Content, s.file)
		t.glance(s, now)
	} else {
		s.offset, s.committed = e.Offset, mark{offset: e.Offset}
	}
	if err != nil {
		t.say(now, "cannot read a file", "file", s.path, "error", err)
		s.offset, s.committed = e.Offset, mark{offset: e.Offset}
	}
	s.committed.discarding = e.Discarding
	return s
}

// recallNew resumes a file that came back. An entry for it that does not fit is of a
// content that is gone.
func (t *tailer) recallNew(f found, now time.Time) *source {
	for p := read; p < progressEnd && len(t.missing) > 0; p++ {
		for like := sameFile; like <= sameBytes; like++ {
			if s := t.recall(f, like, p, now); s != nil {
				return s
			}
		}
	}
	t.missing = slices.DeleteFunc(t.missing, func(e entry) bool {
		if (fileID{e.Device, e.Inode}) != f.id || e.foreign {
			return false
		}
		if left := t.leftOf(&e, 0, f.id); left > 0 {
			t.counts.lost.Add(left)
			t.log.Warn("a file shrank or was replaced while the agent was away, and no other file has the rest", "file", e.Path, "lost at most", left)
		}
		return true
	})
	return nil
}

// leftOf is how many bytes of an entry's content were not read, and are neither in its file,
// which has size bytes, nor in another one.
func (t *tailer) leftOf(e *entry, size int64, id fileID) int64 {
	if e.Copy || e.Size <= max(size, e.Offset) {
		return 0
	}
	return e.Size - max(size, e.Offset, t.readElsewhere(e, id))
}

// readElsewhere is how many bytes of an entry's content the file of a source has.
func (t *tailer) readElsewhere(e *entry, not fileID) (bytes int64) {
	if e.Offset == 0 && e.Head.length() < headBytes {
		return 0 // too little is known of it
	}
	for _, s := range t.sources {
		if s.id == not || s.size <= bytes {
			continue
		}
		is, err := s.withFile(func(f io.ReaderAt) (bool, error) {
			if is, err := e.isIn(f, s.size); !is || e.Content == "" {
				return is, err
			}
			p, err := t.prefixOfFound(found{id: s.id, size: s.size, modified: s.modified}, f, e.Offset)
			return p.digest == e.Content, err
		})
		if err == nil && is {
			bytes = min(s.size, e.Size)
		}
	}
	return bytes
}

// save hands what is committed to the store.
func (t *tailer) save(now time.Time) {
	t.dirty, t.lastSave = false, now
	entries := make([]entry, 0, len(t.sources)+len(t.missing))
	t.leaving = slices.DeleteFunc(t.leaving, func(s *source) bool { return len(s.spans) == 0 })
	for _, s := range slices.Concat(t.sourcesByTime(), t.leaving) {
		e := entry{Flow: t.flow.ID, Path: s.path, Device: s.id.dev, Inode: s.id.ino, Size: s.size, Modified: s.modified, Seen: now, Follows: s.follows}
		if s.committed.content == "" {
			s.committed.content = s.running.at(s.committed.offset)
		}
		at, content := s.committed, s
		if s.copyOf != nil {
			e.Copy, content = true, s.copyOf
			at = content.committed
		}
		if s.copied && s.size < at.offset { // it was made before the last lines were written
			at = mark{offset: s.size}
		}
		e.Offset, e.Discarding = at.offset, at.discarding
		head := content.headAt(at.offset)
		if at.offset == 0 { // nothing was taken of it
			head = content.begins()
		}
		e.Head, e.Window, e.Content = printOf(head), printOf(at.window), at.content
		entries = append(entries, e)
	}
	for _, e := range t.missing {
		if e.foreign {
			continue // it was of use at the first start
		}
		if e.Seen.IsZero() {
			e.Seen = now
		}
		if now.Sub(e.Seen) < t.store.ttl {
			entries = append(entries, e)
		}
	}
	t.unsaved = false
	version := t.store.set(t.flow.ID, entries)
	for _, s := range t.sources {
		if s.savedIn == 0 {
			s.savedIn = version
		}
	}
}
