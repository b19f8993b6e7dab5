package streams

import (
	"context"
	"io"
	"maps"
	"sync"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/metrics"
	"github.com/rheostream/rheo/internal/shardlog"
)

const (
	subscriptionLife = 5 * time.Minute
	// takeOverAfter: a subscription younger than this keeps its place; an older one gives way to a new one.
	takeOverAfter = 5 * time.Second
	// heartbeatEvery: an event at least this often, so that clients with read timeouts stay.
	heartbeatEvery  = 5 * time.Second
	eventBytesMax   = 1 << 20
	eventRecordsMax = 10_000
	// memoryPause is how long to wait when there is no memory for an event.
	memoryPause = 20 * time.Millisecond
)

// SubscribeToShard pushes a shard's records to a registered consumer for five
// minutes, as soon as each is durable. A consumer has one subscription per
// shard; a new one ends the old one, but not in the old one's first five
// seconds, and there is one call a second. After the answer has begun, errors
// come as events.
func (s *Service) SubscribeToShard(ctx context.Context, in *kinesis.SubscribeToShardInput) (*kinesis.SubscribeToShardOutput, error) {
	st, d, err := s.lookupConsumer(ctx, nil, nil, in.ConsumerARN)
	if err != nil {
		return nil, err
	}
	if d.Status != kinesis.ConsumerStatusActive {
		return nil, inUse("Consumer %s with creation timestamp %s under stream: %s , account %s is not in ACTIVE status.",
			d.Name, time.UnixMilli(d.Created).UTC().Format(time.RFC3339), st.name.name, st.name.account)
	}
	if sd := st.doc.Load(); sd == nil || sd.Status == kinesis.StreamStatusDeleting {
		return nil, streamNotFound(st.name.account, st.name.name)
	}
	sh, err := s.visibleShard(st, *in.ShardId)
	if err != nil {
		return nil, err
	}
	p := in.StartingPosition
	offset, err := s.position(ctx, "SubscribeToShard", sh, p.Type, p.SequenceNumber, p.Timestamp)
	if err != nil {
		return nil, err
	}
	if in.DryRun != nil && *in.DryRun {
		return nil, dryRun()
	}
	s.mu.RLock()
	c := st.consumers[d.Name]
	s.mu.RUnlock()
	if c == nil {
		return nil, consumerNotFound(st, d.Name)
	}
	m := st.metrics.Load().Consumer(d.Name)
	sub := &subscription{s: s, sh: sh, subs: &c.subs, metrics: m, next: offset, began: time.Now()}
	sub.ctx, sub.cancel = context.WithCancelCause(s.closed)
	if err := c.subs.begin(sub, d.Name, s.cfg.Limits); err != nil {
		m.SubscribeToShard.RateExceeded.Add(1)
		sub.cancel(nil)
		return nil, err
	}
	m.SubscribeToShard.Success.Add(1)
	return &kinesis.SubscribeToShardOutput{EventStream: sub}, nil
}

// subscriptions are a consumer's, one per shard.
type subscriptions struct {
	mu      sync.Mutex
	byShard map[uint32]*subscription // mu
	began   map[uint32]time.Time     // mu; shards that had one begin within the period of the call limit
	ended   bool                     // mu; the consumer is gone
}

// begin gives sub its shard unless a younger one has it.
func (l *subscriptions) begin(sub *subscription, consumer string, limits float64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	st, index := sub.sh.stream, sub.sh.index
	if l.ended {
		return consumerNotFound(st, consumer)
	}
	old := l.byShard[index]
	if old != nil && sub.began.Sub(old.began) < takeOverAfter {
		return inUse("Another active subscription exists for this consumer: %s:%s:%s:%s", st.name.account, st.name.name, sub.sh.id, consumer)
	}
	if limits > 0 {
		maps.DeleteFunc(l.began, func(_ uint32, at time.Time) bool { return sub.began.Sub(at).Seconds()*subscribesPerSec*limits >= 1 })
	}
	if _, ok := l.began[index]; ok && limits > 0 {
		return limitExceeded("Rate exceeded for consumer %s and shard %s of stream %s under account %s.", consumer, sub.sh.id, st.name.name, st.name.account)
	}
	if old != nil {
		old.cancel(inUse("Another subscription took over for %s:%s:%s.", st.name.account, st.name.name, sub.sh.id))
	}
	if l.byShard == nil {
		l.byShard, l.began = map[uint32]*subscription{}, map[uint32]time.Time{}
	}
	l.byShard[index] = sub
	if limits > 0 {
		l.began[index] = sub.began
	}
	return nil
}

func (l *subscriptions) done(sub *subscription) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byShard[sub.sh.index] == sub {
		delete(l.byShard, sub.sh.index)
	}
}

// end ends all, because the consumer or its stream is gone.
func (l *subscriptions) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for _, sub := range l.byShard {
		st := sub.sh.stream
		sub.cancel(notFound("The consumer or its stream %s under account %s has been deleted.", st.name.name, st.name.account))
	}
}

// subscription is one event stream; wire pulls it with Next, one caller at a time.
type subscription struct {
	s           *Service
	sh          *shard
	subs        *subscriptions
	metrics     *metrics.Consumer
	ctx         context.Context // ends with an *api.Error as its cause, or with the server
	cancel      context.CancelCauseFunc
	began       time.Time
	next        shardlog.Offset
	batch       *shardlog.Batch // pooled; held while an event that aliases it is with the caller
	held        int64           // reserved for that event
	nextArrival int64           // of the record at next, as far as the last event knew
	sealed      bool            // the last read came to the shard's end
	event       kinesis.SubscribeToShardEvent
	bytes       bucket
	last        time.Time // when the last event was given
	atEnd       bool
}

