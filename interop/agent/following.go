package main

import (
	"context"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// A following knows how far the slow stream has its sources: their writers wait for it
// before they do what makes lines unreachable that the agent has not seen.
type following struct {
	mu   sync.Mutex
	came map[int]map[int]bool // by source: numbers that came before one below them
	next map[int]int          // by source: all below have come
	err  error
}

// follow reads the slow stream as it grows, until ctx ends.
func follow(ctx context.Context, client *kinesis.Client, all []*source, began time.Time) *following {
	f := &following{came: map[int]map[int]bool{}, next: map[int]int{}}
	for i := range all {
		f.came[i] = map[int]bool{}
	}
	go func() {
		err := readShard(ctx, client, slowStream, "shardId-000000000000", func(out *kinesis.GetRecordsOutput) (bool, error) {
			f.mu.Lock()
			for _, r := range out.Records {
				i, n, ok := find(all, r.Data)
				if ok && n >= f.next[i] {
					f.came[i][n] = true
				}
				for f.came[i][f.next[i]] {
					delete(f.came[i], f.next[i])
					f.next[i]++
				}
			}
			f.mu.Unlock()
			select {
			case <-ctx.Done():
			case <-time.After(250 * time.Millisecond): // a shard is read five times a second at most
			}
			return ctx.Err() == nil, nil
		})
		f.mu.Lock()
		f.err = err
		f.mu.Unlock()
	}()
	return f
}

// await waits until the first n records of source i have come. It reports false if ctx ends before.
func (f *following) await(ctx context.Context, i, n int) (bool, error) {
	for ctx.Err() == nil {
		f.mu.Lock()
		enough, err := f.next[i] >= n, f.err
		f.mu.Unlock()
		if enough || err != nil && ctx.Err() == nil {
			return enough, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return false, nil
}
