package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// chunkSize is how much a shard gathers before it is written; a thousand of
// them are the memory budget of a server that writes lazily.
const chunkSize = 256 << 10

// second writes every frame to its shard's file.
type second struct {
	shards []shardFile
	chunks sync.Pool
	writes chan write
	flying sync.WaitGroup // writes that are queued or under way
	failed atomic.Pointer[error]
}

type shardFile struct {
	f  *os.File
	mu sync.Mutex
	// chunk is what is not handed to a writer yet, to be written at off. Guarded by mu.
	chunk []byte
	off   int64
}

type write struct {
	f     *os.File
	chunk []byte
	off   int64
}

func newSecond(dir string, shards int) (*second, error) {
	s := &second{shards: make([]shardFile, shards), writes: make(chan write, 64)}
	s.chunks.New = func() any { return make([]byte, 0, chunkSize) }
	for i := range s.shards {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("shard-%d", i)), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return nil, err
		}
		s.shards[i].f = f
		s.shards[i].chunk = s.chunks.New().([]byte)
	}
	for range 2 {
		go s.write()
	}
	return s, nil
}

func (s *second) write() {
	for w := range s.writes {
		if _, err := w.f.WriteAt(w.chunk, w.off); err != nil {
			s.failed.Store(&err)
		}
		s.chunks.Put(w.chunk[:0]) //nolint:staticcheck // a slice header a chunk is nothing
		s.flying.Done()
	}
}

// add copies frames to their shards.
func (s *second) add(frames []byte) error {
	for len(frames) > 0 {
		n := binary.LittleEndian.Uint32(frames[4:])
		shard := &s.shards[binary.LittleEndian.Uint32(frames[12:])]
		shard.mu.Lock()
		if len(shard.chunk)+int(n) > chunkSize {
			s.flush(shard)
		}
		shard.chunk = append(shard.chunk, frames[:n]...)
		shard.mu.Unlock()
		frames = frames[n:]
	}
	return s.err()
}

func (s *second) err() error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// flush hands the chunk to a writer; shard.mu is held.
func (s *second) flush(shard *shardFile) {
	if len(shard.chunk) == 0 {
		return
	}
	s.flying.Add(1)
	s.writes <- write{shard.f, shard.chunk, shard.off}
	shard.off += int64(len(shard.chunk))
	shard.chunk = s.chunks.Get().([]byte)
}

// checkpoint makes all that was added durable.
func (s *second) checkpoint() error {
	var syncs sync.WaitGroup
	free := make(chan struct{}, 16)
	for i := range s.shards {
		shard := &s.shards[i]
		shard.mu.Lock()
		s.flush(shard)
		shard.mu.Unlock()
	}
	s.flying.Wait()
	for i := range s.shards {
		free <- struct{}{}
		syncs.Go(func() {
			if err := unix.Fdatasync(int(s.shards[i].f.Fd())); err != nil {
				s.failed.Store(&err)
			}
			<-free
		})
	}
	syncs.Wait()
	return s.err()
}
