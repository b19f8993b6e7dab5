package logs

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/logs"
	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/vfs"
)

// TestPowerCuts has writers put lines while the power is cut at random moments,
// indexes are written and groups come and go meanwhile: what was answered is there,
// once, and of what was not answered each call is there once or not at all; and what
// is there has been delivered by a subscription filter, in order.
func TestPowerCuts(t *testing.T) {
	for i := range rounds(t, 1) {
		powerCuts(t, uint64(i))
	}
}

func powerCuts(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	fs := vfs.NewCrash(seed)
	destination := newKinesis(streamARN)
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
		b = &bench{t: t, clock: &clock{now: time.Now()}, kinesis: destination,
			cfg: Config{Log: log, Blobs: blobs, Streams: destination, SnapshotEvery: 2000, KeepEvery: time.Millisecond}}
		b.start()
		b.logs.grain = 2000
	}
	stop := func() {
		b.Close()
		log.Close()
	}
	start()
	defer func() { stop() }()

	const writers = 3
	b.must("CreateLogGroup", `{"logGroupName": "g"}`)
	for w := range writers {
		b.must("CreateLogStream", `{"logGroupName": "g", "logStreamName": "w%d"}`, w)
	}
	b.subscribe("f", "", streamARN)
	var done, tried [writers]int
	answered := map[string]bool{} // groups that come and go: whether they are there
	put := func(ctx context.Context, w int) error {
		line := fmt.Sprintf("%06d", tried[w])
		tried[w]++
		_, err := b.PutLogEvents(rheo.WithCaller(ctx, caller), &api.PutLogEventsInput{LogGroupName: new("g"), LogStreamName: new(fmt.Sprint("w", w)),
			LogEvents: []api.InputLogEvent{{Timestamp: new(b.clock.Wall().UnixMilli()), Message: &line}}})
		return err
	}
	for cycle := range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		acked := make([]map[string]bool, writers)
		var g sync.WaitGroup
		for w := range writers {
			acked[w] = map[string]bool{}
			g.Go(func() {
				for ctx.Err() == nil {
					line := fmt.Sprintf("%06d", tried[w])
					if put(ctx, w) == nil {
						acked[w][line] = true
						done[w]++
					}
				}
			})
		}
		g.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				name := fmt.Sprint("group-", i%3)
				there, known := answered[name]
				delete(answered, name) // until it is answered
				operation := "CreateLogGroup"
				if known && there {
					operation = "DeleteLogGroup"
				}
				if got := b.do(operation, `{"logGroupName": "`+name+`"}`); got == "{}" || strings.HasPrefix(got, api.ResourceAlreadyExistsException) {
					answered[name] = operation == "CreateLogGroup"
				}
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
			seen := map[string]int{}
			last := ""
			for _, line := range b.linesOf("g", fmt.Sprint("w", w)) {
				if seen[line]++; seen[line] > 1 || line <= last {
					t.Fatalf("cut %d: line %s of writer %d is there %d times, behind %s", cycle+1, line, w, seen[line], last)
				}
				last = line
			}
			for line := range acked[w] {
				if seen[line] != 1 {
					t.Fatalf("cut %d: line %s of writer %d was answered and is lost", cycle+1, line, w)
				}
			}
		}
		for name, there := range answered {
			if _, err := b.group(groupKey(caller.Account, caller.Region, name)); (err == nil) != there {
				t.Fatalf("cut %d: whether group %s is there was answered with %v; %v", cycle+1, name, there, err)
			}
		}
	}
	for w := range writers {
		stream := fmt.Sprint("w", w)
		there := b.linesOf("g", stream)
		b.kinesis.await(t, func() bool {
			got := b.kinesis.lines(t, streamARN, stream)
			return len(there) == 0 || len(got) > 0 && got[len(got)-1] == there[len(there)-1]
		})
		delivered := map[string]bool{}
		for _, line := range b.kinesis.lines(t, streamARN, stream) {
			delivered[line] = true
		}
		for _, line := range there {
			if !delivered[line] {
				t.Errorf("line %s of writer %d was not delivered", line, w)
			}
		}
		if len(delivered) != len(there) {
			t.Errorf("of writer %d %d lines were delivered, and %d are there", w, len(delivered), len(there))
		}
	}
	t.Logf("answered %v of %v", done, tried)
}
