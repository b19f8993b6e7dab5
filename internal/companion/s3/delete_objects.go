package s3

import (
	"context"
	"encoding/xml"
	"strings"

	"github.com/rheostream/rheo/internal/api"
)

// DeleteObjectsInput names objects to be deleted, up to 1,000.
type DeleteObjectsInput struct {
	Bucket string
	Keys   []DeleteKey
	Quiet  bool // only what failed is told
}

// A DeleteKey is one of them.
type DeleteKey struct {
	Key  string
	ETag string // that it must have; empty: any
	err  error  // why it cannot be meant
}

// DeleteObjectsOutput says what became of each.
type DeleteObjectsOutput struct {
	Deleted []string
	Errors  []DeleteError
}

// A DeleteError is why one was not deleted.
type DeleteError struct {
	Key string
	*api.Error
}

// DeleteObjects deletes objects in one go: those that can be are gone together. That
// there is no such object is no error.
func (s *Service) DeleteObjects(ctx context.Context, in *DeleteObjectsInput) (*DeleteObjectsOutput, error) {
	var out *DeleteObjectsOutput
	err := s.decide(ctx, func(st *state) (txn, error) {
		out = new(DeleteObjectsOutput)
		b, err := owned(ctx, st, in.Bucket)
		if err != nil {
			return nil, err
		}
		var t txn
		named := make(map[string]bool, len(in.Keys))
		for _, k := range in.Keys {
			st, err := k.step(in.Bucket, b)
			if e, ok := err.(*api.Error); ok {
				out.Errors = append(out.Errors, DeleteError{k.Key, e})
				continue
			} else if err != nil {
				return nil, err
			}
			if st != nil && !named[k.Key] {
				t = append(t, *st)
				named[k.Key] = true
			}
			out.Deleted = append(out.Deleted, k.Key)
		}
		return t, nil
	})
	if in.Quiet && err == nil {
		out.Deleted = nil
	}
	return out, err
}

// step deletes the object; none if there is none.
func (k *DeleteKey) step(bucketName string, b *bucket) (*step, error) {
	if k.err != nil {
		return nil, k.err
	}
	if err := checkKey(k.Key); err != nil {
		return nil, err
	}
	c := Conditions{IfMatch: k.ETag}
	check, version, err := c.write(b, k.Key)
	if err != nil {
		return nil, err
	}
	if _, ok := b.objects.Get(k.Key); !ok {
		return nil, nil
	}
	return &step{kind: deleteObject, bucket: bucketName, id: b.id, key: k.Key, check: check, version: version}, nil
}

const (
	deleteKeysMax     = 1000
	deleteDocumentMax = 8 << 20 // 1,000 keys of 1,024 bytes, each byte written as an entity
)

var deleteObjectsEndpoint = endpoint{op: operation("DeleteObjects", hasDeleteObjects.DeleteObjects), method: "POST", on: onBucket, query: "delete",
	decode: func(r *request) (any, error) {
		var doc struct {
			XMLName xml.Name `xml:"Delete"`
			Quiet   bool     `xml:"Quiet"`
			Objects []struct {
				Key       *string `xml:"Key"`
				VersionID string  `xml:"VersionId"`
				ETag      string  `xml:"ETag"`
				Modified  string  `xml:"LastModifiedTime"`
				Size      string  `xml:"Size"`
			} `xml:"Object"`
		}
		if err := r.readDocument(&doc, deleteDocumentMax); err != nil {
			return nil, err
		}
		if len(doc.Objects) == 0 || len(doc.Objects) > deleteKeysMax {
			return nil, errXML
		}
		in := &DeleteObjectsInput{Bucket: r.bucket, Quiet: doc.Quiet}
		for _, o := range doc.Objects {
			if o.Key == nil {
				return nil, errXML
			}
			k := DeleteKey{Key: *o.Key, ETag: o.ETag}
			if o.VersionID != "" && o.VersionID != "null" {
				k.err = notImplemented("VersionId of an object")
			}
			if o.Modified != "" || o.Size != "" {
				k.err = notImplemented("LastModifiedTime and Size of an object")
			}
			in.Keys = append(in.Keys, k)
		}
		return in, nil
	},
	encode: func(w *reply, out any) error {
		type deleted struct{ Key string }
		type failed struct{ Key, Code, Message string }
		o := out.(*DeleteObjectsOutput)
		doc := struct {
			XMLName xml.Name  `xml:"http://s3.amazonaws.com/doc/2006-03-01/ DeleteResult"`
			Deleted []deleted `xml:"Deleted"`
			Errors  []failed  `xml:"Error"`
		}{}
		for _, key := range o.Deleted {
			doc.Deleted = append(doc.Deleted, deleted{key})
		}
		for _, e := range o.Errors {
			doc.Errors = append(doc.Errors, failed{strings.ToValidUTF8(e.Key, "\uFFFD"), e.Code, e.Message})
		}
		return w.document(doc)
	}}

type hasDeleteObjects interface {
	DeleteObjects(context.Context, *DeleteObjectsInput) (*DeleteObjectsOutput, error)
}
