package s3

import (
	"context"
	"encoding/xml"
	"fmt"
)

// ListMultipartUploadsInput asks for the uploads of a bucket, in order of their keys
// and then of their begin.
type ListMultipartUploadsInput struct {
	Bucket, Prefix, Delimiter string
	KeyMarker, UploadIDMarker string // only what is behind them
	MaxUploads                int    // at most 1,000
}

// ListMultipartUploadsOutput is a page of them.
type ListMultipartUploadsOutput struct {
	Uploads        []ListedUpload
	CommonPrefixes []string
	Truncated      bool
	NextKeyMarker  string
	NextIDMarker   string
	in             *ListMultipartUploadsInput
	account        string
}

// A ListedUpload is what a listing tells of an upload.
type ListedUpload struct {
	Key, UploadID string
	Initiated     int64 // ms since 1970
	algorithm     algorithm
	composite     bool
}

// ListMultipartUploads lists uploads that are neither completed nor aborted.
func (s *Service) ListMultipartUploads(ctx context.Context, in *ListMultipartUploadsInput) (*ListMultipartUploadsOutput, error) {
	b, err := owned(ctx, s.machine.view(), in.Bucket)
	if err != nil {
		return nil, err
	}
	after := ""
	switch {
	case in.KeyMarker != "" && in.UploadIDMarker != "":
		after = uploadKey(in.KeyMarker, in.UploadIDMarker)
	case in.KeyMarker != "" && rolledUp(in.KeyMarker, in.Prefix, in.Delimiter) == in.KeyMarker:
		after = in.KeyMarker // a common prefix of the page before
	case in.KeyMarker != "":
		after = uploadKey(in.KeyMarker, "\x7f") // behind all of this key
	}
	p := listPage(b.uploads, in.Prefix, in.Delimiter, after, min(in.MaxUploads, listMax))
	out := &ListMultipartUploadsOutput{CommonPrefixes: p.prefixes, Truncated: p.truncated, in: in, account: b.doc.Account}
	for _, v := range p.values {
		u, err := parseUpload(v.stored)
		if err != nil {
			return nil, fmt.Errorf("s3: cannot read the record of upload %s: %w", v.id, err)
		}
		out.Uploads = append(out.Uploads, ListedUpload{v.key, v.id, u.initiated, u.algorithm, u.composite})
	}
	if n := len(p.values); p.truncated {
		out.NextKeyMarker = p.last
		if n > 0 && p.keys[n-1] == p.last {
			out.NextKeyMarker, out.NextIDMarker = p.values[n-1].key, p.values[n-1].id
		}
	}
	return out, nil
}

var listMultipartUploadsEndpoint = endpoint{op: operation("ListMultipartUploads", hasListMultipartUploads.ListMultipartUploads),
	method: "GET", on: onBucket, query: "uploads",
	decode: func(r *request) (any, error) {
		in := &ListMultipartUploadsInput{Bucket: r.bucket, Prefix: r.query.Get("prefix"), Delimiter: r.query.Get("delimiter"),
			KeyMarker: r.query.Get("key-marker"), UploadIDMarker: r.query.Get("upload-id-marker")}
		var err error
		if in.MaxUploads, err = r.listSize("max-uploads"); err != nil {
			return nil, err
		}
		_, err = r.encoding()
		return in, err
	},
	encode: func(w *reply, out any) error {
		o := out.(*ListMultipartUploadsOutput)
		encode, _ := w.r.encoding() // was read before
		type upload struct {
			Key               string
			UploadID          string `xml:"UploadId"`
			Initiator         *ownerXML
			Owner             *ownerXML
			StorageClass      string
			Initiated         string
			ChecksumAlgorithm string `xml:",omitempty"`
			ChecksumType      string `xml:",omitempty"`
		}
		doc := struct {
			XMLName            xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListMultipartUploadsResult"`
			Bucket             string
			KeyMarker          string
			UploadIDMarker     string `xml:"UploadIdMarker"`
			NextKeyMarker      string `xml:",omitempty"`
			NextUploadIDMarker string `xml:"NextUploadIdMarker,omitempty"`
			Prefix             string `xml:",omitempty"`
			Delimiter          string `xml:",omitempty"`
			EncodingType       string `xml:",omitempty"`
			MaxUploads         int
			IsTruncated        bool
			Uploads            []upload `xml:"Upload"`
			CommonPrefixes     []prefixXML
		}{Bucket: o.in.Bucket, KeyMarker: encode(o.in.KeyMarker), UploadIDMarker: o.in.UploadIDMarker, NextKeyMarker: encode(o.NextKeyMarker),
			NextUploadIDMarker: o.NextIDMarker, Prefix: encode(o.in.Prefix), Delimiter: encode(o.in.Delimiter),
			EncodingType: w.r.query.Get("encoding-type"), MaxUploads: o.in.MaxUploads, IsTruncated: o.Truncated}
		for _, u := range o.Uploads {
			x := upload{Key: encode(u.Key), UploadID: u.UploadID, Initiator: ownerOf(o.account), Owner: ownerOf(o.account),
				StorageClass: "STANDARD", Initiated: timestamp(u.Initiated)}
			if u.algorithm != noAlgorithm {
				x.ChecksumAlgorithm, x.ChecksumType = u.algorithm.String(), (&checksum{composite: u.composite}).kind()
			}
			doc.Uploads = append(doc.Uploads, x)
		}
		for _, p := range o.CommonPrefixes {
			doc.CommonPrefixes = append(doc.CommonPrefixes, prefixXML{encode(p)})
		}
		return w.document(doc)
	}}

type hasListMultipartUploads interface {
	ListMultipartUploads(context.Context, *ListMultipartUploadsInput) (*ListMultipartUploadsOutput, error)
}
