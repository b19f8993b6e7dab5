package shardlog

import (
	"fmt"

	"github.com/rheostream/rheo/internal/vfs"
)

// scanFrames reads the frames of one shard in [from, to) of a file, in order, and
// hands each to visit once it is verified. seen is the last offset before from. A *badFrame says
// where that came to an end.
func scanFrames(f vfs.File, ref uint32, from, to int64, seen uint64, visit func(fr frame, raw []byte) error) error {
	buf := make([]byte, min(int64(chunkBytes), max(to-from, 0)))
	have := 0 // bytes in buf, which start at from
	for from < to {
		n := int(min(int64(len(buf)-have), to-from-int64(have)))
		if n > 0 {
			k, err := f.ReadAt(buf[have:have+n], from+int64(have))
			have += k
			if k < n {
				if err == nil || isEOF(err) {
					to = from + int64(have)
				} else {
					return err
				}
			}
		}
		used := 0
		for used < have {
			fr, err := parseFrame(buf[used:have])
			if err == errFrameShort && from+int64(have) < to {
				break // the rest of it is still to be read
			}
			if err == nil && (fr.ref != ref || fr.seq <= seen || fr.flags&flagControl != 0) {
				err = fmt.Errorf("%w: shard %d offset %d after offset %d of shard %d", errFrame, fr.ref, fr.seq, seen, ref)
			}
			if err != nil {
				return &badFrame{at: from + int64(used), after: seen, err: err}
			}
			if err := visit(fr, buf[used:used+fr.size]); err != nil {
				return err
			}
			seen = fr.seq
			used += fr.size
		}
		if used == 0 && have > 0 && from+int64(have) < to {
			// One frame is larger than the buffer.
			grown := make([]byte, min(int64(max(frameLength(buf[:have]), 2*len(buf))), to-from))
			copy(grown, buf[:have])
			buf = grown
			continue
		}
		have = copy(buf, buf[used:have])
		from += int64(used)
	}
	return nil
}

// badFrame says that the bytes at a place are not the frame that should be there.
type badFrame struct {
	at    int64
	after uint64 // last good offset before
	err   error
}

func (e *badFrame) Error() string { return fmt.Sprintf("at %d: %v", e.at, e.err) }
func (e *badFrame) Unwrap() error { return e.err }
