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
	account             string // whose quota it takes
	body                io.Reader
	length              int64 // of body; -1 if it is not known
	max                 int64 // bytes of body
	check               Check // what it has to be
	algorithm           algorithm
	// parts says that body is parts, which have taken their quota and go when the
	// object comes, and whose MD5s are known.
	parts bool
}

// store writes a body into a new blob, which is durable when it returns but which
// nothing refers to. What it returns has the facts that are the body's. settle must
// be called with what became of the command that refers to the blob: if it was
// refused, the blob is removed. If it is not known, as at a stop, that is left to the
// next start.
func (s *Service) store(ctx context.Context, in incoming) (o *object, settle func(error), err error) {
	name := blobName(in.prefix, in.bucket, in.key)
	w := &intake{s: s, incoming: in, name: name}
	if !in.parts {
		w.md5 = md5.New()
	}
	if in.algorithm != noAlgorithm {
		w.sum = algorithms[in.algorithm].new()
	}
	if err := w.begin(); err != nil {
		return nil, nil, err
	}
	s.underway.add(name)
	settle = func(err error) {
		if !in.parts {
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
	if w.md5 != nil {
		w.md5.Sum(o.etag[:0])
	}
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

	md5, sum hash.Hash // nil if they are not wanted
	size     int64     // bytes of the body so far
	room     int64     // taken of the quota

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
	if !w.parts {
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
	if w.md5 != nil {
		w.md5.Write(p[:n])
	}
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
	if w.md5 != nil {
		if err := w.check.matchesMD5(w.md5.Sum(nil)); err != nil {
			return err
		}
	}
	if w.check.algorithm == noAlgorithm {
		return nil
	}
	return w.check.matches(w.sum.Sum(nil))
}
