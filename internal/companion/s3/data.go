package s3

import (
	"context"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"syscall"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/blob"
)

// What an object holds lies in its blob in one of two ways:
//
//	plain    byte for byte, where nothing is sealed (epoch 0)
//	framed   frames, each of objectFrameBytes but the last:
//	         length u32 | key epoch u32 | that many bytes, sealed
//
// All full frames take the same number of bytes on disk, so that a range is found
// without reading what is before it. A frame is sealed for its place in its blob.
const objectFrameBytes = 256 << 10

// A layout is how a blob is made. The zero value is plain.
type layout struct {
	frame  int64 // bytes of the object in a full frame; 0: plain
	sealed int64 // bytes of a full frame on disk; 0 if there is none
}

const frameHeadBytes = 8

func framePurpose(blob string, n int64) string {
	return sealObject + " " + blob + " " + strconv.FormatInt(n, 10)
}

// Limits of S3 on sizes.
const (
	putBytesMax    = 5 << 30 // of one put, part or copy
	objectBytesMax = 5 << 40
	partBytesMin   = 5 << 20
	partsMax       = 10000
)

// An incoming is a body on its way to a blob.
type incoming struct {
	prefix, bucket, key string // for the blob's name
	account             string // whose quota it takes; empty: nobody's
	body                io.Reader
	length              int64 // of body; -1 if it is not known
	max                 int64 // bytes of body
	check               Check // what it has to be
	algorithm           algorithm
}

// store writes a body into a new blob, which is durable when it returns but which
// nothing refers to. What it returns has the facts that are the body's. settle must
// be called with what became of the command that refers to the blob: if it was
// refused, the blob is removed. If it is not known, as at a stop, that is left to the
// next start.
func (s *Service) store(ctx context.Context, in incoming) (o *object, settle func(error), err error) {
	name := blobName(in.prefix, in.bucket, in.key)
	w := &intake{s: s, incoming: in, name: name, md5: md5.New()}
	if in.algorithm != noAlgorithm {
		w.sum = algorithms[in.algorithm].new()
	}
	if err := w.begin(); err != nil {
		return nil, nil, err
	}
	s.underway.add(name)
	settle = func(err error) {
		if in.account != "" {
			s.quota.release(in.account, w.room)
		}
		var refused *api.Error
		if errors.As(err, &refused) {
			s.remove(name)
		}
		if err == nil || refused != nil {
			s.underway.remove(name)
		}
	}
	if err := s.blobs.Put(ctx, name, w); err != nil {
		settle(errDiskFull) // or whatever: there is no command
		return nil, nil, storeError(err)
	}
	o = &object{blob: name, size: w.size, layout: w.layout, modified: s.now().UnixMilli()}
	w.md5.Sum(o.etag[:0])
	if w.sum != nil {
		o.checksum = checksum{algorithm: in.algorithm, value: w.sum.Sum(nil)}
	}
	return o, settle, nil
}

// storeError finds what the caller is to be told in what a Store says.
func storeError(err error) error {
	var e *api.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return errDiskFull
	}
	return err
}

// An intake yields what a blob is to have: the body, checked, and sealed if there is
// a key. It ends with io.EOF only if the body is what it should be.
type intake struct {
	s *Service
	incoming
	name string

	md5, sum hash.Hash
	size     int64 // bytes of the body so far
	room     int64 // taken of the quota

	layout layout
	frames int64
	plain  []byte // a frame
	sealed []byte // of it, what was not yet read
	done   bool
}

// begin takes room, and finds out whether what comes is to be sealed.
func (w *intake) begin() error {
	if w.length > w.max {
		return errTooLarge
	}
	if err := w.grow(max(w.length, 0)); err != nil {
		return err
	}
	_, epoch, err := w.s.sealer.Seal(framePurpose(w.name, 0), nil)
	if err != nil {
		return fmt.Errorf("s3: cannot seal: %w", err)
	}
	if epoch != 0 {
		w.layout.frame = objectFrameBytes
		w.plain = make([]byte, objectFrameBytes)
	}
	return nil
}

// grow takes room for n more bytes, if there is any on the disk and in the quota.
func (w *intake) grow(n int64) error {
	if w.s.disk != nil {
		if d := w.s.disk(); d.Free-n < d.Reserve {
			return errDiskFull
		}
	}
	if w.account != "" {
		if err := w.s.quota.reserve(w.account, w.s.machine.view().usedBy(w.account), n); err != nil {
			return err
		}
	}
	w.room += n
	return nil
}

// growBytes is how much room is taken at once where the length is not known, and
// after how much the disk is looked at again where it is.
const growBytes = 16 << 20

