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
)

// Which shards a filter shows, while a closed shard grows old. Those at one
// moment always cover the whole hash space, also when that moment lies before
// the horizon and the shards that were open then have gone.
func TestShardFiltersAsTimePasses(t *testing.T) {
	inTime(t, Config{Limits: -1}, func(w *world) {
		began := time.Now()
		w.create("s", 1)
		w.advance(time.Hour + 30*time.Second) // between two rounds of upkeep
		if _, err := w.SplitShard(w.ctx(), &kinesis.SplitShardInput{StreamName: new("s"), ShardToSplit: new(shard0), NewStartingHashKey: new("1000")}); err != nil {
			t.Fatal(err)
		}
		shown := func(kind kinesis.ShardFilterType, at time.Time) string {
			t.Helper()
			f := &kinesis.ShardFilter{Type: kind}
			if strings.HasSuffix(string(kind), "_TIMESTAMP") {
				f.Timestamp = &at
			}
			out, err := w.ListShards(w.ctx(), &kinesis.ListShardsInput{StreamName: new("s"), ShardFilter: f})
			if err != nil {
				t.Fatal(err)
			}
			ids := []string{}
			for _, sh := range out.Shards {
				index, _ := parseShardID(*sh.ShardId)
				ids = append(ids, fmt.Sprint(index))
			}
			return fmt.Sprint(ids)
		}
		check := func(when string, want map[kinesis.ShardFilterType]string, at time.Time) {
			t.Helper()
			for kind, want := range want {
				if got := shown(kind, at); got != want {
					t.Errorf("%s, %s %s: %s, want %s", when, kind, at.Sub(began), got, want)
				}
			}
		}
		const parent, children, all = "[0]", "[1 2]", "[0 1 2]"
		check("just split", map[kinesis.ShardFilterType]string{"AT_TRIM_HORIZON": parent, "FROM_TRIM_HORIZON": all, "AT_LATEST": children, "AT_TIMESTAMP": parent, "FROM_TIMESTAMP": all}, began.Add(-time.Hour))
		check("just split", map[kinesis.ShardFilterType]string{"AT_TIMESTAMP": parent, "FROM_TIMESTAMP": all}, began.Add(30*time.Minute))
		check("just split", map[kinesis.ShardFilterType]string{"AT_TIMESTAMP": children, "FROM_TIMESTAMP": children}, time.Now())
		w.advance(24*time.Hour - time.Second)
		check("before the parent expires", map[kinesis.ShardFilterType]string{"AT_TRIM_HORIZON": parent, "FROM_TRIM_HORIZON": all, "AT_TIMESTAMP": parent, "FROM_TIMESTAMP": all}, began)
		w.advance(2 * time.Second)
		if w.byStream("s").shards[0] == nil {
			t.Fatal("the parent has been removed already: nothing is tested")
		}
		check("after it", map[kinesis.ShardFilterType]string{"AT_TRIM_HORIZON": children, "FROM_TRIM_HORIZON": children, "AT_LATEST": children, "AT_TIMESTAMP": children, "FROM_TIMESTAMP": children}, began)
		w.advance(2 * time.Minute)
		if w.byStream("s").shards[0] != nil {
			t.Fatal("the parent has not been removed")
		}
		check("when it is gone", map[kinesis.ShardFilterType]string{"AT_TRIM_HORIZON": children, "FROM_TRIM_HORIZON": children, "AT_LATEST": children, "AT_TIMESTAMP": children, "FROM_TIMESTAMP": children}, began)
	})
}

// The EndingSequenceNumber of a closed shard is a place to read from: its end.
func TestReadingFromTheEnd(t *testing.T) {
	inTime(t, Config{Limits: -1}, func(w *world) {
		w.create("s", 1)
		w.put("s", "k", "x")
		consumer := w.register("s", "c")
		if _, err := w.SplitShard(w.ctx(), &kinesis.SplitShardInput{StreamName: new("s"), ShardToSplit: new(shard0), NewStartingHashKey: new("1000")}); err != nil {
			t.Fatal(err)
		}
		end := w.shards("s")[0].SequenceNumberRange.EndingSequenceNumber
		for _, kind := range []kinesis.ShardIteratorType{"AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"} {
			out := w.get(w.iterator("s", shard0, kind, end, nil))
			if len(out.Records) != 0 || len(out.ChildShards) != 2 || out.NextShardIterator != nil || *out.MillisBehindLatest != 0 {
				t.Errorf("%s: %+v", kind, out)
			}
			w.advance(10 * time.Second)
			sub, err := w.SubscribeToShard(w.ctx(), &kinesis.SubscribeToShardInput{ConsumerARN: &consumer, ShardId: new(shard0), StartingPosition: &kinesis.StartingPosition{Type: kind, SequenceNumber: end}})
			if err != nil {
				t.Fatal(err)
			}
			r := &reader{w, sub.EventStream}
			if e, err := r.next(); err != nil || len(e.Records) != 0 || len(e.ChildShards) != 2 || e.ContinuationSequenceNumber != nil {
				t.Errorf("%s: %+v %v", kind, e, err)
			}
			if _, err := r.next(); !errors.Is(err, io.EOF) {
				t.Errorf("%s: after the end: %v", kind, err)
			}
			r.events.Close()
		}
	})
}

