package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/spf13/cobra"
)

func newTail() *cobra.Command {
	c := &cobra.Command{
		Use:   "tail STREAM",
		Short: "Print records as they arrive, from all shards",
		Long: "Print the records of all shards in the order of their arrival, and follow the stream through\n" +
			"changes of its shards. Aggregated records (Kinesis Producer Library) are taken apart, gzip and\n" +
			"base64 undone; --no-decode prints what is stored.\n\n" +
			"Output is one of: raw, the data and a line feed; json, a line of JSON with all that is known of\n" +
			"the record; pretty, for people. The default is pretty on a terminal and raw elsewhere.",
		Example: "  rheo tail orders\n" +
			"  rheo tail orders --from 10m -o json | jq .data\n" +
			"  rheo tail orders --from trim-horizon --no-follow > orders.ndjson",
		Args: cobra.ExactArgs(1),
	}
	conn := new(connection)
	conn.flags(c)
	c.ValidArgsFunction = conn.completeStream
	f := c.Flags()
	from := f.String("from", "latest", "`where` to begin: latest, trim-horizon, 10m (ago), or 2026-11-25T12:00:00Z")
	output := f.StringP("output", "o", "", "`form` of output: raw, json or pretty")
	limit := f.IntP("limit", "n", 0, "stop after this many records; 0 is no end")
	noFollow := f.Bool("no-follow", false, "stop when all that was there is printed")
	key := f.StringP("key", "k", "", "print records of this partition `key` only")
	shards := f.StringSlice("shard", nil, "read these `shards` only, and those that come out of them")
	fanOut := f.Bool("fan-out", false, "have records pushed to a consumer that is registered for this run")
	consumer := f.String("consumer", "", "have records pushed to this registered `consumer` (name or ARN)")
	interval := f.Duration("interval", 500*time.Millisecond, "time between reads of a shard that has no more; a shard allows 5 a second, to all readers together")
	noDecode := f.Bool("no-decode", false, "print data as it is stored")
	c.MarkFlagsMutuallyExclusive("fan-out", "consumer")
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, cancel := context.WithCancel(c.Context())
		defer cancel()
		begin, err := parseFrom(*from, time.Now())
		if err != nil {
			return usageError{err}
		}
		switch {
		case *limit < 0:
			return usagef("--limit %d is less than 0", *limit)
		case *interval < 0:
			return usagef("--interval %v is less than 0", *interval)
		}
		if *output == "" {
			*output = "raw"
			if isTerminal(c.OutOrStdout()) {
				*output = "pretty"
			}
		}
		out := bufio.NewWriterSize(c.OutOrStdout(), 64<<10)
		print, err := newPrinter(out, *output, styleOf(c.OutOrStdout()))
		if err != nil {
			return usageError{err}
		}
		k, err := conn.connect(ctx)
		if err != nil {
			return err
		}
		t := &tail{client: k, stream: args[0], interval: max(*interval, 200*time.Millisecond), batches: make(chan batch), shards: map[string]*shardTail{}, follow: !*noFollow, flush: out.Flush}
		t.open, err = k.startingShards(ctx, args[0], begin, *shards)
		if err != nil {
			return err
		}
		t.begin = begin
		if *fanOut || *consumer != "" {
			arn, done, err := k.consumer(ctx, args[0], *consumer)
			if err != nil {
				return err
			}
			defer done()
			t.consumerARN = arn
		}
		printed := 0
		t.emit = func(r *record) error {
			for _, u := range decode(r, !*noDecode, func(err error) {
				fmt.Fprintf(c.ErrOrStderr(), "rheo: %s %s: %v\n", r.shard, r.sequence, err)
			}) {
				if *key != "" && u.key != *key {
					continue
				}
				if err := print(u); err != nil {
					return err
				}
				if printed++; printed == *limit {
					return errEnough
				}
			}
			return nil
		}
		if err := t.run(ctx); !errors.Is(err, errEnough) {
			return err
		}
		return nil
	}
	return c
}

// errEnough ends a tail that has printed what it was asked for.
var errEnough = errors.New("enough")

// A position is where to begin in a shard.
type position struct {
	kind     types.ShardIteratorType
	time     time.Time
	sequence string
}

