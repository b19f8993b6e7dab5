package logs

import (
	"context"

	api "github.com/rheostream/rheo/internal/api/logs"
)

// DeleteLogGroup deletes a group with its streams, filters and events.
func (s *Service) DeleteLogGroup(ctx context.Context, in *api.DeleteLogGroupInput) (*api.DeleteLogGroupOutput, error) {
	key := callersKey(ctx, *in.LogGroupName)
	id := ""
	err := s.decide(ctx, true, func(st *state) (*step, error) {
		g, ok := st.groups.Get(key)
		switch {
		case !ok:
			return nil, noGroup
		case g.doc.Protected:
			return nil, invalid("The log group cannot be deleted because deletion protection is enabled.")
		}
		id = g.doc.ID
		return &step{kind: dropGroup, group: key, version: g.version}, nil
	})
	if err != nil {
		return nil, err
	}
	s.deliveries.sync()
	if err := s.logs.drop(context.WithoutCancel(ctx), id); err != nil {
		// The group is gone; the next start deletes its log.
		s.logger.Error("cannot delete the log of a log group that is gone; the next start does", "group", *in.LogGroupName, "err", err)
	}
	return &api.DeleteLogGroupOutput{}, nil
}
