package s3

import (
	"context"
	"io"
)

// PutObjectInput is an object to be stored, of up to 5 GiB.
type PutObjectInput struct {
	Bucket, Key string
	Body        io.Reader
	Length      int64 // of Body, in bytes; -1 if it is not known
	Headers     Headers
	Conditions  Conditions // IfMatch, or IfNoneMatch *
	Check       Check
}

// PutObjectOutput is what became of it.
type PutObjectOutput struct {
	ETag     string // in quotes
	checksum checksum
}

// PutObject stores an object in the place of what there is at its key. It is durable
// when this returns; until then, and after an error, nothing has changed. Conditions
// hold at the moment of the change; that they do not hold at the start is told before
// the body is read.
func (s *Service) PutObject(ctx context.Context, in *PutObjectInput) (*PutObjectOutput, error) {
	if err := checkKey(in.Key); err != nil {
		return nil, err
	}
	b, err := owned(ctx, s.machine.view(), in.Bucket)
	if err != nil {
		return nil, err
	}
	if _, _, err := in.Conditions.write(b, in.Key); err != nil {
		return nil, err
	}
	o, settle, err := s.store(ctx, incoming{prefix: objectPrefix, bucket: in.Bucket, key: in.Key, account: b.doc.Account,
		body: in.Body, length: in.Length, max: putBytesMax, check: in.Check, algorithm: in.Check.algorithm})
	if err != nil {
		return nil, err
	}
	o.headers = in.Headers
	err = s.putRecord(ctx, b, in.Bucket, in.Key, o, &in.Conditions)
	settle(err)
	if err != nil {
		return nil, err
	}
	return &PutObjectOutput{ETag: o.ETag(), checksum: o.checksum}, nil
}

// putRecord has the index refer to what was stored for a key of a bucket as it was
// found. The caller may go away: what was begun is ended.
func (s *Service) putRecord(ctx context.Context, found *bucket, bucketName, key string, o *object, c *Conditions) error {
	stored := o.encode()
	return s.decide(context.WithoutCancel(ctx), func(st *state) (txn, error) {
		b, ok := st.buckets.Get(bucketName)
		if !ok || b.id != found.id {
			return nil, noSuchBucket(bucketName)
		}
		check, version, err := c.write(b, key)
		if err != nil {
			return nil, err
		}
		return txn{{kind: putObject, bucket: bucketName, id: b.id, key: key, check: check, version: version, stored: stored}}, nil
	})
}

var putObjectEndpoint = endpoint{op: operation("PutObject", hasPutObject.PutObject), method: "PUT", on: onObject,
	decode: func(r *request) (any, error) {
		in := &PutObjectInput{Bucket: r.bucket, Key: r.key, Body: r.body, Length: r.body.Length(r.ContentLength)}
		if in.Length < 0 {
			return nil, errLength
		}
		return in, firstError(r.readHeaders(&in.Headers), r.readConditions(&in.Conditions), r.readCheck(&in.Check))
	},
	encode: func(w *reply, out any) error {
		o := out.(*PutObjectOutput)
		w.set("ETag", o.ETag)
		w.checksum(&o.checksum, 0)
		return w.empty(200)
	}}

type hasPutObject interface {
	PutObject(context.Context, *PutObjectInput) (*PutObjectOutput, error)
}
