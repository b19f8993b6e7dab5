package streams

import (
	"context"

	"github.com/rheostream/rheo/internal/api/kinesis"
)

// DeleteStream puts a stream into DELETING, then removes it with its records
// and consumers. A stream with consumers is only deleted when that is said.
func (s *Service) DeleteStream(ctx context.Context, in *kinesis.DeleteStreamInput) (*kinesis.DeleteStreamOutput, error) {
	st, _, err := s.lookup(ctx, in.StreamName, in.StreamARN)
	if err != nil {
		return nil, err
	}
	err = s.update(ctx, st, func(c *change) error {
		if c.doc.Status == kinesis.StreamStatusDeleting {
			return nil
		}
		if enforce := in.EnforceConsumerDeletion; enforce == nil || !*enforce {
			if n := len(s.cfg.Catalog.List(consumerPrefix + st.id + "/")); n > 0 {
				return inUse("Stream %s under account %s has %d registered consumers. Deregister them first, or set EnforceConsumerDeletion.", c.doc.Name, c.doc.Account, n)
			}
		}
		c.doc.Status = kinesis.StreamStatusDeleting
		c.doc.Reshard = nil
		c.doc.Due = s.now().Add(s.cfg.Transition).UnixMilli()
		return s.touchAccount(c, c.doc.Account, c.doc.Region)
	})
	if err != nil {
		return nil, err
	}
	s.settle(ctx, st.name)
	return &kinesis.DeleteStreamOutput{}, nil
}
