package streams

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/catalog"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/vfs"
)

// These measure this package alone: with the log in memory, and for puts one
// that only numbers the records. What the disk costs is bench/'s to say.

type numberingLog struct {
	shardlog.Log
	on   atomic.Bool
	next atomic.Uint64
}

func (l *numberingLog) Append(ctx context.Context, puts []shardlog.Put) {
	if !l.on.Load() {
		l.Log.Append(ctx, puts)
		return
	}
	now := l.Now().UnixMilli()
	for i := range puts {
		for j := range puts[i].Records {
			r := &puts[i].Records[j]
			r.Offset, r.Arrival = shardlog.Offset(l.next.Add(1)), now
		}
	}
}

func benchService(b *testing.B, shards int32) (s *Service, log *numberingLog, ctx context.Context) {
	b.Helper()
	log = &numberingLog{Log: shardlog.NewMemory()}
	blobs, err := blob.OpenDir(vfs.NewCrash(1), "blobs")
	if err != nil {
		b.Fatal(err)
	}
	cat, err := catalog.Open(b.Context(), catalog.Config{Log: log, Blobs: blobs})
	if err != nil {
		b.Fatal(err)
	}
	if s, err = New(b.Context(), Config{Log: log, Catalog: cat, Limits: -1}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close(); cat.Close(); log.Close() })
	ctx = api.WithCaller(b.Context(), &api.Caller{Account: "123456789012", Region: "eu-central-1"})
	if _, err := s.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: new("s"), ShardCount: &shards}); err != nil {
		b.Fatal(err)
	}
	return s, log, ctx
}

func BenchmarkPutRecord(b *testing.B) {
	s, log, ctx := benchService(b, 4)
	log.on.Store(true)
	in := &kinesis.PutRecordInput{StreamName: new("s"), PartitionKey: new("some-partition-key"), Data: make([]byte, 1024)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.PutRecord(ctx, in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPutRecords(b *testing.B) {
	for _, shards := range []int32{4, 1000} {
		b.Run(fmt.Sprint("500x1KB/shards=", shards), func(b *testing.B) {
			s, log, ctx := benchService(b, shards)
			log.on.Store(true)
			in := &kinesis.PutRecordsInput{StreamName: new("s")}
			for i := range 500 {
				in.Records = append(in.Records, kinesis.PutRecordsRequestEntry{PartitionKey: new(fmt.Sprint("key-", i)), Data: make([]byte, 1024)})
			}
			b.SetBytes(500 * 1024)
			b.ReportAllocs()
			for b.Loop() {
				if out, err := s.PutRecords(ctx, in); err != nil || *out.FailedRecordCount > 0 {
					b.Fatal(err)
				}
			}
		})
	}
}

// fill puts n records into the stream's only shard.
func fill(b *testing.B, s *Service, n, size int) {
	b.Helper()
	sh := s.streams[streamName{"123456789012", "eu-central-1", "s"}].shards[0]
	put := []shardlog.Put{{Shard: sh.log, Records: make([]shardlog.Record, n)}}
	for i := range put[0].Records {
		put[0].Records[i] = shardlog.Record{PartitionKey: fmt.Append(nil, "key-", i), Data: make([]byte, size)}
	}
	if s.cfg.Log.Append(b.Context(), put); put[0].Err != nil {
		b.Fatal(put[0].Err)
	}
}

func BenchmarkGetRecords(b *testing.B) {
	s, _, ctx := benchService(b, 1)
	fill(b, s, 10_000, 100)
	it, err := s.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: new("s"), ShardId: new(shard0), ShardIteratorType: "TRIM_HORIZON"})
	if err != nil {
		b.Fatal(err)
	}
	in := &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator}
	b.SetBytes(10_000 * 107)
	b.ReportAllocs()
	for b.Loop() {
		holds, held := api.WithHolds(ctx)
		out, err := s.GetRecords(holds, in)
		if err != nil || len(out.Records) != 10_000 {
			b.Fatal(err)
		}
		held.Release()
	}
}

func BenchmarkFanOutEvent(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint("records=", n), func(b *testing.B) {
			s, _, ctx := benchService(b, 1)
			fill(b, s, n, 1024)
			st := s.streams[streamName{"123456789012", "eu-central-1", "s"}]
			if _, err := s.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: new(streamARN("123456789012", "eu-central-1", "s")), ConsumerName: new("c")}); err != nil {
				b.Fatal(err)
			}
			sub := &subscription{s: s, sh: st.shards[0], subs: &st.consumers["c"].subs, metrics: st.metrics.Load().Consumer("c"), began: time.Now()}
			sub.ctx, sub.cancel = context.WithCancelCause(s.closed)
			b.SetBytes(int64(n) * 1024)
			b.ReportAllocs()
			for b.Loop() {
				sub.next = 0
				if e, err := sub.Next(ctx); err != nil || len(e.(*kinesis.SubscribeToShardEvent).Records) != n {
					b.Fatal(err)
				}
			}
		})
	}
}
