//go:build linux

package process

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestMayhem: many callers of functions that fail in all ways, under limits that are too
// low, while functions are retired: every event is answered for, and in the end nothing is
// left: no process, no claim, no open file, no goroutine.
func TestMayhem(t *testing.T) { onEachWall(t, mayhem) }

func mayhem(t *testing.T, wall Wall) {
	files, goroutines := openFiles(t), runtime.NumGoroutine()
	r := newRunner(t, func(c *Config) {
		c.Limits = Limits{Instances: 5, InstancesPerFunction: 2, MemoryMiB: 1100, IdleAfter: 50 * time.Millisecond}
		c.Walls, c.Logs = []Wall{wall}, &memorySink{}
		c.Endpoint = mustURL(t, "http://127.0.0.1:4566")
	})
	type kind struct {
		fn     *Function
		event  string
		errors map[string]bool
	}
	kinds := []kind{
		{goFunction(t, "echo"), `"x"`, map[string]bool{"": true}},
		{goFunction(t, "exit"), "1", map[string]bool{"Runtime.ExitError": true}},
		{goFunction(t, "exit-after-answer"), "1", map[string]bool{"": true, "Runtime.ExitError": true}},
		{goFunction(t, "sleep"), "5", map[string]bool{"Sandbox.Timedout": true}},
		{goFunction(t, "init-error"), "1", map[string]bool{"Runtime.NoLuck": true}},
		{goFunction(t, "count"), "1", map[string]bool{"": true}},
	}
	kinds[3].fn.Timeout = 100 * time.Millisecond
	var answered, throttled int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			for range 25 {
				k := kinds[random.IntN(len(kinds))]
				if random.IntN(10) == 0 {
					r.Retire(k.fn.ARN, "")
				}
				result, err := r.Invoke(context.Background(), k.fn, Invocation{RequestID: requestID(), Payload: []byte(k.event)})
				var pause time.Duration
				mu.Lock()
				switch {
				case errors.Is(err, ErrThrottled):
					throttled++
					pause = time.Duration(random.IntN(20)) * time.Millisecond
				case err != nil:
					t.Errorf("%s: %v", k.fn.Handler, err)
				case !k.errors[result.ErrorType]:
					t.Errorf("%s: %s", k.fn.Handler, result.Payload)
				default:
					answered++
				}
				mu.Unlock()
				time.Sleep(pause)
			}
		})
	}
	wg.Wait()
	t.Logf("%d answered, %d throttled", answered, throttled)
	if answered == 0 || throttled == 0 {
		t.Error("that was no mayhem")
	}
	if err := r.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if os.Getuid() == 0 && len(r.users) != r.config.Users.Count || len(r.live) != 0 || len(r.pools) != 0 || r.memoryMiB != 0 {
		t.Errorf("left are %d users, %d instances, %d pools, %d MiB", len(r.users), len(r.live), len(r.pools), r.memoryMiB)
	}
	nothingLeft(t)
	waitFor(t, "files to be closed", func() bool { return openFiles(t) <= files })
	waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines+1 })
}

func openFiles(t *testing.T) int {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}
