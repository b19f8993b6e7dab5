package agent

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rheostream/rheo/internal/vfs"
)

// The checkpoint file is lines of JSON: a head with the version, a line a flow, a line
// a source, and an end with their number, without which the file is not whole. It is
// written anew each time, beside the old one, synced and renamed over it.
//
//	{"format":"rheo agent checkpoints","version":2}
//	{"flow":"kinesis:orders:/var/log/app.log*"}
//	{"flow":"kinesis:orders:/var/log/app.log*","path":"/var/log/app.log","device":64769,"inode":99,"offset":4096,
//	 "head":"256:5f...","window":"256:a0...","content":"sha256:c2hh...","size":4099,"modified":"...","seen":"..."}
//	{"end":2}
//
// A version that is not known is refused, since to go on without checkpoints is to send
// again or to lose. Version 1 had no content: its files are known by inode, head and window,
// see isOf, and are hashed when they grow.
const (
	storeFormat  = "rheo agent checkpoints"
	storeVersion = 2
	storeOldest  = 1
	storeLineMax = 64 << 10
)

// Checkpoints are written while records are taken: a flow sets its own every saveEvery
// at most, and what was set is flushed within flushEvery. What a crash sends twice is
// what was taken since.
const (
	saveEvery  = 500 * time.Millisecond
	flushEvery = 150 * time.Millisecond
)

// An entry is what is stored of a source.
type entry struct {
	Flow       string      `json:"flow"`
	Path       string      `json:"path,omitempty"` // empty: the flow was run, no more
	Device     uint64      `json:"device,omitempty"`
	Inode      uint64      `json:"inode,omitempty"`
	Offset     int64       `json:"offset,omitempty"`
	Head       fingerprint `json:"head,omitempty"`
	Window     fingerprint `json:"window,omitempty"`  // before the offset
	Content    digest      `json:"content,omitempty"` // of all before the offset
	Follows    []uint64    `json:"follows,omitempty"` // inodes of files that had its name before
	Discarding bool        `json:"discarding,omitempty"`
	Copy       bool        `json:"copy,omitempty"`
	Size       int64       `json:"size,omitempty"`
	Modified   time.Time   `json:"modified,omitzero"`
	Seen       time.Time   `json:"seen,omitzero"`

	foreign bool // it is the Kinesis Agent's, which stores no fingerprints
}

// A fingerprint is the length and the hash of bytes, as "256:5fd9...", to know them again by.
type fingerprint string

func printOf(b []byte) fingerprint {
	if len(b) == 0 {
		return ""
	}
	sum := sha256.Sum256(b)
	return fingerprint(fmt.Sprintf("%d:%s", len(b), hex.EncodeToString(sum[:16])))
}

// length is how many bytes it is of; 0 if it is of none, or none at all.
func (p fingerprint) length() int64 {
	text, _, _ := strings.Cut(string(p), ":")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > headBytes {
		return 0
	}
	return n
}

// matches says whether the bytes before end have this fingerprint, or those from 0 on if
// end is negative. The empty fingerprint matches anything.
func (p fingerprint) matches(f io.ReaderAt, end int64) (bool, error) {
	if p == "" {
		return true, nil
	}
	n := p.length()
	if n == 0 {
		return false, nil
	}
	if end < 0 {
		end = n
	}
	if end < n {
		return false, nil
	}
	b, err := readExactly(f, end-n, n)
	if err != nil {
		return false, eofIsNo(err)
	}
	return printOf(b) == p, nil
}

// isIn says whether a file has the content of the entry.
func (e *entry) isIn(f io.ReaderAt, size int64) (bool, error) {
	if size < e.Offset {
		return false, nil
	}
	if ok, err := e.Head.matches(f, -1); !ok {
		return false, err
	}
	return e.Window.matches(f, e.Offset)
}

// A store keeps the checkpoints of all flows in a file. All methods may be called
// concurrently.
type store struct {
	fsys vfs.FS
	name string
	ttl  time.Duration
	lock io.Closer

	writing sync.Mutex // of the file; taken before mu

	hurry chan struct{} // a flush is waited for

	mu      sync.Mutex
	flows   map[string][]entry // by flow; with no entries, the flow was run
	version uint64             // of flows: how often they were set
	flushed uint64             // the version that is in the file
	failing bool               // the last flush failed
}

