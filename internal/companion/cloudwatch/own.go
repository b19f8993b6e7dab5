package cloudwatch

import (
	"context"
	"time"

	api "github.com/rheostream/rheo/internal/api/cloudwatch"
	"github.com/rheostream/rheo/internal/metrics"
)

// ownNamespace is the namespace of rheo's own metrics, which nobody else can put into.
const ownNamespace = "AWS/Kinesis"

// ownLoop puts rheo's own metrics at the end of each minute. What was counted since
// the last minute ended is lost with the process.
func (s *Service) ownLoop(ctx context.Context, own *metrics.Registry) {
	for {
		now := s.now()
		end := now.Truncate(time.Minute).Add(time.Minute)
		select {
		case <-ctx.Done():
			return
		case <-time.After(end.Sub(now)):
		}
		s.putOwn(ctx, own, end.Add(-time.Minute))
	}
}

// putOwn puts what was counted, as the data of the minute that began at a time.
func (s *Service) putOwn(ctx context.Context, own *metrics.Registry, minute time.Time) {
	puts := map[string]*put{}
	own.Drain(func(m metrics.Sample) {
		tenant := tenantKey(m.Account, m.Region)
		p := puts[tenant]
		if p == nil {
			p = &put{tenant: tenant, namespace: ownNamespace}
			puts[tenant] = p
		}
		d := datum{name: m.Name, unit: unitOf(api.StandardUnit(m.Unit)), tier: standard, at: minute.Unix(),
			summary: summary{count: m.Count, sum: m.Sum, min: m.Min, max: m.Max}}
		d.summary.opaque = m.Min != m.Max
		for _, dim := range m.Dimensions {
			d.dimensions = append(d.dimensions, dimension{dim[0], dim[1]})
		}
		sortDimensions(d.dimensions)
		p.data = append(p.data, d)
	})
	for _, p := range puts {
		for len(p.data) > 0 {
			n := min(len(p.data), dataMax)
			if err := s.put(ctx, &put{p.tenant, p.namespace, p.data[:n]}); err != nil && ctx.Err() == nil {
				s.logger.Error("cannot keep rheo's own metrics of a minute", "err", err)
			}
			p.data = p.data[n:]
		}
	}
}
