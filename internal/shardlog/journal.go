package shardlog

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rheostream/rheo/internal/vfs"
)

// journal is a ring of files. Blocks that were written before are overwritten,
// so that a sync carries data only and no change of the file's metadata. A file
// is free, or the active one, or closed: full, and waiting until all that it
// holds is in synced segments.
type journal struct {
	fs       vfs.FS
	dir      string
	log      *slog.Logger
	filesMax int
	bytesMax int64
	bytesMin int64  // of the first file
	filled   func() // called when the last free file went into use; must not block
	freed    *notifier
	nospace  func(error)
	room     func(bytes int64) bool // whether the disk has so much to spare

	// The committer's alone.
	active *journalFile
	pos    int64
	group  uint64     // last good group
	prev   fileHeader // of the last use that holds something durable

	syncs     atomic.Uint64
	written   atomic.Uint64
	failed    atomic.Uint64
	lastGroup atomic.Uint64 // group, for checkpoints

	mu      sync.Mutex // guards all below
	free    []*journalFile
	closed  []*journalFile // oldest first
	files   int
	nextNum int
	nextUse uint64
	using   *journalFile // the active file

	ringMu   sync.Mutex   // guards ring; taken without mu
	ring     ring         // what the list of files says
	unlisted *journalFile // the committer's: made, but perhaps not in the list
}

type journalFile struct {
	name    string
	num     int
	f       vfs.File
	size    int64
	head    fileHeader
	start   int64         // of the first good block, if a recovery had to look for it
	listed  bool          // a recovery's: it is in the list of files
	durable bool          // something of this use was synced
	bad     bool          // a sync failed: never sync it again
	last    atomic.Uint64 // last good group in it, or before it
	shards  []part        // the committer's until the file is closed
}

func journalName(num int) string { return fmt.Sprintf("%06d.journal", num) }

// write stamps block k into b and makes b durable. After an error nothing of b
// counts, and the file it went to is never used again.
func (j *journal) write(b []byte, k *block, deadline time.Time) error {
	if j.active == nil || j.pos+int64(len(b)) > j.active.size {
		if err := j.advance(int64(len(b)), deadline); err != nil {
			return err
		}
	}
	k.gen, k.group = j.active.head.gen, j.group+1
	k.put(b)
	_, err := j.active.f.WriteAt(b, j.pos)
	if err == nil {
		j.syncs.Add(1)
		err = j.active.f.Sync()
	}
	j.written.Add(uint64(len(b)))
	if err != nil {
		j.abandon(err)
		j.nospace(err)
		return fmt.Errorf("cannot write the journal: %w", err)
	}
	j.group++
	j.lastGroup.Store(j.group)
	j.active.last.Store(j.group)
	j.pos += int64(len(b))
	j.active.durable = true
	return nil
}

// advance closes the active file and opens the next. The header goes to disk with
// the sync of the first group behind it; a crash in between leaves a file that
// nobody was told of.
func (j *journal) advance(need int64, deadline time.Time) error {
	j.retire()
	next, err := j.takeFree(need+blockAlign, deadline)
	if err != nil {
		return err
	}
	j.mu.Lock()
	next.head = fileHeader{
		gen: rand.Uint64(), use: j.nextUse,
		prevUse: j.prev.use, prevGen: j.prev.gen, prevGroup: j.group,
	}
	next.last.Store(j.group)
	j.nextUse++
	j.using = next
	last := len(j.free) == 0
	j.mu.Unlock()
	j.active, j.pos = next, blockAlign
	next.durable, next.shards, next.start = false, nil, 0
	next.f.Direct() // groups are whole blocks in page-aligned slabs, and nobody reads them but a recovery
	head := make([]byte, blockAlign)
	next.head.put(head)
	if last {
		j.filled()
	}
	if _, err := next.f.WriteAt(head, 0); err != nil {
		j.abandon(err)
		j.nospace(err)
		return fmt.Errorf("cannot write a journal file's header: %w", err)
	}
	j.written.Add(blockAlign)
	return nil
}

// syncHeader makes a file's header durable without a group behind it.
func (j *journal) syncHeader() error {
	if err := j.active.f.Sync(); err != nil {
		j.abandon(err)
		return err
	}
	j.syncs.Add(1)
	j.active.durable = true
	return nil
}

// retire closes the active file.
func (j *journal) retire() {
	a := j.active
	if a == nil {
		return
	}
	if a.durable {
		j.prev = a.head
	}
	j.active = nil
	j.mu.Lock()
	j.closed = append(j.closed, a)
	j.using = nil
	j.mu.Unlock()
}

// abandon closes the active file for good: after a failed sync nothing is known
// of what it holds behind the last good group, and the kernel may have dropped
// it, so a second sync would lie. The next file's header says where to stop
// reading this one.
func (j *journal) abandon(err error) {
	j.failed.Add(1)
	j.log.Error("a journal file failed and is given up", "file", j.active.name, "position", j.pos, "error", err)
	j.active.bad = true
	j.retire()
	j.filled()
}

