package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// A Destination is a stream that takes records. All methods may be called
// concurrently.
type Destination interface {
	// Put sends records in one call, once. If err is nil, refused has an entry for
	// each record, nil for what is durably taken, or is nil itself if all is. If err
	// is not, nothing is known of any record, and all are sent again. It returns
	// soon after ctx ends. The records are the caller's again when it returns.
	Put(ctx context.Context, records []Record) (refused []error, err error)
}

// send puts a batch until all of it is taken, or ctx ends: of each call only what was
// refused is sent again, later each time. It says in the batch whether all is taken.
func (t *tailer) send(ctx context.Context, b *batch) {
	records := b.records()
	began := time.Now()
	var said time.Time
	failed := 0 // calls, one after the other
	for attempt := 0; ctx.Err() == nil; attempt++ {
		refused, err := t.dest.Put(ctx, records)
		if err == nil && refused != nil && len(refused) != len(records) {
			err = fmt.Errorf("the answer is for %d of %d records", len(refused), len(records))
		}
		if err != nil {
			t.meter.call(len(records), 0, 0, true)
			failed++
		} else {
			failed = 0
			left, bytes := records[:0:len(records)], 0
			for i, r := range records {
				if refused != nil && refused[i] != nil {
					err = refused[i]
					left = append(left, r)
					continue
				}
				bytes += len(r.Data)
			}
			taken := len(records) - len(left)
			t.meter.call(len(records), taken, bytes, false)
			t.counts.sent.Add(int64(taken))
			t.counts.sentBytes.Add(int64(bytes))
			if records = left; len(records) == 0 {
				b.sent = true
				return
			}
			if taken > 0 {
				attempt = 0
			}
		}
		t.counts.retried.Add(int64(len(records)))
		if now := time.Now(); ctx.Err() == nil && (failed > 1 || now.Sub(began) >= complainAfter) && now.Sub(said) >= sayEvery {
			said = now
			t.sayShared(now, "records are not taken; they are sent again until they are", err)
		}
		pause(ctx, t.backoff(attempt))
	}
}

// complainAfter is how long records are refused before that is said: shards are busy at
// times. A call that fails twice is said at once: the stream may not be there.
const complainAfter = 5 * time.Second

// backoff is how long to wait before attempt+1: twice as long each time, by chance up
// to 30 % of it less, so that many agents do not come back at once.
func (t *tailer) backoff(attempt int) time.Duration {
	d := min(t.flow.BackoffMin<<min(attempt, 20), t.flow.BackoffMax)
	if d <= 0 {
		d = t.flow.BackoffMax
	}
	return d - time.Duration(rand.Float64()*0.3*float64(d))
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// sayShared is say for senders: once a minute a flow, whatever the batch.
func (t *tailer) sayShared(now time.Time, text string, err error) {
	last := t.lastRefusal.Load()
	if now.UnixNano()-last < int64(sayEvery) || !t.lastRefusal.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	t.log.Warn(text, "stream", t.flow.Stream, "error", err)
}
