package shardlog

import (
	"fmt"
	"math"

	"github.com/rheostream/rheo/internal/vfs"
)

// A hole is a frame that a repair leaves in a segment where the bytes were not
// those that had been written, so that a segment is nothing but good frames
// again, and what is lost stays known. It is as long as what it replaces (a
// stretch longer than the largest frame takes several), has flagHole, its offset
// is the last one lost, and its key epoch says how many offsets below that are
// lost too, as far as 32 bits go. Holes are never in the journal.

// putHole builds a hole over offsets from to to in b.
func putHole(b []byte, ref uint32, from, to uint64, arrival int64) {
	clear(b)
	r := Record{KeyEpoch: uint32(min(to-from, math.MaxUint32)), Data: b[frameFixed:]}
	putFrame(b, &r, flagHole, ref, to, arrival)
}

// holeFrom is the first offset that a hole stands for.
func (f *frame) holeFrom() uint64 { return f.seq - min(uint64(f.epoch), f.seq-1) }

// writeHoles fills size bytes at a place of a segment with holes over the
// offsets from to to. What stood there were frames, each with an offset, so there are
// at least as many offsets as holes.
func writeHoles(f vfs.File, at, size int64, ref uint32, from, to uint64, arrival int64) error {
	if size < frameFixed || from > to {
		return fmt.Errorf("%d bytes cannot hold offsets %d to %d", size, from, to)
	}
	buf := make([]byte, min(size, frameBytesMax))
	for size > 0 {
		n, last := size, to
		if n > frameBytesMax {
			n, last = min(frameBytesMax, size-frameFixed), min(from, to)
		}
		putHole(buf[:n], ref, from, last, arrival)
		if _, err := f.WriteAt(buf[:n], at); err != nil {
			return err
		}
		at, size, from = at+n, size-n, last+1
	}
	return nil
}
