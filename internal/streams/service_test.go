package streams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/catalog"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/vfs"
)

// world is a service on a file system that can lose power.
type world struct {
	*Service
	t    testing.TB
	fs   *vfs.Crash
	io   *vfs.Faults // over fs, for this start
	log  shardlog.Log
	cat  *catalog.Catalog
	cfg  Config
	stop func()
}

func newWorld(t testing.TB, cfg Config) *world {
	w := &world{t: t, fs: vfs.NewCrash(1), cfg: cfg}
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *world) start() {
	w.t.Helper()
	w.io = vfs.NewFaults(w.fs)
	log, err := shardlog.Open(shardlog.Config{FS: w.io, Dir: "log", JournalFileBytes: 8 << 20, MemoryBytes: 16 << 20, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	blobs, err := blob.OpenDir(w.fs, "blobs")
	if err != nil {
		w.t.Fatal(err)
	}
	cat, err := catalog.Open(w.t.Context(), catalog.Config{Log: log, Blobs: blobs})
	if err != nil {
		w.t.Fatal(err)
	}
	w.cfg.Log, w.cfg.Catalog = &hookedLog{Log: log}, cat
	s, err := New(w.t.Context(), w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Service, w.log, w.cat = s, log, cat
	w.stop = func() { s.Close(); cat.Close(); log.Close() }
}

// crash cuts the power and starts again on what is left.
func (w *world) crash() {
	w.t.Helper()
	next := w.fs.Crash()
	w.stop()
	w.fs = next
	w.start()
}

func (w *world) ctx() context.Context {
	return api.WithCaller(w.t.Context(), &api.Caller{Account: "123456789012", Region: "eu-central-1"})
}

func (w *world) create(name string, shards int32) {
	w.t.Helper()
	if _, err := w.CreateStream(w.ctx(), &kinesis.CreateStreamInput{StreamName: &name, ShardCount: &shards}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) put(stream, key, data string) *kinesis.PutRecordOutput {
	w.t.Helper()
	out, err := w.PutRecord(w.ctx(), &kinesis.PutRecordInput{StreamName: &stream, PartitionKey: &key, Data: []byte(data)})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) iterator(stream, shard string, kind kinesis.ShardIteratorType, seq *string, at *time.Time) string {
	w.t.Helper()
	out, err := w.GetShardIterator(w.ctx(), &kinesis.GetShardIteratorInput{StreamName: &stream, ShardId: &shard, ShardIteratorType: kind, StartingSequenceNumber: seq, Timestamp: at})
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.ShardIterator
}

func (w *world) get(iterator string) *kinesis.GetRecordsOutput {
	w.t.Helper()
	out, err := w.GetRecords(w.ctx(), &kinesis.GetRecordsInput{ShardIterator: &iterator})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func texts(records []kinesis.Record) string {
	out := []string{}
	for _, r := range records {
		out = append(out, string(r.Data))
	}
	return fmt.Sprint(out)
}

const shard0 = "shardId-000000000000"

func TestPutAndGet(t *testing.T) {
	w := newWorld(t, Config{Limits: -1})
	w.create("s", 1)
	first := w.put("s", "k", "a")
	latest := w.iterator("s", shard0, "LATEST", nil, nil)
	second := w.put("s", "k", "b")
	third := w.put("s", "k", "c")

	for _, c := range []struct {
		kind kinesis.ShardIteratorType
		seq  *string
		want string
	}{
		{"TRIM_HORIZON", nil, "[a b c]"},
		{"LATEST", nil, "[]"},
		{"AT_SEQUENCE_NUMBER", second.SequenceNumber, "[b c]"},
		{"AFTER_SEQUENCE_NUMBER", second.SequenceNumber, "[c]"},
		{"AFTER_SEQUENCE_NUMBER", third.SequenceNumber, "[]"},
		{"AT_SEQUENCE_NUMBER", first.SequenceNumber, "[a b c]"},
	} {
		if got := texts(w.get(w.iterator("s", shard0, c.kind, c.seq, nil)).Records); got != c.want {
			t.Errorf("%s: %s, want %s", c.kind, got, c.want)
		}
	}
	if got := texts(w.get(latest).Records); got != "[b c]" {
		t.Errorf("LATEST taken before b: %s", got)
	}
	all := w.get(w.iterator("s", shard0, "TRIM_HORIZON", nil, nil))
	at := *all.Records[1].ApproximateArrivalTimestamp
	if got := w.get(w.iterator("s", shard0, "AT_TIMESTAMP", nil, &at)).Records; len(got) < 2 {
		t.Errorf("AT_TIMESTAMP of b: %s", texts(got))
	}
	if *all.MillisBehindLatest != 0 || all.NextShardIterator == nil {
		t.Errorf("at the tip: behind %d, next %v", *all.MillisBehindLatest, all.NextShardIterator)
	}
	if *all.Records[2].SequenceNumber != *third.SequenceNumber || *all.Records[2].PartitionKey != "k" {
		t.Errorf("third record: %+v", all.Records[2])
	}
}

func TestAcknowledgedSurvivesPowerCuts(t *testing.T) {
	w := newWorld(t, Config{Limits: -1})
	w.create("s", 2)
	want := map[string]string{}
	for i := range 20 {
		for j := range 5 {
			data := fmt.Sprint(i, "-", j)
			want[*w.put("s", fmt.Sprint(j), data).SequenceNumber] = data
		}
		w.crash()
	}
	for _, shard := range []string{shard0, "shardId-000000000001"} {
		for _, r := range w.get(w.iterator("s", shard, "TRIM_HORIZON", nil, nil)).Records {
			if want[*r.SequenceNumber] != string(r.Data) {
				t.Errorf("%s holds %q, want %q", *r.SequenceNumber, r.Data, want[*r.SequenceNumber])
			}
			delete(want, *r.SequenceNumber)
		}
	}
	if len(want) > 0 {
		t.Errorf("lost: %v", want)
	}
}

func TestSplitAndMergeLineage(t *testing.T) {
	w := newWorld(t, Config{Limits: -1})
	w.create("s", 1)
	w.put("s", "k", "parent")
	it := w.iterator("s", shard0, "TRIM_HORIZON", nil, nil)
	stream := "s"
	if _, err := w.SplitShard(w.ctx(), &kinesis.SplitShardInput{StreamName: &stream, ShardToSplit: new(shard0), NewStartingHashKey: new("170141183460469231731687303715884105728")}); err != nil {
		t.Fatal(err)
	}
	child := w.put("s", "k", "child")
	out := w.get(it)
	if texts(out.Records) != "[parent]" || out.NextShardIterator != nil || len(out.ChildShards) != 2 {
		t.Fatalf("end of parent: %s next %v children %d", texts(out.Records), out.NextShardIterator, len(out.ChildShards))
	}
	if c := out.ChildShards[0]; *c.ShardId != "shardId-000000000001" || c.ParentShards[0] != shard0 || *c.HashKeyRange.StartingHashKey != "0" {
		t.Errorf("first child: %+v", c)
	}
	if got := texts(w.get(w.iterator("s", *child.ShardId, "TRIM_HORIZON", nil, nil)).Records); got != "[child]" {
		t.Errorf("child has %s", got)
	}
	w.crash()
	if _, err := w.MergeShards(w.ctx(), &kinesis.MergeShardsInput{StreamName: &stream, ShardToMerge: new("shardId-000000000002"), AdjacentShardToMerge: new("shardId-000000000001")}); err != nil {
		t.Fatal(err)
	}
	list, err := w.ListShards(w.ctx(), &kinesis.ListShardsInput{StreamName: &stream})
	if err != nil || len(list.Shards) != 4 {
		t.Fatalf("%v, %d shards", err, len(list.Shards))
	}
	m := list.Shards[3]
	if *m.ParentShardId != "shardId-000000000001" || *m.AdjacentParentShardId != "shardId-000000000002" || *m.HashKeyRange.EndingHashKey != maxHashKey.String() {
		t.Errorf("merged: %+v", m)
	}
	if list.Shards[0].SequenceNumberRange.EndingSequenceNumber == nil || m.SequenceNumberRange.EndingSequenceNumber != nil {
		t.Error("ending sequence numbers")
	}
	end := list.Shards[0].SequenceNumberRange.EndingSequenceNumber
	if out := w.get(w.iterator("s", shard0, "AFTER_SEQUENCE_NUMBER", end, nil)); out.NextShardIterator != nil || len(out.ChildShards) != 2 {
		t.Errorf("after the EndingSequenceNumber: %+v", out)
	}
}

func TestUpdateShardCountReachesUniformShards(t *testing.T) {
	w := newWorld(t, Config{Limits: -1})
	stream := "s"
	w.create(stream, 3)
	for _, n := range []int32{6, 5, 7, 4, 2, 3} {
		if _, err := w.UpdateShardCount(w.ctx(), &kinesis.UpdateShardCountInput{StreamName: &stream, TargetShardCount: &n, ScalingType: "UNIFORM_SCALING"}); err != nil {
			t.Fatal(err)
		}
		st := w.byStream(stream)
		r := st.route.Load()
		if len(r.shards) != int(n) {
			t.Fatalf("%d shards, want %d", len(r.shards), n)
		}
		next := hashKey{}
		for i, sh := range r.shards {
			d := sh.doc.Load()
			if d.Start != next && i > 0 || i == 0 && d.Start != (hashKey{}) {
				t.Errorf("shard %d starts at %s, want %s", i, d.Start, next)
			}
			next = d.End.next()
		}
		if last := r.shards[n-1].doc.Load().End; last != maxHashKey {
			t.Errorf("last ends at %s", last)
		}
	}
}

func (w *world) byStream(name string) *stream {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.streams[streamName{"123456789012", "eu-central-1", name}]
}

func TestSubscribe(t *testing.T) {
	w := newWorld(t, Config{Limits: -1})
	w.create("s", 1)
	arn := streamARN("123456789012", "eu-central-1", "s")
	reg, err := w.RegisterStreamConsumer(w.ctx(), &kinesis.RegisterStreamConsumerInput{StreamARN: &arn, ConsumerName: new("c")})
	if err != nil {
		t.Fatal(err)
	}
	w.put("s", "k", "before")
	in := &kinesis.SubscribeToShardInput{ConsumerARN: reg.Consumer.ConsumerARN, ShardId: new(shard0), StartingPosition: &kinesis.StartingPosition{Type: "TRIM_HORIZON"}}
	out, err := w.SubscribeToShard(w.ctx(), in)
	if err != nil {
		t.Fatal(err)
	}
	next := func() (*kinesis.SubscribeToShardEvent, error) {
		e, err := out.EventStream.Next(w.ctx())
		if err != nil {
			return nil, err
		}
		return e.(*kinesis.SubscribeToShardEvent), nil
	}
	e, err := next()
	if err != nil || texts(e.Records) != "[before]" {
		t.Fatalf("%v %v", e, err)
	}
	go w.put("s", "k", "pushed")
	if e, err = next(); err != nil || texts(e.Records) != "[pushed]" || e.ContinuationSequenceNumber == nil {
		t.Fatalf("%v %v", e, err)
	}
	if *e.ContinuationSequenceNumber != *e.Records[0].SequenceNumber {
		t.Error("continuation is not the last record's number")
	}
	if _, err := w.SubscribeToShard(w.ctx(), in); !api.IsCode(err, "ResourceInUseException") {
		t.Errorf("second subscription within five seconds: %v", err)
	}
	stream := "s"
	go w.SplitShard(w.ctx(), &kinesis.SplitShardInput{StreamName: &stream, ShardToSplit: new(shard0), NewStartingHashKey: new("1000")})
	if e, err = next(); err != nil || len(e.ChildShards) != 2 || e.ContinuationSequenceNumber != nil {
		t.Fatalf("%+v %v", e, err)
	}
	if _, err = next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := w.DeleteStream(w.ctx(), &kinesis.DeleteStreamInput{StreamName: &stream}); !api.IsCode(err, "ResourceInUseException") {
		t.Errorf("delete with a consumer: %v", err)
	}
	if _, err := w.DeleteStream(w.ctx(), &kinesis.DeleteStreamInput{StreamName: &stream, EnforceConsumerDeletion: new(true)}); err != nil {
		t.Fatal(err)
	}
	w.crash() // in the middle of removing the logs, maybe; the next start does the rest
	if w.byStream("s") != nil || len(w.log.Shards()) != 1 {
		t.Errorf("left after delete: %v", w.log.Shards())
	}
}
