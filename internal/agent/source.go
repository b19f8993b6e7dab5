package agent

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"
	"time"
)

const (
	headBytes  = 256     // of a source's beginning, to know it by
	markBytes  = 256     // before an offset that is kept
	trailBytes = 4 << 10 // before the offset of a source that is read
	chunkBytes = 5 << 18 // read at once; a record that is longer is cut
)

// A fileID is which file it is, whatever its name: device and inode.
type fileID struct{ dev, ino uint64 }

func idOfName(path string) fileID {
	h := fnv.New64a()
	io.WriteString(h, path)
	return fileID{^uint64(0), h.Sum64()}
}

// A source is a content that grows, and the file that has it now. Its tailer owns it.
type source struct {
	id       fileID
	path     string
	file     *os.File // nil: closed, because it rests or cannot be opened
	size     int64    // when last looked at
	largest  int64    // that it was
	modified time.Time
	grew     time.Time // when a look last found another size
	gone     time.Time // since when no name that the pattern matches leads to it; zero: one does

	follows []uint64 // inodes of the files that had its name and were renamed, the last one first; see succeeds

	printed      fingerprint // of its first printedBytes, see printOfFirst
	printedBytes int64

	savedIn uint64 // the version of the store that has it first; 0: none yet
	stored  bool   // that is on disk: it may be read
	glimpse []byte // its first bytes, up to headBytes, of one that nothing was read of

	offset     int64                   // all before is in batches, or not to be sent
	began      int64                   // where it was when this run found it
	running    *running                // hash of what is before offset; behind it, see makeUp; nil: of nothing
	head       []byte                  // its first bytes, of those before offset
	trail      []byte                  // the last ones before offset
	discarding bool                    // offset stands in a record that was too long: the rest of it is passed over
	skipZeros  bool                    // the file was truncated below a writer that kept its place: it begins with a hole
	finished   bool                    // the footer was seen
	judged     bool                    // it is known to be no copy
	copied     bool                    // it was a copy of a source, as far as it went
	copyOf     *source                 // what it is a copy of: it is not read
	against    map[*source]*comparison // while that is not judged, and of copyOf
	header     int                     // lines to skip before the first record
	since      time.Time               // when it was found

	triedSize   int64 // at this size, and with so much to come, there was no record
	triedGrowth growth
	tried       bool

	spans     []*span // read and not yet committed, in order
	committed mark
}

// A mark is an offset that can be found again: with the bytes before it.
type mark struct {
	offset     int64
	window     []byte // up to markBytes of them
	discarding bool
	content    digest // of all before the offset; empty: that is not hashed
}

// A span is the piece of a source up to a mark that a batch has.
type span struct {
	src  *source
	end  mark
	done bool
}

// settle commits the spans that are done, up to the first that is not. It reports
// whether there were any.
func (s *source) settle() bool {
	n := 0
	for n < len(s.spans) && s.spans[n].done {
		s.committed = s.spans[n].end
		n++
	}
	s.spans = slices.Delete(s.spans, 0, n)
	return n > 0
}

// startAt puts a source that nothing was read of at an offset, all before it not
// to be sent. content is the digest of that, if it is known.
func (s *source) startAt(offset int64, content digest, f io.ReaderAt) error {
	head, err := readExactly(f, 0, min(offset, headBytes))
	if err != nil {
		return err
	}
	trail, err := readExactly(f, max(0, offset-markBytes), min(offset, markBytes))
	if err != nil {
		return err
	}
	s.offset, s.began, s.head, s.trail = offset, offset, head, trail
	s.running = content.goOn(offset)
	s.committed = mark{offset: offset, window: trail, content: s.running.at(offset)}
	return nil
}

// remember keeps what stands before the offset in raw, the file's bytes from start on.
func (s *source) remember(raw []byte, start int64) {
	s.hash(raw, start)
	p := int(s.offset - start)
	if start == 0 && len(s.head) < headBytes {
		s.head = bytes.Clone(raw[:min(p, headBytes)])
	}
	s.trail = append(s.trail[:0:0], raw[max(0, p-trailBytes):p]...)
}

