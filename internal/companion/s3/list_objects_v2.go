package s3

import (
	"context"
	"encoding/xml"
)

// ListObjectsV2Input asks as ListObjectsInput does, and goes on by tokens.
type ListObjectsV2Input struct {
	Bucket, Prefix, Delimiter, StartAfter string
	ContinuationToken                     string // of the page before
	MaxKeys                               int
}

// ListObjectsV2Output is a page of objects.
type ListObjectsV2Output struct {
	ListObjectsOutput
	NextContinuationToken string // if Truncated
}

// ListObjectsV2 lists objects. A token is good for the bucket, prefix and delimiter
// that it is of.
func (s *Service) ListObjectsV2(ctx context.Context, in *ListObjectsV2Input) (*ListObjectsV2Output, error) {
	after := in.StartAfter
	if in.ContinuationToken != "" {
		var err error
		if after, err = readToken(in.ContinuationToken, in.Bucket, in.Prefix, in.Delimiter); err != nil {
			return nil, err
		}
	}
	p, err := s.ListObjects(ctx, &ListObjectsInput{in.Bucket, in.Prefix, in.Delimiter, after, in.MaxKeys})
	if err != nil {
		return nil, err
	}
	out := &ListObjectsV2Output{ListObjectsOutput: *p}
	if p.Truncated {
		out.NextContinuationToken = makeToken(p.NextMarker, in.Bucket, in.Prefix, in.Delimiter)
	}
	return out, nil
}

var listObjectsV2Endpoint = endpoint{op: operation("ListObjectsV2", hasListObjectsV2.ListObjectsV2), method: "GET", on: onBucket, query: "list-type",
	decode: func(r *request) (any, error) {
		if v := r.query.Get("list-type"); v != "2" {
			return nil, wrongArgument("list-type", clip(v), "Invalid List Type specified in Request")
		}
		in := &ListObjectsV2Input{Bucket: r.bucket, Prefix: r.query.Get("prefix"), Delimiter: r.query.Get("delimiter"),
			StartAfter: r.query.Get("start-after"), ContinuationToken: r.query.Get("continuation-token")}
		if r.query.Has("continuation-token") && in.ContinuationToken == "" {
			return nil, errToken
		}
		var err error
		if in.MaxKeys, err = r.listSize("max-keys"); err != nil {
			return nil, err
		}
		_, err = r.encoding()
		return in, err
	},
	encode: func(w *reply, out any) error {
		o := out.(*ListObjectsV2Output)
		list, encode := w.list(&o.ListObjectsOutput, o.in.MaxKeys, w.r.query.Get("fetch-owner") == "true")
		return w.document(struct {
			XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
			listXML
			KeyCount              int
			ContinuationToken     string `xml:",omitempty"`
			NextContinuationToken string `xml:",omitempty"`
			StartAfter            string `xml:",omitempty"`
		}{listXML: list, KeyCount: len(o.Objects) + len(o.CommonPrefixes), ContinuationToken: w.r.query.Get("continuation-token"),
			NextContinuationToken: o.NextContinuationToken, StartAfter: encode(w.r.query.Get("start-after"))})
	}}

type hasListObjectsV2 interface {
	ListObjectsV2(context.Context, *ListObjectsV2Input) (*ListObjectsV2Output, error)
}
