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
