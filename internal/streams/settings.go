package streams

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
)

// EnableEnhancedMonitoring turns on metrics per shard.
func (s *Service) EnableEnhancedMonitoring(ctx context.Context, in *kinesis.EnableEnhancedMonitoringInput) (*kinesis.EnhancedMonitoringOutput, error) {
	return s.monitoring(ctx, in.StreamName, in.StreamARN, func(have map[kinesis.MetricsName]bool) {
		for _, m := range in.ShardLevelMetrics {
			have[m] = true
		}
	})
}

// DisableEnhancedMonitoring turns metrics per shard off.
func (s *Service) DisableEnhancedMonitoring(ctx context.Context, in *kinesis.DisableEnhancedMonitoringInput) (*kinesis.EnhancedMonitoringOutput, error) {
	return s.monitoring(ctx, in.StreamName, in.StreamARN, func(have map[kinesis.MetricsName]bool) {
		for _, m := range in.ShardLevelMetrics {
			if m == kinesis.MetricsNameAll {
				clear(have)
			}
			delete(have, m)
		}
	})
}

var allMetrics = []kinesis.MetricsName{
	kinesis.MetricsNameIncomingBytes, kinesis.MetricsNameIncomingRecords, kinesis.MetricsNameIteratorAgeMilliseconds,
	kinesis.MetricsNameOutgoingBytes, kinesis.MetricsNameOutgoingRecords,
	kinesis.MetricsNameReadProvisionedThroughputExceeded, kinesis.MetricsNameWriteProvisionedThroughputExceeded,
}

