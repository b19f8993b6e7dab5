package s3

import (
	"context"
	"encoding/xml"
	"fmt"
)

// ListObjectsInput asks for the objects of a bucket, in order of their keys' bytes.
type ListObjectsInput struct {
	Bucket    string
	Prefix    string
	Delimiter string // empty: none; keys that have it behind Prefix are rolled up
	Marker    string // only what sorts behind it
	MaxKeys   int    // at most 1,000
}

// ListObjectsOutput is a page of them.
type ListObjectsOutput struct {
	Objects        []ListedObject
	CommonPrefixes []string
	Truncated      bool   // there are more,
	NextMarker     string // behind this
	in             *ListObjectsInput
	account        string
}

// A ListedObject is what a listing tells of an object.
type ListedObject struct {
	Key      string
	Size     int64
	Modified int64 // ms since 1970
	ETag     string
	checksum checksum
	parts    int
}

// ListObjects lists objects. A page is of one moment.
func (s *Service) ListObjects(ctx context.Context, in *ListObjectsInput) (*ListObjectsOutput, error) {
	b, err := owned(ctx, s.machine.view(), in.Bucket)
	if err != nil {
		return nil, err
	}
	p := listPage(b.objects, in.Prefix, in.Delimiter, in.Marker, min(in.MaxKeys, listMax))
	out := &ListObjectsOutput{CommonPrefixes: p.prefixes, Truncated: p.truncated, in: in, account: b.doc.Account}
	if p.truncated {
		out.NextMarker = p.last
	}
	for i, key := range p.keys {
		o, err := parseObject(p.values[i].stored)
		if err != nil {
			return nil, fmt.Errorf("s3: cannot read the record of %s/%s: %w", in.Bucket, key, err)
		}
		out.Objects = append(out.Objects, ListedObject{key, o.size, o.modified, o.ETag(), o.checksum, len(o.parts)})
	}
	return out, nil
}

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

// What both listings have in XML.
type listXML struct {
	Name           string
	Prefix         string
	Delimiter      string `xml:",omitempty"`
	MaxKeys        int
	EncodingType   string `xml:",omitempty"`
	IsTruncated    bool
	Contents       []contentXML
	CommonPrefixes []prefixXML
}

type contentXML struct {
	Key               string
	LastModified      string
	ETag              string
	ChecksumAlgorithm string `xml:",omitempty"`
	ChecksumType      string `xml:",omitempty"`
	Size              int64
	Owner             *ownerXML `xml:",omitempty"`
	StorageClass      string
}

type prefixXML struct{ Prefix string }

func (w *reply) list(o *ListObjectsOutput, maxKeys int, owner bool) (listXML, func(string) string) {
	encode, _ := w.r.encoding() // was read before
	x := listXML{Name: o.in.Bucket, Prefix: encode(o.in.Prefix), Delimiter: encode(o.in.Delimiter), MaxKeys: maxKeys,
		EncodingType: w.r.query.Get("encoding-type"), IsTruncated: o.Truncated}
	for _, c := range o.Objects {
		content := contentXML{Key: encode(c.Key), LastModified: timestamp(c.Modified), ETag: c.ETag, Size: c.Size, StorageClass: "STANDARD"}
		if c.checksum.algorithm != noAlgorithm {
			content.ChecksumAlgorithm, content.ChecksumType = c.checksum.algorithm.String(), c.checksum.kind()
		}
		if owner {
			content.Owner = ownerOf(o.account)
		}
		x.Contents = append(x.Contents, content)
	}
	for _, p := range o.CommonPrefixes {
		x.CommonPrefixes = append(x.CommonPrefixes, prefixXML{encode(p)})
	}
	return x, encode
}

var listObjectsEndpoint = endpoint{op: operation("ListObjects", hasListObjects.ListObjects), method: "GET", on: onBucket,
	decode: func(r *request) (any, error) {
		in := &ListObjectsInput{Bucket: r.bucket, Prefix: r.query.Get("prefix"), Delimiter: r.query.Get("delimiter"), Marker: r.query.Get("marker")}
		var err error
		if in.MaxKeys, err = r.listSize("max-keys"); err != nil {
			return nil, err
		}
		_, err = r.encoding()
		return in, err
	},
	encode: func(w *reply, out any) error {
		o := out.(*ListObjectsOutput)
		list, encode := w.list(o, o.in.MaxKeys, true)
		doc := struct {
			XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
			listXML
			Marker     string
			NextMarker string `xml:",omitempty"`
		}{listXML: list, Marker: encode(o.in.Marker)}
		if o.in.Delimiter != "" { // S3 tells it only then; without one it is the last key
			doc.NextMarker = encode(o.NextMarker)
		}
		return w.document(doc)
	}}

type hasListObjects interface {
	ListObjects(context.Context, *ListObjectsInput) (*ListObjectsOutput, error)
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
