package s3

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/rheostream/rheo/internal/blob"
)

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

// find looks an object of the caller's up.
func (s *Service) find(ctx context.Context, bucketName, key string) (*object, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	b, err := owned(ctx, s.machine.view(), bucketName)
	if err != nil {
		return nil, err
	}
	r, ok := b.objects.Get(key)
	if !ok {
		return nil, noSuchKey(key)
	}
	o, err := parseObject(r.stored)
	if err != nil {
		return nil, fmt.Errorf("s3: cannot read the record of %s/%s: %w", bucketName, key, err)
	}
	return o, nil
}

// read finds an object and opens the part of it that choose asks for; choose is
// called again if the object is replaced meanwhile. Without a part to read, it
// returns n < 0.
func (s *Service) read(ctx context.Context, bucketName, key string, choose func(*object) (off, n int64, err error)) (*object, io.ReadCloser, error) {
	before := "" // blob
	for {
		o, err := s.find(ctx, bucketName, key)
		if err != nil {
			return nil, nil, err
		}
		off, n, err := choose(o)
		if err != nil || n < 0 {
			return o, nil, err
		}
		body, err := s.open(ctx, o, off, n)
		if err == nil {
			return o, body, nil
		}
		if !errors.Is(err, blob.ErrNotFound) || o.blob == before {
			return nil, nil, fmt.Errorf("s3: cannot read %s/%s: %w", bucketName, key, err)
		}
		before = o.blob // it was replaced or deleted between the two steps
	}
}
