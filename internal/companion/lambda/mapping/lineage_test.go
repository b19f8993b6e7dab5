package mapping_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostream/rheo/internal/companion/lambda/mapping"
)

// byKey is the data of each key in the order in which the function took them.
func (r *rig) byKey() map[string][]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string][]string{}
	for _, e := range r.events {
		for _, rec := range e.Records {
			out[rec.Kinesis.PartitionKey] = append(out[rec.Kinesis.PartitionKey], string(rec.Kinesis.Data))
		}
	}
	return out
}

// wantNumbered says that each of the keys has 0 to n-1, once and in order.
func (r *rig) wantNumbered(keys, n int) {
	r.t.Helper()
	got := r.byKey()
	for k := range keys {
		key := fmt.Sprint("key", k)
		var want []string
		for i := range n {
			want = append(want, fmt.Sprint(i))
		}
		if !slices.Equal(got[key], want) {
			r.t.Errorf("%s: %v, want 0 to %d", key, got[key], n-1)
		}
	}
}

// TestReshardUnderLoad: records of a key are in order across splits and merges, a child of two
// parents waits for both, and every record comes once.
func TestReshardUnderLoad(t *testing.T) {
	for _, consumer := range []string{"", consumerARN} {
		for _, factor := range []int{1, 10} {
			t.Run(fmt.Sprint("consumer ", consumer != "", " factor ", factor), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, 2)
					r.cfg.ConsumerARN, r.cfg.ParallelizationFactor, r.cfg.BatchSize = consumer, factor, 7
					r.fn = func(e *event) (mapping.Result, error) {
						time.Sleep(time.Duration(50+len(e.Records)*10) * time.Millisecond)
						return success(""), nil
					}
					r.start()
					const keys, n = 20, 60
					for i := range n {
						for k := range keys {
							r.stream.put(fmt.Sprint("key", k), fmt.Sprint(i))
						}
						switch i {
						case 10:
							r.stream.split("shardId-000000000000") // 2 and 3
						case 20:
							r.stream.split("shardId-000000000002") // 4 and 5
						case 30:
							if !r.stream.merge("shardId-000000000005", "shardId-000000000003") { // 6
								t.Fatal("no neighbours")
							}
						case 40:
							if !r.stream.merge("shardId-000000000006", "shardId-000000000001") { // 7
								t.Fatal("no neighbours")
							}
						}
						r.wait(100 * time.Millisecond)
					}
					r.wait(2 * time.Minute)
					r.stop()
					r.wantNumbered(keys, n)
					if r.activeMax > factor {
						t.Errorf("%d invocations at once of a shard, of at most %d", r.activeMax, factor)
					}
					for id, c := range r.checkpoints {
						if open := slices.Contains(r.stream.open(), id); c.Ended == open {
							t.Errorf("%s: Ended is %v, of a shard that is open: %v", id, c.Ended, open)
						}
					}
				})
			})
		}
	}
}

// TestParentBlocksChild: what a parent still has fails, so that the child waits; the other shard goes on.
func TestParentBlocksChild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		var left, right string // a key of each shard
		for i := 0; left == "" || right == ""; i++ {
			if key := fmt.Sprint(i); hashOf(key) < 1<<31 {
				left = key
			} else {
				right = key
			}
		}
		var broken atomic.Bool
		broken.Store(true)
		r.fn = func(e *event) (mapping.Result, error) {
			if broken.Load() && e.Records[0].Kinesis.PartitionKey == left {
				return failure(), nil
			}
			return success(""), nil
		}
		r.stream.put(left, "a")
		r.start()
		r.wait(time.Second)
		r.stream.split("shardId-000000000000")
		r.stream.put(left, "b")
		r.stream.put(right, "x")
		r.wait(time.Minute)
		if got := r.byKey(); fmt.Sprint(got[right]) != "[x]" || slices.Contains(got[left], "b") {
			t.Errorf("%v was delivered while a fails", got)
		}
		broken.Store(false)
		r.wait(3 * time.Minute)
		r.stop()
		got := r.byKey()[left]
		if n := len(got); got[n-2] != "a" || got[n-1] != "b" {
			t.Errorf("%v, want a and then b", got)
		}
	})
}

