package mapping

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is how long to wait after some tries in a row failed: first, then twice
// as long each time up to most, 20 % more or less so that shards part ways.
type backoff struct {
	first, most time.Duration
}

var (
	functionBackoff = backoff{200 * time.Millisecond, 60 * time.Second} // function errors
	invokeBackoff   = backoff{200 * time.Millisecond, 20 * time.Second} // throttles, service errors
	readBackoff     = backoff{250 * time.Millisecond, 10 * time.Second}
	storeBackoff    = backoff{100 * time.Millisecond, 10 * time.Second}
	sendBackoff     = backoff{time.Second, 5 * time.Second}
)

// gonePause is how often a stream or function that is not there is looked for.
const gonePause = 10 * time.Second

func (b backoff) after(failures int) time.Duration {
	d := b.most
	if n := failures - 1; n < 20 {
		d = min(b.most, b.first<<max(0, n))
	}
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// sleep waits; an error if ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
