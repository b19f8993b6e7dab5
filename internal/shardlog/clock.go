package shardlog

import (
	"log/slog"
	"sync"
	"time"
)

// Clock is what the log reads time from.
type Clock interface {
	Wall() time.Time          // may jump
	Monotonic() time.Duration // since some fixed moment; never goes back
}

type systemClock struct{ start time.Time }

func (c systemClock) Wall() time.Time          { return time.Now().Round(0) }
func (c systemClock) Monotonic() time.Duration { return time.Since(c.start) }

const (
	slewPerMillion = 500
	clockStep      = time.Second
)

// slewedClock runs with the monotonic clock and is drawn towards the wall clock
// by at most 500 parts per million: a jump of the wall clock neither freezes
// arrival times nor reorders them.
type slewedClock struct {
	source Clock
	log    *slog.Logger

	mu       sync.Mutex // guards all below
	now      time.Time
	mono     time.Duration
	wall     time.Time
	residual int64 // nanoseconds times a million of slew not yet applied
	steps    uint64
}

func newSlewedClock(source Clock, log *slog.Logger) *slewedClock {
	w := source.Wall().Round(0)
	return &slewedClock{source: source, log: log, now: w, wall: w, mono: source.Monotonic()}
}

func (c *slewedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	mono, wall := c.source.Monotonic(), c.source.Wall().Round(0)
	passed := mono - c.mono
	if passed < 0 {
		passed = 0
	}
	if step := wall.Sub(c.wall) - passed; step > clockStep || step < -clockStep {
		c.steps++
		c.log.Warn("the wall clock jumped; arrival times follow it slowly", "step", step, "now", c.now.Add(passed), "wall", wall)
	}
	c.mono, c.wall = mono, wall
	c.now = c.now.Add(passed)
	// Calls come nanoseconds apart, so the parts per million are saved up.
	c.residual += int64(passed) * slewPerMillion
	budget := time.Duration(c.residual / 1e6)
	switch gap := wall.Sub(c.now); {
	case gap >= -budget && gap <= budget:
		c.now = wall
		c.residual = 0
	case gap > 0:
		c.now = c.now.Add(budget)
		c.residual -= int64(budget) * 1e6
	default:
		c.now = c.now.Add(-budget)
		c.residual -= int64(budget) * 1e6
	}
	return c.now
}

func (c *slewedClock) stepCount() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.steps
}
