package cloudwatch

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/cloudwatch"
	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/vfs"
)

// TestPowerCuts has writers put samples while the power is cut at random moments
// and data are flushed meanwhile: what was answered is there, once, and of what was
// not answered each call is there once or not at all.
func TestPowerCuts(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("CLOUDWATCH_ROUNDS"))
	if err != nil {
		powerCuts(t, 1)
		return
	}
	for i := range n {
		seed := uint64(time.Now().UnixNano()) + uint64(i)
		if !t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { powerCuts(t, seed) }) {
			return
		}
	}
}

func powerCuts(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	fs := vfs.NewCrash(seed)
	var log *shardlog.Disk
	var b *bench
	start := func() {
		t.Helper()
		var err error
		if log, err = shardlog.Open(shardlog.Config{FS: fs, Dir: "log", JournalFileBytes: 1 << 20, MemoryBytes: 4 << 20, Logger: slog.New(slog.DiscardHandler)}); err != nil {
			t.Fatal(err)
		}
		blobs, err := blob.OpenDir(fs, "blobs")
		if err != nil {
			t.Fatal(err)
		}
		b = &bench{t: t, clock: &clock{now: time.Now()}, cfg: Config{Log: log, Blobs: blobs}}
		b.start()
	}
	stop := func() {
		b.Close()
		log.Close()
	}
	start()
	defer func() { stop() }()

	const writers = 3
	var done, tried [writers]float64 // samples; each call puts one more than the one before
	put := func(ctx context.Context, w int) error {
		tried[w]++
		_, err := b.PutMetricData(rheo.WithCaller(ctx, caller), &api.PutMetricDataInput{Namespace: new("app"), MetricData: []api.MetricDatum{
			{MetricName: new(fmt.Sprint("w", w)), Value: new(1.0)}, {MetricName: new(fmt.Sprint("again", w)), Value: new(1.0)}}})
		return err
	}
	for cycle := range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		var g sync.WaitGroup
		for w := range writers {
			g.Go(func() {
				for ctx.Err() == nil {
					if put(ctx, w) == nil {
						done[w]++
					}
				}
			})
		}
		g.Go(func() {
			for ctx.Err() == nil {
				b.flush() // fails once the power is off
				time.Sleep(time.Millisecond)
			}
		})
		time.Sleep(time.Duration(1000+rnd.IntN(8000)) * time.Microsecond)
		next := fs.Crash()
		cancel()
		g.Wait()
		stop()
		fs = next
		start()
		for w := range writers {
			one, other := b.count("app", fmt.Sprint("w", w)), b.count("app", fmt.Sprint("again", w))
			if one != other || one < done[w] || one > tried[w] {
				t.Fatalf("cut %d: of writer %d there are %v and %v samples; %v were answered, %v tried", cycle+1, w, one, other, done[w], tried[w])
			}
		}
	}
	t.Logf("answered %v of %v; %d segments", done, tried, len(b.store.manifest.segments))
}
