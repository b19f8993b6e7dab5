package logs

import (
	"context"

	api "github.com/rheostream/rheo/internal/api/logs"
)

// CreateLogStream makes a stream in a group.
func (s *Service) CreateLogStream(ctx context.Context, in *api.CreateLogStreamInput) (*api.CreateLogStreamOutput, error) {
	if err := s.createStream(ctx, callersKey(ctx, *in.LogGroupName), *in.LogStreamName); err != nil {
		return nil, err
	}
	return &api.CreateLogStreamOutput{}, nil
}

func (s *Service) createStream(ctx context.Context, key, name string) error {
	return s.withRoom(ctx, func() error { return s.tryStream(ctx, key, name) })
}

func (s *Service) tryStream(ctx context.Context, key, name string) error {
	return s.decide(ctx, false, func(st *state) (*step, error) {
		g, ok := st.groups.Get(key)
		if !ok {
			return nil, noGroup
		}
		if _, ok := g.streams.Get(name); ok {
			return nil, exists("log stream")
		}
		if err := s.roomFor(st, streamBytes(name)); err != nil {
			return nil, err
		}
		return &step{kind: putStream, group: key, id: g.doc.ID, name: name}, nil
	})
}
