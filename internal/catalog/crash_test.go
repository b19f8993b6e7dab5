package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestCrashes cuts the power at random moments while commands and snapshots are
// written: what was committed is there, what was refused is not, and no command
// is done in part. CATALOG_CYCLES=n makes n cuts and stops with another seed.
func TestCrashes(t *testing.T) {
	cycles, seed := 60, uint64(1)
	if n, err := strconv.Atoi(os.Getenv("CATALOG_CYCLES")); err == nil {
		cycles, seed = n, uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
	}
	rnd := rand.New(rand.NewPCG(seed, 0))
	m := newMachine(t, seed, 3000)
	const writers = 4
	var done [writers]int // the last number that each has seen committed
	var tried [writers]int
	for cycle := range cycles {
		ctx, cancel := context.WithCancel(t.Context())
		c := m.Catalog
		var g sync.WaitGroup
		for i := range writers {
			g.Go(func() {
				for ctx.Err() == nil {
					tried[i]++
					// Two documents that belong together, and one that only some commands have.
					txn := write(fmt.Sprint("w/", i, "/a"), tried[i])
					txn.Write[fmt.Sprint("w/", i, "/b")] = json.RawMessage(strconv.Itoa(tried[i]))
					txn.Write[fmt.Sprint("w/", i, "/", tried[i]%5)] = json.RawMessage([]string{"null", `"` + strings.Repeat("y", 50) + `"`}[tried[i]%2])
					if c.Commit(ctx, txn) == nil {
						done[i] = tried[i]
					}
				}
			})
		}
		moment := func() { time.Sleep(time.Duration(rnd.IntN(4000)) * time.Microsecond) }
		moment()
		switch rnd.IntN(4) {
		case 0: // a clean stop
			cancel()
			g.Wait()
			m.stop()
		case 1: // the power goes while the machine stops
			cancel()
			g.Wait()
			g.Go(m.stop)
			moment()
			next := m.fs.Crash()
			g.Wait()
			m.fs = next
		default: // the power goes while it works
			next := m.fs.Crash()
			cancel()
			g.Wait()
			m.stop()
			m.fs = next
		}
		if err := m.start(); err != nil {
			t.Fatalf("cut %d: %v", cycle+1, err)
		}
		for i := range writers {
			a, _, _ := m.Get(fmt.Sprint("w/", i, "/a"))
			b, _, _ := m.Get(fmt.Sprint("w/", i, "/b"))
			n, _ := strconv.Atoi(string(a))
			if string(a) != string(b) || n < done[i] || n > tried[i] {
				t.Fatalf("cut %d: writer %d has %s and %s; %d was committed, %d tried", cycle+1, i, a, b, done[i], tried[i])
			}
		}
	}
	if have := m.have(); len(have) < 1 || len(have) > 3 {
		t.Errorf("%d snapshots", len(have))
	}
	t.Logf("committed %v", done)
}