// parseFrom reads the flag --from.
func parseFrom(s string, now time.Time) (position, error) {
	switch s {
	case "latest":
		return position{kind: types.ShardIteratorTypeLatest}, nil
	case "trim-horizon":
		return position{kind: types.ShardIteratorTypeTrimHorizon}, nil
	}
	at := func(t time.Time) (position, error) {
		return position{kind: types.ShardIteratorTypeAtTimestamp, time: t}, nil
	}
	if d, err := parseAge(s); err == nil && d >= 0 {
		return at(now.Add(-d))
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return at(t)
		}
	}
	if seconds, err := strconv.ParseFloat(s, 64); err == nil && seconds > 1e8 && seconds < 1e11 {
		return at(time.UnixMilli(int64(seconds * 1000)))
	}
	return position{}, fmt.Errorf("--from %q is none of latest, trim-horizon, an age such as 10m or 2d, a time such as 2026-11-25T12:00:00Z", s)
}

// parseAge reads a duration, also in days.
func parseAge(s string) (time.Duration, error) {
	if n := len(s); n > 1 && s[n-1] == 'd' {
		days, err := strconv.ParseFloat(s[:n-1], 64)
		return time.Duration(days * 24 * float64(time.Hour)), err
	}
	return time.ParseDuration(s)
}

// startingShards are the shards that were open at the position: what came out
// of them since is reached through them.
func (c *client) startingShards(ctx context.Context, stream string, from position, only []string) ([]types.Shard, error) {
	filter := &types.ShardFilter{Type: types.ShardFilterTypeAtLatest}
	switch from.kind {
	case types.ShardIteratorTypeTrimHorizon:
		filter.Type = types.ShardFilterTypeAtTrimHorizon
	case types.ShardIteratorTypeAtTimestamp:
		filter.Type, filter.Timestamp = types.ShardFilterTypeAtTimestamp, aws.Time(from.time)
		s, err := c.summary(ctx, stream)
		if err != nil {
			return nil, err
		}
		// Before the stream, or before what it keeps, there are no shards to begin with.
		horizon := time.Now().Add(-time.Duration(aws.ToInt32(s.RetentionPeriodHours)) * time.Hour)
		if from.time.Before(aws.ToTime(s.StreamCreationTimestamp)) || from.time.Before(horizon) {
			filter = &types.ShardFilter{Type: types.ShardFilterTypeAtTrimHorizon}
		}
	}
	if len(only) > 0 {
		filter = nil // those that are named, open or not
	}
	shards, err := c.shards(ctx, stream, filter)
	if err != nil || len(only) == 0 {
		return shards, err
	}
	byID := map[string]types.Shard{}
	for _, s := range shards {
		byID[aws.ToString(s.ShardId)] = s
	}
	var chosen []types.Shard
	for _, id := range only {
		s, ok := byID[shardID(id)]
		if !ok {
			return nil, hintError{fmt.Errorf("stream %s has no shard %s", stream, shardID(id)), "`rheo streams describe " + stream + "` shows its shards."}
		}
		chosen = append(chosen, s)
	}
	return chosen, nil
}

// consumer is the ARN of the named consumer, or of one registered for this run;
// done takes that one away again.
func (c *client) consumer(ctx context.Context, stream, name string) (arn string, done func(), err error) {
	if len(name) > 4 && name[:4] == "arn:" {
		return name, func() {}, nil
	}
	s, err := c.summary(ctx, stream)
	if err != nil {
		return "", nil, err
	}
	done = func() {}
	if name == "" {
		name = fmt.Sprintf("rheo-tail-%d", time.Now().UnixNano())
		out, err := c.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: s.StreamARN, ConsumerName: &name})
		if err != nil {
			return "", nil, err
		}
		done = func() {
			// The tail's own context has ended by now.
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			c.DeregisterStreamConsumer(ctx, &kinesis.DeregisterStreamConsumerInput{ConsumerARN: out.Consumer.ConsumerARN})
		}
	}
	err = c.wait(ctx, "consumer "+name+" is not ACTIVE", func() (bool, error) {
		out, err := c.DescribeStreamConsumer(ctx, &kinesis.DescribeStreamConsumerInput{StreamARN: s.StreamARN, ConsumerName: &name})
		if err != nil {
			return false, err
		}
		arn = aws.ToString(out.ConsumerDescription.ConsumerARN)
		return out.ConsumerDescription.ConsumerStatus == types.ConsumerStatusActive, nil
	})
	if err != nil {
		done()
	}
	return arn, done, err
}
