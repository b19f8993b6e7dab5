package metrics

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// A StreamKey names a stream.
type StreamKey struct{ Account, Region, Name string }

// A Stream has the metrics of AWS/Kinesis with the dimension StreamName.
// Ages are in milliseconds.
type Stream struct {
	IncomingBytes, IncomingRecords     Stat
	WriteProvisionedThroughputExceeded Stat // records refused
	ReadProvisionedThroughputExceeded  Stat // calls refused

	PutRecord struct {
		Bytes, Success Stat
		Latency        Latency
	}
	// PutRecords: Success counts a call of which at least one record succeeded.
	PutRecords struct {
		Bytes, Success                                                   Stat
		Latency                                                          Latency
		TotalRecords, SuccessfulRecords, FailedRecords, ThrottledRecords Stat
	}
	GetRecords struct {
		Bytes, IteratorAgeMilliseconds, Records, Success Stat
		Latency                                          Latency
	}

	mu        sync.RWMutex
	shards    map[string]*Shard    // under mu
	consumers map[string]*Consumer // under mu
}

// A Shard has the metrics that enhanced monitoring adds, with the dimensions
// StreamName and ShardId.
type Shard struct {
	IncomingBytes, IncomingRecords                                        Stat
	OutgoingBytes, OutgoingRecords                                        Stat
	IteratorAgeMilliseconds                                               Stat
	WriteProvisionedThroughputExceeded, ReadProvisionedThroughputExceeded Stat
}

// A Consumer has the metrics of an enhanced fan-out consumer, with the dimensions
// StreamName and ConsumerName.
type Consumer struct {
	SubscribeToShard      struct{ RateExceeded, Success Stat }
	SubscribeToShardEvent struct{ Bytes, MillisBehindLatest, Records, Success Stat }
}

// The names, as CloudWatch has them.
var (
	streamStats = []stat[Stream]{
		{"IncomingBytes", func(s *Stream) summary { return &s.IncomingBytes }},
		{"IncomingRecords", func(s *Stream) summary { return &s.IncomingRecords }},
		{"WriteProvisionedThroughputExceeded", func(s *Stream) summary { return &s.WriteProvisionedThroughputExceeded }},
		{"ReadProvisionedThroughputExceeded", func(s *Stream) summary { return &s.ReadProvisionedThroughputExceeded }},
		{"PutRecord.Bytes", func(s *Stream) summary { return &s.PutRecord.Bytes }},
		{"PutRecord.Latency", func(s *Stream) summary { return &s.PutRecord.Latency }},
		{"PutRecord.Success", func(s *Stream) summary { return &s.PutRecord.Success }},
		{"PutRecords.Bytes", func(s *Stream) summary { return &s.PutRecords.Bytes }},
		{"PutRecords.Latency", func(s *Stream) summary { return &s.PutRecords.Latency }},
		{"PutRecords.Success", func(s *Stream) summary { return &s.PutRecords.Success }},
		{"PutRecords.TotalRecords", func(s *Stream) summary { return &s.PutRecords.TotalRecords }},
		{"PutRecords.SuccessfulRecords", func(s *Stream) summary { return &s.PutRecords.SuccessfulRecords }},
		{"PutRecords.FailedRecords", func(s *Stream) summary { return &s.PutRecords.FailedRecords }},
		{"PutRecords.ThrottledRecords", func(s *Stream) summary { return &s.PutRecords.ThrottledRecords }},
		{"GetRecords.Bytes", func(s *Stream) summary { return &s.GetRecords.Bytes }},
		{"GetRecords.IteratorAgeMilliseconds", func(s *Stream) summary { return &s.GetRecords.IteratorAgeMilliseconds }},
		{"GetRecords.Latency", func(s *Stream) summary { return &s.GetRecords.Latency }},
		{"GetRecords.Records", func(s *Stream) summary { return &s.GetRecords.Records }},
		{"GetRecords.Success", func(s *Stream) summary { return &s.GetRecords.Success }},
	}
	// Of the same names as a stream's: in Prometheus shards are metrics of their own.
	shardStats = []stat[Shard]{
		{"Shard.IncomingBytes", func(s *Shard) summary { return &s.IncomingBytes }},
		{"Shard.IncomingRecords", func(s *Shard) summary { return &s.IncomingRecords }},
		{"Shard.OutgoingBytes", func(s *Shard) summary { return &s.OutgoingBytes }},
		{"Shard.OutgoingRecords", func(s *Shard) summary { return &s.OutgoingRecords }},
		{"Shard.IteratorAgeMilliseconds", func(s *Shard) summary { return &s.IteratorAgeMilliseconds }},
		{"Shard.WriteProvisionedThroughputExceeded", func(s *Shard) summary { return &s.WriteProvisionedThroughputExceeded }},
		{"Shard.ReadProvisionedThroughputExceeded", func(s *Shard) summary { return &s.ReadProvisionedThroughputExceeded }},
	}
	consumerStats = []stat[Consumer]{
		{"SubscribeToShard.RateExceeded", func(c *Consumer) summary { return &c.SubscribeToShard.RateExceeded }},
		{"SubscribeToShard.Success", func(c *Consumer) summary { return &c.SubscribeToShard.Success }},
		{"SubscribeToShardEvent.Bytes", func(c *Consumer) summary { return &c.SubscribeToShardEvent.Bytes }},
		{"SubscribeToShardEvent.MillisBehindLatest", func(c *Consumer) summary { return &c.SubscribeToShardEvent.MillisBehindLatest }},
		{"SubscribeToShardEvent.Records", func(c *Consumer) summary { return &c.SubscribeToShardEvent.Records }},
		{"SubscribeToShardEvent.Success", func(c *Consumer) summary { return &c.SubscribeToShardEvent.Success }},
	}
)

