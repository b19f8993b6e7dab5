package streams

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/shardlog"
)

// accepts puts records of size bytes (key and data) until one is refused and returns how many were taken.
func (w *world) accepts(stream string, size int) int {
	w.t.Helper()
	for n := 0; ; n++ {
		_, err := w.PutRecord(w.ctx(), &kinesis.PutRecordInput{StreamName: &stream, PartitionKey: new("k"), Data: make([]byte, size-1)})
		if err == nil {
			continue
		}
		wantCode(w.t, err, "ProvisionedThroughputExceededException")
		return n
	}
}

func TestWriteCapacityOfAShard(t *testing.T) {
	for _, c := range []struct {
		limits float64
		size   int
		steps  string // after so many ms, so many records are taken
	}{
		{1, 100, "0:1000 1:1 10:10 1000:1000 5000:1000"}, // records a second
		{1, 64 << 10, "0:16 62:0 1:1 500:8 5000:16"},     // bytes a second: one takes 62.5 ms
		{1, 1 << 20, "0:1 999:0 1:1 5000:1"},             // a second's worth at once
		{2, 1 << 20, "0:2 500:1"},                        // twice AWS's limits
		{0.1, 100, "0:100 10:1"},                         // a tenth
		{1, 3 << 20, "0:1 1990:0 20:1 2970:0 30:1"},      // overdrawn: the next as soon as the debt is paid
		{0.1, 1 << 20, "0:1 8990:0 20:1 9970:0 30:1"},    // ten times what a second brings
	} {
		t.Run(fmt.Sprint(c.limits, "x", c.size), func(t *testing.T) {
			inTime(t, Config{Limits: c.limits}, func(w *world) {
				w.create("s", 1)
				if _, err := w.UpdateMaxRecordSize(w.ctx(), &kinesis.UpdateMaxRecordSizeInput{StreamARN: new(arnOf("s")), MaxRecordSizeInKiB: new(int32(10240))}); err != nil {
					w.t.Fatal(err)
				}
				for _, step := range strings.Fields(c.steps) {
					var after, want int
					fmt.Sscanf(step, "%d:%d", &after, &want)
					time.Sleep(time.Duration(after) * time.Millisecond)
					if got := w.accepts("s", c.size); got != want {
						w.t.Errorf("step %s: %d taken", step, got)
					}
				}
			})
		})
	}
}

// A record larger than a second's worth gets in while small ones take all that
// comes back to the shard: they never leave a full bucket. The shard takes no
// more for it in the long run.
func TestLargeRecordsAreNotStarved(t *testing.T) {
	for name, small := range map[string]int{"by bytes": 16 << 10, "by records": 100} {
		t.Run(name, func(t *testing.T) {
			inTime(t, Config{}, func(w *world) {
				w.create("s", 1)
				if _, err := w.UpdateMaxRecordSize(w.ctx(), &kinesis.UpdateMaxRecordSizeInput{StreamARN: new(arnOf("s")), MaxRecordSizeInKiB: new(int32(10240))}); err != nil {
					w.t.Fatal(err)
				}
				// Every ten seconds a client has a large record, and tries again ten times a second.
				const seconds, large = 11, 3 << 20
				took, waits := 0, 0
				for tick := range seconds * 100 {
					took += w.accepts("s", small) * small
					if tick%1000 == 0 {
						waits++
					}
					if waits > 0 && tick%10 == 9 {
						in := &kinesis.PutRecordInput{StreamName: new("s"), PartitionKey: new("k"), Data: make([]byte, large)}
						if _, err := w.PutRecord(w.ctx(), in); err == nil {
							took, waits = took+large, waits-1
						} else if tick%1000 > 100 {
							w.t.Fatalf("a large record is refused for a second: %v", err)
						}
					}
					time.Sleep(10 * time.Millisecond)
				}
				if waits > 0 || took > (seconds+1)<<20+large { // the last one may not be paid yet
					w.t.Errorf("%d large records wait; %d bytes got in", waits, took)
				}
				if small > 1<<10 && took < (seconds-1)<<20 {
					w.t.Errorf("only %d bytes got in: the small ones lost more than the large ones took", took)
				}
			})
		})
	}
}

