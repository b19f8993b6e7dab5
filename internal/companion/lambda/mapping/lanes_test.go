package mapping_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostream/rheo/internal/companion/lambda/mapping"
)

// TestParallelizationFactor: ten invocations at once of one shard, and every key's records one after the other.
func TestParallelizationFactor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.cfg.ParallelizationFactor, r.cfg.BatchSize = 10, 5
		busy := map[string]bool{}
		r.fn = func(e *event) (mapping.Result, error) {
			keys := map[string]bool{}
			r.mu.Lock()
			for _, rec := range e.Records {
				keys[rec.Kinesis.PartitionKey] = true
			}
			for k := range keys {
				if busy[k] {
					t.Errorf("%s is in two invocations at once", k)
				}
				busy[k] = true
			}
			r.mu.Unlock()
			time.Sleep(time.Duration(20+hashOf(string(e.raw))%200) * time.Millisecond)
			r.mu.Lock()
			for k := range keys {
				busy[k] = false
			}
			r.mu.Unlock()
			return success(""), nil
		}
		r.start()
		for i := range 50 {
			for k := range 40 {
				r.stream.put(fmt.Sprint("key", k), fmt.Sprint(i))
			}
			r.wait(50 * time.Millisecond)
		}
		r.wait(2 * time.Minute)
		r.stop()
		r.wantNumbered(40, 50)
		if r.activeMax != 10 {
			t.Errorf("%d invocations at once, want 10", r.activeMax)
		}
	})
}

// TestBlockedLane: a key that fails for hours does not hold up the others, however much comes; when it
// recovers nothing of it is missing, and the others' records do not come again, after a restart neither.
func TestBlockedLane(t *testing.T) {
	for _, test := range []struct {
		consumer string
		restart  bool
	}{{"", false}, {"", true}, {consumerARN, false}, {consumerARN, true}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1)
			r.cfg.ConsumerARN = test.consumer
			r.cfg.ParallelizationFactor, r.cfg.BatchSize = 4, 50
			broken := true
			failed := 0
			r.fn = func(e *event) (mapping.Result, error) {
				r.mu.Lock()
				defer r.mu.Unlock()
				if broken && e.Records[0].Kinesis.PartitionKey == "key0" {
					failed++
					return failure(), nil
				}
				return success(""), nil
			}
			r.start()
			const n = 15_000 // more than a lane takes
			others := []string{}
			for k := 1; len(others) < 3; k++ {
				key := fmt.Sprint("key", k)
				if !mapping.SameLane(key, "key0", 4) {
					others = append(others, key)
				}
			}
			for i := range n {
				r.stream.put("key0", fmt.Sprint(i))
				for _, key := range others {
					if i%100 == 0 {
						r.stream.put(key, fmt.Sprint(i/100))
					}
				}
				if i%1000 == 0 {
					r.wait(time.Second)
				}
			}
			r.wait(time.Minute)
			got := r.byKey()
			for _, key := range others {
				if len(got[key]) != n/100 {
					t.Errorf("%s has %d records while key0 is blocked, want %d", key, len(got[key]), n/100)
				}
			}
			if test.restart {
				r.stop()
				r.start()
				r.wait(time.Minute)
			}
			r.mu.Lock()
			r.events = nil
			broken = false
			r.mu.Unlock()
			r.wait(10 * time.Minute)
			r.stop()
			got = r.byKey()
			for _, key := range others {
				if len(got[key]) > 0 {
					t.Errorf("%s came again: %d records", key, len(got[key]))
				}
			}
			if len(got["key0"]) != n || got["key0"][n-1] != fmt.Sprint(n-1) || got["key0"][0] != "0" {
				t.Errorf("key0 has %d records after it recovered, want %d", len(got["key0"]), n)
			}
			if failed < 5 {
				t.Errorf("key0 failed %d times", failed)
			}
		})
	}
}

// TestManyMappings: one engine, many mappings, each at its own place.
func TestManyMappings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4)
		r.start()
		var streams []*memStream
		for i := range 50 {
			cfg := r.cfg
			cfg.UUID = fmt.Sprint("mapping ", i)
			s := newMemStream(2)
			if _, err := r.engine.Start(cfg, s); err != nil {
				t.Fatal(err)
			}
			streams = append(streams, s)
		}
		r.wait(time.Second)
		for i, s := range streams {
			s.put("a", fmt.Sprint(i))
			s.put("b", fmt.Sprint(i))
		}
		r.wait(10 * time.Second)
		r.stop()
		got := r.byKey()
		for _, key := range []string{"a", "b"} {
			slices.Sort(got[key])
			if got[key] = slices.Compact(got[key]); len(got[key]) != 50 {
				t.Errorf("%s: %d records, want 50", key, len(got[key]))
			}
		}
	})
}