// TestShardsExpire: the checkpoints of shards that are gone go too, and what was not read of one is passed over.
func TestShardsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put("a")
		r.stream.split("shardId-000000000000")
		r.put("b")
		r.start()
		r.wait(5 * time.Second)
		r.stream.expire("shardId-000000000000")
		r.wait(2 * time.Minute)
		if all, _ := r.Load(t.Context(), uuid); len(all) != 2 || r.checkpoint("shardId-000000000000").Shard != "" {
			t.Errorf("checkpoints are %v", all)
		}
		child := slices.IndexFunc(r.stream.shards, func(s *memShard) bool { return len(s.records) > 0 })
		id := r.stream.shards[child].ID
		r.stop()
		r.stream.split(id)
		r.put("c")
		r.stream.expire(id)
		r.start() // the parent of c is gone while nobody looked
		r.wait(10 * time.Second)
		r.stop()
		r.wantBatches(one("a"), one("b"), one("c"))
	})
}

func TestStartingPosition(t *testing.T) {
	for _, test := range []struct {
		kind mapping.PositionKind
		want string
	}{{mapping.TrimHorizon, "[a b c d]"}, {mapping.AtTimestamp, "[b c d]"}, {mapping.Latest, "[c d]"}} {
		for _, consumer := range []string{"", consumerARN} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1)
				r.cfg.ConsumerARN = consumer
				r.cfg.StartingPosition = mapping.Position{Kind: test.kind}
				r.put("a")
				time.Sleep(time.Minute)
				if test.kind == mapping.AtTimestamp {
					r.cfg.StartingPosition.Time = time.Now()
				}
				r.stream.split("shardId-000000000000")
				r.put("b")
				time.Sleep(time.Minute)
				r.start()
				// What comes after the start is delivered wherever the mapping begins, even if it
				// is stopped before it has read anything.
				r.wait(time.Millisecond)
				r.stop()
				r.put("c")
				for _, id := range r.stream.open() {
					r.stream.split(id)
				}
				r.put("d")
				time.Sleep(time.Hour)
				r.start()
				r.wait(30 * time.Second)
				r.stop()
				if got := fmt.Sprint(r.byKey()["1"]); got != test.want {
					t.Errorf("from %s (consumer %q): %s, want %s", test.kind, consumer, got, test.want)
				}
			})
		}
	}
}

// TestBeginsLater: a starting time that is ahead is waited for; a stream that has no shards yet too.
func TestBeginsLater(t *testing.T) {
	for _, consumer := range []string{"", consumerARN} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1)
			r.cfg.ConsumerARN = consumer
			r.cfg.StartingPosition = mapping.Position{Kind: mapping.AtTimestamp, Time: time.Now().Add(10 * time.Second)}
			shards := r.stream.shards
			r.stream.shards = nil
			r.start()
			r.wait(3 * time.Second)
			r.stream.mu.Lock()
			r.stream.shards = shards
			r.stream.mu.Unlock()
			r.put("a")
			r.wait(5 * time.Second)
			r.stop()
			r.checkpoints = map[mapping.ShardID]mapping.Checkpoint{}
			r.start()
			r.put("b")
			r.wait(3 * time.Second)
			r.put("c")
			r.wait(5 * time.Second)
			r.stop()
			if got := fmt.Sprint(r.byKey()["1"]); got != "[c]" {
				t.Errorf("%s was delivered, want what came after the time", got)
			}
		})
	}
}

// TestStreamReplaced: a stream that is deleted is waited for; one of its name that comes after it is read from its beginning.
func TestStreamReplaced(t *testing.T) {
	for _, consumer := range []string{"", consumerARN} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 2)
			r.cfg.ConsumerARN = consumer
			r.cfg.StartingPosition.Kind = mapping.Latest
			r.start()
			r.wait(time.Second)
			r.stream.put("key0", "0")
			r.stream.split("shardId-000000000000")
			r.stream.put("key1", "0")
			r.wait(10 * time.Second)
			r.stream.mu.Lock()
			r.stream.gone = true
			r.stream.wake()
			r.stream.mu.Unlock()
			r.wait(time.Minute)
			if got := r.result(); got != "PROBLEM: Stream lambda-stream under account 123456789012 not found." {
				t.Errorf("LastProcessingResult = %q", got)
			}
			next := newMemStream(1)
			next.put("key2", "0")
			r.stream.mu.Lock()
			r.stream.created, r.stream.shards, r.stream.gone = next.created, next.shards, false
			r.stream.wake()
			r.stream.mu.Unlock()
			r.wait(2 * time.Minute)
			r.stream.put("key3", "0")
			r.wait(10 * time.Second)
			r.stop()
			r.wantNumbered(4, 1)
			if len(r.checkpoints) != 1 || r.result() != "OK" {
				t.Errorf("checkpoints %v, %s", r.checkpoints, r.result())
			}
		})
	}
}

