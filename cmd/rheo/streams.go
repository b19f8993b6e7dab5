package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/spf13/cobra"
)

func newStreams() *cobra.Command {
	c := &cobra.Command{Use: "streams", Short: "List, create, describe, reshard and delete streams", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	conn := new(connection)
	conn.flags(c)
	c.AddCommand(newStreamsList(conn), newStreamsCreate(conn), newStreamsDescribe(conn), newStreamsReshard(conn), newStreamsDelete(conn))
	return c
}

// summary describes a stream without its shards.
func (c *client) summary(ctx context.Context, stream string) (*types.StreamDescriptionSummary, error) {
	name, arn := streamRef(stream)
	out, err := c.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: name, StreamARN: arn})
	if err != nil {
		return nil, err
	}
	return out.StreamDescriptionSummary, nil
}

// shards lists the shards that filter leaves, all without one, by their ids.
func (c *client) shards(ctx context.Context, stream string, filter *types.ShardFilter) ([]types.Shard, error) {
	var all []types.Shard
	in := &kinesis.ListShardsInput{ShardFilter: filter}
	in.StreamName, in.StreamARN = streamRef(stream)
	for {
		out, err := c.ListShards(ctx, in)
		if err != nil {
			return nil, err
		}
		all = append(all, out.Shards...)
		if out.NextToken == nil {
			return all, nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
}

// waitActive waits until the stream is ACTIVE.
func (c *client) waitActive(ctx context.Context, stream string) error {
	return c.wait(ctx, fmt.Sprintf("stream %s is not ACTIVE", stream), func() (bool, error) {
		s, err := c.summary(ctx, stream)
		return err == nil && s.StreamStatus == types.StreamStatusActive, err
	})
}

// waitGone waits until there is no such stream.
func (c *client) waitGone(ctx context.Context, stream string) error {
	return c.wait(ctx, fmt.Sprintf("stream %s is still there", stream), func() (bool, error) {
		_, err := c.summary(ctx, stream)
		var gone *types.ResourceNotFoundException
		if errors.As(err, &gone) {
			return true, nil
		}
		return false, err
	})
}

// waitMax is how long a command waits for the server to do as it was told.
const waitMax = 10 * time.Minute

func (c *client) wait(ctx context.Context, otherwise string, done func() (bool, error)) error {
	deadline := time.Now().Add(waitMax)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s after %v", otherwise, waitMax)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// completeStream completes the first argument to a stream's name, if the server
// answers while a person would wait.
func (c *connection) completeStream(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
	defer cancel()
	k, err := c.connect(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	pages := kinesis.NewListStreamsPaginator(k, &kinesis.ListStreamsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			break
		}
		for _, name := range page.StreamNames {
			if strings.HasPrefix(name, begun) {
				names = append(names, name)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func mode(m *types.StreamModeDetails) string {
	if m != nil && m.StreamMode == types.StreamModeOnDemand {
		return "on-demand"
	}
	return "provisioned"
}

func day(t *time.Time) string {
	if t == nil {
		return ""
	}
	return aws.ToTime(t).UTC().Format("2006-01-02T15:04:05Z")
}
