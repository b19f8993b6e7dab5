package s3

import (
	"context"
	"fmt"
	"io"
	"strconv"
)

// UploadPartInput is a part of an object, of up to 5 GiB. All but the last must have
// 5 MiB when the upload is completed.
type UploadPartInput struct {
	Bucket, Key, UploadID string
	PartNumber            int // from 1 to 10,000
	Body                  io.Reader
	Length                int64 // of Body, in bytes; -1 if it is not known
	Check                 Check
}

// UploadPartOutput is what became of it.
type UploadPartOutput struct {
	ETag     string // in quotes
	Modified int64  // ms since 1970
	checksum checksum
}

// UploadPart stores a part in the place of one of its number. It is durable when this
// returns.
func (s *Service) UploadPart(ctx context.Context, in *UploadPartInput) (*UploadPartOutput, error) {
	b, _, u, err := s.findUpload(ctx, in.Bucket, in.Key, in.UploadID)
	if err != nil {
		return nil, err
	}
	algorithm := u.algorithm
	if given := in.Check.algorithm; given != noAlgorithm {
		if algorithm != noAlgorithm && algorithm != given {
			return nil, invalid("InvalidRequest", "Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: %s", algorithm, given)
		}
		algorithm = given
	}
	return s.putPart(ctx, in, b, algorithm)
}

// putPart stores a body as a part of an upload in a bucket as it was found.
func (s *Service) putPart(ctx context.Context, in *UploadPartInput, found *bucket, algorithm algorithm) (*UploadPartOutput, error) {
	if in.PartNumber < 1 || in.PartNumber > partsMax {
		return nil, errPartNumber
	}
	o, settle, err := s.store(ctx, incoming{prefix: partPrefix, bucket: in.Bucket, key: in.Key + "." + fmt.Sprintf("%05d", in.PartNumber), account: found.doc.Account,
		body: in.Body, length: in.Length, max: putBytesMax, check: in.Check, algorithm: algorithm})
	if err != nil {
		return nil, err
	}
	stored := o.encode()
	err = s.decide(context.WithoutCancel(ctx), func(st *state) (txn, error) {
		b, ok := st.buckets.Get(in.Bucket)
		if !ok || b.id != found.id {
			return nil, noSuchBucket(in.Bucket)
		}
		if _, ok := b.uploads.Get(uploadKey(in.Key, in.UploadID)); !ok {
			return nil, noSuchUpload(in.UploadID)
		}
		return txn{{kind: putPart, bucket: in.Bucket, id: b.id, key: in.Key, upload: in.UploadID, number: in.PartNumber, stored: stored}}, nil
	})
	settle(err)
	if err != nil {
		return nil, err
	}
	return &UploadPartOutput{ETag: o.ETag(), Modified: o.modified, checksum: o.checksum}, nil
}

var uploadPartEndpoint = endpoint{op: operation("UploadPart", hasUploadPart.UploadPart), method: "PUT", on: onObject, query: "partNumber",
	decode: func(r *request) (any, error) {
		in := &UploadPartInput{Bucket: r.bucket, Key: r.key, UploadID: r.query.Get("uploadId"), Body: r.body, Length: r.body.Length(r.ContentLength)}
		var err error
		if in.PartNumber, err = r.partNumber(); err != nil {
			return nil, err
		}
		if in.Length < 0 {
			return nil, errLength
		}
		return in, r.readCheck(&in.Check)
	},
	encode: func(w *reply, out any) error {
		o := out.(*UploadPartOutput)
		w.set("ETag", o.ETag)
		if o.checksum.algorithm != noAlgorithm {
			w.set(o.checksum.algorithm.header(), o.checksum.text(0))
		}
		return w.empty(200)
	}}

type hasUploadPart interface {
	UploadPart(context.Context, *UploadPartInput) (*UploadPartOutput, error)
}

func (r *request) partNumber() (int, error) {
	n, err := strconv.Atoi(r.query.Get("partNumber"))
	if err != nil || n < 1 || n > partsMax {
		return 0, errPartNumber
	}
	return n, nil
}
