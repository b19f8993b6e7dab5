package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	blockSize = 4096
	groupMax  = 8 << 20
)

// journal is one file whose blocks are all written before the first put comes,
// and overwritten from the start whenever its end is reached. It goes past the
// page cache where the file system can (O_DIRECT): nobody reads it again, and a
// sync of small writes into large cached folios is slow.
type journal struct {
	f      *os.File
	size   int64
	second *second
	buf    []byte // aligned; the group that run writes

	mu   sync.Mutex
	wake *sync.Cond // the open group is not empty, or has room again
	open *group
	err  error // the first failure; nothing is accepted after it
}

// group is what one sync makes durable.
type group struct {
	frames [][]byte
	bytes  int64
	done   chan struct{} // closed after the sync
}

func newGroup() *group { return &group{done: make(chan struct{})} }

func openJournal(dir string, size int64, second *second) (*journal, error) {
	name := filepath.Join(dir, "journal")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_DIRECT, 0o600)
	if errors.Is(err, unix.EINVAL) {
		f, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err != nil {
		return nil, err
	}
	j := &journal{f: f, size: size, second: second, open: newGroup()}
	j.wake = sync.NewCond(&j.mu)
	// A group is at least one request, however large.
	if j.buf, err = unix.Mmap(-1, 0, groupMax+16<<20+blockSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE); err != nil {
		return nil, fmt.Errorf("cannot get an aligned buffer: %w", err)
	}
	if err := j.fill(); err != nil {
		return nil, fmt.Errorf("cannot fill the journal: %w", err)
	}
	go j.run()
	return j, nil
}

// fill writes every block once, unless an earlier run did.
func (j *journal) fill() error {
	fi, err := j.f.Stat()
	if err != nil || fi.Size() == j.size {
		return err
	}
	if err := j.f.Truncate(0); err != nil {
		return err
	}
	for at := int64(0); at < j.size; at += groupMax {
		if _, err := j.f.WriteAt(j.buf[:min(groupMax, j.size-at)], at); err != nil {
			return err
		}
	}
	return j.f.Sync()
}

// commit returns when frames are durable. It keeps no reference to them.
func (j *journal) commit(frames []byte) error {
	j.mu.Lock()
	for j.err == nil && j.open.bytes > 0 && j.open.bytes+int64(len(frames)) > groupMax {
		j.wake.Wait()
	}
	if j.err != nil {
		j.mu.Unlock()
		return j.err
	}
	g := j.open
	g.frames = append(g.frames, frames)
	g.bytes += int64(len(frames))
	j.wake.Broadcast()
	j.mu.Unlock()
	<-g.done
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

func (j *journal) run() {
	var at int64
	var checkpoint chan error // nil until this lap's has begun
	for {
		j.mu.Lock()
		for j.open.bytes == 0 {
			j.wake.Wait()
		}
		g := j.open
		j.open = newGroup()
		j.wake.Broadcast()
		j.mu.Unlock()

		padded := (g.bytes + blockSize - 1) / blockSize * blockSize
		var err error
		if at+padded > j.size {
			at = 0
			if checkpoint != nil {
				err = <-checkpoint
				checkpoint = nil
			}
		}
		// The shard files are synced once a lap, in time for the next lap to
		// overwrite what they now hold.
		if j.second != nil && checkpoint == nil && at > j.size/8*7 {
			checkpoint = make(chan error, 1)
			go func(c chan error) { c <- j.second.checkpoint() }(checkpoint)
		}
		if err == nil {
			err = j.write(g, at, padded)
		}
		at += padded
		if err != nil {
			j.mu.Lock()
			j.err = err
			j.wake.Broadcast()
			j.mu.Unlock()
		}
		close(g.done)
	}
}

func (j *journal) write(g *group, at, padded int64) error {
	n := 0
	for _, frames := range g.frames {
		n += copy(j.buf[n:], frames)
	}
	clear(j.buf[n:padded])
	if _, err := j.f.WriteAt(j.buf[:padded], at); err != nil {
		return err
	}
	return unix.Fdatasync(int(j.f.Fd()))
}