// headAt is what the first bytes were when the offset was there.
func (s *source) headAt(offset int64) []byte {
	return s.head[:min(int64(len(s.head)), offset)]
}

// glance keeps how a source begins that nothing was read of, while there is less of that
// than headBytes.
func (s *source) glance() error {
	n := min(s.size, headBytes)
	if s.offset > 0 || s.file == nil || int64(len(s.glimpse)) >= n {
		return nil
	}
	b, err := readExactly(s.file, 0, n)
	if err == nil && bytes.HasPrefix(b, s.glimpse) {
		s.glimpse = b
	}
	return eofIsNo(err)
}

// begins is how it begins, as far as that was read or seen.
func (s *source) begins() []byte {
	if len(s.head) > 0 {
		return s.head
	}
	return s.glimpse
}

// withFile asks of the file, which is opened for it if it is closed.
func (s *source) withFile(ask func(io.ReaderAt) (bool, error)) (bool, error) {
	if s.file != nil {
		return ask(s.file)
	}
	f, err := os.Open(s.path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return ask(f)
}

// mayBeIn says whether a file may have this content, of which nothing was read yet: it begins
// alike, and has least bytes.
func (s *source) mayBeIn(f io.ReaderAt, size, least int64) (bool, error) {
	if len(s.glimpse) < headBytes || size < least {
		return false, nil
	}
	b, err := readExactly(f, 0, headBytes)
	return err == nil && bytes.Equal(b, s.glimpse), eofIsNo(err)
}

// isIn says whether a file has this content, up to the offset.
func (s *source) isIn(f io.ReaderAt, size int64) (bool, error) {
	if size < s.offset {
		return false, nil
	}
	head, err := readExactly(f, 0, int64(len(s.head)))
	if err != nil || !bytes.Equal(head, s.head) {
		return false, eofIsNo(err)
	}
	trail, err := readExactly(f, s.offset-int64(len(s.trail)), int64(len(s.trail)))
	if err != nil {
		return false, eofIsNo(err)
	}
	return bytes.Equal(trail, s.trail), nil
}

// ends says whether a file that is shorter than the offset ends within the trail as
// the trail has it: it is a copy that was made a moment before.
func (s *source) ends(f io.ReaderAt, size int64) (bool, error) {
	first := s.offset - int64(len(s.trail)) // where the trail begins
	n := int64(markBytes)
	if size < n || size-n < first || size > s.offset {
		return false, nil
	}
	end, err := readExactly(f, size-n, n)
	if err != nil {
		return false, eofIsNo(err)
	}
	return bytes.Equal(end, s.trail[size-n-first:size-first]), nil
}

// eofIsNo makes of an end that came too early no error: the file is another one.
func eofIsNo(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

func readExactly(f io.ReaderAt, offset, n int64) ([]byte, error) {
	b := make([]byte, n)
	if got, err := f.ReadAt(b, offset); got < len(b) {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b, nil
}

// open makes the file readable, if it is still the one that the name leads to.
func (s *source) open() error {
	if s.file != nil {
		return nil
	}
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && idOf(s.path, info) != s.id {
		err = errReplaced
	}
	if err != nil {
		f.Close()
		return err
	}
	s.file = f
	return nil
}

// errReplaced is of a name that leads to another file since it was listed; the next
// scan shows it.
var errReplaced = errors.New("the name leads to another file now")

func (s *source) close() {
	if s.file != nil {
		s.file.Close()
		s.file = nil
		if n := len(s.trail); n > markBytes {
			s.trail = bytes.Clone(s.trail[n-markBytes:])
		}
	}
}

// growth is what may still come behind what is there.
func (s *source) growth(now time.Time, rest, goneRest time.Duration) growth {
	switch {
	case !s.gone.IsZero() && now.Sub(s.gone) >= goneRest && now.Sub(s.grew) >= goneRest:
		return ended
	case now.Sub(s.grew) >= rest:
		return resting
	}
	return growing
}

func (s *source) String() string {
	return fmt.Sprintf("%s at %d of %d bytes", s.path, s.offset, s.size)
}
