package shardlog_test

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/shardlog/shardlogtest"
	"github.com/rheostream/rheo/internal/vfs"
)

// manualClock goes on by the system's clock and by what it is told.
type manualClock struct {
	start time.Time
	mu    sync.Mutex
	extra time.Duration
}

func (c *manualClock) Monotonic() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.start) + c.extra
}
func (c *manualClock) Wall() time.Time { return c.start.Add(c.Monotonic()) }
func (c *manualClock) advance(d time.Duration) {
	c.mu.Lock()
	c.extra += d
	c.mu.Unlock()
}

var quiet = slog.New(slog.DiscardHandler)

func TestContractMemory(t *testing.T) {
	c := &manualClock{start: time.Now()}
	shardlogtest.Run(t, shardlogtest.Fixture{
		Open:    func(t *testing.T) shardlog.Log { return shardlog.NewMemoryWithClock(c) },
		Advance: c.advance,
	})
}

// Once with all in memory and the journal; once with so little room that records
// pass through small segments and recycled journal files.
func TestContractDisk(t *testing.T) {
	for name, base := range map[string]shardlog.Config{
		"Default": {},
		"Small":   {JournalFileBytes: 256 << 10, MemoryBytes: 1 << 20, SegmentBytes: 8 << 10, OpenFilesMax: 4},
	} {
		t.Run(name, func(t *testing.T) {
			c := &manualClock{start: time.Now()}
			dirs := map[shardlog.Log]shardlog.Config{}
			open := func(t *testing.T, cfg shardlog.Config) shardlog.Log {
				l, err := shardlog.Open(cfg)
				if err != nil {
					t.Fatal(err)
				}
				dirs[l] = cfg
				return l
			}
			shardlogtest.Run(t, shardlogtest.Fixture{
				Open: func(t *testing.T) shardlog.Log {
					cfg := base
					cfg.FS, cfg.Dir, cfg.Logger, cfg.Clock = vfs.OS(), t.TempDir(), quiet, c
					return open(t, cfg)
				},
				Reopen: func(t *testing.T, l shardlog.Log) shardlog.Log {
					if err := l.Close(); err != nil {
						t.Fatal(err)
					}
					return open(t, dirs[l])
				},
				Advance: c.advance,
			})
		})
	}
}
