package main

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// loop is a closed loop: each connection sends its requests in turn, the next
// when the last was answered.
type loop struct {
	addr     string
	requests [][][]byte // per connection
	units    int        // records in each request or answer
	// check looks at an answer; its error counts the request as failed.
	check func(response) error
	// bodyMax is how much of an answer check gets to see.
	bodyMax int
	// served is called after each good answer, by the connection's goroutine.
	served func()

	warmUp, least time.Duration
	// most bounds the run while until is not yet met.
	most  time.Duration
	until func() bool // asked five times a second from the start; nil: least is enough
	// begun is called when the clock starts, ending when it stops, with requests still under way.
	begun, ending func()
}

type loopResult struct {
	took      time.Duration
	requests  int64
	failed    int64
	firstErr  error
	latencies []time.Duration // sorted
	perSecond float64         // units
	cpu       float64         // our share of the machine
}

func (r loopResult) percentile(p float64) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	return r.latencies[min(len(r.latencies)-1, int(float64(len(r.latencies))*p))]
}

func (l *loop) run() (loopResult, error) {
	conns := make([]*conn, len(l.requests))
	for i := range conns {
		c, err := dial(l.addr)
		if err != nil {
			return loopResult{}, err
		}
		defer c.close()
		conns[i] = c
	}
	var (
		measuring, stopped atomic.Bool
		res                loopResult
		mu                 sync.Mutex // guards res
		wg                 sync.WaitGroup
	)
	for i, c := range conns {
		wg.Go(func() {
			var mine []time.Duration
			var failed int64
			var firstErr error
			buf := make([]byte, max(512, l.bodyMax))
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				res.latencies = append(res.latencies, mine...)
				res.failed += failed
				if res.firstErr == nil {
					res.firstErr = firstErr
				}
			}()
			for n := 0; !stopped.Load(); n++ {
				began := time.Now()
				rsp, err := c.do(l.requests[i][n%len(l.requests[i])], buf)
				if err == nil {
					if rsp.status != 200 {
						err = fmt.Errorf("status %d: %.200s", rsp.status, rsp.head)
					} else {
						err = l.check(rsp)
					}
				}
				if err != nil {
					failed++
					if firstErr == nil {
						firstErr = err
					}
					if rsp.status == 0 { // the connection is gone
						return
					}
					continue
				}
				if l.served != nil {
					l.served()
				}
				if measuring.Load() {
					mine = append(mine, time.Since(began))
				}
			}
		})
	}
	time.Sleep(l.warmUp)
	if l.begun != nil {
		l.begun()
	}
	cpu := startCPUMeter()
	began := time.Now()
	measuring.Store(true)
	for {
		enough := l.until == nil || l.until()
		ran := time.Since(began)
		if enough && ran >= l.least || ran >= max(l.least, l.most) {
			break
		}
		time.Sleep(min(200*time.Millisecond, max(l.least-ran, time.Millisecond)))
	}
	measuring.Store(false)
	res.took, res.cpu = time.Since(began), cpu.share()
	if l.ending != nil {
		l.ending()
	}
	stopped.Store(true)
	wg.Wait()
	slices.Sort(res.latencies)
	res.requests = int64(len(res.latencies))
	res.perSecond = float64(res.requests) * float64(l.units) / res.took.Seconds()
	if res.requests == 0 {
		return res, fmt.Errorf("no request succeeded: %w", errorOr(res.firstErr))
	}
	return res, nil
}

func errorOr(err error) error {
	if err == nil {
		return fmt.Errorf("none was answered in time")
	}
	return err
}