func (w *intake) Read(p []byte) (int, error) {
	if w.layout.frame == 0 {
		return w.take(p)
	}
	for len(w.sealed) == 0 {
		if w.done {
			return 0, io.EOF
		}
		if err := w.nextFrame(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.sealed)
	w.sealed = w.sealed[n:]
	return n, nil
}

func (w *intake) nextFrame() error {
	n, err := io.ReadFull(readerFunc(w.take), w.plain)
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF: // of a body that was checked
		w.done = true
	case err != nil:
		return err
	}
	if n == 0 {
		return nil
	}
	sealed, epoch, err := w.s.sealer.Seal(framePurpose(w.name, w.frames), w.plain[:n])
	if err != nil {
		return fmt.Errorf("s3: cannot seal: %w", err)
	}
	w.frames++
	if onDisk := int64(len(sealed)) + frameHeadBytes; n == objectFrameBytes {
		if w.layout.sealed != 0 && w.layout.sealed != onDisk {
			return errors.New("s3: a frame is sealed in another size than those before it")
		}
		w.layout.sealed = onDisk
	}
	head := binary.LittleEndian.AppendUint32(make([]byte, 0, frameHeadBytes+len(sealed)), uint32(len(sealed)))
	w.sealed = append(binary.LittleEndian.AppendUint32(head, epoch), sealed...)
	return nil
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// take reads and checks some of the body.
func (w *intake) take(p []byte) (int, error) {
	n, err := w.body.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errIncomplete
	}
	before := w.size
	w.size += int64(n)
	if w.size > w.max {
		return 0, errTooLarge
	}
	if w.length >= 0 && w.size > w.length {
		return 0, errIncomplete
	}
	if w.size > w.room || before/growBytes != w.size/growBytes {
		more := int64(0)
		if w.size > w.room {
			more = max(growBytes, w.size-w.room)
		}
		if err := w.grow(more); err != nil {
			return 0, err
		}
	}
	w.md5.Write(p[:n])
	if w.sum != nil {
		w.sum.Write(p[:n])
	}
	if err == io.EOF {
		if err := w.verify(); err != nil {
			return 0, err
		}
	}
	return n, err
}

// verify says whether the body, which has ended, is what was announced.
func (w *intake) verify() error {
	if w.length >= 0 && w.size != w.length {
		return errIncomplete
	}
	if err := w.check.matchesMD5(w.md5.Sum(nil)); err != nil {
		return err
	}
	if w.check.algorithm == noAlgorithm {
		return nil
	}
	return w.check.matches(w.sum.Sum(nil))
}

// open reads n bytes of an object from offset off on; both lie within it.
func (s *Service) open(ctx context.Context, o *object, off, n int64) (io.ReadCloser, error) {
	if o.layout.frame == 0 {
		r, info, err := s.blobs.Get(ctx, o.blob, off, n)
		if err == nil && info.Size != o.size {
			r.Close()
			err = fmt.Errorf("s3: blob %s has %d bytes, not %d: %w", o.blob, info.Size, o.size, errDamaged)
		}
		return r, err
	}
	first := off / o.layout.frame
	r, _, err := s.blobs.Get(ctx, o.blob, first*o.layout.sealed, -1)
	if err != nil {
		return nil, err
	}
	return &opened{s: s, o: o, r: r, frame: first, skip: off - first*o.layout.frame, left: n}, nil
}

// An opened reads an object that lies in frames.
type opened struct {
	s     *Service
	o     *object
	r     io.ReadCloser
	frame int64  // that comes next
	skip  int64  // bytes of it
	left  int64  // bytes to yield
	plain []byte // of the frame before, what was not yet read
}

func (r *opened) Close() error { return r.r.Close() }

func (r *opened) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if len(r.plain) == 0 {
		if err := r.next(); err != nil {
			return 0, fmt.Errorf("s3: cannot read frame %d of blob %s: %w", r.frame, r.o.blob, err)
		}
	}
	n := copy(p, r.plain[:min(int64(len(r.plain)), r.left)])
	r.plain = r.plain[n:]
	r.left -= int64(n)
	return n, nil
}

func (r *opened) next() error {
	var head [frameHeadBytes]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > 2*objectFrameBytes {
		return errDamaged
	}
	sealed := make([]byte, n)
	if _, err := io.ReadFull(r.r, sealed); err != nil {
		return err
	}
	plain, err := r.s.sealer.Open(framePurpose(r.o.blob, r.frame), sealed, binary.LittleEndian.Uint32(head[4:]))
	if err != nil {
		return err
	}
	if want := min(r.o.layout.frame, r.o.size-r.frame*r.o.layout.frame); int64(len(plain)) != want {
		return errDamaged
	}
	r.plain, r.skip, r.frame = plain[r.skip:], 0, r.frame+1
	return nil
}

// A found object is one that is open for reading.
type found struct {
	*object
	version uint64
	bucket  *bucket
}

// find looks an object up.
func (s *Service) find(ctx context.Context, bucketName, key string) (found, error) {
	if err := checkKey(key); err != nil {
		return found{}, err
	}
	b, err := owned(ctx, s.machine.view(), bucketName)
	if err != nil {
		return found{}, err
	}
	r, ok := b.objects.Get(key)
	if !ok {
		return found{}, noSuchKey(key)
	}
	o, err := parseObject(r.stored)
	if err != nil {
		return found{}, fmt.Errorf("s3: cannot read the record of %s/%s: %w", bucketName, key, err)
	}
	return found{o, r.version, b}, nil
}

// read finds an object and opens the part of it that choose asks for; it may be
// called again if the object is replaced meanwhile. Without a part to read, choose
// returns n < 0.
func (s *Service) read(ctx context.Context, bucketName, key string, choose func(found) (off, n int64, err error)) (found, io.ReadCloser, error) {
	var before string
	for {
		f, err := s.find(ctx, bucketName, key)
		if err != nil {
			return f, nil, err
		}
		off, n, err := choose(f)
		if err != nil || n < 0 {
			return f, nil, err
		}
		body, err := s.open(ctx, f.object, off, n)
		if err == nil {
			return f, body, nil
		}
		if !errors.Is(err, blob.ErrNotFound) || f.blob == before {
			return f, nil, fmt.Errorf("s3: cannot read %s/%s: %w", bucketName, key, err)
		}
		before = f.blob // it was replaced or deleted between the two steps
	}
}
