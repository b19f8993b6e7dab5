package s3

import (
	"context"
	"net/http"

	"github.com/rheostream/rheo/internal/api"
)

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
