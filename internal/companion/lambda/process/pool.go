//go:build linux

package process

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// acquire returns an instance of fn for one event: an idle one, or a new one (fresh)
// that is still to begin. The caller owns an entry of inFlight with it. Where a limit
// stands in the way, the idle instance that was not used for longest goes first.
func (r *Runner) acquire(ctx context.Context, fn *Function) (in *instance, fresh bool, err error) {
	return r.acquireOf(ctx, fn, true)
}

func (r *Runner) acquireOf(ctx context.Context, fn *Function, idleToo bool) (in *instance, fresh bool, err error) {
	for {
		in, fresh, idlest, err := r.tryAcquire(fn, idleToo)
		if err == nil {
			if fresh {
				if err := r.prepare(in); err != nil {
					r.inFlight.Done()
					return nil, false, err
				}
			}
			return in, fresh, nil
		}
		if idlest == nil {
			return nil, false, err
		}
		idlest.end(endedIdle)
		select {
		case <-idlest.freed:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// tryAcquire is acquire, as far as it goes without waiting: with ErrThrottled comes
// the idle instance that should be ended before trying again, if there is one.
func (r *Runner) tryAcquire(fn *Function, idleToo bool) (in *instance, fresh bool, idlest *instance, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed && idleToo {
		return nil, false, nil, ErrClosed
	}
	p := r.pools[fn.key()]
	if p == nil {
		p = &pool{}
		r.pools[fn.key()] = p
	}
	for idleToo && len(p.idle) > 0 {
		in := p.idle[len(p.idle)-1]
		r.unlist(in)
		if in.alive() {
			in.busy = true
			r.inFlight.Add(1)
			return in, false, nil, nil
		}
		in.end(endedIdle)
	}
	own := r.isolation.Wall == WallNamespaces || r.isolation.Wall == WallLandlock && os.Geteuid() == 0
	switch {
	case p.live >= r.limits.InstancesPerFunction, r.memoryMiB-r.idleMemoryMiB()+fn.MemoryMiB > r.limits.MemoryMiB:
		r.dropEmpty(fn.key())
		return nil, false, nil, ErrThrottled // the idle ones' room would not do
	case len(r.live) >= r.limits.Instances, r.memoryMiB+fn.MemoryMiB > r.limits.MemoryMiB, own && len(r.users) == 0:
		r.dropEmpty(fn.key())
		return nil, false, r.takeIdlest(), ErrThrottled
	}
	in = &instance{r: r, fn: fn, limits: &r.limits, stream: newStream(fn), busy: true,
		gone: make(chan struct{}), freed: make(chan struct{}),
		ready: make(chan struct{}), initFailure: make(chan answer, 1)}
	if own {
		in.user = r.users[len(r.users)-1]
		r.users = r.users[:len(r.users)-1]
	}
	p.live++
	r.live[in] = struct{}{}
	r.memoryMiB += fn.MemoryMiB
	r.inFlight.Add(1)
	return in, true, nil, nil
}

// prepare gives a new instance its log.
func (r *Runner) prepare(in *instance) (err error) {
	queue := newLogQueue(r.config.Logs, LogTarget{in.fn.Account, in.fn.Region, in.fn.logGroup(), in.stream}, r.limits.LogQueueBytes, func(err error) {
		r.logger.Warn("lines of a function's log are lost", "function", in.fn.ARN, "error", err)
	})
	if queue != nil {
		r.delivering.Go(func() { <-queue.gone })
	}
	in.log, in.logEnd, err = newInstanceLog(queue)
	if err != nil {
		in.log = &instanceLog{out: queue}
		r.discard(in)
	}
	return err
}

// replace ends an instance and returns a fresh one in its stead. The caller keeps its
// entry of inFlight; on an error it is to end the invocation with it.
func (r *Runner) replace(ctx context.Context, fn *Function, in *instance) (*instance, error) {
	r.discard(in)
	next, _, err := r.acquireOf(ctx, fn, false)
	if err == nil {
		r.inFlight.Done() // one is enough
	}
	return next, err
}

// discard ends an instance that is done with its invocation, and waits until its claims
// are free.
func (r *Runner) discard(in *instance) {
	r.mu.Lock()
	in.busy = false
	r.mu.Unlock()
	in.end(endedError)
	if in.kept.Load() == nil {
		r.free(in) // it has not come to be
	}
	<-in.freed
	in.log.close() // it may have been freed before, in the midst of the invocation
}

// free ends an instance's claims: it is gone, or has not come to be. Its log ends now,
// or with the invocation that is still to be concluded.
func (r *Runner) free(in *instance) {
	in.freeOnce.Do(func() {
		if in.release != nil {
			in.release()
		}
		if in.temp != "" {
			if err := os.RemoveAll(in.temp); err != nil {
				r.logger.Warn("cannot remove a function's temporary files", "directory", in.temp, "error", err)
			}
		}
		if in.logEnd != nil {
			in.logEnd.Close() // launch may not have come to it
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.unlist(in)
		delete(r.live, in)
		r.memoryMiB -= in.fn.MemoryMiB
		if in.user != 0 {
			r.users = append(r.users, in.user)
		}
		if p := r.pools[in.fn.key()]; p != nil {
			p.live--
			r.dropEmpty(in.fn.key())
		}
		close(in.freed)
		if !in.busy {
			in.log.close()
		}
	})
}

// giveBack makes an instance idle after an invocation.
func (r *Runner) giveBack(in *instance) {
	r.mu.Lock()
	in.busy = false
	in.idleSince = time.Now()
	keep := in.alive() && !in.retired && !r.closed
	if keep {
		p := r.pools[in.fn.key()]
		p.idle = append(p.idle, in)
		in.listed = true
	}
	select {
	case <-in.freed:
		in.log.close()
	default:
	}
	r.mu.Unlock()
	if keep {
		return
	}
	in.end(endedIdle)
	if in.kept.Load() == nil {
		r.free(in) // it has not come to be
	}
}

// unlist takes an instance out of its pool's idle ones. The caller holds mu.
func (r *Runner) unlist(in *instance) {
	if !in.listed {
		return
	}
	in.listed = false
	p := r.pools[in.fn.key()]
	if i := slices.Index(p.idle, in); i >= 0 {
		p.idle = slices.Delete(p.idle, i, i+1)
	}
}

// dropEmpty forgets a pool without instances. The caller holds mu.
func (r *Runner) dropEmpty(key functionKey) {
	if p := r.pools[key]; p != nil && p.live == 0 {
		delete(r.pools, key)
	}
}

// idleMemoryMiB is the memory of idle instances. The caller holds mu.
func (r *Runner) idleMemoryMiB() (sum int) {
	for in := range r.live {
		if in.listed {
			sum += in.fn.MemoryMiB
		}
	}
	return sum
}

// takeIdlest unlists the idle instance that was not used for longest. The caller holds mu.
func (r *Runner) takeIdlest() *instance {
	var idlest *instance
	for in := range r.live {
		if in.listed && (idlest == nil || in.idleSince.Before(idlest.idleSince)) {
			idlest = in
		}
	}
	if idlest != nil {
		r.unlist(idlest)
	}
	return idlest
}

// watch looks after all instances: their memory, what they have on disk, and how long
// they are idle.
func (r *Runner) watch() {
	tick := time.NewTicker(hurryInterval)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-r.stop:
			return
		case <-tick.C:
		}
		often, seldom := n%int(sampleInterval/hurryInterval) == 0, n%int(idleInterval/hurryInterval) == 0
		var look, old, all []*instance
		r.mu.Lock()
		for in := range r.live {
			all = append(all, in)
			switch {
			case in.listed && time.Since(in.idleSince) > r.limits.IdleAfter:
				r.unlist(in)
				old = append(old, in)
			case seldom, in.busy && (often || in.hurry.Load()):
				look = append(look, in)
			}
		}
		r.mu.Unlock()
		for _, in := range old {
			in.end(endedIdle)
		}
		for _, in := range look {
			in.sample()
			if seldom && in.kept.Load() != nil && in.temp != "" && diskBytes(in.temp, r.limits.TempBytes) > r.limits.TempBytes {
				in.end(endedDisk)
			}
		}
		if often && r.isolation.Wall != WallLandlock {
			r.limitTempMemory(all)
		}
	}
}

// limitTempMemory ends the instance with the largest /tmp when all together have too much:
// they are in memory, and few functions use what each may.
func (r *Runner) limitTempMemory(all []*instance) {
	var sum, most int64
	var largest *instance
	for _, in := range all {
		k := in.kept.Load()
		if k == nil {
			continue
		}
		var fs unix.Statfs_t
		if unix.Statfs("/proc/"+strconv.Itoa(k.pid)+"/root/tmp", &fs) != nil {
			continue // it has ended
		}
		n := int64(fs.Blocks-fs.Bfree) * fs.Bsize
		if sum += n; n > most {
			most, largest = n, in
		}
	}
	if sum > r.limits.TempMemoryBytes {
		largest.end(endedTempMemory)
	}
}

// diskBytes adds up the blocks of what is below dir, until there is more than enough.
func diskBytes(dir string, enough int64) (sum int64) {
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		sum += blocksOf(info)
		if sum > enough {
			return filepath.SkipAll
		}
		return nil
	})
	return sum
}

func quoteJSON(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// messageOf is the errorMessage of an error's JSON.
func messageOf(payload []byte) string {
	var e struct{ ErrorMessage string }
	json.Unmarshal(payload, &e)
	return e.ErrorMessage
}

// blocksOf is the space that a file takes on disk.
func blocksOf(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}
