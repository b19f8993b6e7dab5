package cloudwatch

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/cloudwatch"
)

const (
	listMax    = 500 // metrics of a page
	listedFor  = 14 * 24 * time.Hour
	recentlyIs = 3 * time.Hour
	// scanMax is how many series one page looks at; one that finds fewer than listMax
	// among them has a token all the same.
	scanMax = 20_000
)

// ListMetrics lists the metrics that were put within two weeks, in the order of
// namespace, name and dimensions: with RecentlyActive those of three hours. All
// dimensions of the filter must be among a metric's, with that value if one is given.
func (s *Service) ListMetrics(ctx context.Context, in *api.ListMetricsInput) (*api.ListMetricsOutput, error) {
	caller := rheo.CallerFrom(ctx)
	out := &api.ListMetricsOutput{Metrics: []api.Metric{}}
	linked := in.IncludeLinkedAccounts != nil && *in.IncludeLinkedAccounts
	if in.OwningAccount != nil && *in.OwningAccount != caller.Account {
		if linked {
			return out, nil // no account is linked
		}
		return nil, invalid("The value %s for parameter OwningAccount is invalid.", clip(*in.OwningAccount))
	}
	tenant := tenantKey(caller.Account, caller.Region)
	prefix := tenant
	if in.Namespace != nil {
		prefix += *in.Namespace + keyPart
		if in.MetricName != nil {
			prefix += *in.MetricName + keyPart
		}
	}
	from := prefix
	if in.NextToken != nil {
		key, err := base64.RawURLEncoding.DecodeString(*in.NextToken)
		if from = tenant + string(key); err != nil || !isKey(string(key)) || !strings.HasPrefix(from, prefix) {
			return nil, invalid("The value %s for parameter NextToken is invalid.", clip(*in.NextToken))
		}
	}
	since := s.now().Add(-listedFor)
	if in.RecentlyActive != "" {
		since = s.now().Add(-recentlyIs)
	}
	room := room{memory: s.answers}
	defer room.sent(ctx)
	full := false
	last := s.store.list(prefix, from, since.Unix(), func(key string) bool {
		namespace, name, dimensions := parseKey(key)
		if in.MetricName != nil && name != *in.MetricName || !matches(dimensions, in.Dimensions) {
			return true
		}
		if full = !room.take(int64(200 + 3*len(key) + 100*len(dimensions))); full {
			return false
		}
		m := api.Metric{Namespace: &namespace, MetricName: &name, Dimensions: []api.Dimension{}}
		for i := range dimensions {
			m.Dimensions = append(m.Dimensions, api.Dimension{Name: &dimensions[i].name, Value: &dimensions[i].value})
		}
		out.Metrics = append(out.Metrics, m)
		if linked {
			out.OwningAccounts = append(out.OwningAccounts, caller.Account)
		}
		return len(out.Metrics) < listMax
	})
	if full {
		return nil, errNoRoom
	}
	if last != "" {
		out.NextToken = new(base64.RawURLEncoding.EncodeToString([]byte(last[len(tenant):])))
	}
	return out, nil
}

// matches says whether a metric's dimensions have those of a filter.
func matches(dimensions []dimension, filter []api.DimensionFilter) bool {
	for _, f := range filter {
		if !slices.ContainsFunc(dimensions, func(d dimension) bool {
			return d.name == *f.Name && (f.Value == nil || d.value == *f.Value)
		}) {
			return false
		}
	}
	return true
}

// list calls yield with the key of each metric with a prefix that was put since a
// time, from a key on, until it returns false. If there are more, it returns the
// key to go on from.
func (s *store) list(prefix, from string, since int64, yield func(key string) bool) (next string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	seen, last, ended := 0, "", false
	s.series.Ascend(from, func(key string, sr *series) bool {
		if !strings.HasPrefix(key, prefix) {
			return false
		}
		metric := key[:strings.Index(key, keyUnit)]
		if metric == last {
			return true // in another unit
		}
		if seen++; ended || seen > scanMax {
			next = key
			return false
		}
		if sr.written < since {
			return true
		}
		last = metric
		ended = !yield(metric)
		return true
	})
	return next
}
