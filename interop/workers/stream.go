package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/rheostream/rheo/interop/contents"
)

func (r *run) createStream(ctx context.Context, shards int32) error {
	if _, err := r.kinesis.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &r.stream, ShardCount: &shards}); err != nil {
		return err
	}
	return r.streamActive(ctx)
}

func (r *run) streamActive(ctx context.Context) error {
	for {
		out, err := r.kinesis.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &r.stream})
		if err != nil {
			return err
		}
		if out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// split splits a shard in the middle, and returns once its children take records.
func (r *run) split(ctx context.Context, shard types.Shard) error {
	first, last, err := contents.Range(shard)
	if err != nil {
		return err
	}
	middle := new(big.Int).Rsh(new(big.Int).Add(first, last), 1)
	_, err = r.kinesis.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: &r.stream, ShardToSplit: shard.ShardId, NewStartingHashKey: aws.String(middle.String())})
	if err != nil {
		return fmt.Errorf("cannot split %s: %w", *shard.ShardId, err)
	}
	return r.streamActive(ctx)
}

// merge merges the first two neighbours among the open shards.
func (r *run) merge(ctx context.Context) (parents [2]string, err error) {
	shards, err := contents.List(ctx, r.kinesis, r.stream)
	if err != nil {
		return parents, err
	}
	for _, one := range shards {
		_, end, err := contents.Range(one)
		if err != nil {
			return parents, err
		}
		after := new(big.Int).Add(end, big.NewInt(1)).String()
		for _, two := range shards {
			if !contents.Open(one) || !contents.Open(two) || *two.HashKeyRange.StartingHashKey != after {
				continue
			}
			_, err := r.kinesis.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: &r.stream, ShardToMerge: one.ShardId, AdjacentShardToMerge: two.ShardId})
			if err != nil {
				return parents, fmt.Errorf("cannot merge %s and %s: %w", *one.ShardId, *two.ShardId, err)
			}
			return [2]string{*one.ShardId, *two.ShardId}, r.streamActive(ctx)
		}
	}
	return parents, errors.New("no two open shards are neighbours")
}