// note remembers which shards the active file holds frames of, and up to where.
func (j *journal) note(parts []part) {
	a := j.active
	for _, p := range parts {
		if s := p.shard; s.noted == a.head.use {
			a.shards[s.notedAt].last = p.last
		} else {
			s.noted, s.notedAt = a.head.use, len(a.shards)
			a.shards = append(a.shards, p)
		}
	}
}

// takeFree returns a free file that holds size bytes, makes one if the ring may
// grow, or waits for one until deadline.
func (j *journal) takeFree(size int64, deadline time.Time) (*journalFile, error) {
	for {
		freed := j.freed.wait()
		j.mu.Lock()
		for i, f := range j.free {
			if f.size >= size {
				j.free = append(j.free[:i], j.free[i+1:]...)
				j.mu.Unlock()
				return f, nil
			}
		}
		want := j.growth(size)
		j.mu.Unlock()
		j.filled()
		if want > 0 {
			f, err := j.grow(want)
			if err == nil {
				return f, nil
			}
			j.nospace(err)
			err = noSpaceError(fmt.Errorf("cannot grow the journal: %w", err))
			if !errors.Is(err, ErrNoSpace) || time.Now().After(deadline) {
				return nil, err
			}
			// On a full disk a file may still be freed.
		}
		left := time.Until(deadline)
		if left <= 0 {
			return nil, ErrOverloaded
		}
		t := time.NewTimer(left)
		select {
		case <-freed:
		case <-t.C:
		}
		t.Stop()
	}
}

// growth is how large a next file for a group of size bytes may be: twice as
// large as the one before up to the limit, less where the disk has less to spare;
// 0 if the ring may not grow. What is in memory has to fit on the disk as
// segments before any file of the ring is free again, so a ring that took that
// space would stand still for good. Called with mu held.
func (j *journal) growth(size int64) int64 {
	if j.files >= j.filesMax {
		return 0
	}
	want := j.bytesMin
	for i := 0; i < j.files && want < j.bytesMax; i++ {
		want *= 2
	}
	want = max(min(want, j.bytesMax), size)
	for least := max(j.bytesMin, size); j.files > 0 && !j.room(want); want = max(want/2, least) {
		if want == least {
			return 0
		}
	}
	return want
}

// grow makes a file of at least size bytes.
// Its blocks are reserved but not written: while the ring grows the load is
// high, and zeros would compete with it for the disk; the file's first round
// pays instead (a sync then also converts extents), every later one is at full speed.
func (j *journal) grow(size int64) (*journalFile, error) {
	f := j.unlisted
	if f == nil || f.size < size {
		var err error
		if f, err = j.make(size); err != nil {
			return nil, err
		}
	}
	// Whether it is in the list after an error is not known: then it must stay.
	j.unlisted = f
	if err := j.list(f.num, f.size); err != nil {
		return nil, err
	}
	j.unlisted = nil
	j.mu.Lock()
	j.files++
	j.mu.Unlock()
	return f, nil
}

// make makes a file of size bytes that is not yet in the list.
func (j *journal) make(size int64) (*journalFile, error) {
	j.mu.Lock()
	num := j.nextNum
	j.nextNum++
	j.mu.Unlock()
	name := filepath.Join(j.dir, journalName(num))
	f, err := j.fs.Create(name)
	if err != nil {
		return nil, err
	}
	err = f.Reserve(size)
	if err == nil {
		err = f.Truncate(size)
	}
	if err == nil {
		// The header of no use: so a blank one is damage, and a first use that was
		// never synced does not look like damage.
		head := make([]byte, fileHeaderBytes)
		(&fileHeader{}).put(head)
		_, err = f.WriteAt(head, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = j.fs.SyncDir(j.dir)
	}
	if err != nil {
		f.Close()
		return nil, errors.Join(err, j.fs.Remove(name))
	}
	return &journalFile{name: name, num: num, f: f, size: size}, nil
}

// full returns the closed files, oldest first, and the use from which on a
// recovery must read once they are free.
func (j *journal) full() (files []*journalFile, replayFrom uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	replayFrom = j.nextUse
	if j.using != nil {
		replayFrom = j.using.head.use
	}
	return append(files, j.closed...), replayFrom
}

// recycle frees the oldest n closed files. A file that failed is removed instead.
func (j *journal) recycle(n int) {
	j.mu.Lock()
	done := append([]*journalFile(nil), j.closed[:n]...)
	j.closed = append(j.closed[:0], j.closed[n:]...)
	for _, f := range done {
		f.shards = nil
		if f.bad {
			j.files--
		} else {
			j.free = append(j.free, f)
		}
	}
	j.mu.Unlock()
	for _, f := range done {
		if f.bad {
			f.f.Close()
			err := j.list(f.num, 0)
			if err == nil {
				err = j.fs.Remove(f.name)
			}
			if err != nil {
				j.log.Warn("cannot remove a failed journal file", "file", f.name, "error", err)
			}
		}
	}
	j.freed.wake()
}

// close closes the files; the committer has stopped.
func (j *journal) close() (err error) {
	j.retire()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.unlisted != nil {
		j.free = append(j.free, j.unlisted)
	}
	for _, f := range append(j.free, j.closed...) {
		err = errors.Join(err, f.f.Close())
	}
	j.free, j.closed = nil, nil
	return err
}
