package s3

import (
	"context"
	"net/http"
)

// AbortMultipartUploadInput names an upload to be given up.
type AbortMultipartUploadInput struct{ Bucket, Key, UploadID string }

// AbortMultipartUploadOutput says nothing.
type AbortMultipartUploadOutput struct{}

// AbortMultipartUpload forgets an upload with its parts.
func (s *Service) AbortMultipartUpload(ctx context.Context, in *AbortMultipartUploadInput) (*AbortMultipartUploadOutput, error) {
	err := s.decide(ctx, func(st *state) (txn, error) {
		b, err := owned(ctx, st, in.Bucket)
		if err != nil {
			return nil, err
		}
		if _, ok := b.uploads.Get(uploadKey(in.Key, in.UploadID)); !ok {
			return nil, noSuchUpload(clip(in.UploadID))
		}
		return txn{{kind: dropUpload, bucket: in.Bucket, id: b.id, key: in.Key, upload: in.UploadID}}, nil
	})
	return &AbortMultipartUploadOutput{}, err
}

var abortMultipartUploadEndpoint = endpoint{op: operation("AbortMultipartUpload", hasAbortMultipartUpload.AbortMultipartUpload),
	method: "DELETE", on: onObject, query: "uploadId",
	decode: func(r *request) (any, error) {
		return &AbortMultipartUploadInput{r.bucket, r.key, r.query.Get("uploadId")}, nil
	},
	encode: func(w *reply, _ any) error { return w.empty(http.StatusNoContent) }}

type hasAbortMultipartUpload interface {
	AbortMultipartUpload(context.Context, *AbortMultipartUploadInput) (*AbortMultipartUploadOutput, error)
}
