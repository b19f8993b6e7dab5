package streams

import (
	"fmt"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/api/kinesis"
)

// load puts bytes a second at one hash key for a time.
func (w *world) load(stream, hash string, bytesPerSec int, d time.Duration) {
	w.t.Helper()
	for range int(d / time.Second) {
		if _, err := w.PutRecord(w.ctx(), &kinesis.PutRecordInput{StreamName: &stream, PartitionKey: new("k"), ExplicitHashKey: &hash, Data: make([]byte, bytesPerSec)}); err != nil {
			w.t.Fatal(err)
		}
		w.advance(time.Second)
	}
}

func (w *world) open(stream string) int { return len(w.byStream(stream).route.Load().shards) }

// A shard that took more than half of its capacity for a minute is split; the
// stream stays ACTIVE. After a quiet day it is merged again, but not below four.
func TestOnDemandFollowsTraffic(t *testing.T) {
	inTime(t, Config{}, func(w *world) {
		w.createOnDemand("s")
		w.load("s", "0", 400<<10, 3*time.Minute)
		if n := w.open("s"); n != 4 {
			w.t.Errorf("%d shards at 40 %% of one", n)
		}
		w.load("s", "0", 600<<10, 150*time.Second)
		if n := w.open("s"); n < 5 {
			w.t.Errorf("%d shards at 60 %% of one", n)
		}
		if got := w.status("s"); got != "ACTIVE" {
			w.t.Errorf("status %s", got)
		}
		w.crash() // the peak is remembered
		w.advance(23 * time.Hour)
		if n := w.open("s"); n < 5 {
			w.t.Errorf("%d shards before the day is over", n)
		}
		w.advance(2 * time.Hour)
		if n := w.open("s"); n != 4 {
			w.t.Errorf("%d shards after a quiet day", n)
		}
		w.advance(25 * time.Hour)
		if n := w.open("s"); n != 4 {
			w.t.Errorf("%d shards after another", n)
		}
	})
}

// A stream that was switched to on-demand keeps its shards for a day at least.
func TestSwitchedStreamIsNotMergedAtOnce(t *testing.T) {
	inTime(t, Config{}, func(w *world) {
		w.create("s", 10)
		if _, err := w.UpdateStreamMode(w.ctx(), &kinesis.UpdateStreamModeInput{StreamARN: new(arnOf("s")), StreamModeDetails: &kinesis.StreamModeDetails{StreamMode: "ON_DEMAND"}}); err != nil {
			w.t.Fatal(err)
		}
		w.advance(23 * time.Hour)
		if n := w.open("s"); n != 10 {
			w.t.Errorf("%d shards within the day", n)
		}
		w.advance(3 * time.Hour)
		if n := w.open("s"); n != 4 {
			w.t.Errorf("%d shards after it", n)
		}
	})
}

// Half of a shard's capacity is half of what the server's limits make it.
func TestOnDemandFollowsTheLimits(t *testing.T) {
	for _, c := range []struct {
		limits     float64
		quiet, hot int // bytes a second at one shard
	}{{0.1, 40 << 10, 60 << 10}, {4, 900 << 10, 2400 << 10}, {-1, 400 << 10, 600 << 10}} {
		t.Run(fmt.Sprint(c.limits), func(t *testing.T) {
			inTime(t, Config{Limits: c.limits}, func(w *world) {
				w.createOnDemand("s")
				if _, err := w.UpdateMaxRecordSize(w.ctx(), &kinesis.UpdateMaxRecordSizeInput{StreamARN: new(arnOf("s")), MaxRecordSizeInKiB: new(int32(10240))}); err != nil {
					w.t.Fatal(err)
				}
				w.load("s", "0", c.quiet, 2*time.Minute)
				if n := w.open("s"); n != 4 {
					w.t.Errorf("%d shards at %d bytes a second", n, c.quiet)
				}
				w.load("s", "0", c.hot, 2*time.Minute)
				if n := w.open("s"); n < 5 {
					w.t.Errorf("%d shards at %d bytes a second", n, c.hot)
				}
			})
		})
	}
}

// Many records count as many bytes do.
func TestOnDemandCountsRecords(t *testing.T) {
	inTime(t, Config{}, func(w *world) {
		w.createOnDemand("s")
		in := &kinesis.PutRecordsInput{StreamName: new("s")}
		for range 400 {
			in.Records = append(in.Records, kinesis.PutRecordsRequestEntry{PartitionKey: new("k"), ExplicitHashKey: new("0"), Data: []byte("x")})
		}
		for range 200 {
			if out, err := w.PutRecords(w.ctx(), in); err != nil || *out.FailedRecordCount != 0 {
				w.t.Fatal(err)
			}
			w.advance(700 * time.Millisecond) // 571 a second
		}
		if n := w.open("s"); n < 5 {
			w.t.Errorf("%d shards", n)
		}
	})
}

// The quota of shards holds for scaling too: throttling says the rest.
func TestOnDemandStopsAtTheQuota(t *testing.T) {
	inTime(t, Config{ShardLimit: 4}, func(w *world) {
		w.createOnDemand("s")
		w.load("s", "0", 900<<10, 3*time.Minute)
		if n := w.open("s"); n != 4 {
			w.t.Errorf("%d shards, the quota is 4", n)
		}
	})
}

// AUTO places records evenly, whatever their keys, also while shards come and go.
func TestAutoDistributionIsEven(t *testing.T) {
	w := newWorld(t, Config{Limits: -1})
	w.createOnDemand("s")
	if _, err := w.UpdateStreamRecordDistributionStrategy(w.ctx(), &kinesis.UpdateStreamRecordDistributionStrategyInput{StreamARN: new(arnOf("s")), RecordDistributionStrategy: "AUTO"}); err != nil {
		t.Fatal(err)
	}
	in := &kinesis.PutRecordsInput{StreamName: new("s")}
	for range 400 {
		in.Records = append(in.Records, kinesis.PutRecordsRequestEntry{PartitionKey: new("the same"), ExplicitHashKey: new("7"), Data: []byte("x")})
	}
	out, err := w.PutRecords(w.ctx(), in)
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for _, r := range out.Records {
		n[*r.ShardId]++
	}
	if len(n) != 4 {
		t.Errorf("%v", n)
	}
	for id, c := range n {
		if c != 100 {
			t.Errorf("%s got %d of 400", id, c)
		}
	}
}
