package logs

import (
	"context"

	api "github.com/rheostream/rheo/internal/api/logs"
)

// DeleteLogStream deletes a stream. Its events are out of sight at once, for another
// stream of the name has another number; their space goes with the retention.
func (s *Service) DeleteLogStream(ctx context.Context, in *api.DeleteLogStreamInput) (*api.DeleteLogStreamOutput, error) {
	key := callersKey(ctx, *in.LogGroupName)
	err := s.decide(ctx, true, func(st *state) (*step, error) {
		g, ok := st.groups.Get(key)
		if !ok {
			return nil, noGroup
		}
		sm, ok := g.streams.Get(*in.LogStreamName)
		if !ok {
			return nil, noStream
		}
		return &step{kind: dropStream, group: key, id: g.doc.ID, name: *in.LogStreamName, number: sm.number}, nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteLogStreamOutput{}, nil
}
