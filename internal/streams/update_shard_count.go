package streams

import (
	"context"
	"slices"

	"github.com/rheostream/rheo/internal/api/kinesis"
)

const (
	countUpdatesPerDay = 10
	targetShardsMax    = 10_000
	dayMs              = 24 * 60 * 60 * 1000
)

// UpdateShardCount splits and merges until the stream has so many shards of
// equal size. At most ten times in 24 hours, to at most twice and at least half
// the open shards. All splits are done before the merges; the shards that live
// only between the two have to have room in the quota as well.
func (s *Service) UpdateShardCount(ctx context.Context, in *kinesis.UpdateShardCountInput) (*kinesis.UpdateShardCountOutput, error) {
	st, d, err := s.lookup(ctx, in.StreamName, in.StreamARN)
	if err != nil {
		return nil, err
	}
	target := int(*in.TargetShardCount)
	current := 0
	now := s.now().UnixMilli()
	err = s.startReshard(ctx, st, &reshardDoc{Target: target}, func(c *change) error {
		current = len(st.route.Load().shards)
		switch {
		case target > 2*current:
			return limitExceeded("UpdateShardCount cannot scale up over double your current open shard count. Current open shard count: %d Target shard count: %d", current, target)
		case 2*target < current:
			return limitExceeded("UpdateShardCount cannot scale down below half your current open shard count. Current open shard count: %d Target shard count: %d", current, target)
		case target > targetShardsMax:
			return limitExceeded("UpdateShardCount cannot scale to more than %d shards. Target shard count: %d", targetShardsMax, target)
		case target == current:
			return invalidArgument("Target shard count or number of open shards cannot be the same. Current open shard count: %d Target shard count: %d", current, target)
		}
		c.doc.CountUpdates = within(c.doc.CountUpdates, now)
		if s.cfg.Limits > 0 && len(c.doc.CountUpdates) >= countUpdatesPerDay {
			return limitExceeded("UpdateShardCount can be called at most %d times in 24 hours on stream %s under account %s.", countUpdatesPerDay, d.Name, d.Account)
		}
		c.doc.CountUpdates = append(c.doc.CountUpdates, now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &kinesis.UpdateShardCountOutput{StreamName: &d.Name, StreamARN: new(d.arn()),
		CurrentShardCount: new(int32(current)), TargetShardCount: in.TargetShardCount}, nil
}

// within keeps the times of the last 24 hours.
func within(times []int64, now int64) []int64 {
	return slices.DeleteFunc(slices.Clone(times), func(t int64) bool { return now-t >= dayMs })
}
