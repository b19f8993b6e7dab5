package s3

import (
	"context"
	"encoding/xml"
)

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