// TestShardMisreported: a shard that is said to be gone though the stream lists it is tried again: nothing is passed over.
func TestShardMisreported(t *testing.T) {
	for _, consumer := range []string{"", consumerARN} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1)
			r.cfg.ConsumerARN = consumer
			n := 0
			r.stream.fault = func(op string, id mapping.ShardID) error {
				if n++; op != "Stream" && n%4 == 0 {
					return mapping.ErrShardGone
				}
				return nil
			}
			r.start()
			for i := range 30 {
				r.stream.put("key0", fmt.Sprint(i))
				r.wait(time.Second)
			}
			r.wait(time.Minute)
			r.stop()
			r.wantNumbered(1, 30)
			if r.checkpoint("shardId-000000000000").Ended {
				t.Error("the shard has ended")
			}
		})
	}
}

// TestPlaceUnknown: a checkpoint that is not of the stream, though the stream says it is the same, is worth
// less than the shard: all of it is delivered, once.
func TestPlaceUnknown(t *testing.T) {
	for _, consumer := range []string{"", consumerARN} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1)
			r.cfg.ConsumerARN = consumer
			r.checkpoints["shardId-000000000000"] = mapping.Checkpoint{Shard: "shardId-000000000000", Stream: r.stream.created, Done: "1"}
			r.put(one("abc")...)
			r.start()
			r.wait(10 * time.Second)
			r.stop()
			r.wantBatches(one("abc"))
			if len(r.faults) == 0 {
				t.Error("nobody was told")
			}
		})
	}
}

// TestExpiredIterators: a shard whose lane is blocked for long is read on all the same.
func TestExpiredIterators(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.cfg.BatchSize = 1
		until := time.Now().Add(time.Hour)
		r.fn = func(*event) (mapping.Result, error) { time.Sleep(time.Until(until)); return success(""), nil }
		r.put(one("ab")...)
		r.start()
		r.wait(30 * time.Minute)
		r.put("c")
		r.wait(time.Hour)
		r.stop()
		r.wantBatches(one("a"), one("b"), one("c"))
	})
}

// TestSourceFaults: throttles and faults of every kind are waited for, and lose and repeat nothing.
func TestSourceFaults(t *testing.T) {
	for _, consumer := range []string{"", consumerARN} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 2)
			r.cfg.ConsumerARN = consumer
			n := 0
			r.stream.fault = func(op string, id mapping.ShardID) error {
				n++
				switch n % 7 {
				case 1:
					return mapping.ErrThrottled
				case 2:
					return fmt.Errorf("%s: connection reset", op)
				case 4:
					if op == "Records" {
						return mapping.ErrIteratorExpired
					}
				}
				return nil
			}
			r.start()
			for i := range 50 {
				for k := range 10 {
					r.stream.put(fmt.Sprint("key", k), fmt.Sprint(i))
				}
				r.wait(time.Second)
			}
			r.wait(2 * time.Minute)
			r.stop()
			r.wantNumbered(10, 50)
		})
	}
}

// TestPollsOnceASecond: a shard without records is asked once a second, one that is behind at its five a second.
func TestPollsOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.start()
		r.wait(100 * time.Second)
		if n := r.stream.readCount(); n < 99 || n > 102 {
			t.Errorf("%d reads in 100 s", n)
		}
		for range 50_000 {
			r.put("")
		}
		reads := r.stream.readCount()
		r.wait(3 * time.Second)
		if n, more := len(r.batches()), r.stream.readCount()-reads; n == 0 || more > 15 {
			t.Errorf("%d batches, %d reads in 3 s", n, more)
		}
		r.stop()
		total := 0
		for _, b := range r.batches() {
			total += len(b)
		}
		if total < 40_000 {
			t.Errorf("%d records in 3 s", total)
		}
	})
}