func (s *Service) monitoring(ctx context.Context, name, arn *string, edit func(map[kinesis.MetricsName]bool)) (*kinesis.EnhancedMonitoringOutput, error) {
	st, d, err := s.lookup(ctx, name, arn)
	if err != nil {
		return nil, err
	}
	out := &kinesis.EnhancedMonitoringOutput{StreamName: &d.Name, StreamARN: new(d.arn())}
	err = s.update(ctx, st, func(c *change) error {
		if err := active(c.doc); err != nil {
			return err
		}
		set := map[kinesis.MetricsName]bool{}
		for _, m := range c.doc.Monitoring {
			set[m] = true
		}
		edit(set)
		now := []kinesis.MetricsName{}
		for _, m := range allMetrics {
			if set[m] || set[kinesis.MetricsNameAll] {
				now = append(now, m)
			}
		}
		out.CurrentShardLevelMetrics, out.DesiredShardLevelMetrics = nonNil(c.doc.Monitoring), now
		if slices.Equal(out.CurrentShardLevelMetrics, now) {
			c.doc.Monitoring = now
			return nil
		}
		c.doc.Monitoring = now
		c.doc.Status, c.doc.Due = kinesis.StreamStatusUpdating, s.now().Add(s.cfg.Transition).UnixMilli()
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.settle(ctx, st.name)
	return out, nil
}

const modeUpdatesPerDay = 2

// UpdateStreamMode switches between provisioned and on-demand, twice in 24 hours. The shards stay.
func (s *Service) UpdateStreamMode(ctx context.Context, in *kinesis.UpdateStreamModeInput) (*kinesis.UpdateStreamModeOutput, error) {
	st, _, err := s.lookup(ctx, nil, in.StreamARN)
	if err != nil {
		return nil, err
	}
	mode := in.StreamModeDetails.StreamMode
	err = s.update(ctx, st, func(c *change) error {
		if err := active(c.doc); err != nil {
			return err
		}
		if c.doc.Mode == mode {
			return nil
		}
		now := s.now().UnixMilli()
		c.doc.ModeUpdates = within(c.doc.ModeUpdates, now)
		if s.cfg.Limits > 0 && len(c.doc.ModeUpdates) >= modeUpdatesPerDay {
			return limitExceeded("The stream mode of %s under account %s can be changed at most %d times in 24 hours.", c.doc.Name, c.doc.Account, modeUpdatesPerDay)
		}
		if mode == kinesis.StreamModeOnDemand {
			if q := s.quota(c.doc.Account, c.doc.Region); q.onDemand >= s.cfg.OnDemandLimit {
				return limitExceeded("Limit for on-demand streams exceeded for account %s. Limit: %d.", c.doc.Account, s.cfg.OnDemandLimit)
			}
			if err := s.touchAccount(c, c.doc.Account, c.doc.Region); err != nil {
				return err
			}
			if in.WarmThroughputMiBps != nil {
				if err := s.advantage(c.doc.Account, c.doc.Region); err != nil {
					return err
				}
				if err := s.warmUp(c, st, *in.WarmThroughputMiBps); err != nil {
					return err
				}
			}
			// What the stream had may be what it needs: it is not merged before a day has been seen.
			c.doc.PeakBytesPerSec, c.doc.PeakAt = 0, now
		} else {
			c.doc.WarmMiBps, c.doc.Distribution = 0, ""
		}
		c.doc.Mode, c.doc.ModeUpdates = mode, append(c.doc.ModeUpdates, now)
		c.doc.Status, c.doc.Due = kinesis.StreamStatusUpdating, s.now().Add(s.cfg.Transition).UnixMilli()
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.settle(ctx, st.name)
	return &kinesis.UpdateStreamModeOutput{}, nil
}

// UpdateMaxRecordSize sets the largest record that the stream takes, 1 to 10 MiB.
func (s *Service) UpdateMaxRecordSize(ctx context.Context, in *kinesis.UpdateMaxRecordSizeInput) (*kinesis.UpdateMaxRecordSizeOutput, error) {
	st, _, err := s.lookup(ctx, nil, in.StreamARN)
	if err != nil {
		return nil, err
	}
	return &kinesis.UpdateMaxRecordSizeOutput{}, s.update(ctx, st, func(c *change) error {
		if err := active(c.doc); err != nil {
			return err
		}
		c.doc.MaxRecordKiB = *in.MaxRecordSizeInKiB
		return nil
	})
}

// UpdateStreamWarmThroughput asks for write capacity in advance: the stream gets a shard per MiB/s.
func (s *Service) UpdateStreamWarmThroughput(ctx context.Context, in *kinesis.UpdateStreamWarmThroughputInput) (*kinesis.UpdateStreamWarmThroughputOutput, error) {
	st, d, err := s.lookup(ctx, in.StreamName, in.StreamARN)
	if err != nil {
		return nil, err
	}
	out := &kinesis.UpdateStreamWarmThroughputOutput{StreamName: &d.Name, StreamARN: new(d.arn())}
	err = s.update(ctx, st, func(c *change) error {
		if err := active(c.doc); err != nil {
			return err
		}
		if c.doc.Mode != kinesis.StreamModeOnDemand {
			return validation("Warm throughput can only be set for on-demand streams.")
		}
		if err := s.advantage(c.doc.Account, c.doc.Region); err != nil {
			return err
		}
		if err := s.warmUp(c, st, *in.WarmThroughputMiBps); err != nil {
			return err
		}
		out.WarmThroughput = &kinesis.WarmThroughputObject{TargetMiBps: &c.doc.WarmMiBps, CurrentMiBps: &d.WarmMiBps}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.settle(ctx, st.name)
	return out, nil
}

// warmUp makes a change that gives the stream a shard per MiB/s.
func (s *Service) warmUp(c *change, st *stream, mibps int32) error {
	c.doc.WarmMiBps = mibps
	open := rangesOf(st.route.Load().shards)
	more := int(mibps) - len(open)
	if more <= 0 {
		return nil
	}
	q := s.quota(c.doc.Account, c.doc.Region)
	if err := s.shardQuota(q, c.doc.Account, c.doc.Region, more); err != nil {
		return err // before anything is planned for a number out of all bounds
	}
	peak := mostOpen(open, int(mibps))
	if err := s.shardQuota(q, c.doc.Account, c.doc.Region, peak-len(open)); err != nil {
		return err
	}
	c.doc.Reshard = &reshardDoc{Target: int(mibps), Peak: peak}
	c.doc.Status, c.doc.Due = kinesis.StreamStatusUpdating, s.now().Add(s.cfg.Transition).UnixMilli()
	return s.touchAccount(c, c.doc.Account, c.doc.Region)
}

func warm(d *streamDoc) *kinesis.WarmThroughputObject {
	if d.WarmMiBps == 0 {
		return nil
	}
	return &kinesis.WarmThroughputObject{TargetMiBps: &d.WarmMiBps, CurrentMiBps: &d.WarmMiBps}
}

// UpdateStreamRecordDistributionStrategy chooses between placement by partition
// key and even placement, for new records, at once.
func (s *Service) UpdateStreamRecordDistributionStrategy(ctx context.Context, in *kinesis.UpdateStreamRecordDistributionStrategyInput) (*kinesis.UpdateStreamRecordDistributionStrategyOutput, error) {
	st, _, err := s.lookup(ctx, nil, in.StreamARN)
	if err != nil {
		return nil, err
	}
	return &kinesis.UpdateStreamRecordDistributionStrategyOutput{}, s.update(ctx, st, func(c *change) error {
		if err := active(c.doc); err != nil {
			return err
		}
		if c.doc.Mode != kinesis.StreamModeOnDemand {
			return invalidArgument("RecordDistributionStrategy is only supported for on-demand streams.")
		}
		c.doc.Distribution = in.RecordDistributionStrategy
		return nil
	})
}

// StartStreamEncryption has no keys to encrypt with yet.
func (s *Service) StartStreamEncryption(ctx context.Context, in *kinesis.StartStreamEncryptionInput) (*kinesis.StartStreamEncryptionOutput, error) {
	return nil, s.noEncryption(ctx, in.StreamName, in.StreamARN)
}

// StopStreamEncryption has nothing to stop yet.
func (s *Service) StopStreamEncryption(ctx context.Context, in *kinesis.StopStreamEncryptionInput) (*kinesis.StopStreamEncryptionOutput, error) {
	return nil, s.noEncryption(ctx, in.StreamName, in.StreamARN)
}

func (s *Service) noEncryption(ctx context.Context, name, arn *string) error {
	if _, _, err := s.lookup(ctx, name, arn); err != nil {
		return err
	}
	return api.Errorf("KMSOptInRequired", "This version of rheo has no key management: streams cannot be encrypted with KMS keys yet.")
}

// PutResourcePolicy stores a policy with a stream or consumer. It is kept and
// returned; nothing enforces it yet.
func (s *Service) PutResourcePolicy(ctx context.Context, in *kinesis.PutResourcePolicyInput) (*kinesis.PutResourcePolicyOutput, error) {
	var doc map[string]any
	if err := json.Unmarshal([]byte(*in.Policy), &doc); err != nil || doc["Statement"] == nil || len(*in.Policy) > 20<<10 {
		return nil, invalidArgument("Policy is not valid: it has to be a JSON document of at most 20 KiB with a Statement.")
	}
	return &kinesis.PutResourcePolicyOutput{}, s.setPolicy(ctx, *in.ResourceARN, *in.Policy)
}

// DeleteResourcePolicy removes the policy of a stream or consumer.
func (s *Service) DeleteResourcePolicy(ctx context.Context, in *kinesis.DeleteResourcePolicyInput) (*kinesis.DeleteResourcePolicyOutput, error) {
	have, err := s.policy(ctx, *in.ResourceARN)
	if err != nil {
		return nil, err
	}
	if have == "" {
		return nil, notFound("No resource policy found for resource %s.", *in.ResourceARN)
	}
	return &kinesis.DeleteResourcePolicyOutput{}, s.setPolicy(ctx, *in.ResourceARN, "")
}

// GetResourcePolicy returns the policy of a stream or consumer.
func (s *Service) GetResourcePolicy(ctx context.Context, in *kinesis.GetResourcePolicyInput) (*kinesis.GetResourcePolicyOutput, error) {
	have, err := s.policy(ctx, *in.ResourceARN)
	if err != nil {
		return nil, err
	}
	if have == "" {
		return nil, notFound("No resource policy found for resource %s.", *in.ResourceARN)
	}
	return &kinesis.GetResourcePolicyOutput{Policy: &have}, nil
}

func (s *Service) policy(ctx context.Context, arn string) (policy string, err error) {
	err = s.onResource(ctx, arn,
		func(st *stream) error { policy = st.doc.Load().Policy; return nil },
		func(st *stream, c *consumerDoc) error { policy = c.Policy; return nil })
	return policy, err
}

func (s *Service) setPolicy(ctx context.Context, arn, policy string) error {
	return s.onResource(ctx, arn,
		func(st *stream) error {
			return s.update(ctx, st, func(c *change) error { c.doc.Policy = policy; return nil })
		},
		func(st *stream, c *consumerDoc) error {
			return s.updateConsumer(ctx, st, c.Name, func(d *consumerDoc) error { d.Policy = policy; return nil })
		})
}
