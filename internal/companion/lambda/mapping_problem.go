package lambda

import (
	"errors"
	"sync/atomic"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/companion/lambda/mapping"
	"github.com/rheostream/rheo/internal/metrics"
)

// problem is an error of an invocation as the engine knows it.
func problem(err error) error {
	var e *rheo.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case "TooManyRequestsException":
		return &mapping.Problem{Kind: mapping.ErrThrottled, Message: e.Message}
	case "ResourceNotFoundException":
		return &mapping.Problem{Kind: mapping.ErrFunctionGone, Message: e.Message}
	case "ServiceException":
		return err
	}
	return &mapping.Problem{Kind: mapping.ErrFunctionDisabled, Message: e.Message}
}

// mappingCounts are the metrics of all mappings together.
type mappingCounts struct {
	polled, filtered, invoked, failed, dropped, delivered, undelivered atomic.Int64
	age                                                                atomic.Int64 // ns; of the last batch that was done
}

func (c *mappingCounts) show(r *metrics.Registry) {
	for _, n := range []struct {
		name, help string
		value      *atomic.Int64
	}{
		{"rheo_lambda_polled_events_total", "Records that event source mappings read (PolledEventCount).", &c.polled},
		{"rheo_lambda_filtered_out_events_total", "Records that filters dropped (FilteredOutEventCount).", &c.filtered},
		{"rheo_lambda_invoked_events_total", "Records that functions were invoked with (InvokedEventCount).", &c.invoked},
		{"rheo_lambda_failed_invoke_events_total", "Records of invocations that failed (FailedInvokeEventCount).", &c.failed},
		{"rheo_lambda_dropped_events_total", "Records that were given up (DroppedEventCount).", &c.dropped},
		{"rheo_lambda_on_failure_delivered_events_total", "Records that on-failure destinations were told of.", &c.delivered},
		{"rheo_lambda_destination_delivery_failures_total", "On-failure destinations that could not be told.", &c.undelivered},
	} {
		r.Counter(n.name, n.help, func() float64 { return float64(n.value.Load()) })
	}
	r.Gauge("rheo_lambda_iterator_age_seconds", "Age of the last record of the batch that a function was done with last (IteratorAge).",
		func() float64 { return time.Duration(c.age.Load()).Seconds() })
}

// Count implements mapping.Observer.
func (m *mappings) Count(_ string, c mapping.Counts) {
	m.counts.polled.Add(c.PolledEvents)
	m.counts.filtered.Add(c.FilteredOutEvents)
	m.counts.invoked.Add(c.InvokedEvents)
	m.counts.failed.Add(c.FailedInvokeEvents)
	m.counts.dropped.Add(c.DroppedEvents)
	m.counts.delivered.Add(c.OnFailureDeliveredEvents)
	m.counts.undelivered.Add(c.DestinationDeliveryFailures)
}

// IteratorAge implements mapping.Observer.
func (m *mappings) IteratorAge(_, _ string, age time.Duration) { m.counts.age.Store(int64(age)) }
