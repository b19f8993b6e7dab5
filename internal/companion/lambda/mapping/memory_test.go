package mapping_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostream/rheo/internal/companion/lambda/mapping"
)

// TestBatchGivesMemoryBack: while others need it, a batch that waits to be tried again holds none. It is the same
// when it is read anew: divided as it was, with the retries that it has had.
func TestBatchGivesMemoryBack(t *testing.T) {
	for _, consumer := range []string{"", consumerARN} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 2)
			r.limits.MemoryBytes = 2 << 10 // less than the batch holds
			r.cfg.ConsumerARN, r.cfg.BatchSize = consumer, 4
			r.cfg.MaximumRetryAttempts, r.cfg.BisectOnFunctionError, r.cfg.OnFailureARN = 6, true, bucketARN
			var left, right string // a key of each shard
			for i := 0; left == "" || right == ""; i++ {
				if key := fmt.Sprint(i); hashOf(key) < 1<<31 {
					left = key
				} else {
					right = key
				}
			}
			places := 0
			r.stream.fault = func(op string, id mapping.ShardID) error {
				if id == "shardId-000000000000" && (op == "Iterator" || op == "Subscribe") {
					places++
				}
				return nil
			}
			r.fn = func(e *event) (mapping.Result, error) {
				if slices.Contains(e.data(), "poison") {
					return failure(), nil
				}
				if e.Records[0].Kinesis.PartitionKey == right {
					time.Sleep(300 * time.Millisecond)
				}
				return success(""), nil
			}
			var seqs []mapping.SequenceNumber
			for _, d := range []string{"a", "b", "poison", "d", "e"} {
				seqs = append(seqs, r.stream.put(left, d))
			}
			r.start()
			for i := range 100 {
				r.stream.put(right, fmt.Sprint(i))
				r.wait(time.Second)
			}
			r.wait(2 * time.Minute)
			r.stop()
			if places < 2 {
				t.Error("the batch was not read anew: nobody needed memory")
			}
			if len(r.failures) != 1 {
				t.Fatalf("%d failures", len(r.failures))
			}
			f := r.failures[0]
			if b := f.KinesisBatchInfo; b.BatchSize != 1 || b.StartSequenceNumber != seqs[2] {
				t.Errorf("given up: %+v", b)
			}
			// In the batch of four, in its half, and alone with six retries.
			if n := f.RequestContext.ApproximateInvokeCount; n != 9 {
				t.Errorf("approximateInvokeCount = %d, want 9", n)
			}
			var taken []string
			for _, e := range r.events {
				if d := e.data(); e.Records[0].Kinesis.PartitionKey == left && !slices.Contains(d, "poison") {
					taken = append(taken, d...)
				}
			}
			if !slices.Equal(taken, one("abde")) {
				t.Errorf("%v was delivered, want a, b, d and e", taken)
			}
			if got := len(r.byKey()[right]); got != 100 {
				t.Errorf("%d records of the other shard, want 100", got)
			}
		})
	}
}

// TestMemory: many shards share a small budget: what they hold stays in it, and those that are blocked give
// up what they need not have.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const shards = 12
		r := newRig(t, shards)
		r.limits.MemoryBytes = 8 << 20 // less than the blocked batches' records
		r.cfg.BatchSize = 2
		blocked := map[mapping.ShardID]bool{}
		most := int64(0)
		r.fn = func(e *event) (mapping.Result, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			most = max(most, r.engine.Held())
			id := mapping.ShardID(e.Records[0].EventID[:len("shardId-000000000000")])
			if len(blocked) < shards/2 {
				blocked[id] = true
			}
			if blocked[id] {
				return failure(), nil
			}
			return success(""), nil
		}
		data := strings.Repeat("x", 400<<10)
		const n = 120
		for i := range n {
			r.stream.put(fmt.Sprint("key", i), data)
		}
		r.start()
		r.wait(5 * time.Minute)
		r.mu.Lock()
		seen := map[string]bool{}
		for _, e := range r.events {
			for _, rec := range e.Records {
				seen[rec.Kinesis.PartitionKey] = true
			}
		}
		want := 0
		for _, sh := range r.stream.shards {
			if !blocked[sh.ID] {
				want += len(sh.records)
			} else {
				want += min(2, len(sh.records))
			}
		}
		r.mu.Unlock()
		r.stop()
		if len(blocked) != shards/2 || len(seen) != want {
			t.Errorf("%d records were delivered beside %d blocked shards, want %d", len(seen), len(blocked), want)
		}
		// What is being read may exceed a small budget: four answers at once, each all of a shard here.
		if most > r.limits.MemoryBytes+4*14<<20 {
			t.Errorf("%d bytes were held, of %d", most, r.limits.MemoryBytes)
		}
	})
}
