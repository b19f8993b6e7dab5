package metrics

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestDrain: each drain has what was counted since the one before, with the least
// and most of it.
func TestDrain(t *testing.T) {
	r := New()
	s := r.Stream("123456789012", "us-east-1", "orders")
	drain := func() (lines []string) {
		r.Drain(func(m Sample) {
			lines = append(lines, fmt.Sprintf("%s %v %s: %g samples, sum %g, from %g to %g", m.Name, m.Dimensions, m.Unit, m.Count, m.Sum, m.Min, m.Max))
		})
		slices.Sort(lines)
		return lines
	}
	for _, step := range []struct {
		count func()
		want  []string
	}{
		{func() {}, nil},
		{func() {
			s.IncomingBytes.Add(300)
			s.IncomingBytes.AddN(701, 2)
			s.WriteProvisionedThroughputExceeded.AddN(1, 3)
			s.PutRecord.Latency.Add(400 * time.Microsecond)
			s.PutRecord.Latency.Add(1500 * time.Microsecond)
		}, []string{
			"IncomingBytes [[StreamName orders]] Bytes: 3 samples, sum 1001, from 300 to 351",
			"PutRecord.Latency [[StreamName orders]] Milliseconds: 2 samples, sum 1.9, from 0.4 to 1.5",
			"WriteProvisionedThroughputExceeded [[StreamName orders]] Count: 3 samples, sum 1, from 0 to 1",
		}},
		{func() {
			s.IncomingBytes.Add(-5)
			s.IncomingBytes.AddN(0, 0)
			s.Shard("shardId-000000000001").OutgoingBytes.Add(42)
			s.Consumer("app").SubscribeToShardEvent.MillisBehindLatest.Add(7)
		}, []string{
			"IncomingBytes [[StreamName orders]] Bytes: 1 samples, sum -5, from -5 to -5",
			"OutgoingBytes [[StreamName orders] [ShardId shardId-000000000001]] Bytes: 1 samples, sum 42, from 42 to 42",
			"SubscribeToShardEvent.MillisBehindLatest [[StreamName orders] [ConsumerName app]] Milliseconds: 1 samples, sum 7, from 7 to 7",
		}},
		{func() {}, nil},
	} {
		step.count()
		if got := drain(); !slices.Equal(got, step.want) {
			t.Errorf("drained\n%q, want\n%q", got, step.want)
		}
	}
}