// A refused record uses up nothing: a smaller one behind it still fits.
func TestPutRecordsRefusesPerRecord(t *testing.T) {
	inTime(t, Config{}, func(w *world) {
		w.create("s", 2)
		rec := func(hash string, kib int) kinesis.PutRecordsRequestEntry {
			return kinesis.PutRecordsRequestEntry{PartitionKey: new("k"), ExplicitHashKey: &hash, Data: make([]byte, kib<<10-1)}
		}
		upper := maxHashKey.String()
		out, err := w.PutRecords(w.ctx(), &kinesis.PutRecordsInput{StreamName: new("s"), Records: []kinesis.PutRecordsRequestEntry{
			rec("0", 600), rec("0", 600), rec("0", 400), rec(upper, 1000), rec("0", 25), rec("0", 24), rec(upper, 24)}})
		if err != nil {
			w.t.Fatal(err)
		}
		got := ""
		for _, r := range out.Records {
			if r.ErrorCode != nil {
				got += "-"
				if *r.ErrorCode != "ProvisionedThroughputExceededException" || r.SequenceNumber != nil {
					w.t.Errorf("%+v", r)
				}
			} else {
				got += "+"
			}
		}
		if got != "+-++-++" || *out.FailedRecordCount != 2 {
			w.t.Errorf("%s, %d failed", got, *out.FailedRecordCount)
		}
	})
}

func TestReadCapacityOfAShard(t *testing.T) {
	inTime(t, Config{}, func(w *world) {
		w.create("s", 1)
		sh := w.byStream("s").shards[0]
		for range 12 { // past the limits for writing
			put := []shardlog.Put{{Shard: sh.log, Records: []shardlog.Record{{Data: make([]byte, 1<<20)}}}}
			w.log.Append(w.ctx(), put)
		}
		end := w.iterator("s", shard0, "LATEST", nil, nil)
		get := func(it string) (int, error) {
			out, err := w.GetRecords(w.ctx(), &kinesis.GetRecordsInput{ShardIterator: &it})
			if err != nil {
				if want := "Rate exceeded for Shard - 123456789012/s/" + shard0; !strings.Contains(err.Error(), want) {
					w.t.Errorf("%v, want %s", err, want)
				}
				return 0, err
			}
			return len(out.Records), nil
		}
		calls := func(it string) (n int) {
			for {
				if _, err := get(it); err != nil {
					return n
				}
				n++
			}
		}
		if n := calls(end); n != 5 {
			w.t.Errorf("%d calls at once, want 5", n)
		}
		w.advance(200 * time.Millisecond)
		if n := calls(end); n != 1 {
			w.t.Errorf("%d calls after 200 ms, want 1", n)
		}
		w.advance(5 * time.Second)
		start := w.iterator("s", shard0, "TRIM_HORIZON", nil, nil)
		if n, err := get(start); n != 10 || err != nil {
			w.t.Errorf("%d records of 1 MiB in an answer: %v", n, err)
		}
		// 10 MiB at 2 MiB/s, of which 2 were there: refused for 4 s.
		w.advance(4*time.Second - time.Millisecond)
		if _, err := get(end); !api.IsCode(err, "ProvisionedThroughputExceededException") {
			w.t.Errorf("before the debt is paid: %v", err)
		}
		w.advance(2 * time.Millisecond)
		if _, err := get(end); err != nil {
			w.t.Errorf("after the debt is paid: %v", err)
		}
	})
}

// With limits so small that a second brings less than one call, the calls come
// at their rate all the same.
func TestLessThanOneASecond(t *testing.T) {
	inTime(t, Config{Limits: 0.1}, func(w *world) {
		w.create("s", 1)
		for i := range 4 {
			out, err := w.GetShardIterator(w.ctx(), &kinesis.GetShardIteratorInput{StreamName: new("s"), ShardId: new(shard0), ShardIteratorType: "LATEST"})
			if err != nil {
				w.t.Fatalf("iterator %d: %v", i, err)
			}
			if _, err := w.GetRecords(w.ctx(), &kinesis.GetRecordsInput{ShardIterator: out.ShardIterator}); err != nil {
				w.t.Fatalf("call %d: %v", i, err)
			}
			w.advance(1999 * time.Millisecond)
			_, err = w.GetRecords(w.ctx(), &kinesis.GetRecordsInput{ShardIterator: out.ShardIterator})
			wantCode(w.t, err, "ProvisionedThroughputExceededException")
			_, err = w.GetShardIterator(w.ctx(), &kinesis.GetShardIteratorInput{StreamName: new("s"), ShardId: new(shard0), ShardIteratorType: "LATEST"})
			wantCode(w.t, err, "ProvisionedThroughputExceededException")
			w.advance(time.Millisecond)
		}
	})
	inTime(t, Config{Limits: 0.0005}, func(w *world) { // 524 bytes, half a record
		w.create("s", 1)
		for _, want := range []int{1, 1, 1} {
			if got := w.accepts("s", 10); got != want {
				w.t.Errorf("%d records taken", got)
			}
			w.advance(2 * time.Second)
		}
	})
}

