package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/spf13/cobra"
)

func newStreamsReshard(conn *connection) *cobra.Command {
	c := &cobra.Command{
		Use:   "reshard NAME [COUNT]",
		Short: "Change the number of shards, split one, or merge two",
		Long: "Change the number of shards of a provisioned stream to COUNT, all of one size; or split one\n" +
			"shard; or merge two neighbours. Shards may be named by number: 3 is shardId-000000000003.\n" +
			"One call at most doubles the number of open shards, or halves it.",
		Example: "  rheo streams reshard orders 8\n" +
			"  rheo streams reshard orders --split 3\n" +
			"  rheo streams reshard orders --merge 4,5",
		Args: cobra.RangeArgs(1, 2),
	}
	split := c.Flags().String("split", "", "split this `shard`")
	at := c.Flags().String("at", "", "with --split: first hash key of the second child (default the middle)")
	merge := c.Flags().String("merge", "", "merge these two neighbouring `shards`, A,B")
	noWait := c.Flags().Bool("no-wait", false, "return as soon as the server has taken the order")
	c.MarkFlagsMutuallyExclusive("split", "merge")
	c.ValidArgsFunction = conn.completeStream
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, stream := c.Context(), args[0]
		ways := 0
		for _, given := range []bool{len(args) == 2, *split != "", *merge != ""} {
			if given {
				ways++
			}
		}
		if ways != 1 {
			return usagef("give one of COUNT, --split SHARD and --merge A,B")
		}
		if *at != "" && *split == "" {
			return usagef("--at goes with --split")
		}
		k, err := conn.connect(ctx)
		if err != nil {
			return err
		}
		switch {
		case *split != "":
			err = k.split(ctx, stream, shardID(*split), *at)
		case *merge != "":
			err = k.merge(ctx, stream, *merge)
		default:
			count, e := strconv.ParseInt(args[1], 10, 32)
			if e != nil || count < 1 {
				return usagef("COUNT %q is not a number of shards", args[1])
			}
			name, arn := streamRef(stream)
			_, err = k.UpdateShardCount(ctx, &kinesis.UpdateShardCountInput{StreamName: name, StreamARN: arn,
				TargetShardCount: aws.Int32(int32(count)), ScalingType: types.ScalingTypeUniformScaling})
		}
		if err != nil || *noWait {
			return err
		}
		if err := k.waitActive(ctx, stream); err != nil {
			return err
		}
		shards, err := k.shards(ctx, stream, nil)
		if err != nil {
			return err
		}
		return drawShards(c.OutOrStdout(), shards)
	}
	return c
}

func (c *client) split(ctx context.Context, stream, id, at string) error {
	if at == "" {
		shards, err := c.shards(ctx, stream, nil)
		if err != nil {
			return err
		}
		for _, s := range shards {
			if aws.ToString(s.ShardId) == id {
				r, err := rangeOf(s.HashKeyRange)
				if err != nil {
					return err
				}
				at = r.middle().String()
			}
		}
		if at == "" {
			return hintError{fmt.Errorf("stream %s has no shard %s", stream, id), "`rheo streams describe " + stream + "` shows its shards."}
		}
	}
	name, arn := streamRef(stream)
	_, err := c.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: name, StreamARN: arn, ShardToSplit: &id, NewStartingHashKey: &at})
	return err
}

func (c *client) merge(ctx context.Context, stream, pair string) error {
	a, b, ok := strings.Cut(pair, ",")
	if !ok {
		return usagef("--merge takes two shards, A,B")
	}
	name, arn := streamRef(stream)
	_, err := c.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: name, StreamARN: arn,
		ShardToMerge: aws.String(shardID(strings.TrimSpace(a))), AdjacentShardToMerge: aws.String(shardID(strings.TrimSpace(b)))})
	return err
}
