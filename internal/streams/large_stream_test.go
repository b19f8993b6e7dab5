package streams

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/catalog"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/vfs"
)

// The largest stream that the quota allows (AWS's highest is 20,000 shards), and
// the largest change of one. A command, being a record of the log, takes at most
// 10 MiB; so that quotas can be raised, none comes near.
func TestLargestStream(t *testing.T) {
	w := newMemoryWorld(t, Config{Limits: -1})
	shards := w.Service.cfg.ShardLimit
	_, err := w.CreateStream(w.ctx(), &kinesis.CreateStreamInput{StreamName: new("s"), ShardCount: new(int32(shards + 1))})
	if !api.IsCode(err, "LimitExceededException") {
		t.Errorf("one shard more than the quota: %v", err)
	}
	if docs := w.cat.List(""); len(docs) != 1 { // the token keys
		t.Errorf("a refused stream leaves %d documents", len(docs))
	}
	w.create("s", int32(shards))
	w.wantShards("s", shards)
	if _, err := w.UpdateShardCount(w.ctx(), &kinesis.UpdateShardCountInput{StreamName: new("s"), TargetShardCount: new(int32(targetShardsMax))}); err != nil {
		t.Fatal(err)
	}
	w.wantShards("s", targetShardsMax)
	if _, err := w.DeleteStream(w.ctx(), &kinesis.DeleteStreamInput{StreamName: new("s")}); err != nil {
		t.Fatal(err)
	}
	for len(w.cat.List(shardPrefix)) > 0 || len(w.log.Shards()) > 1 { // the catalog's stays; of closed shards too they go
		time.Sleep(10 * time.Millisecond)
	}
}

// smallRecords is a log whose records are small.
type smallRecords struct{ shardlog.Log }

const smallRecordMax = 1 << 20

func (l smallRecords) Append(ctx context.Context, puts []shardlog.Put) {
	for i := range puts {
		for _, r := range puts[i].Records {
			if len(r.Data) > smallRecordMax {
				puts[i].Err = fmt.Errorf("%d bytes: %w", len(r.Data), shardlog.ErrTooLarge)
				return
			}
		}
	}
	l.Log.Append(ctx, puts)
}

// newMemoryWorld has a log without a disk, and with small records: with tens of thousands of shards, a
// simulated disk is what a test would spend its time on.
func newMemoryWorld(t *testing.T, cfg Config) *world {
	t.Helper()
	w := &world{t: t, fs: vfs.NewCrash(1), log: smallRecords{shardlog.NewMemory()}}
	blobs, err := blob.OpenDir(w.fs, "blobs")
	if err != nil {
		t.Fatal(err)
	}
	if w.cat, err = catalog.Open(t.Context(), catalog.Config{Log: w.log, Blobs: blobs}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.cat.Close)
	cfg.Log, cfg.Catalog = w.log, w.cat
	if w.Service, err = New(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Service.Close)
	return w
}

// wantShards waits until a stream is ACTIVE and checks that its n open shards
// divide the hash keys among them.
func (w *world) wantShards(name string, n int) {
	w.t.Helper()
	for w.stream(name).doc.Load().Status != kinesis.StreamStatusActive {
		time.Sleep(time.Millisecond)
	}
	open := w.stream(name).route.Load().shards
	if len(open) != n {
		w.t.Fatalf("%d open shards, want %d", len(open), n)
	}
	var next hashKey
	for _, sh := range open {
		d := sh.doc.Load()
		if d.Start != next {
			w.t.Fatalf("shard %s begins at %v, the one before ended below %v", sh.id, d.Start, next)
		}
		next = d.End.next()
	}
	if open[n-1].doc.Load().End != maxHashKey {
		w.t.Error("the last hash keys have no shard")
	}
	if docs := w.cat.List(stagedPrefix); len(docs) > 0 {
		w.t.Errorf("%d documents are still staged", len(docs))
	}
}

// staged waits until at least n of a new stream's documents are staged.
// Meanwhile clients see none of its shards.
func (w *world) staged(n int) {
	w.t.Helper()
	for len(w.cat.List(stagedPrefix)) < n {
		if docs := w.cat.List(shardPrefix); len(docs) > 0 {
			w.t.Fatalf("%d shards are shown, with fewer than %d staged", len(docs), n)
		}
		time.Sleep(time.Millisecond)
	}
}

// A power cut while the documents of a large stream are staged: the next start
// finishes what there was, and all shards are shown at once.
func TestCrashWhileStaging(t *testing.T) {
	const shards = 4*stagedAtOnce - 100
	for parts := range 4 {
		w := newWorld(t, Config{Limits: -1, Transition: time.Nanosecond})
		w.create("s", shards)
		w.staged(parts * stagedAtOnce)
		w.crash()
		w.wantShards("s", shards)
	}
}

// A deletion that comes while a large stream is made leaves nothing of it.
func TestDeleteWhileStaging(t *testing.T) {
	w := newWorld(t, Config{Limits: -1, Transition: time.Nanosecond})
	w.create("s", 10*stagedAtOnce)
	w.staged(stagedAtOnce)
	if _, err := w.DeleteStream(w.ctx(), &kinesis.DeleteStreamInput{StreamName: new("s")}); err != nil {
		t.Fatal(err)
	}
	for len(w.cat.List(streamPrefix))+len(w.cat.List(stagedPrefix))+len(w.cat.List(shardPrefix)) > 0 || len(w.log.Shards()) > 1 {
		time.Sleep(time.Millisecond)
	}
}

// A change of the stream while it is made is kept, and the stream is made all the same.
func TestChangeWhileStaging(t *testing.T) {
	w := newWorld(t, Config{Limits: -1, Transition: time.Nanosecond})
	w.create("s", 3*stagedAtOnce)
	w.staged(stagedAtOnce)
	if err := w.update(w.ctx(), w.stream("s"), func(c *change) error { c.doc.Tags = map[string]string{"a": "b"}; return nil }); err != nil {
		t.Fatal(err)
	}
	w.wantShards("s", 3*stagedAtOnce)
	if tags := w.stream("s").doc.Load().Tags; tags["a"] != "b" {
		t.Errorf("the tags are %v", tags)
	}
}

func (w *world) stream(name string) *stream {
	w.Service.mu.RLock()
	defer w.Service.mu.RUnlock()
	return w.streams[streamName{"123456789012", "eu-central-1", name}]
}
