package mapping_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostream/rheo/internal/companion/lambda/mapping"
)

func TestFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.cfg.Filters = []string{`{"data":{"type":["buy"]}}`, `{"partitionKey":["vip"]}`}
		r.cfg.BatchSize = 2
		r.put(`{"type":"buy","n":1}`, `{"type":"sell"}`, "no JSON", `{"type":"buy","n":2}`)
		r.stream.put("vip", "no JSON either")
		last := r.put(`{"type":"sell"}`)[0]
		r.start()
		r.wait(5 * time.Second)
		r.wantBatches([]string{`{"type":"buy","n":1}`, `{"type":"buy","n":2}`}, []string{"no JSON either"})
		if got := r.checkpoint("shardId-000000000000").Done; got != last {
			t.Errorf("checkpoint %s, want that of the last record, which was dropped: %s", got, last)
		}
		// Records that are dropped while nothing is delivered are passed over too, but not each at once.
		stores := r.storeCount()
		for range 100 {
			last = r.put("dropped")[0]
			r.wait(20 * time.Millisecond)
		}
		r.wait(3 * time.Second)
		if got := r.checkpoint("shardId-000000000000").Done; got != last {
			t.Errorf("checkpoint %s, want %s", got, last)
		}
		if n := r.storeCount() - stores; n > 6 {
			t.Errorf("%d checkpoints in 5 s", n)
		}
		r.stop()
		want := mapping.Counts{PolledEvents: 106, FilteredOutEvents: 103, InvokedEvents: 3}
		if r.counts != want {
			t.Errorf("counted %+v, want %+v", r.counts, want)
		}
	})
}

// TestAggregatedRecords: Lambda hands an aggregated record on as it is, and so do we.
func TestAggregatedRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		aggregate := "\xf3\x89\x9a\xc2\x0a\x01a\x1a\x05\x08\x00\x1a\x01x0123456789abcdef"
		r.put(aggregate)
		r.start()
		r.wait(2 * time.Second)
		r.stop()
		r.wantBatches([]string{aggregate})
	})
}
