package cloudwatch

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sort"

	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/keys"
)

// A segment is a blob with data of one partition of one tier, of series in the
// order of their ids. A manifest says where in it each chunk of series is.
//
//	segment  "RHEOCWS" | version u8 = 1 | chunks
//	chunk    crc32c u32 of what follows | key epoch u32 | body, sealed
//	body     blocks: series uvarint | len uvarint | points
//	point    buckets since the one before, or since the partition's begin, uvarint | summary
type segment struct {
	tier   int
	start  int64 // of the partition
	name   string
	chunks []chunk
}

// A chunk is part of a segment: of series first to last.
type chunk struct {
	first, last uint32
	at, bytes   int64 // in the blob
}

const (
	segmentMagic   = "RHEOCWS"
	segmentVersion = 1
	segmentHead    = len(segmentMagic) + 1

	chunkBytes    = 64 << 10
	chunkBytesMax = 256 << 20 // a series of a partition is far less
)

// A block is what a segment has of one series.
type block struct {
	series uint32
	points []point
}

var errNotTaken = errors.New("the blob was not taken")

// writeSegment writes the blocks that next yields, which returns false after the
// last one, in order of their series. It returns nil if there are none.
func writeSegment(ctx context.Context, blobs blob.Store, sealer keys.Sealer, tier int, start int64, name string, next func() (block, bool, error)) (*segment, error) {
	first, ok, err := next()
	if err != nil || !ok {
		return nil, err
	}
	sg := &segment{tier: tier, start: start, name: name}
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		buffered := bufio.NewWriterSize(w, 64<<10)
		err := sg.write(buffered, sealer, first, next)
		if err == nil {
			err = buffered.Flush()
		}
		w.CloseWithError(err)
		written <- err
	}()
	err = blobs.Put(ctx, name, r)
	r.CloseWithError(errNotTaken) // ends the writer, if it has not ended
	if werr := <-written; werr != nil && !errors.Is(werr, errNotTaken) {
		err = werr
	}
	if err != nil {
		return nil, fmt.Errorf("cannot write %s: %w", name, err)
	}
	return sg, nil
}

func (sg *segment) write(w io.Writer, sealer keys.Sealer, b block, next func() (block, bool, error)) error {
	if _, err := w.Write(append([]byte(segmentMagic), segmentVersion)); err != nil {
		return err
	}
	at := int64(segmentHead)
	var body, points []byte
	c := chunk{first: b.series}
	end := func() error {
		sealed, epoch, err := sealer.Seal(sealSegment, body)
		if err != nil {
			return fmt.Errorf("cannot seal: %w", err)
		}
		framed := make([]byte, 4, 8+len(sealed))
		framed = append(binary.LittleEndian.AppendUint32(framed, epoch), sealed...)
		binary.LittleEndian.PutUint32(framed, crc32.Checksum(framed[4:], castagnoli))
		c.at, c.bytes = at, int64(len(framed))
		at += c.bytes
		sg.chunks = append(sg.chunks, c)
		body = body[:0]
		_, err = w.Write(framed)
		return err
	}
	for {
		points = points[:0]
		before := sg.start
		for i := range b.points {
			p := &b.points[i]
			points = binary.AppendUvarint(points, uint64((p.at-before)/tiers[sg.tier].width))
			points = appendSummary(points, &p.summary)
			before = p.at
		}
		body = binary.AppendUvarint(body, uint64(b.series))
		body = append(binary.AppendUvarint(body, uint64(len(points))), points...)
		c.last = b.series
		following, more, err := next()
		if err != nil {
			return err
		}
		if !more {
			return end()
		}
		if len(body) >= chunkBytes {
			if err := end(); err != nil {
				return err
			}
			c = chunk{first: following.series}
		}
		b = following
	}
}

// chunkOf finds the chunk with a series; -1 if the segment has nothing of it.
func (sg *segment) chunkOf(series uint32) int {
	i := sort.Search(len(sg.chunks), func(i int) bool { return sg.chunks[i].last >= series })
	if i == len(sg.chunks) || sg.chunks[i].first > series {
		return -1
	}
	return i
}

// overlaps says whether the segment may have data of a time.
func (sg *segment) overlaps(from, to int64) bool {
	return sg.start < to && sg.start+tiers[sg.tier].span > from
}

