package s3

import (
	"context"
	"encoding/xml"
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

// UploadPartCopyInput names an object, or a range of one, that is to be a part.
type UploadPartCopyInput struct {
	Bucket, Key, UploadID string
	PartNumber            int
	CopySource            Source
	Range                 string // "bytes=0-99", within the source; empty: all
}

// UploadPartCopy reads an object and stores it as a part.
func (s *Service) UploadPartCopy(ctx context.Context, in *UploadPartCopyInput) (*UploadPartOutput, error) {
	b, _, u, err := s.findUpload(ctx, in.Bucket, in.Key, in.UploadID)
	if err != nil {
		return nil, err
	}
	var length int64
	_, body, err := s.read(ctx, in.CopySource.Bucket, in.CopySource.Key, func(f found) (off, n int64, err error) {
		off, length = 0, f.size
		if err := in.CopySource.allows(f.object, objectBytesMax); err != nil {
			return 0, 0, err
		}
		if in.Range != "" {
			var ok bool
			off, length, ok, err = parseRange(in.Range, f.size)
			if err != nil || !ok {
				return 0, 0, wrongArgument("x-amz-copy-source-range", clip(in.Range), "The x-amz-copy-source-range value must be of the form "+
					"bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy")
			}
		}
		if length > putBytesMax {
			return 0, 0, invalid("InvalidRequest", "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120")
		}
		return off, length, nil
	})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return s.putPart(ctx, &UploadPartInput{Bucket: in.Bucket, Key: in.Key, UploadID: in.UploadID, PartNumber: in.PartNumber, Body: body, Length: length}, b, u.algorithm)
}

var uploadPartCopyEndpoint = endpoint{op: operation("UploadPartCopy", hasUploadPartCopy.UploadPartCopy), method: "PUT", on: onObject,
	query: "partNumber", header: copySource, slow: true,
	decode: func(r *request) (any, error) {
		in := &UploadPartCopyInput{Bucket: r.bucket, Key: r.key, UploadID: r.query.Get("uploadId"), Range: r.Header.Get(copySource + "-Range")}
		var err error
		if in.PartNumber, err = r.partNumber(); err != nil {
			return nil, err
		}
		return in, r.readSource(&in.CopySource)
	},
	encode: func(w *reply, out any) error {
		o := out.(*UploadPartOutput)
		sums := xmlOf(&o.checksum, 0)
		sums.ChecksumType = "" // a part has none
		return w.document(struct {
			XMLName      xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CopyPartResult"`
			LastModified string
			ETag         string
			checksumXML
		}{LastModified: timestamp(o.Modified), ETag: o.ETag, checksumXML: sums})
	}}

type hasUploadPartCopy interface {
	UploadPartCopy(context.Context, *UploadPartCopyInput) (*UploadPartOutput, error)
}
