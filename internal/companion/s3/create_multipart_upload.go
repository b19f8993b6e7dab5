package s3

import (
	"context"
	"encoding/xml"
	"fmt"
	"time"
)

// CreateMultipartUploadInput begins an object that is put in parts.
type CreateMultipartUploadInput struct {
	Bucket, Key string
	Headers     Headers
	algorithm   algorithm // of the object's checksum
	composite   bool      // it is that of the parts' checksums
}

// CreateMultipartUploadOutput names the upload.
type CreateMultipartUploadOutput struct {
	Bucket, Key, UploadID string
	algorithm             algorithm
	composite             bool
}

// CreateMultipartUpload begins an upload. It lasts until it is completed or aborted.
func (s *Service) CreateMultipartUpload(ctx context.Context, in *CreateMultipartUploadInput) (*CreateMultipartUploadOutput, error) {
	if err := checkKey(in.Key); err != nil {
		return nil, err
	}
	now := s.now()
	u := upload{initiated: now.UnixMilli(), algorithm: in.algorithm, composite: in.composite, headers: in.Headers}
	id, stored := s.newUploadID(now), u.encode()
	err := s.decide(ctx, func(st *state) (txn, error) {
		b, err := owned(ctx, st, in.Bucket)
		if err != nil {
			return nil, err
		}
		return txn{{kind: putUpload, bucket: in.Bucket, id: b.id, key: in.Key, upload: id, stored: stored}}, nil
	})
	if err != nil {
		return nil, err
	}
	return &CreateMultipartUploadOutput{in.Bucket, in.Key, id, in.algorithm, in.composite}, nil
}

// newUploadID is an id that sorts by time, behind all before it, and cannot be guessed.
func (s *Service) newUploadID(now time.Time) string {
	for {
		last := s.lastUpload.Load()
		next := max(last+1, now.UnixMicro())
		if s.lastUpload.CompareAndSwap(last, next) {
			return fmt.Sprintf("%014x", next) + newID(20)
		}
	}
}

var createMultipartUploadEndpoint = endpoint{op: operation("CreateMultipartUpload", hasCreateMultipartUpload.CreateMultipartUpload),
	method: "POST", on: onObject, query: "uploads",
	decode: func(r *request) (any, error) {
		in := &CreateMultipartUploadInput{Bucket: r.bucket, Key: r.key}
		var err error
		in.algorithm, in.composite, err = r.uploadChecksum()
		return in, firstError(err, r.readHeaders(&in.Headers))
	},
	encode: func(w *reply, out any) error {
		o := out.(*CreateMultipartUploadOutput)
		if o.algorithm != noAlgorithm {
			w.set("x-amz-checksum-algorithm", o.algorithm.String())
			w.set("x-amz-checksum-type", (&checksum{composite: o.composite}).kind())
		}
		return w.document(struct {
			XMLName  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ InitiateMultipartUploadResult"`
			Bucket   string
			Key      string
			UploadID string `xml:"UploadId"`
		}{Bucket: o.Bucket, Key: o.Key, UploadID: o.UploadID})
	}}

type hasCreateMultipartUpload interface {
	CreateMultipartUpload(context.Context, *CreateMultipartUploadInput) (*CreateMultipartUploadOutput, error)
}

// uploadChecksum reads which checksum an upload is to have. Where nothing is said,
// that of CRC64NVME is of the whole, the others are of the parts' checksums.
func (r *request) uploadChecksum() (a algorithm, composite bool, err error) {
	name, kind := r.Header.Get("X-Amz-Checksum-Algorithm"), r.Header.Get("X-Amz-Checksum-Type")
	if name == "" {
		if kind != "" {
			return 0, false, invalid("InvalidRequest", "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
		}
		return noAlgorithm, false, nil
	}
	a, ok := parseAlgorithm(name)
	if !ok {
		return 0, false, errAlgorithm
	}
	switch kind {
	case "":
		composite = a != crc64NVME
	case "COMPOSITE":
		composite = true
	case "FULL_OBJECT":
	default:
		return 0, false, invalid("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")
	}
	if composite && a == crc64NVME || !composite && !algorithms[a].full {
		return 0, false, invalid("InvalidRequest", "The %s checksum type cannot be used with the %s checksum algorithm.",
			(&checksum{composite: composite}).kind(), name)
	}
	return a, composite, nil
}

// findUpload looks an upload of the caller's up.
func (s *Service) findUpload(ctx context.Context, bucketName, key, id string) (*bucket, *parted, *upload, error) {
	if err := checkKey(key); err != nil {
		return nil, nil, nil, err
	}
	b, err := owned(ctx, s.machine.view(), bucketName)
	if err != nil {
		return nil, nil, nil, err
	}
	p, ok := b.uploads.Get(uploadKey(key, id))
	if !ok {
		return b, nil, nil, noSuchUpload(clip(id))
	}
	u, err := parseUpload(p.stored)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("s3: cannot read the record of upload %s: %w", p.id, err)
	}
	return b, p, u, nil
}
