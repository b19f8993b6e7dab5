package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"encoding/base64"
	"errors"
	"hash"
	"hash/maphash"
	"io"
	"strings"
)

// What was read of a content is known by a running hash: to tell whether another file has
// it, only that file has to be read. A few of its bytes prove nothing: logs of the same
// program have the same first lines, last lines, and often lengths.

const (
	hashBlock = 256 << 10 // read at once of what is hashed
	// hashBytes is how much of a content that was not hashed when it was read is made up for
	// at a look, of all sources of a flow together.
	hashBytes = 8 << 20
	// linesMin is how many different lines two files must have in common, for one to be
	// passed over because of the other: the same line again and again is what other files
	// have too.
	linesMin = 8
)

// A digest is the state of a running hash, as it is stored: "sha256:" and the state of
// Go's crypto/sha256 in base64. The empty one is of what was not hashed.
type digest string

const digestKind = "sha256:"

// A running hash is of the first n bytes of a content.
type running struct {
	hash hash.Hash
	n    int64
}

func newRunning() *running { return &running{hash: sha256.New()} }

// goOn is the running hash that d is the state of, and a new one if it is none.
func (d digest) goOn(n int64) *running {
	r := newRunning()
	text, is := strings.CutPrefix(string(d), digestKind)
	state, err := base64.StdEncoding.DecodeString(text)
	if !is || err != nil {
		return r
	}
	if err := r.hash.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		return newRunning()
	}
	r.n = n
	return r
}

func (r *running) add(b []byte) {
	r.hash.Write(b)
	r.n += int64(len(b))
}

func (r *running) state() digest {
	b, err := r.hash.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return ""
	}
	return digest(digestKind + base64.StdEncoding.EncodeToString(b))
}

// at is the digest of the first n bytes, and empty if it is of others.
func (r *running) at(n int64) digest {
	if r == nil || r.n != n || n == 0 {
		return ""
	}
	return r.state()
}

// addFrom goes on with a file's bytes up to an offset, most at once.
func (r *running) addFrom(f io.ReaderAt, end int64, buf []byte) error {
	b := buf[:min(int64(len(buf)), end-r.n)]
	n, err := f.ReadAt(b, r.n)
	if n < len(b) {
		return errors.Join(err, io.ErrUnexpectedEOF)
	}
	r.add(b)
	return nil
}

// variety counts different lines, up to linesMin of them.
type variety struct {
	seen []uint64
	line maphash.Hash // of the line that is not at its end yet
}

func (v *variety) add(b []byte) {
	for len(v.seen) < linesMin && len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			v.line.Write(b)
			return
		}
		v.line.Write(b[:end])
		v.note()
		b = b[end+1:]
	}
}

func (v *variety) note() {
	sum := v.line.Sum64()
	v.line.Reset()
	for _, s := range v.seen {
		if s == sum {
			return
		}
	}
	v.seen = append(v.seen, sum)
}

func (v *variety) enough() bool { return len(v.seen) >= linesMin }

// A prefix is what the first bytes of a file are.
type prefix struct {
	digest digest
	varied bool // they have linesMin different lines
}

// errStopped is of a reading that was ended because the agent is.
var errStopped = errors.New("the agent ends")

// prefixOf reads a file's first n bytes, and then what was there: rest.
func (t *tailer) prefixOf(f io.ReaderAt, n int64, rest []byte) (prefix, error) {
	r, buf := newRunning(), make([]byte, min(n, hashBlock))
	var lines variety
	for r.n < n {
		select {
		case <-t.stop:
			t.cut = true
			return prefix{}, errStopped
		default:
		}
		before := r.n
		if err := r.addFrom(f, n, buf); err != nil {
			return prefix{}, err
		}
		lines.add(buf[:r.n-before])
	}
	r.add(rest)
	return prefix{r.state(), lines.enough()}, nil
}

// prefixKey is of what a prefix was read of.
type prefixKey struct {
	id            fileID
	bytes, size   int64
	modifiedNanos int64
}

// prefixesMax bounds how many are kept of files that are compared with many checkpoints.
const prefixesMax = 4096

// prefixOfFound is prefixOf, once for each file as it is.
func (t *tailer) prefixOfFound(f found, file io.ReaderAt, n int64) (prefix, error) {
	key := prefixKey{f.id, n, f.size, f.modified.UnixNano()}
	if p, ok := t.prefixes[key]; ok {
		return p, nil
	}
	p, err := t.prefixOf(file, n, nil)
	if err != nil {
		return p, err
	}
	if t.prefixes == nil || len(t.prefixes) >= prefixesMax {
		t.prefixes = map[prefixKey]prefix{}
	}
	t.prefixes[key] = p
	return p, nil
}

// hash goes on with what was read: raw are the file's bytes from start on.
func (s *source) hash(raw []byte, start int64) {
	if s.running == nil {
		s.running = newRunning()
	}
	if r := s.running; r.n >= start && r.n < s.offset {
		r.add(raw[r.n-start : s.offset-start])
	}
}

// makeUp hashes what was not hashed when it was read, because it was not: what stood
// before where the source began, or was read by an agent that hashed nothing. It waits
// for the source to grow: one that rests is known by its size and its time too.
func (t *tailer) makeUp(s *source) {
	if s.file == nil || s.copyOf != nil || s.offset == s.began || s.running.reached() == s.offset {
		return
	}
	if s.running == nil {
		s.running = newRunning()
	}
	if t.hashBuf == nil {
		t.hashBuf = make([]byte, hashBlock)
	}
	for s.running.n < s.offset && t.hashLeft > 0 {
		before := s.running.n
		if err := s.running.addFrom(s.file, s.offset, t.hashBuf); err != nil {
			return // what it is shows in the next look
		}
		t.hashLeft -= s.running.n - before
	}
	t.dirty = t.dirty || s.running.n == s.offset
}

func (r *running) reached() int64 {
	if r == nil {
		return 0
	}
	return r.n
}

// has says whether a file has all this content up to the offset, or up to its own end if
// that is nearer, within the trail. A source that is not hashed to its offset yet is known
// by its first and last bytes.
func (t *tailer) has(s *source, f io.ReaderAt, size int64) (bool, error) {
	ask := s.isIn
	if size < s.offset {
		ask = s.ends
	}
	if is, err := ask(f, size); err != nil || !is {
		return false, err
	}
	want := s.running.at(s.offset)
	if want == "" {
		return true, nil
	}
	n := min(size, s.offset)
	p, err := t.prefixOf(f, n, s.trail[int64(len(s.trail))-(s.offset-n):])
	return err == nil && p.digest == want, eofIsNo(err)
}
