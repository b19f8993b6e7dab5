package streams

import (
	"context"

	"github.com/rheostream/rheo/internal/api/kinesis"
)

// SplitShard divides an open shard in two: [start, new-1] and [new, end]. The
// stream is UPDATING until the children take records.
func (s *Service) SplitShard(ctx context.Context, in *kinesis.SplitShardInput) (*kinesis.SplitShardOutput, error) {
	st, _, err := s.lookup(ctx, in.StreamName, in.StreamARN)
	if err != nil {
		return nil, err
	}
	index, ok := parseShardID(*in.ShardToSplit)
	if !ok {
		return nil, shardNotFound(st, *in.ShardToSplit)
	}
	at, ok := parseHashKey(*in.NewStartingHashKey)
	if !ok {
		return nil, invalidArgument("Invalid NewStartingHashKey: %s", *in.NewStartingHashKey)
	}
	goal := &reshardDoc{Split: &splitDoc{Shard: index, At: at}}
	return &kinesis.SplitShardOutput{}, s.startReshard(ctx, st, goal, func(c *change) error {
		sh, d, err := s.openShard(st, *in.ShardToSplit)
		if err != nil {
			return err
		}
		// Both children must be more than one hash key wide at the parent's start, as AWS has it.
		if !d.Start.next().less(at) || !at.less(d.End) {
			return invalidArgument("NewStartingHashKey %s used in SplitShard() on shard %s in stream %s under account %s is not both greater than one plus the shard's StartingHashKey %s and less than the shard's EndingHashKey %s.",
				at, sh.id, st.name.name, st.name.account, d.Start, d.End)
		}
		return nil
	})
}
