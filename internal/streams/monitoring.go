package streams

import (
	"time"

	"github.com/rheostream/rheo/internal/metrics"
)

// monitor gives the stream's shards their own metrics while enhanced monitoring
// is on. All seven are counted then, whichever were asked for. The caller holds Service.mu.
func (st *stream) monitor() {
	d, m := st.doc.Load(), st.metrics.Load()
	if d == nil || m == nil {
		return
	}
	for _, sh := range st.shards {
		on := len(d.Monitoring) > 0
		switch have := sh.metrics.Load(); {
		case on && have == nil:
			sh.metrics.Store(m.Shard(sh.id))
		case !on && have != nil:
			sh.metrics.Store(nil)
			m.DropShard(sh.id)
		}
	}
}

// countPut counts what a PutRecord or PutRecords brought.
func (p *put) countPut(st *stream, began time.Time, single bool) {
	m := st.metrics.Load()
	var bytes, good, throttled int64
	for i := range p.items {
		it := &p.items[i]
		size := int64(len(it.key) + len(it.data))
		switch it.code {
		case "":
			good++
			bytes += size
		case "ProvisionedThroughputExceededException":
			throttled++
		}
		if it.shard == nil {
			continue
		}
		if sm := it.shard.metrics.Load(); sm != nil {
			if it.code == "" {
				sm.IncomingRecords.Add(1)
				sm.IncomingBytes.Add(size)
			}
			sm.WriteProvisionedThroughputExceeded.Success(it.code == "ProvisionedThroughputExceededException")
		}
	}
	total := int64(len(p.items))
	took := time.Since(began)
	m.IncomingRecords.AddN(good, good)
	m.IncomingBytes.AddN(bytes, good)
	m.WriteProvisionedThroughputExceeded.AddN(throttled, total)
	if single {
		m.PutRecord.Bytes.Add(bytes)
		m.PutRecord.Latency.Add(took)
		m.PutRecord.Success.Success(good == 1)
		return
	}
	m.PutRecords.Bytes.Add(bytes)
	m.PutRecords.Latency.Add(took)
	m.PutRecords.Success.Success(good > 0)
	m.PutRecords.TotalRecords.Add(total)
	m.PutRecords.SuccessfulRecords.Add(good)
	m.PutRecords.ThrottledRecords.Add(throttled)
	m.PutRecords.FailedRecords.Add(total - good - throttled)
}

// countGet counts a GetRecords that was answered.
func countGet(st *stream, sh *shard, began time.Time, records, bytes int, behind int64) {
	m := st.metrics.Load()
	m.GetRecords.Bytes.Add(int64(bytes))
	m.GetRecords.Records.Add(int64(records))
	m.GetRecords.IteratorAgeMilliseconds.Add(behind)
	m.GetRecords.Latency.Add(time.Since(began))
	m.GetRecords.Success.Success(true)
	m.ReadProvisionedThroughputExceeded.Success(false)
	if sm := sh.metrics.Load(); sm != nil {
		sm.OutgoingRecords.Add(int64(records))
		sm.OutgoingBytes.Add(int64(bytes))
		sm.IteratorAgeMilliseconds.Add(behind)
		sm.ReadProvisionedThroughputExceeded.Success(false)
	}
}

// countReadRefused counts a call for which the shard has no capacity.
func countReadRefused(st *stream, sh *shard) {
	st.metrics.Load().ReadProvisionedThroughputExceeded.Success(true)
	if sm := sh.metrics.Load(); sm != nil {
		sm.ReadProvisionedThroughputExceeded.Success(true)
	}
}

// countEvent counts one event of a subscription.
func countEvent(m *metrics.Consumer, records, bytes int, behind int64) {
	m.SubscribeToShardEvent.Success.Success(true)
	m.SubscribeToShardEvent.Records.Add(int64(records))
	m.SubscribeToShardEvent.Bytes.Add(int64(bytes))
	m.SubscribeToShardEvent.MillisBehindLatest.Add(behind)
}
