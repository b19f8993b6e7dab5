package logs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/keys"
	"github.com/rheostream/rheo/internal/shardlog"
)

// An index in its blob, in frames (frames.go); the offset is index.next.
//
//	pieces  1 | grain uvarint
//	        2 | first | next, less first | bytes | least varint | most, less least | arrival varint | set    a chunk
//	        3 | stream | first varint | last, less first | ingested varint | bytes | from | to, less from    facts
//	set     number u8 = 0..16 | number x stream;  255 | 16 x u64
const (
	indexMagic   = "RHEOLGIX"
	indexVersion = 1
	indexPrefix  = "logs/index-"
)

const (
	pieceGrain = 1 + iota
	pieceChunk
	pieceFacts
)

const manyMark = 255

func indexName(groupID string) string { return indexPrefix + groupID }

func writeIndex(w io.Writer, x *index, sealer keys.Sealer) error {
	fw := newFrameWriter(w, indexMagic, indexVersion, uint64(x.next), sealer, sealIndex)
	fw.body = binary.AppendUvarint(append(fw.body, pieceGrain), uint64(x.grain))
	for i := range x.chunks {
		c := &x.chunks[i]
		b := binary.AppendUvarint(append(fw.body, pieceChunk), uint64(c.first))
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(c.next-c.first)), uint64(c.bytes))
		b = binary.AppendUvarint(binary.AppendVarint(b, c.least), uint64(c.most-c.least))
		b = binary.AppendVarint(b, c.arrival)
		if m := c.streams.many; m != nil {
			b = append(b, manyMark)
			for _, w := range m {
				b = binary.LittleEndian.AppendUint64(b, w)
			}
		} else {
			b = append(b, byte(len(c.streams.few)))
			for _, n := range c.streams.few {
				b = binary.AppendUvarint(b, n)
			}
		}
		fw.body = b
		fw.frame(frameBytes)
	}
	for n, f := range x.streams {
		b := binary.AppendUvarint(append(fw.body, pieceFacts), n)
		b = binary.AppendUvarint(binary.AppendVarint(b, f.first), uint64(f.last-f.first))
		b = binary.AppendUvarint(binary.AppendVarint(b, f.ingested), uint64(f.bytes))
		fw.body = binary.AppendUvarint(binary.AppendUvarint(b, uint64(f.from)), uint64(f.to-f.from))
		fw.frame(frameBytes)
	}
	return fw.end()
}

func readIndex(r io.Reader, sealer keys.Sealer) (*index, error) {
	x := newIndex(chunkBytes)
	next, err := readFrames(r, indexMagic, indexVersion, sealer, sealIndex, x.restore)
	if err != nil {
		return nil, err
	}
	x.next = shardlog.Offset(next)
	x.recount()
	return x, nil
}

func (x *index) restore(body []byte) error {
	r := reader{rest: body}
	for len(r.rest) > 0 && !r.failed {
		switch r.byte() {
		case pieceGrain:
			if x.grain = int64(r.uvarint()); x.grain <= 0 {
				return errDamaged
			}
		case pieceChunk:
			var c chunk
			c.first = shardlog.Offset(r.uvarint())
			c.next = c.first + shardlog.Offset(r.uvarint())
			c.bytes, c.least = int64(r.uvarint()), r.varint()
			c.most = c.least + int64(r.uvarint())
			c.arrival = r.varint()
			switch n := r.byte(); {
			case n == manyMark:
				c.streams.many = new([filterWords]uint64)
				for i := range c.streams.many {
					c.streams.many[i] = r.uint64()
				}
			case n > fewMax:
				return errDamaged
			default:
				for range n {
					c.streams.add(r.uvarint())
				}
			}
			x.chunks = append(x.chunks, c)
		case pieceFacts:
			n := r.uvarint()
			f := &streamFacts{first: r.varint()}
			f.last = f.first + int64(r.uvarint())
			f.ingested, f.bytes = r.varint(), int64(r.uvarint())
			f.from = shardlog.Offset(r.uvarint())
			f.to = f.from + shardlog.Offset(r.uvarint())
			x.streams[n] = f
		default:
			return errDamaged
		}
	}
	if r.failed {
		return errDamaged
	}
	return nil
}

// loadIndex reads the index of a group's log from its blob; an empty one if there is
// none that can be used, since the log has all that it says.
func (l *groupLogs) loadIndex(ctx context.Context, gl *groupLog) (*index, error) {
	r, _, err := l.blobs.Get(ctx, indexName(gl.id), 0, -1)
	if errors.Is(err, blob.ErrNotFound) {
		return newIndex(l.grain), nil
	}
	var x *index
	if err == nil {
		x, err = readIndex(r, l.sealer)
		r.Close()
	}
	switch {
	case err == nil && x.next > gl.shard.Info().Next:
		err = fmt.Errorf("it reaches to %d, beyond the log", x.next)
	case err == nil:
		return x, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	l.logger.Error("cannot use the index of a log group; it is made anew of its log", "index", indexName(gl.id), "err", err)
	return newIndex(l.grain), nil
}

// saveIndex writes the index of a group's log into its blob.
func (l *groupLogs) saveIndex(ctx context.Context, gl *groupLog) error {
	gl.mu.Lock()
	if gl.index == nil || gl.index.unsaved == 0 {
		gl.mu.Unlock()
		return nil
	}
	x := gl.index
	if l.live != nil {
		x.prune(l.live(gl.id))
	}
	var b bytes.Buffer
	err := writeIndex(&b, x, l.sealer)
	behind := x.unsaved
	gl.mu.Unlock()
	if err != nil {
		return fmt.Errorf("cannot make an index: %w", err)
	}
	if err := l.blobs.Put(ctx, indexName(gl.id), &b); err != nil {
		return fmt.Errorf("cannot write an index: %w", err)
	}
	if l.get(gl.id) != gl { // the group was deleted meanwhile
		return l.blobs.Delete(ctx, indexName(gl.id))
	}
	gl.mu.Lock()
	defer gl.mu.Unlock()
	if gl.index == x {
		x.unsaved -= behind
	}
	return nil
}
