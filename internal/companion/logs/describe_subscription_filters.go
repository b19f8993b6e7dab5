package logs

import (
	"context"
	"strings"

	api "github.com/rheostream/rheo/internal/api/logs"
)

// DescribeSubscriptionFilters lists a group's filters in the order of their names.
func (s *Service) DescribeSubscriptionFilters(ctx context.Context, in *api.DescribeSubscriptionFiltersInput) (*api.DescribeSubscriptionFiltersOutput, error) {
	g, err := s.group(callersKey(ctx, *in.LogGroupName))
	if err != nil {
		return nil, err
	}
	last, ok := parseNameToken(in.NextToken)
	if !ok {
		return nil, badToken
	}
	limit, prefix := describeMax, ""
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	if in.FilterNamePrefix != nil {
		prefix = *in.FilterNamePrefix
	}
	out := &api.DescribeSubscriptionFiltersOutput{SubscriptionFilters: []api.SubscriptionFilter{}}
	for i := range g.doc.Filters {
		f := &g.doc.Filters[i]
		if f.Name <= last || !strings.HasPrefix(f.Name, prefix) {
			continue
		}
		if len(out.SubscriptionFilters) == limit {
			out.NextToken = nameToken(*out.SubscriptionFilters[limit-1].FilterName)
			break
		}
		d := api.SubscriptionFilter{FilterName: &f.Name, LogGroupName: &g.doc.Name, FilterPattern: &f.Pattern,
			DestinationArn: &f.Destination, Distribution: api.Distribution(f.Distribution), CreationTime: &f.Created,
			ApplyOnTransformedLogs: new(false)}
		if f.Role != "" {
			d.RoleArn = &f.Role
		}
		out.SubscriptionFilters = append(out.SubscriptionFilters, d)
	}
	return out, nil
}
