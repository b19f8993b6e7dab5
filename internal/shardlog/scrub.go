package shardlog

import (
	"errors"
	"time"
)

// scrubEvery is how long a segment that was verified is left alone.
const scrubEvery = 24 * time.Hour

// scrubLoop reads all segments once a day, slowly, so that damage is
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

// scrub verifies all segments; of the active ones what a checkpoint has made
// durable. pace is told the bytes of each step and says whether to go on.
func (d *Disk) scrub(pace func(n int) bool) {
	for _, s := range d.allShards() {
		s.mu.Lock()
		var views []segmentView
		for i, g := range s.segments {
			v := s.viewOf(i)
			if v.active != nil {
				if !s.saved.present || s.saved.base != g.base {
					continue
				}
				v.bytes, v.upTo = s.saved.size, s.saved.last
			}
			views = append(views, v)
		}
		s.mu.Unlock()
		for _, v := range views {
			if err := d.scrubSegment(s, v, pace); err == errScrubStopped {
				return
			} else if err != nil && !errors.Is(err, errNotExist) {
				d.log.Error("cannot scrub a segment", "segment", v.path, "error", err)
			}
		}
	}
}

func (d *Disk) scrubSegment(s *shard, v segmentView, pace func(n int) bool) error {
	h, err := d.files.open(v.path)
	if err != nil {
		return err
	}
	defer h.release()
	step, at := 0, int64(0)
	err = scanPast(h.f, s.ref, 0, v.bytes, v.base-1, v.upTo, func(fr frame, _ []byte) error {
		step += fr.size
		at += int64(fr.size)
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
	}, func(lost gap) error {
		at = lost.end
		d.damaged(DamagedError{Shard: s.id, From: Offset(lost.from), To: Offset(lost.to), Where: lost.where(v.path)})
		return nil
	})
	d.stats.scrubbed.Add(uint64(step))
	return err
}
