package main

import (
	"context"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// A following knows how far the slow stream has its source: the writer truncates the
// file when all that it wrote is there.
type following struct {
	mu   sync.Mutex
	came map[int]bool // numbers that came before one below them
	next int          // all below have come
	err  error
}

// follow reads the slow stream as it grows, until ctx ends.
func follow(ctx context.Context, client *kinesis.Client, all []*source, began time.Time) *following {
	f := &following{came: map[int]bool{}}
	go func() {
		err := readShard(ctx, client, slowStream, "shardId-000000000000", func(out *kinesis.GetRecordsOutput) (bool, error) {
			f.mu.Lock()
			for _, r := range out.Records {
				if _, n, ok := find(all, r.Data); ok {
					f.came[n] = true
				}
			}
			for f.came[f.next] {
				delete(f.came, f.next)
				f.next++
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

// await waits until the first n records have come. It reports false if ctx ends before.
func (f *following) await(ctx context.Context, n int) (bool, error) {
	for ctx.Err() == nil {
		f.mu.Lock()
		enough, err := f.next >= n, f.err
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
