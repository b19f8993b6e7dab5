package agent

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	sourcesMax = 10_000 // of a flow; further files wait until others are gone
	openMax    = 1024   // files of all flows; those that wait are opened as others are read
	openLeast  = 16     // of each
	followsMax = 15     // files that had a name before
	saidMax    = 1000   // remembered complaints
	sayEvery   = time.Minute
)

// A found file is one that the directory has.
type found struct {
	path     string
	id       fileID
	size     int64
	modified time.Time
	matches  bool // the flow's pattern
}

// list looks at the files of the directory that the pattern matches, or at all that
// are not compressed; those written to longest ago come first. A directory that is
// not there has none. Files that are there and cannot be looked at are in t.hidden.
func (t *tailer) list(all bool, now time.Time) ([]found, error) {
	clear(t.hidden)
	entries, err := os.ReadDir(t.flow.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		t.say(now, "the directory is not there; it is waited for", "directory", t.flow.Dir)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []found
	for _, e := range entries {
		name := e.Name()
		matches := t.flow.names.MatchString(name)
		if compressed(name) || !matches && !all || !e.Type().IsRegular() && e.Type()&fs.ModeSymlink == 0 {
			continue
		}
		path := filepath.Join(t.flow.Dir, name)
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // it went meanwhile
		case err != nil:
			t.say(now, "cannot look at a file", "file", path, "error", err)
			t.hidden[path] = true
		case info.Mode().IsRegular():
			files = append(files, found{path, idOf(path, info), info.Size(), info.ModTime(), matches})
		}
	}
	slices.SortStableFunc(files, func(a, b found) int { return a.modified.Compare(b.modified) })
	return files, nil
}

// scanDue says whether the directory may have changed. Its time tells, but for
// changes within the clock's step, which another scan soon after finds.
func (t *tailer) scanDue(now time.Time) bool {
	if now.Sub(t.lastScan) >= t.flow.ScanEvery {
		return true
	}
	if now.Sub(t.lastScan) < t.flow.PollEvery {
		return false
	}
	info, err := os.Stat(t.flow.Dir)
	if err != nil {
		return !t.dirTime.IsZero()
	}
	return !info.ModTime().Equal(t.dirTime) || t.lastScan.Sub(t.dirTime) < time.Second
}

// scan finds files that came, went, or have other names. New ones are read from the
// start, but those of which atEnd says that they are read from their end.
func (t *tailer) scan(now time.Time, atEnd func(found) bool) {
	t.lastScan = now
	t.dirTime = time.Time{}
	if info, err := os.Stat(t.flow.Dir); err == nil {
		t.dirTime = info.ModTime()
	}
	files, err := t.list(false, now)
	if err != nil {
		t.say(now, "cannot list a directory", "directory", t.flow.Dir, "error", err)
		return
	}
	names := map[fileID]found{} // one of each file, the known one if it is there
	for _, f := range files {
		if _, twice := names[f.id]; !twice || t.sources[f.id] != nil && t.sources[f.id].path == f.path {
			names[f.id] = f
		}
	}
	if t.vacated == nil {
		t.vacated = map[string]*source{}
	}
	for _, s := range t.sourcesByTime() {
		if t.sources[s.id] != s {
			continue
		}
		f, is := names[s.id]
		switch {
		case is:
			if f.path != s.path {
				t.vacated[s.path] = s
			}
			s.path, s.gone = f.path, time.Time{}
			if s.file == nil {
				s.modified = f.modified
				t.resize(s, f.size, now)
				if f.size < s.offset && s.copyOf == nil {
					t.lose(s, now)
				}
			}
		case s.gone.IsZero() && !t.hidden[s.path]:
			t.vanish(s, now)
		}
	}
	for _, f := range files {
		if names[f.id].path != f.path || t.sources[f.id] != nil {
			continue
		}
		if len(t.sources) >= sourcesMax {
			t.say(now, "there are too many files; the newest wait until others are gone", "directory", t.flow.Dir, "files", len(files))
			break
		}
		t.adopt(f, now, atEnd != nil && atEnd(f))
	}
	clear(t.vacated)
}

// vanish is when no name that the pattern matches leads to a source any more. It is
// read on, from the file that is open.
func (t *tailer) vanish(s *source, now time.Time) {
	s.gone = now
	if s.file != nil {
		if info, err := s.file.Stat(); err == nil && hasName(info) {
			t.vacated[s.path] = s
		}
		return
	}
	files, err := t.list(true, now)
	if err == nil {
		for _, f := range files {
			if f.id == s.id {
				t.vacated[s.path] = s
				s.path = f.path
				t.resize(s, f.size, now)
				t.openFile(s, now)
				return
			}
		}
	}
	t.leave(s)
}

