package shardlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
)

const (
	ballastBytes      = 64 << 20
	ballastBytesSmall = 1 << 20
	smallDisk         = 16 << 30
	reserveMax        = 1 << 30
	lookBytes         = 1 << 20 // taken in memory or written to segments between two looks, at most
)

// spaceWatch refuses records while the disk is (nearly) full. A ballast file
// gives the log room to write checkpoints and so to delete; it comes back when
// there is space again, and so do writes.
type spaceWatch struct {
	d    *Disk
	full atomic.Bool // records are refused
	free atomic.Int64

	written atomic.Int64 // to segments, since the last look
	used    atomic.Int64 // memory, at the last look

	mu      sync.Mutex // guards all below
	ballast bool       // the file is there
}

func newSpaceWatch(d *Disk) *spaceWatch { return &spaceWatch{d: d} }

func (w *spaceWatch) name() string { return filepath.Join(w.d.cfg.Dir, "ballast") }

// noSpaceError makes err an ErrNoSpace if it comes from a full disk.
func noSpaceError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

// failed looks whether err comes from a full disk, and acts on it.
func (w *spaceWatch) failed(err error) {
	if !errors.Is(noSpaceError(err), ErrNoSpace) {
		return
	}
	if !w.full.Swap(true) {
		w.d.log.Error("the disk is full: records are refused until there is space; reads and deletes go on", "error", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ballast {
		w.ballast = false
		if err := w.d.fs.Remove(w.name()); err != nil && !errors.Is(err, errNotExist) {
			w.d.log.Error("cannot free the ballast", "error", err)
		}
	}
}

// reserve is how many bytes stay free, of total.
func (w *spaceWatch) reserve(total int64) int64 {
	if w.d.cfg.ReserveBytes > 0 {
		return w.d.cfg.ReserveBytes
	}
	return min(total/20, reserveMax)
}

// need is how many bytes must be free for records to be accepted: the reserve,
// and a place in segments for all that is in memory, or will be before the next look.
func (w *spaceWatch) need(total int64) int64 {
	return w.reserve(total) + w.d.arena.used.Load() + int64(w.d.arena.slabBytes)
}

// refuses tells whether records are refused. It looks when memory has grown.
func (w *spaceWatch) refuses() bool {
	if w.d.arena.used.Load()-w.used.Load() >= lookBytes {
		w.look()
	}
	return w.full.Load()
}

// room tells whether n bytes more than are needed are free.
func (w *spaceWatch) room(n int64) bool {
	free, total, err := w.d.fs.Usage(w.d.cfg.Dir)
	return err != nil || free-n >= w.need(total)
}

// wrote notes that n bytes went to segments, and looks now and then.
func (w *spaceWatch) wrote(n int) {
	if w.written.Add(int64(n)) >= lookBytes {
		w.look()
	}
}

func ballastFor(total int64) int64 {
	if total < smallDisk {
		return ballastBytesSmall
	}
	return ballastBytes
}

// look compares the free space with what is needed.
func (w *spaceWatch) look() {
	w.written.Store(0)
	w.used.Store(w.d.arena.used.Load())
	free, total, err := w.d.fs.Usage(w.d.cfg.Dir)
	if err != nil {
		return // not every file system can say; a full one then shows by its errors
	}
	w.free.Store(free)
	need := w.need(total)
	w.mu.Lock()
	ballast := w.ballast
	w.mu.Unlock()
	if w.full.Load() {
		if !ballast {
			need += ballastFor(total)
		}
		// Some more than the reserve, so as not to go back and forth.
		if free >= need+need/16 {
			w.full.Store(false)
			w.d.log.Info("there is space again; records are accepted", "free", free)
		}
	} else if free < need {
		w.full.Store(true)
		w.d.log.Error("little space is left: records are refused until there is more; reads and deletes go on", "free", free, "reserve", need)
	}
}

// fillBallast makes the ballast file when there is space for it.
func (w *spaceWatch) fillBallast() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ballast || w.full.Load() {
		return
	}
	_, total, err := w.d.fs.Usage(w.d.cfg.Dir)
	if err != nil {
		return
	}
	f, err := w.d.fs.Create(w.name())
	if errors.Is(err, errExist) {
		f, err = w.d.fs.Open(w.name())
	}
	if err != nil {
		return
	}
	err = f.Reserve(ballastFor(total))
	if errors.Join(err, f.Close()) != nil {
		w.d.fs.Remove(w.name()) // as good as none
		return
	}
	w.ballast = true
}
