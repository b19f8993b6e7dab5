// Command agent has rheo agent send what ten writers append to files that are rotated
// in every way, kills it again and again, and reads the streams back: every line is
// there, whole and as its flow converts it, and no line is there twice but those that
// were on their way when the agent was killed.
//
//	agent -rheo binary [-rate 50] [-shards 64] [-calm 10s] [-kills 60]
//
// First the agent runs undisturbed for a while and is asked to end; then it lives
// for a fifth of a second to two seconds, and is killed, or now and then asked to end.
// Asked to end it sends what it read, so that nothing comes twice of it. A last run
// sends the rest. The limits of the shards hold: 64 take 64 MiB a second.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go/logging"
)

const (
	wideStream = "interop-agent"
	slowStream = "interop-agent-slow" // one shard, of the files whose writers wait for what is in it
	limit      = 14 * time.Minute
)

// options of a run.
type options struct {
	binary string
	rate   float64 // bytes a second of all writers
	shards int
	calm   time.Duration
	kills  int
	seed   uint64
}

func main() {
	var o options
	flag.StringVar(&o.binary, "rheo", "rheo", "the binary")
	rate := flag.Float64("rate", 50, "megabytes a second that are written")
	flag.IntVar(&o.shards, "shards", 64, "shards of the stream")
	flag.DurationVar(&o.calm, "calm", 10*time.Second, "how long the agent runs before it is disturbed")
	flag.IntVar(&o.kills, "kills", 60, "how often it is ended")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of the moments that it is ended and files are rotated at")
	flag.Parse()
	o.rate = *rate * 1e6
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Println("MISMATCH", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	fmt.Printf("seed %d\n", o.seed)
	dir, err := os.MkdirTemp("", "rheo-agent-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cfg, err := config.LoadDefaultConfig(ctx, config.WithLogger(logging.Nop{}), config.WithRetryer(func() aws.Retryer { // the reader waits out the limits of its shards
		return retry.NewStandard(func(r *retry.StandardOptions) {
			r.MaxAttempts, r.MaxBackoff, r.RateLimiter = 20, 2*time.Second, unlimited{}
		})
	}))
	if err != nil {
		return err
	}
	client := kinesis.NewFromConfig(cfg)
	for name, shards := range map[string]int{wideStream: o.shards, slowStream: 1} {
		if err := create(ctx, client, name, shards); err != nil {
			return err
		}
	}
	all, err := newSources(filepath.Join(dir, "logs"))
	if err != nil {
		return err
	}
	agent, err := newAgent(o.binary, dir, all)
	if err != nil {
		return err
	}
	began := time.Now()
	seen := follow(ctx, client, all, began)
	writing, stopWriting := context.WithCancel(ctx)
	defer stopWriting()
	written := startWriters(writing, all, o, seen)
	if err := agent.disturb(ctx, o); err != nil {
		return err
	}
	stopWriting()
	if err := <-written; err != nil {
		return err
	}
	took := time.Since(began)
	lines, bytes := totals(all)
	fmt.Printf("%d records, %.0f MB written in %.1f s, %.1f MB/s; files were rotated %d times\n", lines, float64(bytes)/1e6, took.Seconds(), float64(bytes)/1e6/took.Seconds(), rotations(all))
	last := time.Now()
	if err := agent.runOnce(ctx); err != nil {
		return err
	}
	fmt.Printf("the last run sent the rest in %.1f s\n", time.Since(last).Seconds())
	agent.tell()

	report := newReport(all, began)
	for _, name := range []string{wideStream, slowStream} {
		if err := readAll(ctx, client, name, report); err != nil {
			return err
		}
	}
	if err := report.check(agent.kills); err != nil {
		return errors.Join(err, agent.checkLog())
	}
	fmt.Println(report)
	return errors.Join(agent.checkLog(), checkMetrics(ctx, cloudwatch.NewFromConfig(cfg), report.taken))
}

// unlimited lets a client that waits for its shards retry as often as it must.
type unlimited struct{}

func (unlimited) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}
func (unlimited) AddTokens(uint) error { return nil }

func create(ctx context.Context, client *kinesis.Client, name string, shards int) error {
	if _, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &name, ShardCount: aws.Int32(int32(shards))}); err != nil {
		return err
	}
	for {
		out, err := client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &name})
		if err != nil {
			return err
		}
		if out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// disturb runs the agent undisturbed, and then ends it o.kills times.
func (a *agent) disturb(ctx context.Context, o options) error {
	rng := rand.New(rand.NewPCG(o.seed, 1))
	lives := []time.Duration{o.calm}
	for range o.kills {
		lives = append(lives, 200*time.Millisecond+rand.N(1800*time.Millisecond))
	}
	for i, life := range lives {
		p, err := a.start(ctx)
		if err != nil {
			return err
		}
		select {
		case <-p.ended:
			return fmt.Errorf("the agent ended by itself: %w", p.failure())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(life):
		}
		how := syscall.SIGKILL
		if i == 0 || rng.IntN(8) == 0 {
			how = syscall.SIGTERM
		}
		if err := a.end(p, how); err != nil {
			return err
		}
	}
	return nil
}