type reader struct {
	*world
	events api.Events
}

func (w *world) subscribe(consumer string, kind kinesis.ShardIteratorType) (*reader, error) {
	out, err := w.SubscribeToShard(w.ctx(), &kinesis.SubscribeToShardInput{ConsumerARN: &consumer, ShardId: new(shard0), StartingPosition: &kinesis.StartingPosition{Type: kind}})
	if err != nil {
		return nil, err
	}
	return &reader{w, out.EventStream}, nil
}

func (r *reader) next() (*kinesis.SubscribeToShardEvent, error) {
	e, err := r.events.Next(r.ctx())
	if err != nil {
		return nil, err
	}
	return e.(*kinesis.SubscribeToShardEvent), nil
}

// An empty shard's subscription speaks at once, then every five seconds, and ends after five minutes.
func TestHeartbeatsAndTheEndOfASubscription(t *testing.T) {
	inTime(t, Config{}, func(w *world) {
		w.create("s", 1)
		r, err := w.subscribe(w.register("s", "c"), "LATEST")
		if err != nil {
			w.t.Fatal(err)
		}
		began := time.Now()
		for i := 0; ; i++ {
			e, err := r.next()
			at := time.Since(began)
			if errors.Is(err, io.EOF) {
				if at != 5*time.Minute || i != 60 {
					w.t.Errorf("ended after %s and %d events", at, i)
				}
				return
			}
			if err != nil {
				w.t.Fatal(err)
			}
			if at != time.Duration(i)*5*time.Second || len(e.Records) != 0 || e.ContinuationSequenceNumber == nil || *e.MillisBehindLatest != 0 {
				w.t.Errorf("event %d after %s: %+v", i, at, e)
			}
		}
	})
}

// The continuation of an event, records or not, leads to the record that follows it.
func TestContinuation(t *testing.T) {
	inTime(t, Config{Limits: -1}, func(w *world) {
		w.create("s", 1)
		consumer := w.register("s", "c")
		r, err := w.subscribe(consumer, "LATEST")
		if err != nil {
			w.t.Fatal(err)
		}
		for i := range 4 {
			e, err := r.next()
			if err != nil {
				w.t.Fatal(err)
			}
			r.events.Close()
			w.put("s", "k", fmt.Sprint(i))
			w.advance(10 * time.Second)
			out, err := w.SubscribeToShard(w.ctx(), &kinesis.SubscribeToShardInput{ConsumerARN: &consumer, ShardId: new(shard0),
				StartingPosition: &kinesis.StartingPosition{Type: "AFTER_SEQUENCE_NUMBER", SequenceNumber: e.ContinuationSequenceNumber}})
			if err != nil {
				w.t.Fatal(err)
			}
			r = &reader{w, out.EventStream}
			if e, err = r.next(); err != nil || texts(e.Records) != fmt.Sprintf("[%d]", i) || *e.MillisBehindLatest != 0 {
				w.t.Errorf("continued with %v %v", e, err)
			}
			w.advance(10 * time.Second)
			r.events.Close()
			if r, err = w.subscribe(consumer, "LATEST"); err != nil {
				w.t.Fatal(err)
			}
		}
		r.events.Close()
	})
}

// A record is pushed the moment that it is durable.
func TestPush(t *testing.T) {
	inTime(t, Config{}, func(w *world) {
		w.create("s", 1)
		r, err := w.subscribe(w.register("s", "c"), "LATEST")
		if err != nil {
			w.t.Fatal(err)
		}
		defer r.events.Close()
		r.next()
		go func() {
			time.Sleep(1234 * time.Millisecond)
			w.put("s", "k", "x")
		}()
		began := time.Now()
		if e, err := r.next(); err != nil || len(e.Records) != 1 || time.Since(began) != 1234*time.Millisecond {
			w.t.Errorf("after %s: %v %v", time.Since(began), e, err)
		}
	})
}

