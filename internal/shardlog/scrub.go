package shardlog

import (
	"errors"
	"fmt"
	"time"
)

// scrubEvery is how long a segment that was verified is left alone.
const scrubEvery = 24 * time.Hour

// scrubLoop reads all sealed segments once a day, slowly, so that damage is
// found while there is still something to do about it.
func (d *Disk) scrubLoop() {
	if d.cfg.ScrubBytesPerSec < 0 {
		return
	}
	t := time.NewTimer(scrubEvery / 24)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-d.stop:
			return
		}
		d.scrub(func(n int) bool {
			pause := time.NewTimer(time.Duration(n) * time.Second / time.Duration(d.cfg.ScrubBytesPerSec))
			defer pause.Stop()
			select {
			case <-pause.C:
				return true
			case <-d.stop:
				return false
			}
		})
		t.Reset(scrubEvery)
	}
}

var errScrubStopped = errors.New("scrub stopped")

// scrub verifies all sealed segments. pace is told the bytes of each step and
// says whether to go on.
func (d *Disk) scrub(pace func(n int) bool) {
	for _, s := range d.allShards() {
		s.mu.Lock()
		var sealed []segment
		for i := 0; i+1 < len(s.segments); i++ {
			g := s.segments[i]
			sealed = append(sealed, segment{base: g.base, path: g.path, size: g.size, last: g.last})
		}
		s.mu.Unlock()
		for i := range sealed {
			if err := d.scrubSegment(s, &sealed[i], pace); err == errScrubStopped {
				return
			} else if err != nil && !errors.Is(err, errNotExist) {
				d.log.Error("cannot scrub a segment", "segment", sealed[i].path, "error", err)
			}
		}
	}
}

func (d *Disk) scrubSegment(s *shard, g *segment, pace func(n int) bool) error {
	h, err := d.files.open(g.path)
	if err != nil {
		return err
	}
	defer h.release()
	step, at := 0, int64(0)
	// Last is the bound that the name of the segment behind it gives.
	last := g.base - 1
	err = scanFrames(h.f, s.ref, 0, g.size, g.base-1, func(fr frame, _ []byte) error {
		step += fr.size
		at += int64(fr.size)
		last = fr.seq
		if step < chunkBytes {
			return nil
		}
		d.stats.scrubbed.Add(uint64(step))
		h.f.DontNeed(at-int64(step), int64(step))
		n := step
		step = 0
		if !pace(n) {
			return errScrubStopped
		}
		return nil
	})
	d.stats.scrubbed.Add(uint64(step))
	var bad *badFrame
	switch {
	case errors.As(err, &bad):
		d.damaged(DamagedError{Shard: s.id, From: Offset(bad.after + 1), Where: fmt.Sprintf("%s at %d", g.path, bad.at)})
		return nil
	case err == nil && last != g.last:
		d.damaged(DamagedError{Shard: s.id, From: Offset(last + 1), To: Offset(g.last), Where: fmt.Sprintf("%s is cut short at %d", g.path, at)})
	}
	return err
}
