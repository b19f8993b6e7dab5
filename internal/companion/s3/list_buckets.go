package s3

import (
	"context"
	"encoding/xml"
	"strconv"
	"strings"

	"github.com/rheostream/rheo/internal/api"
)

// ListBucketsInput asks for the caller's buckets.
type ListBucketsInput struct {
	Prefix            string
	Region            string // empty: any
	ContinuationToken string
	MaxBuckets        int // 0: all
}

// ListBucketsOutput is a page of them.
type ListBucketsOutput struct {
	Buckets           []ListedBucket
	ContinuationToken string // where the next page goes on; empty if this is the last
	account, prefix   string
}

// A ListedBucket is what a listing tells of a bucket.
type ListedBucket struct {
	Name, Region string
	Created      int64 // ms since 1970
}

// ListBuckets lists the buckets of the caller's account.
func (s *Service) ListBuckets(ctx context.Context, in *ListBucketsInput) (*ListBucketsOutput, error) {
	account := api.CallerFrom(ctx).Account
	after := ""
	if in.ContinuationToken != "" {
		var err error
		if after, err = readToken(in.ContinuationToken, in.Prefix, in.Region); err != nil {
			return nil, err
		}
	}
	st := s.machine.view()
	out := &ListBucketsOutput{account: account, prefix: in.Prefix}
	for _, name := range bucketsOf(st, account) {
		b, _ := st.buckets.Get(name)
		if name <= after || !strings.HasPrefix(name, in.Prefix) || in.Region != "" && in.Region != b.doc.Region {
			continue
		}
		if in.MaxBuckets > 0 && len(out.Buckets) == in.MaxBuckets {
			out.ContinuationToken = makeToken(out.Buckets[in.MaxBuckets-1].Name, in.Prefix, in.Region)
			break
		}
		out.Buckets = append(out.Buckets, ListedBucket{name, b.doc.Region, b.doc.Created})
	}
	return out, nil
}

var listBucketsEndpoint = endpoint{op: operation("ListBuckets", hasListBuckets.ListBuckets), method: "GET", on: onService,
	decode: func(r *request) (any, error) {
		in := &ListBucketsInput{Prefix: r.query.Get("prefix"), Region: r.query.Get("bucket-region"), ContinuationToken: r.query.Get("continuation-token")}
		if text := r.query.Get("max-buckets"); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 || n > 10000 {
				return nil, wrongArgument("max-buckets", clip(text), "Argument max-buckets must be an integer between 1 and 10000")
			}
			in.MaxBuckets = n
		}
		return in, nil
	},
	encode: func(w *reply, out any) error {
		o := out.(*ListBucketsOutput)
		type bucket struct{ Name, CreationDate, BucketRegion string }
		doc := struct {
			XMLName           xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListAllMyBucketsResult"`
			Owner             *ownerXML
			Buckets           []bucket `xml:"Buckets>Bucket"`
			ContinuationToken string   `xml:",omitempty"`
			Prefix            string   `xml:",omitempty"`
		}{Owner: ownerOf(o.account), ContinuationToken: o.ContinuationToken, Prefix: o.prefix}
		for _, b := range o.Buckets {
			doc.Buckets = append(doc.Buckets, bucket{b.Name, timestamp(b.Created), b.Region})
		}
		return w.document(doc)
	}}

type hasListBuckets interface {
	ListBuckets(context.Context, *ListBucketsInput) (*ListBucketsOutput, error)
}
