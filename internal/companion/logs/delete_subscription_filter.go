package logs

import (
	"context"
	"slices"

	api "github.com/rheostream/rheo/internal/api/logs"
)

// DeleteSubscriptionFilter deletes a filter: what it has not delivered it does not deliver.
func (s *Service) DeleteSubscriptionFilter(ctx context.Context, in *api.DeleteSubscriptionFilterInput) (*api.DeleteSubscriptionFilterOutput, error) {
	_, err := s.changeGroup(ctx, callersKey(ctx, *in.LogGroupName), func(d *groupDoc) error {
		if d.filter(*in.FilterName) == nil {
			return noFilter
		}
		d.Filters = slices.DeleteFunc(d.Filters, func(f filterDoc) bool { return f.Name == *in.FilterName })
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.deliveries.sync()
	return &api.DeleteSubscriptionFilterOutput{}, nil
}
