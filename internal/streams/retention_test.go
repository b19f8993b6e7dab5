package streams

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/shardlog"
)

func (w *world) increaseRetention(stream string, hours int32) error {
	_, err := w.IncreaseStreamRetentionPeriod(w.ctx(), &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: &stream, RetentionPeriodHours: &hours})
	return err
}

// A log that could not follow the document's retention follows when the call is repeated.
func TestRetentionFollows(t *testing.T) {
	w := newWorld(t, Config{Limits: -1})
	w.create("s", 1)
	sh := w.byStream("s").shards[0].log
	in := &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: new("s"), RetentionPeriodHours: new(int32(48))}
	if _, err := w.IncreaseStreamRetentionPeriod(w.ctx(), in); err != nil {
		t.Fatal(err)
	}
	if err := w.log.SetRetention(w.ctx(), sh, 24*time.Hour); err != nil { // as if it had not got through
		t.Fatal(err)
	}
	if _, err := w.IncreaseStreamRetentionPeriod(w.ctx(), in); err != nil {
		t.Fatal(err)
	}
	if got := sh.Info().Retention; got != 48*time.Hour {
		t.Errorf("the log's retention is %s", got)
	}
}

// Of two calls at once, the one that had the last word on the document has it on
// the log: else records expired before the time that DescribeStream tells.
func TestRetentionInOrder(t *testing.T) {
	inTime(t, Config{Limits: -1}, func(w *world) {
		w.create("s", 2)
		increase := func() error {
			_, err := w.IncreaseStreamRetentionPeriod(w.ctx(), &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: new("s"), RetentionPeriodHours: new(int32(48))})
			return err
		}
		if err := increase(); err != nil {
			t.Fatal(err)
		}
		slow := func(_ shardlog.ID, d time.Duration) error {
			if d == 24*time.Hour {
				time.Sleep(time.Second)
			}
			return nil
		}
		w.hook().retain.Store(&slow)
		decreased := make(chan error)
		go func() {
			_, err := w.DecreaseStreamRetentionPeriod(w.ctx(), &kinesis.DecreaseStreamRetentionPeriodInput{StreamName: new("s"), RetentionPeriodHours: new(int32(24))})
			decreased <- err
		}()
		synctest.Wait() // it is at the first shard's log
		if err := errors.Join(increase(), <-decreased); err != nil {
			t.Fatal(err)
		}
		for _, sh := range w.byStream("s").shards {
			if got, want := sh.log.Info().Retention, w.byStream("s").doc.Load().retention(); got != want {
				t.Errorf("shard %d keeps records for %s, its stream for %s", sh.index, got, want)
			}
		}
	})
}

// The logs of a stream's shards get their retention side by side, some at a time.
func TestRetentionOfManyShards(t *testing.T) {
	inTime(t, Config{Limits: -1}, func(w *world) {
		w.create("s", 100)
		var now, most atomic.Int64
		slow := func(shardlog.ID, time.Duration) error {
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(time.Second)
			return nil
		}
		w.hook().retain.Store(&slow)
		began := time.Now()
		if err := w.increaseRetention("s", 48); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 4*time.Second || most.Load() != 32 {
			t.Errorf("100 shards of 1 s each took %s, %d at once", took, most.Load())
		}
		for _, sh := range w.byStream("s").shards {
			if got := sh.log.Info().Retention; got != 48*time.Hour {
				t.Errorf("shard %d: %s", sh.index, got)
			}
		}
	})
}

// The change is carried out also when its caller has gone meanwhile: document and
// logs must not tell different times.
func TestRetentionWithoutItsCaller(t *testing.T) {
	w := newWorld(t, Config{Limits: -1})
	w.create("s", 3)
	ctx, leave := context.WithCancel(w.ctx())
	defer leave()
	w.setRetention(ctx, new("s"), nil, 48, func(int32) error { leave(); return nil })
	st := w.byStream("s")
	if got := st.doc.Load().RetentionHours; got != 48 {
		t.Errorf("the document says %d hours", got)
	}
	for _, sh := range st.shards {
		if got := sh.log.Info().Retention; got != 48*time.Hour {
			t.Errorf("the log of shard %d says %s", sh.index, got)
		}
	}
}

// A log that fails to follow does not keep the others from it, and follows
// later though nobody repeats the call.
func TestRetentionIsMadeUpFor(t *testing.T) {
	inTime(t, Config{Limits: -1}, func(w *world) {
		w.create("s", 3)
		shards := w.byStream("s").shards
		fail := func(id shardlog.ID, _ time.Duration) error {
			if id == shards[1].log.ID() {
				return errors.New("not today")
			}
			return nil
		}
		w.hook().retain.Store(&fail)
		if err := w.increaseRetention("s", 48); err == nil {
			t.Error("the call succeeded though a log did not follow")
		}
		retentions := func() (got [3]time.Duration) {
			for i := range got {
				got[i] = shards[uint32(i)].log.Info().Retention
			}
			return got
		}
		const day = 24 * time.Hour
		if got := retentions(); got != [3]time.Duration{2 * day, day, 2 * day} {
			t.Errorf("after the failure: %v", got)
		}
		w.advance(3 * time.Minute) // it fails again
		w.hook().retain.Store(nil)
		w.advance(time.Minute)
		if got := retentions(); got != [3]time.Duration{2 * day, 2 * day, 2 * day} {
			t.Errorf("a minute after the log works again: %v", got)
		}
	})
}
