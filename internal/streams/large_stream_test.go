package streams

import (
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
)

// The largest stream that the quota allows (AWS's own is 20,000 shards where it
// is highest), and the largest change of it. What that takes of the catalog is
// more than one command holds.
func TestLargestStream(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 20,000 shards")
	}
	w := newWorld(t, Config{Limits: -1})
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
	w.crash()
	w.wantShards("s", targetShardsMax)
	if _, err := w.DeleteStream(w.ctx(), &kinesis.DeleteStreamInput{StreamName: new("s")}); err != nil {
		t.Fatal(err)
	}
	if docs := w.cat.List(shardPrefix); len(docs) != 0 {
		t.Errorf("%d shards are left", len(docs))
	}
	for len(w.log.Shards()) > 1 { // the catalog's stays; the others go, of closed shards too
		time.Sleep(50 * time.Millisecond)
	}
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
