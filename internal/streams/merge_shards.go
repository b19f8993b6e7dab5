package streams

import (
	"context"

	"github.com/rheostream/rheo/internal/api/kinesis"
)

// MergeShards makes one shard of two open neighbours, given in either order.
func (s *Service) MergeShards(ctx context.Context, in *kinesis.MergeShardsInput) (*kinesis.MergeShardsOutput, error) {
	st, _, err := s.lookup(ctx, in.StreamName, in.StreamARN)
	if err != nil {
		return nil, err
	}
	a, ok := parseShardID(*in.ShardToMerge)
	if !ok {
		return nil, shardNotFound(st, *in.ShardToMerge)
	}
	b, ok := parseShardID(*in.AdjacentShardToMerge)
	if !ok {
		return nil, shardNotFound(st, *in.AdjacentShardToMerge)
	}
	goal := &reshardDoc{Merge: &mergeDoc{Left: a, Right: b}}
	return &kinesis.MergeShardsOutput{}, s.startReshard(ctx, st, goal, func(c *change) error {
		_, da, err := s.openShard(st, *in.ShardToMerge)
		if err != nil {
			return err
		}
		_, db, err := s.openShard(st, *in.AdjacentShardToMerge)
		if err != nil {
			return err
		}
		switch {
		case da.End != maxHashKey && da.End.next() == db.Start:
			*goal.Merge = mergeDoc{Left: a, Right: b}
		case db.End != maxHashKey && db.End.next() == da.Start:
			*goal.Merge = mergeDoc{Left: b, Right: a}
		default:
			return invalidArgument("Shards %s and %s in stream %s under account %s are not an adjacent pair of shards eligible for merging", shardID(a), shardID(b), st.name.name, st.name.account)
		}
		return nil
	})
}
