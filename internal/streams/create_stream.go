package streams

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/catalog"
)

const (
	defaultRetentionHours = 24
	defaultMaxRecordKiB   = 1024
	onDemandShards        = 4 // an on-demand stream begins with 4 MB/s of writes
	creatingMax           = 5 // streams in CREATING at the same time
)

// CreateStream makes a stream: CREATING, then ACTIVE. Without a mode it is
// provisioned and needs a ShardCount.
func (s *Service) CreateStream(ctx context.Context, in *kinesis.CreateStreamInput) (*kinesis.CreateStreamOutput, error) {
	caller := api.CallerFrom(ctx)
	name := streamName{caller.Account, caller.Region, *in.StreamName}
	now := s.now()
	d := &streamDoc{
		ID: newID(), Account: name.account, Region: name.region, Name: name.name,
		Created: now.UnixMilli(), Status: kinesis.StreamStatusCreating, Due: now.Add(s.cfg.Transition).UnixMilli(),
		Mode: kinesis.StreamModeProvisioned, RetentionHours: defaultRetentionHours, MaxRecordKiB: defaultMaxRecordKiB,
		Distribution: in.RecordDistributionStrategy, Tags: in.Tags,
	}
	if in.StreamModeDetails != nil {
		d.Mode = in.StreamModeDetails.StreamMode
	}
	if in.MaxRecordSizeInKiB != nil {
		d.MaxRecordKiB = *in.MaxRecordSizeInKiB
	}
	if err := s.capacity(d, in); err != nil {
		return nil, err
	}
	if d.Distribution == kinesis.RecordDistributionStrategyAuto && d.Mode != kinesis.StreamModeOnDemand {
		return nil, invalidArgument("RecordDistributionStrategy AUTO is only supported for on-demand streams.")
	}
	if err := checkTags(d.Tags, nil); err != nil {
		return nil, err
	}
	for {
		if _, _, ok := s.cfg.Catalog.Get(d.key()); ok {
			return nil, inUse("Stream %s under account %s already exists.", d.Name, d.Account)
		}
		q := s.quota(d.Account, d.Region)
		if q.creating >= creatingMax {
			return nil, limitExceeded("Limit for streams in CREATING state exceeded for account %s. Limit: %d.", d.Account, creatingMax)
		}
		if err := s.shardQuota(q, d.Account, d.Region, d.InitialShards); err != nil {
			return nil, err
		}
		if d.Mode == kinesis.StreamModeOnDemand && q.onDemand >= s.cfg.OnDemandLimit {
			return nil, limitExceeded("Limit for on-demand streams exceeded for account %s. Limit: %d.", d.Account, s.cfg.OnDemandLimit)
		}
		c := &change{expect: map[string]uint64{d.key(): 0}, write: map[string]json.RawMessage{d.key(): encode(d)}}
		if err := s.touchAccount(c, d.Account, d.Region); err != nil {
			return nil, err
		}
		err := s.cfg.Catalog.Commit(ctx, catalog.Txn{Expect: c.expect, Write: c.write})
		if errors.Is(err, catalog.ErrConflict) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s.settle(ctx, name)
		return &kinesis.CreateStreamOutput{}, nil
	}
}

// capacity fills in how many shards a new stream begins with.
func (s *Service) capacity(d *streamDoc, in *kinesis.CreateStreamInput) error {
	if d.Mode == kinesis.StreamModeOnDemand {
		if in.ShardCount != nil {
			return validation("ShardCount cannot be specified for on-demand streams.")
		}
		d.InitialShards = onDemandShards
		if in.WarmThroughputMiBps != nil {
			if err := s.advantage(d.Account, d.Region); err != nil {
				return err
			}
			d.WarmMiBps = *in.WarmThroughputMiBps
			d.InitialShards = max(onDemandShards, int(d.WarmMiBps))
		}
		return nil
	}
	if in.WarmThroughputMiBps != nil {
		return validation("WarmThroughputMiBps can only be specified for on-demand streams.")
	}
	if in.ShardCount == nil {
		return validation("ShardCount must be specified for provisioned streams.")
	}
	d.InitialShards = int(*in.ShardCount)
	return nil
}

// newID draws a name that nothing had before.
func newID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