// openStore reads the file, which need not exist, and keeps others from it.
func openStore(fsys vfs.FS, name string, ttl time.Duration) (*store, error) {
	dir := filepath.Dir(name)
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("cannot make the directory of the checkpoints: %w", err)
	}
	if err := vfs.SyncUpwards(fsys, dir); err != nil {
		return nil, fmt.Errorf("cannot make the directory of the checkpoints: %w", err)
	}
	lock, err := fsys.Lock(name + ".lock")
	if err != nil {
		return nil, fmt.Errorf("cannot lock the checkpoints: %w", err)
	}
	s := &store{fsys: fsys, name: name, ttl: ttl, lock: lock, hurry: make(chan struct{}, 1), flows: map[string][]entry{}}
	if err := s.load(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("cannot read the checkpoints in %s: %w", name, err)
	}
	return s, nil
}

func (s *store) load() error {
	f, err := s.fsys.Open(s.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(io.NewSectionReader(f, 0, size))
	lines.Buffer(nil, storeLineMax)
	var head struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &head) != nil || head.Format != storeFormat {
		return errors.Join(lines.Err(), errors.New("this is no checkpoint file"))
	}
	if head.Version < storeOldest || head.Version > storeVersion {
		return fmt.Errorf("it has version %d, and this program knows versions %d to %d", head.Version, storeOldest, storeVersion)
	}
	n := 0
	for lines.Scan() {
		var e struct {
			entry
			End *int `json:"end"`
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("line %d: %w", n+2, err)
		}
		if e.End != nil {
			if *e.End != n {
				return fmt.Errorf("it has %d lines of %d", n, *e.End)
			}
			return nil
		}
		n++
		list := s.flows[e.Flow]
		if e.Path != "" {
			list = append(list, e.entry)
		}
		s.flows[e.Flow] = list
	}
	return errors.Join(lines.Err(), fmt.Errorf("it ends in the middle, behind line %d", n+1))
}

// of is what is stored of a flow; known says whether the flow ever ran.
func (s *store) of(flow string) (entries []entry, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries, known = s.flows[flow]
	return entries, known
}

// set replaces what is stored of a flow with the next flush. It returns what to ask safe for.
func (s *store) set(flow string, entries []entry) (version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flows[flow] = entries
	s.version++
	return s.version
}

// safe says whether what was set is in the file, or cannot be written: then it is not waited for.
func (s *store) safe(version uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flushed >= version || s.failing
}

// wake asks for a flush at once.
func (s *store) wake() {
	select {
	case s.hurry <- struct{}{}:
	default:
	}
}

// flush writes what was set since the last one. It is durable on return.
func (s *store) flush() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	version := s.version
	if s.flushed == version {
		s.mu.Unlock()
		return nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	n := 0
	err := e.Encode(map[string]any{"format": storeFormat, "version": storeVersion})
	for flow, entries := range s.flows {
		n++
		err = errors.Join(err, e.Encode(entry{Flow: flow}))
		for i := range entries {
			n++
			err = errors.Join(err, e.Encode(&entries[i]))
		}
	}
	err = errors.Join(err, e.Encode(map[string]int{"end": n}))
	s.mu.Unlock()
	if err == nil {
		err = s.write(b.Bytes())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing = err != nil; err != nil {
		return fmt.Errorf("cannot write the checkpoints: %w", err)
	}
	s.flushed = version
	return nil
}

// write is whole or not at all: a crash before the rename leaves the old file, and
// the new one beside it, which the next write removes.
func (s *store) write(data []byte) error {
	next := s.name + ".new"
	if err := s.fsys.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := s.fsys.Create(next)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = s.fsys.Rename(next, s.name)
	}
	if err == nil {
		err = s.fsys.SyncDir(filepath.Dir(s.name))
	}
	return err
}

func (s *store) close() error {
	err := s.flush()
	return errors.Join(err, s.lock.Close())
}
