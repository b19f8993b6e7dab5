package streams

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/shardlog"
)

// inTime runs a test in a bubble where time is simulated: it passes when all wait.
func inTime(t *testing.T, cfg Config, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cfg)
		f(w)
	})
}

// hookedLog lets a test step in where the service calls the log.
type hookedLog struct {
	shardlog.Log
	create atomic.Pointer[func(id shardlog.ID) error] // before each Create; its error stands for Create's
	seal   atomic.Pointer[func(id shardlog.ID) error]
	retain atomic.Pointer[func(id shardlog.ID, d time.Duration) error]
	full   atomic.Bool  // every Append fails for want of space
	trips  atomic.Int64 // Seals under way
	most   atomic.Int64 // most Seals under way at once
}

func (l *hookedLog) Create(ctx context.Context, id shardlog.ID, o shardlog.Options) (shardlog.Shard, error) {
	if f := l.create.Load(); f != nil {
		if err := (*f)(id); err != nil {
			return nil, err
		}
	}
	return l.Log.Create(ctx, id, o)
}

func (l *hookedLog) SetRetention(ctx context.Context, s shardlog.Shard, d time.Duration) error {
	if f := l.retain.Load(); f != nil {
		if err := (*f)(s.ID(), d); err != nil {
			return err
		}
	}
	return l.Log.SetRetention(ctx, s, d)
}

func (l *hookedLog) Append(ctx context.Context, puts []shardlog.Put) {
	if !l.full.Load() {
		l.Log.Append(ctx, puts)
		return
	}
	for i := range puts {
		puts[i].Err = shardlog.ErrNoSpace
	}
}

func (l *hookedLog) Seal(ctx context.Context, s shardlog.Shard) (shardlog.Offset, error) {
	n := l.trips.Add(1)
	defer l.trips.Add(-1)
	for m := l.most.Load(); n > m && !l.most.CompareAndSwap(m, n); m = l.most.Load() {
	}
	if f := l.seal.Load(); f != nil {
		if err := (*f)(s.ID()); err != nil {
			return 0, err
		}
	}
	return l.Log.Seal(ctx, s)
}

// hook is where a test steps in between a running world's service and its log.
func (w *world) hook() *hookedLog { return w.cfg.Log.(*hookedLog) }

func (w *world) createOnDemand(name string) {
	w.t.Helper()
	if _, err := w.CreateStream(w.ctx(), &kinesis.CreateStreamInput{StreamName: &name, StreamModeDetails: &kinesis.StreamModeDetails{StreamMode: "ON_DEMAND"}}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) shards(name string) []kinesis.Shard {
	w.t.Helper()
	out, err := w.ListShards(w.ctx(), &kinesis.ListShardsInput{StreamName: &name})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.Shards
}

func (w *world) status(name string) kinesis.StreamStatus {
	w.t.Helper()
	out, err := w.DescribeStreamSummary(w.ctx(), &kinesis.DescribeStreamSummaryInput{StreamName: &name})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.StreamDescriptionSummary.StreamStatus
}

// register makes an ACTIVE consumer and returns its ARN.
func (w *world) register(stream, consumer string) string {
	w.t.Helper()
	out, err := w.RegisterStreamConsumer(w.ctx(), &kinesis.RegisterStreamConsumerInput{StreamARN: new(arnOf(stream)), ConsumerName: &consumer})
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.Consumer.ConsumerARN
}

func arnOf(stream string) string { return streamARN("123456789012", "eu-central-1", stream) }

func (w *world) advance(d time.Duration) {
	time.Sleep(d) // simulated
	synctest.Wait()
}
