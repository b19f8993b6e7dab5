package logs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	api "github.com/rheostream/rheo/internal/api/logs"
	"github.com/rheostream/rheo/internal/shardlog"
)

func (b *bench) linesOf(group, stream string) (lines []string) {
	for _, e := range b.all(api.FilterLogEventsInput{LogGroupName: &group, LogStreamNames: []string{stream}}) {
		lines = append(lines, *e.Message)
	}
	return lines
}

// TestWrite: services write into streams that are made for them, each line once and
// in order, with a group that is deleted in between.
func TestWrite(t *testing.T) {
	b := newBench(t, nil)
	var all sync.WaitGroup
	for s := range 8 {
		all.Go(func() {
			stream := fmt.Sprint("s", s)
			for i := range 50 {
				var events []Event
				for _, line := range numbered(stream, 4*i, 4*i+4) {
					events = append(events, Event{b.clock.Wall().Add(time.Duration(i) * time.Millisecond), line})
				}
				events = append(events, Event{b.clock.Wall(), ""}) // nothing
				if err := b.Write(t.Context(), caller.Account, caller.Region, fmt.Sprint("/g/", s%2), stream, events); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if err := b.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for s := range 8 {
		stream := fmt.Sprint("s", s)
		if got := b.linesOf(fmt.Sprint("/g/", s%2), stream); !slices.Equal(got, numbered(stream, 0, 200)) {
			t.Errorf("%s has %q", stream, got)
		}
	}
	b.must("DeleteLogGroup", `{"logGroupName": "/g/0"}`)
	long := strings.Repeat("ü", 700_000) // more than an event may have
	if err := b.Write(t.Context(), caller.Account, caller.Region, "/g/0", "s0", []Event{{b.clock.Wall(), long}}); err != nil {
		t.Fatal(err)
	}
	b.restart() // puts it before
	if got := b.linesOf("/g/0", "s0"); len(got) != 2 || strings.Join(got, "") != long {
		t.Errorf("a long line came in %d parts", len(got))
	}
}

// A stalling log does not take events.
type stalling struct {
	shardlog.Log
	stalled atomic.Bool
}

func (l *stalling) Append(ctx context.Context, puts []shardlog.Put) {
	if l.stalled.Load() {
		for i := range puts {
			puts[i].Err = shardlog.ErrOverloaded
		}
		return
	}
	l.Log.Append(ctx, puts)
}

// TestWriteStalls: while the log takes nothing, no more waits than may; who writes waits
// for as long as it likes, and what was taken is put when the log goes on.
func TestWriteStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log *stalling
		b := newBench(t, func(c *Config) {
			log = &stalling{Log: c.Log}
			c.Log = log
		})
		line := strings.Repeat("x", 100_000)
		write := func(ctx context.Context) error {
			return b.Write(ctx, caller.Account, caller.Region, "g", "s", []Event{{b.clock.Wall(), line}})
		}
		log.stalled.Store(true)
		taken := 0
		for {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			err := write(ctx)
			cancel()
			if errors.Is(err, context.DeadlineExceeded) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if taken++; taken > 100 {
				t.Fatal("it takes everything")
			}
		}
		if want := writeBytesMax / (len(line) + eventOverhead); taken != want {
			t.Errorf("%d lines wait, want %d", taken, want)
		}
		log.stalled.Store(false)
		if err := write(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := b.linesOf("g", "s"); len(got) != taken+1 {
			t.Errorf("%d lines are there, want %d", len(got), taken+1)
		}
	})
}
