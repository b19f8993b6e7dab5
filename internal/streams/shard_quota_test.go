package streams

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/api/kinesis"
)

func (w *world) updateShardCount(stream string, n int32) error {
	_, err := w.UpdateShardCount(w.ctx(), &kinesis.UpdateShardCountInput{StreamName: &stream, TargetShardCount: &n, ScalingType: "UNIFORM_SCALING"})
	return err
}

// The short-lived shards of an UpdateShardCount count against the quota of open
// shards: on the way from 4 to 5 shards there are 8, on the way from 5 to 4 too.
func TestShortLivedShardsCount(t *testing.T) {
	for _, c := range []struct {
		from, to int32
		most     int
	}{
		{4, 8, 8}, {8, 4, 8}, // doubling and halving make none
		{4, 5, 8}, {5, 4, 8},
		{4, 6, 8}, {6, 4, 8},
		{3, 5, 7}, {9, 6, 12},
		{1, 2, 2}, {2, 1, 2},
	} {
		t.Run(fmt.Sprint(c.from, " to ", c.to), func(t *testing.T) {
			w := newWorld(t, Config{Limits: -1, ShardLimit: c.most})
			w.create("s", c.from)
			if more := c.most - int(c.from); more > 0 {
				w.Service.cfg.ShardLimit--
				err := w.updateShardCount("s", c.to)
				wantCode(t, err, "LimitExceededException")
				wantText(t, err, fmt.Sprintf("Current shard count for the account: %d. Limit: %d. Number of additional shards that would have resulted from this request: %d. Refer to the AWS Service Limits page (https://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) for current limits and how to request higher limits.", c.from, c.most-1, more))
				if got := w.open("s"); got != int(c.from) || w.status("s") != "ACTIVE" {
					t.Errorf("after the refusal: %d shards, %s", got, w.status("s"))
				}
				w.Service.cfg.ShardLimit++
			}
			if err := w.updateShardCount("s", c.to); err != nil {
				t.Error(err)
			}
			if got := w.open("s"); got != int(c.to) {
				t.Errorf("%d shards", got)
			}
		})
	}
}

// What a reshard will need is taken when it begins, for as long as it lasts,
// and is remembered over a restart.
func TestQuotaOfAReshardUnderWay(t *testing.T) {
	inTime(t, Config{Limits: -1, ShardLimit: 8, Transition: time.Minute}, func(w *world) {
		w.create("s", 4)
		w.advance(2 * time.Minute)
		if err := w.updateShardCount("s", 5); err != nil { // by way of 8
			t.Fatal(err)
		}
		create := func() error {
			_, err := w.CreateStream(w.ctx(), &kinesis.CreateStreamInput{StreamName: new("t"), ShardCount: new(int32(1))})
			return err
		}
		wantCode(t, create(), "LimitExceededException")
		w.crash()
		wantCode(t, create(), "LimitExceededException")
		w.advance(2 * time.Minute)
		if got := w.open("s"); got != 5 {
			t.Errorf("%d shards", got)
		}
		if err := create(); err != nil {
			t.Errorf("after the reshard: %v", err)
		}
	})
}

// mostOpen knows beforehand how many shards the rounds have open at most.
func TestMostOpen(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		// Shards split at random, and so at no border of any goal.
		open := []keyRange{{hashKey{}, maxHashKey, 0}}
		next := uint32(1)
		split := func(i int, at hashKey) {
			r := open[i]
			open = slices.Replace(open, i, i+1, keyRange{r.start, at.prev(), next}, keyRange{at, r.end, next + 1})
			next += 2
		}
		for range rng.IntN(20) {
			i := rng.IntN(len(open))
			half := open[i].end.sub(open[i].start).half()
			split(i, open[i].start.add(half).next())
		}
		n := 1 + rng.IntN(30)
		from, want, most := len(open), mostOpen(open, n), len(open)
		for {
			ops := scalingRound(open, n)
			if len(ops) == 0 {
				break
			}
			for _, op := range ops {
				i := slices.IndexFunc(open, func(r keyRange) bool { return r.index == op.parents[0] })
				if len(op.parents) == 1 {
					split(i, op.at)
				} else {
					open = slices.Replace(open, i, i+2, keyRange{open[i].start, open[i+1].end, next})
					next++
				}
			}
			most = max(most, len(open))
		}
		if len(open) != n || most != want {
			t.Fatalf("from %d to %d: ended with %d, at most %d open, mostOpen said %d", from, n, len(open), most, want)
		}
	}
}