// adopt makes a source of a file that is new here.
func (t *tailer) adopt(f found, now time.Time, atEnd bool) *source {
	t.dirty, t.idle = true, false
	if s := t.recallNew(f, now); s != nil {
		return s
	}
	s := &source{id: f.id, path: f.path, size: f.size, largest: f.size, modified: f.modified, grew: now, since: now, header: t.flow.SkipHeaderLines}
	if o := t.vacated[f.path]; o != nil && o.id != f.id {
		s.follows = append([]uint64{o.id.ino}, o.follows[:min(len(o.follows), followsMax)]...)
	}
	t.know(s)
	if !t.openFile(s, now) {
		if atEnd { // of now, whatever is there
			s.offset, s.committed, s.header, s.judged = f.size, mark{offset: f.size}, 0, true
		}
		return s
	}
	if !atEnd {
		t.glance(s, now)
		return s
	}
	end, err := lastLine(s.file, f.size)
	if err == nil {
		err = s.startAt(end, "", s.file)
	}
	if err != nil {
		t.say(now, "cannot read a file", "file", s.path, "error", err)
		s.offset, s.committed = f.size, mark{offset: f.size}
	}
	if s.offset > 0 {
		s.header = 0
	}
	s.judged = true
	return s
}

// lastLine is where the last line of a file begins, which has no line feed yet; a
// line is not looked for farther back than a buffer.
func lastLine(f *os.File, size int64) (int64, error) {
	for end := size; end > 0 && size-end < chunkBytes; {
		n := min(end, 4<<10)
		b, err := readExactly(f, end-n, n)
		if err != nil {
			return 0, err
		}
		for i := len(b) - 1; i >= 0; i-- {
			if b[i] == '\n' {
				return end - n + int64(i) + 1, nil
			}
		}
		end -= n
		if end == 0 {
			return 0, nil
		}
	}
	return size, nil
}

// mayClose says whether an open file is read as far as it goes, and can be opened again by its name.
func (s *source) mayClose() bool {
	return s.file != nil && s.gone.IsZero() && (s.offset >= s.size || s.copyOf != nil || s.finished)
}

// openFile opens a source's file and reports whether it is open. When too many are, one
// that rests is closed.
func (t *tailer) openFile(s *source, now time.Time) bool {
	if s.file != nil {
		return true
	}
	for t.open >= t.openMax {
		if len(t.closable) == 0 {
			return false // until the next look finds some
		}
		idlest := t.closable[0]
		if t.closable = t.closable[1:]; idlest.mayClose() {
			t.shut(idlest)
		}
	}
	if err := s.open(); err != nil {
		if !errors.Is(err, errReplaced) && !errors.Is(err, fs.ErrNotExist) {
			t.say(now, "cannot open a file; it is tried again", "file", s.path, "error", err)
		}
		return false
	}
	t.open++
	return true
}

func (t *tailer) shut(s *source) {
	if s.file != nil {
		s.close()
		t.open--
	}
	if t.rawOf == s {
		t.rawOf = nil
	}
}

// leave forgets a source that is gone. Copies of it go on behind what it read.
func (t *tailer) leave(s *source) {
	if left := s.size - s.offset; left > 0 && s.copyOf == nil && !s.finished {
		t.counts.lost.Add(left)
		t.log.Warn("a file is gone that was not read to its end", "file", s.path, "lost", left)
	}
	now := time.Now()
	for _, c := range t.sources {
		if c.copyOf == s {
			t.release(c, s, now)
			if len(s.spans) > 0 { // of one copy
				c.inherit(s)
			}
		}
	}
	if len(s.spans) > 0 {
		t.leaving = append(t.leaving, s)
	}
	t.shut(s)
	t.forget(s.id)
	t.dirty = true
}

func (t *tailer) know(s *source) {
	t.sources[s.id] = s
	t.byTime = nil
}

func (t *tailer) forget(id fileID) {
	delete(t.sources, id)
	t.byTime = nil
}

// sourcesByTime are all, those written to longest ago first, as it was at the last look.
func (t *tailer) sourcesByTime() []*source {
	if len(t.byTime) > 0 {
		return t.byTime
	}
	all := make([]*source, 0, len(t.sources))
	for _, s := range t.sources {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *source) int {
		return cmp.Or(a.modified.Compare(b.modified), cmp.Compare(a.path, b.path))
	})
	t.byTime = all
	return all
}

// say logs a complaint, not more often than once a minute for the same thing.
func (t *tailer) say(now time.Time, text string, args ...any) {
	t.counts.complaints.Add(1)
	what := text
	if len(args) > 1 {
		if name, ok := args[1].(string); ok {
			what += " " + name
		}
	}
	if last, ok := t.said[what]; ok && now.Sub(last) < sayEvery {
		return
	}
	if len(t.said) >= saidMax {
		clear(t.said)
	}
	t.said[what] = now
	t.log.Warn(text, args...)
}
