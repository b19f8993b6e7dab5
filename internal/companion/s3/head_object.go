package s3

import "context"

// HeadObject is GetObject without the bytes.
func (s *Service) HeadObject(ctx context.Context, in *HeadObjectInput) (*GetObjectOutput, error) {
	o, err := s.find(ctx, in.Bucket, in.Key)
	if err != nil {
		return nil, err
	}
	get := GetObjectInput(*in)
	return choose(o, &get)
}

// HeadObjectInput asks for the facts of an object.
type HeadObjectInput GetObjectInput

var headObjectEndpoint = endpoint{op: operation("HeadObject", hasHeadObject.HeadObject), method: "HEAD", on: onObject,
	decode: func(r *request) (any, error) {
		in, err := decodeGet(r)
		if err != nil {
			return nil, err
		}
		head := HeadObjectInput(*in.(*GetObjectInput))
		return &head, nil
	},
	encode: func(w *reply, out any) error { return w.object(out.(*GetObjectOutput)) }}

type hasHeadObject interface {
	HeadObject(context.Context, *HeadObjectInput) (*GetObjectOutput, error)
}
