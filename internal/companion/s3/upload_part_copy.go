package s3

import (
	"context"
	"encoding/xml"
)

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
	_, body, err := s.read(ctx, in.CopySource.Bucket, in.CopySource.Key, func(o *object) (off, n int64, err error) {
		off, length = 0, o.size
		if err := in.CopySource.allows(o, objectBytesMax); err != nil {
			return 0, 0, err
		}
		if in.Range != "" {
			var ok bool
			off, length, ok, err = parseRange(in.Range, o.size)
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
