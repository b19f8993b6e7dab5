package mapping_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostream/rheo/internal/companion/lambda/mapping"
)

// TestRestart: stopped and started in the middle, with a factor and without, every record comes once.
func TestRestart(t *testing.T) {
	for _, factor := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1)
			r.cfg.BatchSize, r.cfg.ParallelizationFactor = 3, factor
			r.fn = func(e *event) (mapping.Result, error) {
				time.Sleep(time.Duration(10+hashOf(e.Records[0].Kinesis.PartitionKey)%90) * time.Millisecond)
				return success(""), nil
			}
			for i := range 50 {
				for k := range 10 {
					r.stream.put(fmt.Sprint("key", k), fmt.Sprint(i))
				}
			}
			for i := range 20 {
				r.start()
				r.wait(time.Duration(100+37*i) * time.Millisecond)
				r.stop()
			}
			r.start()
			r.wait(time.Minute)
			r.stop()
			r.wantNumbered(10, 50)
		})
	}
}

// TestFactorChanges: records that lanes of the old factor have done do not come again.
func TestFactorChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.cfg.BatchSize = 2
		blocked := "key0"
		r.fn = func(e *event) (mapping.Result, error) {
			if e.Records[0].Kinesis.PartitionKey == blocked {
				return failure(), nil
			}
			return success(""), nil
		}
		for i := range 20 {
			for k := range 10 {
				r.stream.put(fmt.Sprint("key", k), fmt.Sprint(i))
			}
		}
		r.cfg.ParallelizationFactor = 10
		r.start()
		r.wait(time.Minute)
		r.stop()
		done := r.byKey()
		if c := r.checkpoint("shardId-000000000000"); len(c.Lanes) != 10 {
			t.Fatalf("checkpoint %+v, want one with lanes", c)
		}
		r.events, blocked = nil, ""
		r.cfg.ParallelizationFactor = 3
		r.start()
		r.wait(time.Minute)
		r.stop()
		complete := 0
		for key, before := range done {
			if len(before) == 20 && before[19] == "19" { // not in key0's lane
				complete++
				if again := r.byKey()[key]; len(again) > 0 {
					t.Errorf("%s: %v came again", key, again)
				}
			}
		}
		if complete == 0 {
			t.Error("no lane went on beside the blocked one")
		}
		for k := range 10 {
			key := fmt.Sprint("key", k)
			all := append(slices.Clone(done[key]), r.byKey()[key]...)
			slices.Sort(all)
			if all = slices.Compact(all); len(all) != 20 {
				t.Errorf("%s: %d of 20", key, len(all))
			}
		}
	})
}

// TestCrash: what was delivered and not stored comes again, and nothing is skipped.
func TestCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.cfg.BatchSize = 2
		r.put(one("abcdef")...)
		r.fn = func(*event) (mapping.Result, error) { time.Sleep(time.Second); return success(""), nil }
		r.start()
		r.wait(1500 * time.Millisecond) // ab is done and stored, cd under way
		r.breakStore(func(int) (error, error) { return errDisk, nil })
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.engine.Close(gone); err == nil {
			t.Error("a stop that cut an invocation off has no error")
		}
		if held := r.engine.Held(); held != 0 {
			t.Errorf("%d bytes are held", held)
		}
		r.breakStore(nil)
		r.engine = nil
		r.start()
		r.wait(time.Minute)
		r.stop()
		r.wantBatches(one("ab"), one("cd"), one("cd"), one("ef"))
	})
}

// TestStopDrains: a stop waits for the invocation under way, and tries nothing again.
func TestStopDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.cfg.BatchSize = 1
		r.put(one("ab")...)
		r.fn = func(*event) (mapping.Result, error) { time.Sleep(10 * time.Second); return failure(), nil }
		r.start()
		r.wait(5 * time.Second)
		began := time.Now()
		r.stop()
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("the stop took %v", took)
		}
		r.wantBatches(one("a"))
		r.fn = failing()
		r.start()
		r.wait(5 * time.Second)
		if err := r.m.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		r.stop()
		r.wantBatches(one("a"), one("a"), one("b"))
	})
}

// TestStopWhileBlocked: a lane that fails when the mapping is stopped keeps its place, with all that was queued
// behind it, though another lane goes on to a checkpoint.
func TestStopWhileBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.cfg.ParallelizationFactor, r.cfg.BatchSize = 2, 1
		other := "other"
		for i := 0; mapping.SameLane(other, "1", 2); i++ {
			other = fmt.Sprint("other", i)
		}
		r.put(one("abc")...)
		r.stream.put(other, "x")
		r.fn = func(e *event) (mapping.Result, error) {
			if e.Records[0].Kinesis.PartitionKey == "1" {
				return failure(), nil
			}
			time.Sleep(10 * time.Second)
			return success(""), nil
		}
		r.start()
		r.wait(5 * time.Second)
		r.stop()
		r.events, r.fn = nil, failing()
		r.start()
		r.wait(5 * time.Second)
		r.stop()
		r.wantBatches(one("a"), one("b"), one("c"))
	})
}

// TestSlowStore: deliveries do not go on for long while a checkpoint is being stored.
func TestSlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.cfg.BatchSize = 1
		r.fn = func(*event) (mapping.Result, error) { time.Sleep(100 * time.Millisecond); return success(""), nil }
		r.start()
		r.wait(time.Second)
		r.slowStore = 10 * time.Second
		r.put(one("abcdefgh")...)
		r.wait(9 * time.Second)
		if n := len(r.batches()); n > 5 {
			t.Errorf("%d batches while the first one's checkpoint is being stored", n)
		}
		r.wait(5 * time.Minute)
		r.stop()
		r.wantBatches(one("a"), one("b"), one("c"), one("d"), one("e"), one("f"), one("g"), one("h"))
	})
}

// TestStoreFails: a checkpoint that cannot be stored is tried again, and nothing more is delivered until it
// is. Whether it was stored after all does not matter.
func TestStoreFails(t *testing.T) {
	for _, applied := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1)
			r.cfg.BatchSize = 1
			r.start()
			r.wait(time.Second)
			fault := func(int) (error, error) {
				if applied {
					return nil, errDisk
				}
				return errDisk, nil
			}
			r.breakStore(fault)
			r.fn = func(*event) (mapping.Result, error) { time.Sleep(100 * time.Millisecond); return success(""), nil }
			seqs := r.put(one("abcdefgh")...)
			r.wait(time.Minute)
			if n := len(r.batches()); n > 2 {
				t.Errorf("%d batches without a checkpoint", n)
			}
			r.breakStore(nil)
			r.wait(time.Minute)
			r.stop()
			r.wantBatches(one("a"), one("b"), one("c"), one("d"), one("e"), one("f"), one("g"), one("h"))
			if c := r.checkpoint("shardId-000000000000"); c.Done != seqs[7] {
				t.Errorf("checkpoint %+v", c)
			}
		})
	}
}

func TestEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.start()
		if _, err := r.engine.Start(r.cfg, r.stream); err == nil {
			t.Error("a mapping runs twice")
		}
		bad := r.cfg
		bad.UUID, bad.Filters = "other", []string{`{"data":["x"]}`}
		if _, err := r.engine.Start(bad, r.stream); err == nil || err.Error() != "Invalid filter pattern definition." {
			t.Errorf("a bad filter: %v", err)
		}
		engine := r.engine
		r.stop()
		if _, err := engine.Start(r.cfg, r.stream); err != mapping.ErrClosed {
			t.Errorf("a closed engine: %v", err)
		}
	})
}
