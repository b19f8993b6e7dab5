package logs

import (
	"context"

	api "github.com/rheostream/rheo/internal/api/logs"
	"github.com/rheostream/rheo/internal/companion/logs/pattern"
)

// TestMetricFilter says which of some messages a pattern matches, and what it takes
// from them: the fields of a pattern of fields, the selected values of one of JSON.
func (s *Service) TestMetricFilter(_ context.Context, in *api.TestMetricFilterInput) (*api.TestMetricFilterOutput, error) {
	p, err := pattern.Parse(*in.FilterPattern)
	if err != nil {
		return nil, badPattern(err)
	}
	out := &api.TestMetricFilterOutput{Matches: []api.MetricFilterMatchRecord{}}
	for i := range in.LogEventMessages {
		message := &in.LogEventMessages[i]
		values, ok := p.Extract([]byte(*message))
		if !ok {
			continue
		}
		if values == nil {
			values = map[string]string{}
		}
		out.Matches = append(out.Matches, api.MetricFilterMatchRecord{EventNumber: new(int64(i + 1)), EventMessage: message, ExtractedValues: values})
	}
	return out, nil
}
