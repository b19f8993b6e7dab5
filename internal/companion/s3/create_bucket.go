package s3

import (
	"context"
	"encoding/xml"
	"net/http"
	"strings"

	"github.com/rheostream/rheo/internal/api"
)

// CreateBucketInput names a bucket to be made.
type CreateBucketInput struct {
	Bucket string
	Region string // empty: the caller's
}

// CreateBucketOutput is the path of it.
type CreateBucketOutput struct{ Location string }

const bucketsMax = 1000 // of an account

// CreateBucket makes a bucket, whose name is unique on the server. One's own that is there already is an error, but, as
// in S3, not in us-east-1.
func (s *Service) CreateBucket(ctx context.Context, in *CreateBucketInput) (*CreateBucketOutput, error) {
	if err := checkBucketName(in.Bucket); err != nil {
		return nil, err
	}
	caller := api.CallerFrom(ctx)
	doc := bucketDoc{Account: caller.Account, Region: caller.Region, Created: s.now().UnixMilli()}
	if in.Region != "" {
		doc.Region = in.Region
	}
	err := s.decide(ctx, func(st *state) (txn, error) {
		if b, ok := st.buckets.Get(in.Bucket); ok {
			return nil, existing(b, &doc, in.Bucket)
		}
		if len(bucketsOf(st, caller.Account)) >= bucketsMax {
			return nil, invalid("TooManyBuckets", "You have attempted to create more buckets than allowed")
		}
		return txn{{kind: putBucket, bucket: in.Bucket, doc: doc}}, nil
	})
	return &CreateBucketOutput{"/" + in.Bucket}, err
}

func existing(b *bucket, doc *bucketDoc, name string) error {
	fields := map[string]any{"BucketName": name}
	switch {
	case b.doc.Account != doc.Account:
		return &api.Error{Code: "BucketAlreadyExists", Status: http.StatusConflict, Fields: fields,
			Message: "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again."}
	case b.doc.Region == "us-east-1" && doc.Region == "us-east-1":
		return nil
	}
	return &api.Error{Code: "BucketAlreadyOwnedByYou", Status: http.StatusConflict, Fields: fields,
		Message: "Your previous request to create the named bucket succeeded and you already own it."}
}

// bucketsOf are the names of an account's buckets, sorted.
func bucketsOf(st *state, account string) []string {
	var names []string
	st.buckets.Scan(func(name string, b *bucket) bool {
		if b.doc.Account == account {
			names = append(names, name)
		}
		return true
	})
	return names
}

var createBucketEndpoint = endpoint{op: operation("CreateBucket", hasCreateBucket.CreateBucket), method: "PUT", on: onBucket,
	decode: func(r *request) (any, error) {
		in := &CreateBucketInput{Bucket: r.bucket}
		if r.Header.Get("X-Amz-Bucket-Object-Lock-Enabled") == "true" {
			return nil, notImplemented("object lock")
		}
		var doc struct {
			XMLName            xml.Name  `xml:"CreateBucketConfiguration"`
			LocationConstraint string    `xml:"LocationConstraint"`
			Location           *struct{} `xml:"Location"`
			Bucket             *struct{} `xml:"Bucket"`
			Tags               *struct{} `xml:"Tags"`
		}
		if r.ContentLength != 0 {
			if err := r.readDocument(&doc, 64<<10); err != nil && err != errNoDocument {
				return nil, err
			}
		}
		if doc.Location != nil || doc.Bucket != nil || doc.Tags != nil {
			return nil, notImplemented("directory buckets and tags of buckets")
		}
		in.Region = doc.LocationConstraint
		if in.Region == "EU" {
			in.Region = "eu-west-1"
		}
		if len(in.Region) > 32 || strings.Trim(in.Region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return nil, invalid("InvalidLocationConstraint", "The specified location-constraint is not valid")
		}
		return in, nil
	},
	encode: func(w *reply, out any) error {
		w.set("Location", out.(*CreateBucketOutput).Location)
		return w.empty(200)
	}}

type hasCreateBucket interface {
	CreateBucket(context.Context, *CreateBucketInput) (*CreateBucketOutput, error)
}
