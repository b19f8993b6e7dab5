package s3

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/tidwall/btree"

	"github.com/rheostream/rheo/internal/keys"
)

// A snapshot is the state in a blob that is named by its offset:
//
//	snapshot  "RHEOS3" | version u8 = 1 | offset u64 | frames | 0 u32 | crc32c u32 of all before it
//	frame     length u32 | key epoch u32 | body, sealed
//	body      pieces: 1 | name | id uvarint | definition as JSON           a bucket
//	                  2 | key | version uvarint | record                   an object of the bucket before it
//	                  3 | key | id text | version | record                 an upload of the bucket before it
//	                  4 | number uvarint | version | record                a part of the upload before it
//
// Two snapshots are kept, and the log is trimmed to the older one after the newer is
// durable.
const (
	snapshotMagic   = "RHEOS3"
	snapshotVersion = 1

	frameBytes    = 256 << 10
	frameBytesMax = 16 << 20 // one record and its key are far less
)

const (
	pieceBucket = 1 + iota
	pieceObject
	pieceUpload
	piecePart
)

// A snapshotWriter seals pieces into frames.
type snapshotWriter struct {
	w      io.Writer // counts and sums what passes
	sealer keys.Sealer
	body   []byte
	err    error
}

// writeSnapshot writes a view.
func writeSnapshot(w io.Writer, s *state, sealer keys.Sealer) error {
	sum := crc32.New(castagnoli)
	buffered := bufio.NewWriterSize(w, 64<<10)
	sw := &snapshotWriter{w: io.MultiWriter(buffered, sum), sealer: sealer}
	head := append([]byte(snapshotMagic), snapshotVersion)
	sw.write(binary.LittleEndian.AppendUint64(head, s.offset))
	s.buckets.Scan(sw.bucket)
	sw.frame(1)
	sw.write(make([]byte, 4))
	if sw.err != nil {
		return sw.err
	}
	if _, err := buffered.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32())); err != nil {
		return err
	}
	return buffered.Flush()
}

func (sw *snapshotWriter) bucket(name string, b *bucket) bool {
	doc, err := json.Marshal(b.doc)
	if err != nil {
		sw.err = err
		return false
	}
	sw.body = appendText(append(sw.body, pieceBucket), name)
	sw.body = binary.AppendUvarint(sw.body, b.id)
	sw.body = appendText(sw.body, string(doc))
	b.objects.Scan(func(key string, r row) bool {
		sw.body = appendText(append(sw.body, pieceObject), key)
		return sw.row(r)
	})
	b.uploads.Scan(func(_ string, u *parted) bool {
		sw.body = appendText(appendText(append(sw.body, pieceUpload), u.key), u.id)
		sw.row(u.row)
		u.parts.Scan(func(number int, r row) bool {
			sw.body = binary.AppendUvarint(append(sw.body, piecePart), uint64(number))
			return sw.row(r)
		})
		return sw.err == nil
	})
	return sw.frame(frameBytes)
}

func (sw *snapshotWriter) row(r row) bool {
	sw.body = appendText(binary.AppendUvarint(sw.body, r.version), r.stored)
	return sw.frame(frameBytes)
}

func (sw *snapshotWriter) write(b []byte) {
	if sw.err == nil {
		_, sw.err = sw.w.Write(b)
	}
}

// frame writes what there is if it is at least so much. It says false after an error.
func (sw *snapshotWriter) frame(least int) bool {
	if len(sw.body) < least || sw.err != nil {
		return sw.err == nil
	}
	sealed, epoch, err := sw.sealer.Seal(sealSnapshot, sw.body)
	if err != nil {
		sw.err = fmt.Errorf("cannot seal: %w", err)
		return false
	}
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(sealed)))
	sw.write(binary.LittleEndian.AppendUint32(head, epoch))
	sw.write(sealed)
	sw.body = sw.body[:0]
	return sw.err == nil
}

// A snapshotReader reads frames and sums what it read.
type snapshotReader struct {
	r   io.Reader
	sum hash.Hash32
}

func (sr *snapshotReader) read(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(sr.r, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errDamaged
		}
		return nil, err
	}
	sr.sum.Write(b)
	return b, nil
}

// readSnapshot reads a state.
func readSnapshot(r io.Reader, sealer keys.Sealer) (*state, error) {
	sr := &snapshotReader{bufio.NewReaderSize(r, 64<<10), crc32.New(castagnoli)}
	head, err := sr.read(len(snapshotMagic) + 9)
	if err != nil {
		return nil, err
	}
	if string(head[:len(snapshotMagic)]) != snapshotMagic {
		return nil, errDamaged
	}
	if v := head[len(snapshotMagic)]; v != snapshotVersion {
		return nil, fmt.Errorf("version %d: %w", v, errNewer)
	}
	s := newState()
	s.offset = binary.LittleEndian.Uint64(head[len(snapshotMagic)+1:])
	var at restoring
	for {
		length, err := sr.read(4)
		if err != nil {
			return nil, err
		}
		n := binary.LittleEndian.Uint32(length)
		if n == 0 {
			break
		}
		if n > frameBytesMax {
			return nil, errDamaged
		}
		epoch, err := sr.read(4)
		if err != nil {
			return nil, err
		}
		sealed, err := sr.read(int(n))
		if err != nil {
			return nil, err
		}
		body, err := sealer.Open(sealSnapshot, sealed, binary.LittleEndian.Uint32(epoch))
		if err != nil {
			return nil, fmt.Errorf("cannot open what was sealed: %w", err)
		}
		if err := at.restore(s, string(body)); err != nil {
			return nil, err
		}
	}
	want := sr.sum.Sum32()
	have, err := sr.read(4)
	if err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(have) != want {
		return nil, errDamaged
	}
	return s, nil
}

// restoring is where the pieces that come belong.
type restoring struct {
	bucket *bucket
	upload *parted
}

// restore puts the pieces of one frame in their places.
func (at *restoring) restore(s *state, body string) error {
	r := textReader{rest: body}
	for r.rest != "" {
		piece := r.byte()
		if piece != pieceBucket && at.bucket == nil || piece == piecePart && at.upload == nil {
			return errDamaged
		}
		switch piece {
		case pieceBucket:
			name := r.own()
			b := &bucket{id: r.uvarint(), objects: new(btree.Map[string, row]), uploads: new(btree.Map[string, *parted])}
			if json.Unmarshal([]byte(r.text()), &b.doc) != nil {
				return errDamaged
			}
			s.buckets.Set(name, b)
			s.dirty[name] = true
			s.bytes += bucketCost
			at.bucket, at.upload = b, nil
		case pieceObject:
			key := r.own()
			s.setObject(at.bucket, key, r.row())
		case pieceUpload:
			at.upload = &parted{key: r.own(), id: r.own(), row: r.row(), parts: new(btree.Map[int, row])}
			s.setUpload(at.bucket, at.upload)
		case piecePart:
			number, part := int(r.uvarint()), r.row()
			version := at.upload.version
			s.setPart(at.bucket, at.upload, number, part)
			at.upload, _ = at.bucket.uploads.Get(uploadKey(at.upload.key, at.upload.id))
			at.upload.version = version // which is that of the last part, not of this
		default:
			return errDamaged
		}
		if r.failed {
			return errDamaged
		}
	}
	return nil
}

func (r *textReader) row() row {
	w := row{version: r.uvarint(), stored: r.own()}
	if w.version == 0 {
		r.fail()
	}
	return w
}
