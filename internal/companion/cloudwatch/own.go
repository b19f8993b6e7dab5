package cloudwatch

import (
	"context"
	"strings"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/cloudwatch"
	"github.com/rheostream/rheo/internal/metrics"
)

// ownNamespace is the namespace of rheo's own metrics, which nobody else can put into.
const ownNamespace = "AWS/Kinesis"

// ownLoop puts rheo's own metrics at the end of each minute. What was counted since
// the last minute ended is lost with the process.
func (s *Service) ownLoop(ctx context.Context, own *metrics.Registry) {
	told := false
	for {
		now := s.now()
		end := now.Truncate(time.Minute).Add(time.Minute)
		select {
		case <-ctx.Done():
			return
		case <-time.After(end.Sub(now)):
		}
		err := s.putOwn(ctx, own, end.Add(-time.Minute))
		if err != nil && !told {
			s.logger.Error("cannot keep all of rheo's own metrics of a minute", "err", err)
		}
		told = err != nil
	}
}

// putOwn puts what was counted, as the data of the minute that began at a time. Where
// there is no room for new series, those that are there go on.
func (s *Service) putOwn(ctx context.Context, own *metrics.Registry, minute time.Time) (failed error) {
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
			err := s.put(ctx, &put{p.tenant, p.namespace, p.data[:n]})
			if rheo.IsCode(err, "LimitExceededException") { // no new ones
				if known := s.store.known(&put{p.tenant, p.namespace, p.data[:n]}); len(known) > 0 {
					err = s.put(ctx, &put{p.tenant, p.namespace, known})
				}
			}
			if err != nil && ctx.Err() == nil && failed == nil {
				failed = err
			}
			p.data = p.data[n:]
		}
	}
	return failed
}

// isOwn says whether the key of a series is of rheo's own metrics.
func isOwn(key string) bool {
	_, rest, _ := strings.Cut(key, keyPart)
	return strings.HasPrefix(rest, ownNamespace+keyPart)
}