type stat[T any] struct {
	name string
	of   func(*T) summary
}

// A summary is what Prometheus scrapes of a metric, and what CloudWatch is given.
type summary interface {
	summary() (sum float64, count int64)
	drain() Sample
}

// Stream finds or makes the metrics of a stream.
func (r *Registry) Stream(account, region, name string) *Stream {
	return findOrMake(&r.mu, &r.streams, StreamKey{account, region, name})
}

// DropStream forgets a deleted stream, its shards and its consumers.
func (r *Registry) DropStream(account, region, name string) {
	drop(&r.mu, r.streams, StreamKey{account, region, name})
}

// Shard finds or makes the metrics of a shard; for streams with enhanced monitoring.
func (s *Stream) Shard(id string) *Shard { return findOrMake(&s.mu, &s.shards, id) }

// DropShard forgets a shard that expired, or that is no longer monitored.
func (s *Stream) DropShard(id string) { drop(&s.mu, s.shards, id) }

// Consumer finds or makes the metrics of an enhanced fan-out consumer.
func (s *Stream) Consumer(name string) *Consumer { return findOrMake(&s.mu, &s.consumers, name) }

// DropConsumer forgets a deregistered consumer.
func (s *Stream) DropConsumer(name string) { drop(&s.mu, s.consumers, name) }

func findOrMake[K comparable, V any](mu *sync.RWMutex, m *map[K]*V, key K) *V {
	mu.RLock()
	v := (*m)[key]
	mu.RUnlock()
	if v != nil {
		return v
	}
	mu.Lock()
	defer mu.Unlock()
	if *m == nil {
		*m = make(map[K]*V)
	}
	if v = (*m)[key]; v == nil {
		v = new(V)
		(*m)[key] = v
	}
	return v
}

func drop[K comparable, V any](mu *sync.RWMutex, m map[K]*V, key K) {
	mu.Lock()
	defer mu.Unlock()
	delete(m, key)
}

// streamCollector hands the streams' metrics to Prometheus, those that have a sample.
type streamCollector struct{ r *Registry }

// Describe says nothing: which streams there are is known only when collecting.
func (streamCollector) Describe(chan<- *prometheus.Desc) {}

func (c streamCollector) Collect(out chan<- prometheus.Metric) {
	c.r.mu.RLock()
	defer c.r.mu.RUnlock()
	for key, s := range c.r.streams {
		labels := prometheus.Labels{"account": key.Account, "region": key.Region, "stream_name": key.Name}
		collect(out, streamStats, s, labels)
		s.mu.RLock()
		for id, shard := range s.shards {
			collect(out, shardStats, shard, with(labels, "shard_id", id))
		}
		for name, consumer := range s.consumers {
			collect(out, consumerStats, consumer, with(labels, "consumer_name", name))
		}
		s.mu.RUnlock()
	}
}

func collect[T any](out chan<- prometheus.Metric, stats []stat[T], of *T, labels prometheus.Labels) {
	for _, s := range stats {
		if sum, count := s.of(of).summary(); count > 0 {
			desc := prometheus.NewDesc("aws_kinesis_"+snake(s.name), "AWS/Kinesis "+strings.TrimPrefix(s.name, "Shard."), nil, labels)
			out <- prometheus.MustNewConstSummary(desc, uint64(count), sum, nil)
		}
	}
}

func with(labels prometheus.Labels, name, value string) prometheus.Labels {
	all := prometheus.Labels{name: value}
	for k, v := range labels {
		all[k] = v
	}
	return all
}

// snake turns GetRecords.IteratorAgeMilliseconds into get_records_iterator_age_milliseconds.
func snake(name string) string {
	var b strings.Builder
	for i, c := range name {
		switch {
		case c == '.':
			continue
		case c >= 'A' && c <= 'Z':
			if i > 0 {
				b.WriteByte('_')
			}
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}