// A subscription has 2 MiB/s of its own, whatever others read.
func TestFanOutBudget(t *testing.T) {
	inTime(t, Config{}, func(w *world) {
		w.create("s", 1)
		sh := w.byStream("s").shards[0]
		for range 20 {
			w.log.Append(w.ctx(), []shardlog.Put{{Shard: sh.log, Records: []shardlog.Record{{Data: make([]byte, 1<<20)}}}})
		}
		var readers []*reader
		for _, name := range []string{"a", "b"} {
			r, err := w.subscribe(w.register("s", name), "TRIM_HORIZON")
			if err != nil {
				w.t.Fatal(err)
			}
			defer r.events.Close()
			readers = append(readers, r)
		}
		began := time.Now()
		got := make([]int, len(readers))
		for range 20 {
			for i, r := range readers {
				e, err := r.next()
				if err != nil {
					w.t.Fatal(err)
				}
				for _, rec := range e.Records {
					got[i] += len(rec.Data)
				}
				// A second's worth may come at once, and the last event may overdraw.
				if most := int(time.Since(began).Seconds()*(2<<20)) + 3<<20; got[i] > most {
					w.t.Errorf("%d bytes after %s", got[i], time.Since(began))
				}
			}
		}
		if took := time.Since(began); got[0] != 20<<20 || got[1] != 20<<20 || took < 8500*time.Millisecond || took > 9*time.Second {
			w.t.Errorf("%v bytes after %s", got, took)
		}
	})
}

func TestTakeOver(t *testing.T) {
	inTime(t, Config{}, func(w *world) {
		w.create("s", 1)
		consumer, other := w.register("s", "c"), w.register("s", "other")
		first, err := w.subscribe(consumer, "LATEST")
		if err != nil {
			w.t.Fatal(err)
		}
		first.next()
		w.advance(4999 * time.Millisecond)
		_, err = w.subscribe(consumer, "LATEST")
		wantCode(w.t, err, "ResourceInUseException")
		if want := "Another active subscription exists for this consumer: 123456789012:s:" + shard0 + ":c"; err != nil && !strings.HasSuffix(err.Error(), want) {
			w.t.Errorf("%v, want %s", err, want)
		}
		if _, err = w.subscribe(other, "LATEST"); err != nil {
			w.t.Errorf("another consumer: %v", err)
		}
		w.advance(time.Millisecond)
		second, err := w.subscribe(consumer, "LATEST")
		if err != nil {
			w.t.Fatalf("after five seconds: %v", err)
		}
		_, err = first.next()
		wantCode(w.t, err, "ResourceInUseException")
		first.events.Close() // the old one's end is not the new one's
		if _, err := second.next(); err != nil {
			w.t.Error(err)
		}
		_, err = w.subscribe(consumer, "LATEST")
		wantCode(w.t, err, "ResourceInUseException")
		// One that has hung up makes room, but one call a second is the limit.
		second.events.Close()
		_, err = w.subscribe(consumer, "LATEST")
		wantCode(w.t, err, "LimitExceededException")
		w.advance(time.Second)
		if third, err := w.subscribe(consumer, "LATEST"); err != nil {
			w.t.Error(err)
		} else {
			third.events.Close()
		}
	})
}

func TestSubscriptionsEndWithTheirConsumerAndStream(t *testing.T) {
	for name, end := range map[string]func(w *world, consumer string) error{
		"deregistered": func(w *world, consumer string) error {
			_, err := w.DeregisterStreamConsumer(w.ctx(), &kinesis.DeregisterStreamConsumerInput{ConsumerARN: &consumer})
			return err
		},
		"deleted": func(w *world, consumer string) error {
			_, err := w.DeleteStream(w.ctx(), &kinesis.DeleteStreamInput{StreamName: new("s"), EnforceConsumerDeletion: new(true)})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, Config{}, func(w *world) {
				w.create("s", 1)
				consumer := w.register("s", "c")
				r, err := w.subscribe(consumer, "LATEST")
				if err != nil {
					w.t.Fatal(err)
				}
				r.next()
				go func() {
					time.Sleep(time.Second)
					if err := end(w, consumer); err != nil {
						w.t.Error(err)
					}
				}()
				_, err = r.next()
				wantCode(w.t, err, "ResourceNotFoundException")
			})
		})
	}
}
