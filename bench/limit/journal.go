package main

import (
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
// and overwritten from the start whenever its end is reached.
type journal struct {
	f      *os.File
	size   int64
	second *second

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
	f, err := os.OpenFile(filepath.Join(dir, "journal"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if fi.Size() != size {
		if err := f.Truncate(0); err != nil {
			return nil, err
		}
		zeros := make([]byte, 4<<20)
		for at := int64(0); at < size; at += int64(len(zeros)) {
			if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
				return nil, fmt.Errorf("cannot fill the journal: %w", err)
			}
		}
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	j := &journal{f: f, size: size, second: second, open: newGroup()}
	j.wake = sync.NewCond(&j.mu)
	go j.run()
	return j, nil
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

var padding [blockSize]byte

func (j *journal) write(g *group, at, padded int64) error {
	const vectorsMax = 1024 // IOV_MAX
	bufs := append(g.frames, padding[:padded-g.bytes])
	for len(bufs) > 0 {
		n := min(len(bufs), vectorsMax)
		var want int
		for _, b := range bufs[:n] {
			want += len(b)
		}
		wrote, err := unix.Pwritev(int(j.f.Fd()), bufs[:n], at)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if wrote != want {
			return fmt.Errorf("wrote %d of %d bytes", wrote, want)
		}
		bufs, at = bufs[n:], at+int64(want)
	}
	return unix.Fdatasync(int(j.f.Fd()))
}
