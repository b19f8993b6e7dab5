package mapping_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/companion/lambda/mapping"
)

// counter is a function that counts, and all else that an engine needs, as cheap as can be.
type counter struct {
	left atomic.Int64 // records
	done chan struct{}
}

func (c *counter) Invoke(ctx context.Context, arn string, payload []byte) (mapping.Result, error) {
	return mapping.Result{StatusCode: 200}, nil
}
func (c *counter) Load(context.Context, string) ([]mapping.Checkpoint, error) { return nil, nil }
func (c *counter) Store(context.Context, string, ...mapping.Checkpoint) error { return nil }
func (c *counter) Delete(context.Context, string, ...mapping.ShardID) error   { return nil }
func (c *counter) Send(context.Context, string, *mapping.Failure) error       { return nil }
func (c *counter) Processed(string, string)                                   {}
func (c *counter) IteratorAge(string, string, time.Duration)                  {}
func (c *counter) Fault(string, mapping.ShardID, error)                       {}
func (c *counter) Count(_ string, n mapping.Counts) {
	if n.InvokedEvents > 0 && c.left.Add(-n.InvokedEvents) == 0 {
		close(c.done)
	}
}

// BenchmarkBacklog is records through the engine alone, from a backlog of one shard: 1 KB each, batches of 100
// and of 10,000.
func BenchmarkBacklog(b *testing.B) {
	for _, size := range []int{100, 10_000} {
		b.Run(fmt.Sprint("batch ", size), func(b *testing.B) {
			s := newMemStream(1)
			s.limited = false
			data := string(make([]byte, 1000))
			for range b.N {
				s.put("key", data)
			}
			c := &counter{done: make(chan struct{})}
			c.left.Store(int64(b.N))
			e := mapping.New(mapping.Services{Invoker: c, Checkpoints: c, Failures: c, Observer: c}, mapping.Limits{ReadPause: -1})
			cfg := mapping.Config{
				UUID: uuid, FunctionARN: functionARN, StreamARN: streamARN, Region: "us-east-2", BatchSize: size, MaximumRetryAttempts: -1,
				StartingPosition: mapping.Position{Kind: mapping.TrimHorizon},
			}
			b.SetBytes(1000)
			b.ReportAllocs()
			b.ResetTimer()
			if _, err := e.Start(cfg, s); err != nil {
				b.Fatal(err)
			}
			<-c.done
			b.StopTimer()
			if err := e.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