// A quiet on-demand stream does not get below the warm throughput that it was given.
func TestWarmThroughputStays(t *testing.T) {
	inTime(t, Config{Limits: -1}, func(w *world) {
		if _, err := w.UpdateAccountSettings(w.ctx(), &kinesis.UpdateAccountSettingsInput{MinimumThroughputBillingCommitment: &kinesis.MinimumThroughputBillingCommitmentInput{Status: "ENABLED"}}); err != nil {
			t.Fatal(err)
		}
		w.create("s", 12)
		if _, err := w.UpdateStreamMode(w.ctx(), &kinesis.UpdateStreamModeInput{StreamARN: new(arnOf("s")), StreamModeDetails: &kinesis.StreamModeDetails{StreamMode: "ON_DEMAND"}, WarmThroughputMiBps: new(int32(7))}); err != nil {
			t.Fatal(err)
		}
		w.advance(26 * time.Hour)
		if n := w.open("s"); n != 7 {
			t.Errorf("%d shards, want one per MiB/s", n)
		}
	})
}

// What an on-demand stream had to bear stays in its memory for 30 days, and no longer.
func TestPeakIsForgotten(t *testing.T) {
	inTime(t, Config{Limits: -1}, func(w *world) {
		w.create("s", 12)
		if _, err := w.UpdateStreamMode(w.ctx(), &kinesis.UpdateStreamModeInput{StreamARN: new(arnOf("s")), StreamModeDetails: &kinesis.StreamModeDetails{StreamMode: "ON_DEMAND"}}); err != nil {
			t.Fatal(err)
		}
		at := func(ago time.Duration, mibPerSec int64) {
			err := w.update(w.ctx(), w.byStream("s"), func(c *change) error {
				c.doc.PeakBytesPerSec, c.doc.PeakAt = mibPerSec<<20, w.now().Add(-ago).UnixMilli()
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		at(30*24*time.Hour-10*time.Minute, 5)
		w.advance(9 * time.Minute)
		if n := w.open("s"); n != 12 {
			t.Errorf("%d shards within the 30 days of a peak of 5 MiB/s", n)
		}
		w.advance(24*time.Hour - 9*time.Minute)
		if n := w.open("s"); n != 12 {
			t.Errorf("%d shards, though what came after the peak has not been seen for a day", n)
		}
		w.advance(time.Hour)
		if n := w.open("s"); n != 6 && n != 4 {
			t.Errorf("%d shards a day after the peak was forgotten", n)
		}
	})
}

// Five consumers of a stream may be in CREATING; the next has to wait for one of them.
func TestConsumersInCreating(t *testing.T) {
	inTime(t, Config{Limits: -1, Transition: time.Minute}, func(w *world) {
		w.create("s", 1)
		w.advance(2 * time.Minute)
		for i := range 5 {
			w.register("s", fmt.Sprint("c", i))
		}
		another := func() error {
			_, err := w.RegisterStreamConsumer(w.ctx(), &kinesis.RegisterStreamConsumerInput{StreamARN: new(arnOf("s")), ConsumerName: new("another")})
			return err
		}
		wantCode(t, another(), "LimitExceededException")
		w.advance(2 * time.Minute)
		if err := another(); err != nil {
			t.Error(err)
		}
	})
}

// A NextToken is of no use in another account or region.
func TestNextTokenOfAnotherTenant(t *testing.T) {
	w := newWorld(t, Config{Limits: -1})
	w.create("s", 3)
	out, err := w.ListShards(w.ctx(), &kinesis.ListShardsInput{StreamName: new("s"), MaxResults: new(int32(1))})
	if err != nil {
		t.Fatal(err)
	}
	for _, caller := range []*api.Caller{{Account: "111111111111", Region: "eu-central-1"}, {Account: "123456789012", Region: "us-east-1"}} {
		_, err := w.ListShards(api.WithCaller(t.Context(), caller), &kinesis.ListShardsInput{NextToken: out.NextToken})
		wantCode(t, err, "InvalidArgumentException")
	}
	if _, err := w.ListShards(w.ctx(), &kinesis.ListShardsInput{NextToken: out.NextToken}); err != nil {
		t.Error(err)
	}
}
