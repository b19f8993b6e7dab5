package s3

import (
	"context"
	"encoding/xml"
	"fmt"
	"strconv"
)

// ListPartsInput asks for the parts of an upload, in order of their numbers.
type ListPartsInput struct {
	Bucket, Key, UploadID string
	PartNumberMarker      int // only what is behind it
	MaxParts              int // at most 1,000
}

// ListPartsOutput is a page of them.
type ListPartsOutput struct {
	Parts     []ListedPart
	Truncated bool
	in        *ListPartsInput
	upload    *upload
	account   string
}

// A ListedPart is what a listing tells of a part.
type ListedPart struct {
	Number   int
	Size     int64
	Modified int64 // ms since 1970
	ETag     string
	checksum checksum
}

// ListParts lists the parts of an upload.
func (s *Service) ListParts(ctx context.Context, in *ListPartsInput) (*ListPartsOutput, error) {
	b, p, u, err := s.findUpload(ctx, in.Bucket, in.Key, in.UploadID)
	if err != nil {
		return nil, err
	}
	out := &ListPartsOutput{in: in, upload: u, account: b.doc.Account}
	p.parts.Ascend(in.PartNumberMarker+1, func(number int, r row) bool {
		if len(out.Parts) == in.MaxParts {
			out.Truncated = true
			return false
		}
		var o *object
		if o, err = parseObject(r.stored); err != nil {
			return false
		}
		out.Parts = append(out.Parts, ListedPart{number, o.size, o.modified, o.ETag(), o.checksum})
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("s3: cannot read the parts of upload %s: %w", p.id, err)
	}
	return out, nil
}

var listPartsEndpoint = endpoint{op: operation("ListParts", hasListParts.ListParts), method: "GET", on: onObject, query: "uploadId",
	decode: func(r *request) (any, error) {
		in := &ListPartsInput{Bucket: r.bucket, Key: r.key, UploadID: r.query.Get("uploadId")}
		var err error
		if in.MaxParts, err = r.listSize("max-parts"); err != nil {
			return nil, err
		}
		if text := r.query.Get("part-number-marker"); text != "" {
			if in.PartNumberMarker, err = strconv.Atoi(text); err != nil || in.PartNumberMarker < 0 {
				return nil, wrongArgument("part-number-marker", clip(text), "Provided part-number-marker not an integer or within integer range")
			}
		}
		return in, nil
	},
	encode: func(w *reply, out any) error {
		o := out.(*ListPartsOutput)
		type part struct {
			PartNumber   int
			LastModified string
			ETag         string
			Size         int64
			checksumXML
		}
		doc := struct {
			XMLName              xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListPartsResult"`
			Bucket               string
			Key                  string
			UploadID             string `xml:"UploadId"`
			Initiator            *ownerXML
			Owner                *ownerXML
			StorageClass         string
			PartNumberMarker     int
			NextPartNumberMarker int
			MaxParts             int
			IsTruncated          bool
			ChecksumAlgorithm    string `xml:",omitempty"`
			ChecksumType         string `xml:",omitempty"`
			Parts                []part `xml:"Part"`
		}{Bucket: o.in.Bucket, Key: o.in.Key, UploadID: o.in.UploadID, Initiator: ownerOf(o.account), Owner: ownerOf(o.account),
			StorageClass: "STANDARD", PartNumberMarker: o.in.PartNumberMarker, MaxParts: o.in.MaxParts, IsTruncated: o.Truncated}
		if o.upload.algorithm != noAlgorithm {
			doc.ChecksumAlgorithm = o.upload.algorithm.String()
			doc.ChecksumType = (&checksum{composite: o.upload.composite}).kind()
		}
		for _, p := range o.Parts {
			sums := xmlOf(&p.checksum, 0)
			sums.ChecksumType = ""
			doc.Parts = append(doc.Parts, part{p.Number, timestamp(p.Modified), p.ETag, p.Size, sums})
			doc.NextPartNumberMarker = p.Number
		}
		return w.document(doc)
	}}

type hasListParts interface {
	ListParts(context.Context, *ListPartsInput) (*ListPartsOutput, error)
}
