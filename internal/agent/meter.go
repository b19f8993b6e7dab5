package agent

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Meter takes what CloudWatch is to know. PutMetrics sends the data once and
// returns soon after ctx ends.
type Meter interface {
	PutMetrics(ctx context.Context, namespace string, data []Datum) error
}

// A Datum is what was counted under a name since the last time.
type Datum struct {
	Name       string
	Dimensions []Dimension
	Unit       string // Count or Bytes
	Time       time.Time
	Samples    float64
	Sum        float64
	Min, Max   float64
}

// A Dimension is a name and its value.
type Dimension struct{ Name, Value string }

// A meter adds up for one destination, under the Kinesis Agent's names. All methods
// may be called concurrently.
type meter struct {
	dimensions []Dimension

	mu   sync.Mutex
	data map[string]*Datum
}

func newMeter(f *Flow, instance string) *meter {
	kind := "KinesisStream:"
	if f.Service == Firehose {
		kind = "DeliveryStream:"
	}
	m := &meter{dimensions: []Dimension{{"Destination", kind + f.Stream}}, data: map[string]*Datum{}}
	if instance != "" {
		m.dimensions = append(m.dimensions, Dimension{"Instance", instance})
	}
	return m
}

// call counts one call with so many records, of which some were taken.
func (m *meter) call(records, taken, bytes int, failed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.add("RecordSendAttempts", "Count", float64(records))
	if failed {
		m.add("ServiceErrors", "Count", 1)
		return
	}
	m.add("ServiceErrors", "Count", 0)
	m.add("RecordSendErrors", "Count", float64(records-taken))
	m.add("RecordsSent", "Count", float64(taken))
	m.add("BytesSent", "Bytes", float64(bytes))
}

// add is with mu held.
func (m *meter) add(name, unit string, v float64) {
	d := m.data[name]
	if d == nil {
		m.data[name] = &Datum{Name: name, Dimensions: m.dimensions, Unit: unit, Samples: 1, Sum: v, Min: v, Max: v}
		return
	}
	d.Samples++
	d.Sum += v
	d.Min, d.Max = min(d.Min, v), max(d.Max, v)
}

// take returns what was counted since the last time, in the order of the names.
func (m *meter) take(now time.Time) []Datum {
	m.mu.Lock()
	defer m.mu.Unlock()
	var data []Datum
	for _, name := range slices.Sorted(maps.Keys(m.data)) {
		d := *m.data[name]
		d.Time = now
		data = append(data, d)
	}
	clear(m.data)
	return data
}

// give puts back what could not be sent: it goes with the next.
func (m *meter) give(data []Datum) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range data {
		if n := m.data[d.Name]; n != nil {
			n.Samples += d.Samples
			n.Sum += d.Sum
			n.Min, n.Max = min(n.Min, d.Min), max(n.Max, d.Max)
			continue
		}
		m.data[d.Name] = &d
	}
}

// counts are those of a flow since the start.
type counts struct {
	records     atomic.Int64 // read
	bytes       atomic.Int64
	sent        atomic.Int64 // records
	sentBytes   atomic.Int64
	retried     atomic.Int64 // refusals and failures of single records
	skipped     atomic.Int64 // records that a converter dropped
	failed      atomic.Int64 // that could not be converted
	truncated   atomic.Int64
	lost        atomic.Int64 // bytes, at most, that were gone before they were read
	copies      atomic.Int64 // files that were passed over, or parts of them
	complaints  atomic.Int64
	behindBytes atomic.Int64 // not read yet, at the last look
	behindFiles atomic.Int64
}

func (c *counts) read(bytes int) {
	c.records.Add(1)
	c.bytes.Add(int64(bytes))
}

// Status is what a flow did since the start.
type Status struct {
	Flow                  string
	Records, Bytes        int64 // read
	Sent, SentBytes       int64 // taken by the stream
	Retried               int64 // refusals and failures of single records
	Skipped               int64 // dropped by LOGTOJSON
	Failed                int64 // could not be converted, and went as they were
	Truncated             int64
	Copies                int64 // files that have what another one had: that was passed over
	LostBytes             int64 // gone before they were read, at most
	BehindBytes, BehindOf int64 // not read yet, and of how many files
}

func (c *counts) status(flow string) Status {
	return Status{flow, c.records.Load(), c.bytes.Load(), c.sent.Load(), c.sentBytes.Load(), c.retried.Load(), c.skipped.Load(),
		c.failed.Load(), c.truncated.Load(), c.copies.Load(), c.lost.Load(), c.behindBytes.Load(), c.behindFiles.Load()}
}
