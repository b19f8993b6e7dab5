package s3

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

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

// snapshotLoop writes a snapshot when enough was logged since the last one, or
// anything and long enough ago. It does not hold up commands.
func (m *machine) snapshotLoop(ctx context.Context) {
	interval := time.NewTicker(m.snapshotInterval)
	defer interval.Stop()
	for {
		least := max(1, m.snapshotEvery)
		if m.snapshotEvery == 0 {
			least = max(4<<20, m.snapshotBytes)
		}
		select {
		case <-ctx.Done():
			return
		case <-interval.C:
			least = 1
		case <-m.progress:
		}
		if m.logged.Load()-m.covered < least {
			continue
		}
		if err := m.snapshot(ctx); err != nil && ctx.Err() == nil {
			m.logger.Error("cannot write a snapshot of the index of objects", "err", err)
		}
	}
}

// snapshot writes one, forgets all but the newest two that are good, and then
// the commands that the older of the two covers. A crash before the last step
// leaves commands or a snapshot more than is needed.
func (m *machine) snapshot(ctx context.Context) error {
	// If this fails, it is not tried again before as much more was logged.
	m.covered = m.logged.Load()
	view := m.view() // reaches at least as far
	if err := m.putSnapshot(ctx, view); err != nil {
		return err
	}
	have, err := m.snapshots(ctx)
	if err != nil {
		return err
	}
	good := slices.DeleteFunc(slices.Clone(have), func(s snapshotBlob) bool { return m.bad[s.name] })
	if len(good) < 2 {
		return nil
	}
	keep := good[len(good)-2:]
	for _, s := range have {
		if !slices.Contains(keep, s) {
			if err := m.blobs.Delete(ctx, s.name); err != nil {
				return err
			}
		}
	}
	return m.log.Trim(ctx, m.shard, nextOffset(keep[0].offset))
}

// putSnapshot streams a view into its blob: it is never in memory twice.
func (m *machine) putSnapshot(ctx context.Context, view *state) error {
	r, w := io.Pipe()
	written := make(chan struct{})
	count := &counter{}
	go func() {
		defer close(written)
		w.CloseWithError(writeSnapshot(io.MultiWriter(w, count), view, m.sealer))
	}()
	err := m.blobs.Put(ctx, snapshotName(view.offset), r)
	r.CloseWithError(errors.New("the blob was not taken")) // ends the writer, if it has not ended
	<-written
	if err == nil {
		m.snapshotBytes = count.n
		delete(m.bad, snapshotName(view.offset)) // replaced, if it was
	}
	return err
}

type counter struct{ n int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return len(b), nil
}

func snapshotName(offset uint64) string { return fmt.Sprintf("%s%020d", snapshotPrefix, offset) }

type snapshotBlob struct {
	name   string
	offset uint64
	size   int64
}

// snapshots lists them, oldest first.
func (m *machine) snapshots(ctx context.Context) ([]snapshotBlob, error) {
	infos, err := m.blobs.List(ctx, snapshotPrefix, "", 1000)
	if err != nil {
		return nil, err
	}
	var out []snapshotBlob
	for _, i := range infos {
		if off, err := strconv.ParseUint(strings.TrimPrefix(i.Name, snapshotPrefix), 10, 64); err == nil {
			out = append(out, snapshotBlob{i.Name, off, i.Size})
		}
	}
	return out, nil
}

// loadSnapshot reads the newest snapshot that can be read, and otherwise the one
// before it: the log still has all that is behind that. It returns the empty
// state if there is none, how far the newest reaches whether it could be read or
// not, and what was wrong with those passed over.
func (m *machine) loadSnapshot(ctx context.Context) (st *state, newest uint64, wrong error, err error) {
	have, err := m.snapshots(ctx)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("s3: cannot list snapshots: %w", err)
	}
	for _, s := range slices.Backward(have) {
		newest = max(newest, s.offset)
		r, _, err := m.blobs.Get(ctx, s.name, 0, -1)
		if err == nil {
			st, err = readSnapshot(r, m.sealer)
			r.Close()
		}
		if err == nil {
			m.snapshotBytes = s.size
			return st, newest, wrong, nil
		}
		err = fmt.Errorf("%s: %w", s.name, err)
		if errors.Is(err, errNewer) || ctx.Err() != nil {
			return nil, 0, nil, fmt.Errorf("s3: cannot use snapshot %w", err)
		}
		m.logger.Error("cannot use a snapshot of the index of objects; the one before it and the log have to do", "err", err)
		m.bad[s.name] = true
		wrong = errors.Join(wrong, err)
	}
	return newState(), newest, wrong, nil
}
