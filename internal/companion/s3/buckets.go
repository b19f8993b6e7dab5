package s3

import (
	"context"
	"encoding/xml"
	"net/http"
	"strconv"
	"strings"

	"github.com/rheostream/rheo/internal/api"
)

// The operations on buckets. Their names are unique on the server, whoever owns them.

// CreateBucketInput names a bucket to be made.
type CreateBucketInput struct {
	Bucket string
	Region string // empty: the caller's
}

// CreateBucketOutput is the path of it.
type CreateBucketOutput struct{ Location string }

const bucketsMax = 1000 // of an account

// CreateBucket makes a bucket. One's own that is there already is an error, but, as
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

// DeleteBucketInput names a bucket to be deleted.
type DeleteBucketInput struct{ Bucket string }

// DeleteBucketOutput says nothing.
type DeleteBucketOutput struct{}

// DeleteBucket deletes a bucket without objects, with its uploads.
func (s *Service) DeleteBucket(ctx context.Context, in *DeleteBucketInput) (*DeleteBucketOutput, error) {
	err := s.decide(ctx, func(st *state) (txn, error) {
		b, err := owned(ctx, st, in.Bucket)
		if err != nil {
			return nil, err
		}
		if b.objects.Len() > 0 {
			return nil, &api.Error{Code: "BucketNotEmpty", Status: http.StatusConflict, Message: "The bucket you tried to delete is not empty",
				Fields: map[string]any{"BucketName": in.Bucket}}
		}
		return txn{{kind: dropBucket, bucket: in.Bucket, id: b.id}}, nil
	})
	return &DeleteBucketOutput{}, err
}

var deleteBucketEndpoint = endpoint{op: operation("DeleteBucket", hasDeleteBucket.DeleteBucket), method: "DELETE", on: onBucket,
	decode: func(r *request) (any, error) { return &DeleteBucketInput{r.bucket}, nil },
	encode: func(w *reply, _ any) error { return w.empty(http.StatusNoContent) }}

type hasDeleteBucket interface {
	DeleteBucket(context.Context, *DeleteBucketInput) (*DeleteBucketOutput, error)
}

// BucketInput names a bucket that something is asked of.
type BucketInput struct{ Bucket string }

// BucketOutput is what is known of it.
type BucketOutput struct{ Region string }

func (s *Service) about(ctx context.Context, in *BucketInput) (*BucketOutput, error) {
	b, err := owned(ctx, s.machine.view(), in.Bucket)
	if err != nil {
		return nil, err
	}
	return &BucketOutput{b.doc.Region}, nil
}

func decodeBucket(r *request) (any, error) { return &BucketInput{r.bucket}, nil }

// HeadBucket says whether a bucket is there, and the caller's.
func (s *Service) HeadBucket(ctx context.Context, in *BucketInput) (*BucketOutput, error) {
	return s.about(ctx, in)
}

var headBucketEndpoint = endpoint{op: operation("HeadBucket", hasHeadBucket.HeadBucket), method: "HEAD", on: onBucket, decode: decodeBucket,
	encode: func(w *reply, out any) error {
		w.set("x-amz-bucket-region", out.(*BucketOutput).Region)
		return w.empty(200)
	}}

type hasHeadBucket interface {
	HeadBucket(context.Context, *BucketInput) (*BucketOutput, error)
}

// GetBucketLocation tells the region that a bucket was made for.
func (s *Service) GetBucketLocation(ctx context.Context, in *BucketInput) (*BucketOutput, error) {
	return s.about(ctx, in)
}

var getBucketLocationEndpoint = endpoint{op: operation("GetBucketLocation", hasGetBucketLocation.GetBucketLocation), method: "GET", on: onBucket,
	query: "location", decode: decodeBucket,
	encode: func(w *reply, out any) error {
		region := out.(*BucketOutput).Region
		if region == "us-east-1" {
			region = "" // as S3 has it
		}
		return w.document(struct {
			XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ LocationConstraint"`
			Region  string   `xml:",chardata"`
		}{Region: region})
	}}

type hasGetBucketLocation interface {
	GetBucketLocation(context.Context, *BucketInput) (*BucketOutput, error)
}

// GetBucketVersioning tells that a bucket has no versions, which many tools ask first.
func (s *Service) GetBucketVersioning(ctx context.Context, in *BucketInput) (*BucketOutput, error) {
	return s.about(ctx, in)
}

var getBucketVersioningEndpoint = endpoint{op: operation("GetBucketVersioning", hasGetBucketVersioning.GetBucketVersioning), method: "GET", on: onBucket,
	query: "versioning", decode: decodeBucket,
	encode: func(w *reply, _ any) error {
		return w.document(struct {
			XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ VersioningConfiguration"`
		}{})
	}}

type hasGetBucketVersioning interface {
	GetBucketVersioning(context.Context, *BucketInput) (*BucketOutput, error)
}

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
