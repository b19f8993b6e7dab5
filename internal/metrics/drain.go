package metrics

import "strings"

// A Sample is what one metric has had since it was last drained: a statistic set.
type Sample struct {
	Account, Region string
	Name            string      // "PutRecord.Latency"
	Dimensions      [][2]string // name and value
	Unit            string      // CloudWatch's: "Milliseconds"
	Count, Sum      float64
	Min, Max        float64
}

// Drain calls yield with each metric of AWS/Kinesis that has had samples since the
// last Drain. What a stream, a shard or a consumer has had before it was dropped is
// lost, if it has not been drained. yield must not call the registry.
func (r *Registry) Drain(yield func(Sample)) {
	r.draining.Lock()
	defer r.draining.Unlock()
	r.mu.RLock()
	defer r.mu.RUnlock()
	for key, s := range r.streams {
		named := [2]string{"StreamName", key.Name}
		drain(streamStats, s, key, yield, named)
		s.mu.RLock()
		for id, shard := range s.shards {
			drain(shardStats, shard, key, yield, named, [2]string{"ShardId", id})
		}
		for name, consumer := range s.consumers {
			drain(consumerStats, consumer, key, yield, named, [2]string{"ConsumerName", name})
		}
		s.mu.RUnlock()
	}
}

func drain[T any](stats []stat[T], of *T, key StreamKey, yield func(Sample), dimensions ...[2]string) {
	for _, st := range stats {
		sample := st.of(of).drain()
		if sample.Count <= 0 {
			continue
		}
		sample.Account, sample.Region = key.Account, key.Region
		sample.Name = strings.TrimPrefix(st.name, "Shard.")
		sample.Dimensions, sample.Unit = dimensions, unitOf(st.name)
		yield(sample)
	}
}

// unitOf is the unit of a metric, which its name tells.
func unitOf(name string) string {
	switch {
	case strings.HasSuffix(name, "Bytes"):
		return "Bytes"
	case strings.HasSuffix(name, "Milliseconds"), strings.HasSuffix(name, "Latency"), strings.HasSuffix(name, "MillisBehindLatest"):
		return "Milliseconds"
	}
	return "Count"
}

// drain is what the metric has had since the last time. A sample that comes at the
// same moment may have its number in this drain, and its sum in the next.
func (s *Stat) drain() Sample {
	least, most := s.least.Swap(0), s.most.Swap(0)
	sum, count := s.Values()
	d := Sample{Count: float64(count - s.drained.count), Sum: float64(sum - s.drained.sum)}
	s.drained.sum, s.drained.count = sum, count
	if d.Count <= 0 {
		return d
	}
	d.Min, d.Max = float64(int64(^least^1<<63)), float64(int64(most^1<<63))
	if least == 0 || most == 0 { // those came a moment later
		d.Min, d.Max = d.Sum/d.Count, d.Sum/d.Count
	}
	return d
}

func (l *Latency) drain() Sample {
	d := l.nanos.drain()
	d.Sum, d.Min, d.Max = d.Sum/1e6, d.Min/1e6, d.Max/1e6
	return d
}
