package s3

import "context"

// DeleteObjectInput names an object to be deleted.
type DeleteObjectInput struct {
	Bucket, Key string
	Conditions  Conditions // IfMatch
}

// DeleteObjectOutput says nothing.
type DeleteObjectOutput struct{}

// DeleteObject deletes an object; that there is none is no error.
func (s *Service) DeleteObject(ctx context.Context, in *DeleteObjectInput) (*DeleteObjectOutput, error) {
	if err := checkKey(in.Key); err != nil {
		return nil, err
	}
	err := s.decide(ctx, func(st *state) (txn, error) {
		b, err := owned(ctx, st, in.Bucket)
		if err != nil {
			return nil, err
		}
		check, version, err := in.Conditions.write(b, in.Key)
		if err != nil {
			return nil, err
		}
		if _, ok := b.objects.Get(in.Key); !ok {
			return nil, nil
		}
		return txn{{kind: deleteObject, bucket: in.Bucket, id: b.id, key: in.Key, check: check, version: version}}, nil
	})
	return &DeleteObjectOutput{}, err
}

var deleteObjectEndpoint = endpoint{op: operation("DeleteObject", hasDeleteObject.DeleteObject), method: "DELETE", on: onObject,
	decode: func(r *request) (any, error) {
		in := &DeleteObjectInput{Bucket: r.bucket, Key: r.key}
		return in, r.readConditions(&in.Conditions)
	},
	encode: func(w *reply, _ any) error { return w.empty(204) }}

type hasDeleteObject interface {
	DeleteObject(context.Context, *DeleteObjectInput) (*DeleteObjectOutput, error)
}
