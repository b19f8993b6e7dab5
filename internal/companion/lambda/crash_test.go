package lambda_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/companion/lambda"
	"github.com/rheostream/rheo/internal/companion/lambda/mapping"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/vfs"
)

// TestPowerCuts has callers make functions, change their code and send events, and
// mappings store checkpoints, while the power is cut at random moments. What was
// answered is there: each function with code that can be read whole, each event is made, each
// checkpoint is the last one stored or one that was being stored.
func TestPowerCuts(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("LAMBDA_ROUNDS"))
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
	disk := vfs.NewCrash(seed)
	var mu sync.Mutex
	made := map[string]int{} // mu; events, by payload
	broken := []error{}      // mu; code that could not be read
	r := &scripted{outcome: func(f *lambda.Function, in *lambda.Invocation) (*lambda.Result, error) {
		mu.Lock()
		defer mu.Unlock()
		made[string(in.Payload)]++
		return takes(f, in)
	}}
	var log *shardlog.Disk
	var fs *functions
	start := func() {
		t.Helper()
		var err error
		if log, err = shardlog.Open(shardlog.Config{FS: disk, Dir: "log", JournalFileBytes: 1 << 20, MemoryBytes: 4 << 20, Logger: slog.New(slog.DiscardHandler)}); err != nil {
			t.Fatal(err)
		}
		blobs, err := blob.OpenDir(disk, "blobs")
		if err != nil {
			t.Fatal(err)
		}
		fs = &functions{t: t, cfg: lambda.Config{Log: log, Blobs: blobs, Runner: r}}
		fs.start()
	}
	stop := func() {
		fs.Close()
		log.Close()
	}
	start()
	defer func() { stop() }()
	fs.create("f", "")

	accepted := map[string]bool{} // events that were answered with 202; of the one writer
	functionsMade := 0
	var stored, storing mapping.SequenceNumber
	for cycle := range 8 {
		ctx, cancel := context.WithCancel(t.Context())
		var g sync.WaitGroup
		g.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				payload := fmt.Sprintf(`"%d of %d"`, i, cycle)
				if a := fs.do("POST", "/2015-03-31/functions/f/invocations", payload, "X-Amz-Invocation-Type", "Event"); a.status == 202 {
					accepted[payload] = true
				}
			}
		})
		g.Go(func() {
			code := base64.StdEncoding.EncodeToString(zipOf("bootstrap", fmt.Sprint(cycle)))
			for ctx.Err() == nil {
				a := fs.do("POST", "/2015-03-31/functions", fmt.Sprintf(`{"FunctionName":"n%d","Runtime":"provided.al2023","Handler":"b","Role":"arn:aws:iam::%s:role/r","Code":{"ZipFile":"%s"}}`, functionsMade, account, code))
				if a.status == 201 || a.status == 409 { // it may have been made when the power went
					functionsMade++
				}
				fs.do("PUT", "/2015-03-31/functions/f/code", `{"ZipFile":"`+code+`"}`)
			}
		})
		g.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				storing = mapping.SequenceNumber(fmt.Sprintf("%03d%06d", cycle, i))
				if fs.Checkpoints().Store(ctx, "u", mapping.Checkpoint{Shard: "s", Done: storing}) == nil {
					stored = storing
				}
			}
		})
		time.Sleep(time.Duration(2000+rnd.IntN(10000)) * time.Microsecond)
		next := disk.Crash()
		cancel()
		g.Wait()
		stop()
		disk = next
		start()
		for i := range functionsMade {
			if a := fs.do("GET", fmt.Sprintf("/2015-03-31/functions/n%d", i), ""); a.status != 200 {
				t.Fatalf("cut %d: function n%d: %d %s", cycle+1, i, a.status, a.body)
			}
		}
		all, err := fs.Checkpoints().Load(t.Context(), "u")
		if err != nil || stored != "" && (len(all) != 1 || all[0].Done != stored && all[0].Done != storing) {
			t.Fatalf("cut %d: checkpoints %v, %v; stored %s, then %s", cycle+1, all, err, stored, storing)
		}
		if len(all) > 0 {
			stored = all[0].Done // from now on, answered or not
		}
	}
	waitUntil(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		for payload := range accepted {
			if made[payload] == 0 {
				return false
			}
		}
		return true
	})
	r.outcome = func(f *lambda.Function, in *lambda.Invocation) (*lambda.Result, error) {
		code, err := f.Code(context.Background())
		if err == nil {
			_, err = io.Copy(io.Discard, code)
			code.Close()
		}
		if err != nil {
			mu.Lock()
			broken = append(broken, err)
			mu.Unlock()
		}
		return takes(f, in)
	}
	for i := range functionsMade {
		fs.do("POST", fmt.Sprintf("/2015-03-31/functions/n%d/invocations", i), "{}")
	}
	fs.do("POST", "/2015-03-31/functions/f/invocations", "{}")
	if len(broken) > 0 {
		t.Errorf("code: %v", broken)
	}
	again := 0
	for _, n := range made {
		again += n - 1
	}
	t.Logf("%d events were accepted, %d made again; %d functions", len(accepted), again, functionsMade)
}

// waitUntil waits for something that comes to be by itself, at most a minute.
func waitUntil(t *testing.T, so func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come to be")
		}
	}
}
