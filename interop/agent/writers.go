package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	step     = 10 * time.Millisecond // between writes
	writeMax = 1 << 20               // bytes at once, by a writer that is behind
)

// startWriters writes at the rate of o until ctx ends. The channel tells how it went.
func startWriters(ctx context.Context, all []*source, o options, seen *following) <-chan error {
	done := make(chan error, 1)
	errs := make([]error, len(all))
	var writers sync.WaitGroup
	for i, s := range all {
		writers.Go(func() {
			if err := s.run(ctx, i, o.rate*s.share, rand.New(rand.NewPCG(o.seed, uint64(i)+100)), seen); err != nil {
				errs[i] = fmt.Errorf("the writer of %s: %w", s.name, err)
			}
		})
	}
	go func() {
		writers.Wait()
		done <- errors.Join(errs...)
	}()
	return done
}

// run writes records, and rotates the file at random moments, once in two seconds.
func (s *source) run(ctx context.Context, i int, rate float64, rng *rand.Rand, seen *following) error {
	began := time.Now()
	var b []byte
	kept := 0 // bytes at the end of b that are a part of a line, and wait
	put := func(size int) error {
		for ; len(b) < size; s.written++ {
			b = s.write(b, s.written)
		}
		kept = 0
		if s.unbound && len(b) > 0 && ctx.Err() == nil {
			kept = rng.IntN(min(len(b), 500))
		}
		n, err := s.current.Write(b[:len(b)-kept])
		s.bytes += int64(n)
		b = append(b[:0], b[n:]...)
		return err
	}
	tick := time.NewTicker(step)
	defer tick.Stop()
	next := time.Now().Add(time.Second + rand.N(2*time.Second))
	for ctx.Err() == nil {
		due := min(int64(rate*time.Since(began).Seconds())-s.bytes, writeMax)
		if due > 0 {
			if err := put(int(due)); err != nil {
				return err
			}
		}
		if s.rotate != nil && time.Now().After(next) {
			next = time.Now().Add(500*time.Millisecond + time.Duration(rng.Int64N(int64(3*time.Second))))
			if s.wait != nil {
				if came, err := seen.await(ctx, i, s.wait(s)); err != nil {
					return err
				} else if !came {
					break // the file stays as it is
				}
			}
			if err := s.rotate(s, func() error { return put(1000) }); err != nil {
				return err
			}
			s.rotations++
			s.first = s.written
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return errors.Join(put(0), s.current.Close())
}