func (sub *subscription) Close() error {
	sub.let()
	sub.subs.done(sub)
	sub.cancel(nil)
	return nil
}

// Next returns the next event; it and its records are good until the following call.
func (sub *subscription) Next(ctx context.Context) (any, error) {
	sub.let()
	if sub.atEnd {
		return nil, io.EOF
	}
	for {
		now := time.Now()
		if err := sub.over(ctx, now); err != nil {
			return nil, err
		}
		pause := sub.pace(now)
		var allowed int
		var reserved int64
		if pause == 0 {
			if allowed, reserved = sub.s.reserveAnswer(eventBytesMax); allowed == 0 {
				pause = memoryPause
			}
		}
		if pause > 0 && now.Sub(sub.last) >= heartbeatEvery {
			// Held back for so long that the client must hear of us.
			sub.batch = batches.Get().(*shardlog.Batch)
			*sub.batch = shardlog.Batch{Buf: sub.batch.Buf[:0], Next: sub.next, NextArrival: sub.nextArrival}
			return sub.give(now, nil), nil
		}
		if pause == 0 {
			sub.batch = batches.Get().(*shardlog.Batch)
			err := sub.sh.log.Read(ctx, sub.next, eventRecordsMax, allowed, sub.batch)
			sub.held = sub.s.fitAnswer(sub.batch, reserved)
			if err != nil {
				return nil, sub.readError(err)
			}
			sub.sealed = sub.batch.End
			children := sub.s.childrenAtEnd(sub.sh, sub.batch)
			if len(sub.batch.Records) > 0 || children != nil || now.Sub(sub.last) >= heartbeatEvery {
				return sub.give(now, children), nil
			}
			sub.let()
		}
		sub.wait(ctx, now, pause)
	}
}

// over says whether and how the subscription has ended.
func (sub *subscription) over(ctx context.Context, now time.Time) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case sub.ctx.Err() != nil:
		if e, ok := context.Cause(sub.ctx).(*api.Error); ok {
			return e
		}
		return io.EOF
	case now.Sub(sub.began) >= subscriptionLife:
		return io.EOF
	}
	return nil
}

// pace is how long to wait for the consumer's own 2 MiB/s of this shard.
func (sub *subscription) pace(now time.Time) time.Duration {
	scale := sub.s.cfg.Limits
	if scale < 0 {
		return 0
	}
	perSec := fanoutBytesPerSec * scale
	sub.bytes.fill(now, perSec)
	if sub.bytes.tokens > 0 {
		return 0
	}
	return time.Duration((1 - sub.bytes.tokens) / perSec * float64(time.Second))
}

// wait returns when there may be something to do: a record, the end of a pause,
// a heartbeat, the end of the subscription.
func (sub *subscription) wait(ctx context.Context, now time.Time, pause time.Duration) {
	until := sub.began.Add(subscriptionLife).Sub(now)
	if beat := sub.last.Add(heartbeatEvery).Sub(now); beat < until {
		until = beat
	}
	if pause > 0 && pause < until {
		until = pause
	}
	ctx, cancel := context.WithTimeout(ctx, until)
	defer cancel()
	defer context.AfterFunc(sub.ctx, cancel)()
	if pause > 0 {
		<-ctx.Done()
		return
	}
	if sub.sealed {
		// Sealed, but its children do not show yet.
		sub.s.mu.RLock()
		changed := sub.sh.stream.changed
		sub.s.mu.RUnlock()
		if sub.sh.doc.Load().State != shardClosed {
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
		return
	}
	sub.sh.log.Wait(ctx, sub.next)
}

func (sub *subscription) give(now time.Time, children []kinesis.ChildShard) *kinesis.SubscribeToShardEvent {
	records, size := sub.s.clientRecords(sub.sh, sub.batch)
	sub.bytes.tokens -= float64(size)
	sub.next, sub.nextArrival, sub.last = sub.batch.Next, sub.batch.NextArrival, now
	sub.event = kinesis.SubscribeToShardEvent{Records: records, MillisBehindLatest: new(sub.s.behind(sub.batch)), ChildShards: children}
	countEvent(sub.metrics, len(records), size, *sub.event.MillisBehindLatest)
	if children != nil {
		sub.atEnd = true
		return &sub.event
	}
	// The number to go on from is that of the last record given, or of the place just before the next one.
	q := sequence{created: sub.sh.doc.Load().Created / 1000, shard: sub.sh.index, arrived: now.Unix()}
	if n := len(sub.batch.Records); n > 0 {
		q.counter, q.arrived = uint64(sub.batch.Records[n-1].Offset), sub.batch.Records[n-1].Arrival/1000
	} else if sub.next > 0 {
		q.counter = uint64(sub.next) - 1
	}
	sub.event.ContinuationSequenceNumber = new(q.String())
	return &sub.event
}

// let gives back what the last event held: an idle subscription holds nothing.
func (sub *subscription) let() {
	if sub.batch != nil {
		sub.s.releaseAnswer(sub.held)
		freeBatch(sub.batch)
		sub.batch, sub.held = nil, 0
	}
}

func (sub *subscription) readError(err error) error {
	if e, ok := context.Cause(sub.ctx).(*api.Error); ok {
		return e
	}
	return readError(sub.sh, err)
}