// readChunk reads the body of a chunk.
func (sg *segment) readChunk(ctx context.Context, blobs blob.Store, sealer keys.Sealer, i int) ([]byte, error) {
	c := sg.chunks[i]
	r, _, err := blobs.Get(ctx, sg.name, c.at, c.bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sg.name, err)
	}
	defer r.Close()
	framed := make([]byte, c.bytes)
	if _, err := io.ReadFull(r, framed); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errDamaged
		}
		return nil, fmt.Errorf("%s: %w", sg.name, err)
	}
	if len(framed) < 8 || binary.LittleEndian.Uint32(framed) != crc32.Checksum(framed[4:], castagnoli) {
		return nil, fmt.Errorf("%s: chunk at %d: %w", sg.name, c.at, errDamaged)
	}
	body, err := sealer.Open(sealSegment, framed[8:], binary.LittleEndian.Uint32(framed[4:]))
	if err != nil {
		return nil, fmt.Errorf("%s: cannot open what was sealed: %w", sg.name, err)
	}
	return body, nil
}

// nextBlock takes a block off a chunk's body, without reading its points.
func nextBlock(r *reader) (series uint32, points []byte) {
	series = uint32(r.uvarint())
	return series, r.bytes()
}

// eachPoint reads the points of a block.
func (sg *segment) eachPoint(points []byte, yield func(p *point)) error {
	r := reader{rest: points}
	at := sg.start
	for len(r.rest) > 0 {
		at += int64(r.uvarint()) * tiers[sg.tier].width
		p := point{at: at, summary: r.summary()}
		if r.failed {
			return fmt.Errorf("%s: %w", sg.name, errDamaged)
		}
		yield(&p)
	}
	return nil
}

// A merger reads segments of one partition as if they were one, in buckets of
// another tier.
type merger struct {
	ctx    context.Context
	blobs  blob.Store
	sealer keys.Sealer
	width  int64 // of the buckets to make
	inputs []*input
}

// An input is a segment that is read from its begin to its end.
type input struct {
	*segment
	next   int    // chunk
	rest   reader // of the chunk before it
	series uint32 // of the block at hand; 0: there is none
	points []byte
}

func newMerger(ctx context.Context, blobs blob.Store, sealer keys.Sealer, segments []*segment, tier int) *merger {
	m := &merger{ctx: ctx, blobs: blobs, sealer: sealer, width: tiers[tier].width}
	for _, sg := range segments {
		m.inputs = append(m.inputs, &input{segment: sg})
	}
	return m
}

// advance reads the next block of an input, if none is at hand.
func (m *merger) advance(in *input) error {
	if in.series != 0 {
		return nil
	}
	if len(in.rest.rest) == 0 {
		if in.next == len(in.chunks) {
			return nil
		}
		body, err := in.readChunk(m.ctx, m.blobs, m.sealer, in.next)
		if err != nil {
			return err
		}
		in.next++
		in.rest = reader{rest: body}
	}
	in.series, in.points = nextBlock(&in.rest)
	if in.rest.failed || in.series == 0 {
		return fmt.Errorf("%s: %w", in.name, errDamaged)
	}
	return nil
}

// block is the next series of all inputs; see writeSegment.
func (m *merger) block() (b block, ok bool, err error) {
	for _, in := range m.inputs {
		if err := m.advance(in); err != nil {
			return b, false, err
		}
		if in.series != 0 && (b.series == 0 || in.series < b.series) {
			b.series = in.series
		}
	}
	if b.series == 0 {
		return b, false, nil
	}
	for _, in := range m.inputs {
		if in.series != b.series {
			continue
		}
		err := in.eachPoint(in.points, func(p *point) {
			b.points, _ = addPoint(b.points, down(p.at, m.width), &p.summary)
		})
		if err != nil {
			return b, false, err
		}
		in.series, in.points = 0, nil
	}
	return b, true, nil
}

// frozenBlocks yields what series have frozen of one partition; see writeSegment.
func frozenBlocks(all []*series, tier int, start int64) func() (block, bool, error) {
	from := func(points []point, at int64) int {
		i, _ := slices.BinarySearchFunc(points, at, func(p point, at int64) int { return cmp.Compare(p.at, at) })
		return i
	}
	return func() (block, bool, error) {
		for len(all) > 0 {
			sr := all[0]
			all = all[1:]
			points := sr.frozen[tier] // does not change while it is frozen
			points = points[from(points, start):from(points, start+tiers[tier].span)]
			if len(points) > 0 {
				return block{sr.id, points}, true, nil
			}
		}
		return block{}, false, nil
	}
}
