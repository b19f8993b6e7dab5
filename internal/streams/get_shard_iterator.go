package streams

import (
	"context"

	"github.com/rheostream/rheo/internal/api/kinesis"
)

// GetShardIterator makes an iterator that is good for five minutes. A closed
// shard still has iterators. A sequence number below the trim horizon reads
// from the horizon.
func (s *Service) GetShardIterator(ctx context.Context, in *kinesis.GetShardIteratorInput) (*kinesis.GetShardIteratorOutput, error) {
	st, _, err := s.writable(ctx, in.StreamName, in.StreamARN)
	if err != nil {
		return nil, err
	}
	sh, err := s.visibleShard(st, *in.ShardId)
	if err != nil {
		return nil, err
	}
	offset, err := s.position(ctx, "GetShardIterator", sh, in.ShardIteratorType, in.StartingSequenceNumber, in.Timestamp)
	if err != nil {
		return nil, err
	}
	if in.DryRun != nil && *in.DryRun {
		return nil, dryRun()
	}
	if !sh.read.iterator(s.now(), s.cfg.Limits) {
		return nil, throughputExceeded("Rate exceeded for Shard - %s/%s/%s", st.name.account, st.name.name, sh.id)
	}
	token := s.sealIterator(iterator{st.id, sh.index, offset, s.now()})
	return &kinesis.GetShardIteratorOutput{ShardIterator: &token}, nil
}
