package streams

import (
	"context"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
)

// DescribeStream shows a stream with a page of its shards: 100, unless Limit says otherwise.
func (s *Service) DescribeStream(ctx context.Context, in *kinesis.DescribeStreamInput) (*kinesis.DescribeStreamOutput, error) {
	st, d, err := s.lookup(ctx, in.StreamName, in.StreamARN)
	if err != nil {
		return nil, err
	}
	limit := 100
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	after := int64(-1)
	if in.ExclusiveStartShardId != nil {
		index, ok := parseShardID(*in.ExclusiveStartShardId)
		if !ok {
			return nil, shardNotFound(st, *in.ExclusiveStartShardId)
		}
		after = int64(index)
	}
	shards, more := s.page(st, after, limit, nil)
	return &kinesis.DescribeStreamOutput{StreamDescription: &kinesis.StreamDescription{
		StreamName: &d.Name, StreamARN: new(d.arn()), StreamStatus: d.Status,
		StreamModeDetails:       &kinesis.StreamModeDetails{StreamMode: d.Mode},
		Shards:                  shards,
		HasMoreShards:           &more,
		RetentionPeriodHours:    &d.RetentionHours,
		StreamCreationTimestamp: new(time.UnixMilli(d.Created)),
		EnhancedMonitoring:      []kinesis.EnhancedMetrics{{ShardLevelMetrics: nonNil(d.Monitoring)}},
		EncryptionType:          kinesis.EncryptionTypeNone,
	}}, nil
}

// DescribeStreamSummary shows a stream without its shards. StreamId is left out:
// clients that see one send it instead of the name.
func (s *Service) DescribeStreamSummary(ctx context.Context, in *kinesis.DescribeStreamSummaryInput) (*kinesis.DescribeStreamSummaryOutput, error) {
	st, d, err := s.lookup(ctx, in.StreamName, in.StreamARN)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	consumers := int32(len(st.consumers))
	s.mu.RUnlock()
	sum := &kinesis.StreamDescriptionSummary{
		StreamName: &d.Name, StreamARN: new(d.arn()), StreamStatus: d.Status,
		StreamModeDetails:       &kinesis.StreamModeDetails{StreamMode: d.Mode},
		RetentionPeriodHours:    &d.RetentionHours,
		StreamCreationTimestamp: new(time.UnixMilli(d.Created)),
		EnhancedMonitoring:      []kinesis.EnhancedMetrics{{ShardLevelMetrics: nonNil(d.Monitoring)}},
		EncryptionType:          kinesis.EncryptionTypeNone,
		OpenShardCount:          new(int32(len(st.route.Load().shards))),
		ConsumerCount:           &consumers,
		MaxRecordSizeInKiB:      &d.MaxRecordKiB,
	}
	if d.Mode == kinesis.StreamModeOnDemand {
		sum.WarmThroughput = warm(d)
		sum.RecordDistributionStrategy = d.Distribution
		if d.Distribution == "" {
			sum.RecordDistributionStrategy = kinesis.RecordDistributionStrategyUserPartitionKey
		}
	}
	return &kinesis.DescribeStreamSummaryOutput{StreamDescriptionSummary: sum}, nil
}

func nonNil(m []kinesis.MetricsName) []kinesis.MetricsName {
	if m == nil {
		return []kinesis.MetricsName{}
	}
	return m
}

// page lists shards with indexes above after that keep says yes to.
func (s *Service) page(st *stream, after int64, limit int, keep func(*shardDoc) bool) (out []kinesis.Shard, more bool) {
	s.mu.RLock()
	all := st.sorted()
	s.mu.RUnlock()
	out = []kinesis.Shard{}
	for _, sh := range all {
		d := sh.doc.Load()
		if int64(sh.index) <= after || keep != nil && !keep(d) {
			continue
		}
		if len(out) == limit {
			return out, true
		}
		out = append(out, describeShard(sh, d))
	}
	return out, false
}

func describeShard(sh *shard, d *shardDoc) kinesis.Shard {
	out := kinesis.Shard{ShardId: &sh.id, HashKeyRange: hashRange(d),
		SequenceNumberRange: &kinesis.SequenceNumberRange{StartingSequenceNumber: new(startingSequence(d.Index, d.Created).String())}}
	if d.State == shardClosed {
		out.SequenceNumberRange.EndingSequenceNumber = new(endingSequence(d.Index, d.Created, time.UnixMilli(d.Closed)).String())
	}
	if d.Parent != nil {
		out.ParentShardId = new(shardID(*d.Parent))
	}
	if d.Adjacent != nil {
		out.AdjacentParentShardId = new(shardID(*d.Adjacent))
	}
	return out
}

// DescribeLimits counts an account's shards and on-demand streams.
func (s *Service) DescribeLimits(ctx context.Context, in *kinesis.DescribeLimitsInput) (*kinesis.DescribeLimitsOutput, error) {
	caller := api.CallerFrom(ctx)
	q := s.quota(caller.Account, caller.Region)
	return &kinesis.DescribeLimitsOutput{
		ShardLimit: new(int32(s.cfg.ShardLimit)), OpenShardCount: new(int32(q.openShards)),
		OnDemandStreamCount: new(int32(q.onDemand)), OnDemandStreamCountLimit: new(int32(s.cfg.OnDemandLimit)),
	}, nil
}
