package streams

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/catalog"
)

const (
	consumersMax          = 20 // per stream; 50 with On-demand Advantage
	consumersMaxAdvantage = 50
	consumersCreatingMax  = 5
)

// lookupConsumer finds a consumer by its ARN, or by its stream's ARN and its name.
func (s *Service) lookupConsumer(ctx context.Context, streamARN, name, consumerARN *string) (*stream, *consumerDoc, error) {
	var st *stream
	var err error
	switch {
	case consumerARN != nil:
		// arn:...:stream/NAME/consumer/CONSUMER:EPOCH
		head, tail, ok := strings.Cut(*consumerARN, "/consumer/")
		consumer, _, hasEpoch := strings.Cut(tail, ":")
		if !ok || !hasEpoch || consumer == "" {
			return nil, nil, invalidArgument("Invalid ConsumerARN: %s", *consumerARN)
		}
		if name != nil && *name != consumer || streamARN != nil && *streamARN != head {
			return nil, nil, invalidArgument("ConsumerARN %s does not match the StreamARN and ConsumerName given.", *consumerARN)
		}
		st, _, err = s.lookup(ctx, nil, &head)
		name = &consumer
	case streamARN != nil && name != nil:
		st, _, err = s.lookup(ctx, nil, streamARN)
	default:
		return nil, nil, invalidArgument("Either ConsumerARN or both StreamARN and ConsumerName should be provided.")
	}
	if err != nil {
		return nil, nil, err
	}
	s.mu.RLock()
	c := st.consumers[*name]
	var d *consumerDoc
	if c != nil {
		d = c.doc
	}
	s.mu.RUnlock()
	if d == nil || consumerARN != nil && d.arn() != *consumerARN {
		return nil, nil, consumerNotFound(st, *name)
	}
	return st, d, nil
}

// RegisterStreamConsumer registers a consumer for enhanced fan-out: CREATING, then ACTIVE.
func (s *Service) RegisterStreamConsumer(ctx context.Context, in *kinesis.RegisterStreamConsumerInput) (*kinesis.RegisterStreamConsumerOutput, error) {
	st, sd, err := s.lookup(ctx, nil, in.StreamARN)
	if err != nil {
		return nil, err
	}
	if sd.Status != kinesis.StreamStatusActive && sd.Status != kinesis.StreamStatusUpdating {
		return nil, notActive(sd)
	}
	if err := checkTags(in.Tags, nil); err != nil {
		return nil, err
	}
	now := s.now()
	d := &consumerDoc{StreamARN: sd.arn(), Name: *in.ConsumerName, Created: now.UnixMilli(), Tags: in.Tags,
		Status: kinesis.ConsumerStatusCreating, Due: now.Add(s.cfg.Transition).UnixMilli()}
	err = s.update(ctx, st, func(c *change) error {
		creating := 0
		have := s.cfg.Catalog.List(consumerPrefix + st.id + "/")
		for _, ch := range have {
			var o consumerDoc
			if err := json.Unmarshal(ch.Doc, &o); err != nil {
				return err
			}
			if o.Name == d.Name {
				return inUse("Consumer %s under stream %s already exists for account %s.", d.Name, st.name.name, st.name.account)
			}
			if o.Status == kinesis.ConsumerStatusCreating {
				creating++
			}
		}
		limit := consumersMax
		if s.advantage(st.name.account, st.name.region) == nil {
			limit = consumersMaxAdvantage
		}
		if len(have) >= limit || creating >= consumersCreatingMax {
			return limitExceeded("Limit exceeded for consumers of stream %s under account %s. Limit: %d, of which %d in CREATING.", st.name.name, st.name.account, limit, consumersCreatingMax)
		}
		c.expect[consumerKey(st.id, d.Name)] = 0
		c.write[consumerKey(st.id, d.Name)] = encode(d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	shown := consumerShown(d) // as it was registered, whatever it has become since
	s.settle(ctx, st.name)
	return &kinesis.RegisterStreamConsumerOutput{Consumer: &shown}, nil
}

func consumerShown(d *consumerDoc) kinesis.Consumer {
	return kinesis.Consumer{ConsumerName: &d.Name, ConsumerARN: new(d.arn()), ConsumerStatus: d.Status,
		ConsumerCreationTimestamp: new(time.UnixMilli(d.Created))}
}

// DescribeStreamConsumer shows a consumer.
func (s *Service) DescribeStreamConsumer(ctx context.Context, in *kinesis.DescribeStreamConsumerInput) (*kinesis.DescribeStreamConsumerOutput, error) {
	_, d, err := s.lookupConsumer(ctx, in.StreamARN, in.ConsumerName, in.ConsumerARN)
	if err != nil {
		return nil, err
	}
	return &kinesis.DescribeStreamConsumerOutput{ConsumerDescription: &kinesis.ConsumerDescription{
		ConsumerName: &d.Name, ConsumerARN: new(d.arn()), ConsumerStatus: d.Status,
		ConsumerCreationTimestamp: new(time.UnixMilli(d.Created)), StreamARN: &d.StreamARN}}, nil
}

// DeregisterStreamConsumer removes a consumer: DELETING, then gone. Its subscriptions end.
func (s *Service) DeregisterStreamConsumer(ctx context.Context, in *kinesis.DeregisterStreamConsumerInput) (*kinesis.DeregisterStreamConsumerOutput, error) {
	st, d, err := s.lookupConsumer(ctx, in.StreamARN, in.ConsumerName, in.ConsumerARN)
	if err != nil {
		return nil, err
	}
	err = s.updateConsumer(ctx, st, d.Name, func(d *consumerDoc) error {
		// Not before the second of its creation is over: that is in its ARN, and
		// one registered again under its name must have another.
		due := max(s.now().Add(s.cfg.Transition).UnixMilli(), d.Created/1000*1000+1000)
		d.Status, d.Due = kinesis.ConsumerStatusDeleting, due
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.settle(ctx, st.name)
	return &kinesis.DeregisterStreamConsumerOutput{}, nil
}

// consumerPage is what a NextToken of ListStreamConsumers carries.
type consumerPage struct{ Stream, After string }

// ListStreamConsumers pages through a stream's consumers by name.
func (s *Service) ListStreamConsumers(ctx context.Context, in *kinesis.ListStreamConsumersInput) (*kinesis.ListStreamConsumersOutput, error) {
	st, sd, err := s.lookup(ctx, nil, in.StreamARN)
	if err != nil {
		return nil, err
	}
	if in.StreamCreationTimestamp != nil && in.StreamCreationTimestamp.Unix() != sd.Created/1000 {
		return nil, streamNotFound(sd.Account, sd.Name)
	}
	var p consumerPage
	if in.NextToken != nil {
		if err := s.openPage(listConsumersToken, *in.NextToken, &p); err != nil {
			return nil, err
		}
		if p.Stream != st.id {
			return nil, invalidArgument("Invalid NextToken.")
		}
	}
	limit := 100
	if in.MaxResults != nil {
		limit = min(1000, int(*in.MaxResults))
	}
	s.mu.RLock()
	var docs []*consumerDoc
	for name, c := range st.consumers {
		if name > p.After {
			docs = append(docs, c.doc)
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(docs, func(a, b *consumerDoc) int { return strings.Compare(a.Name, b.Name) })
	out := &kinesis.ListStreamConsumersOutput{Consumers: []kinesis.Consumer{}}
	for _, d := range docs[:min(limit, len(docs))] {
		out.Consumers = append(out.Consumers, consumerShown(d))
	}
	if len(docs) > limit {
		out.NextToken = new(s.sealPage(listConsumersToken, consumerPage{st.id, docs[limit-1].Name}))
	}
	return out, nil
}

// advantage refuses what only On-demand Advantage may do.
func (s *Service) advantage(account, region string) error {
	d, _, err := s.account(account, region)
	if err != nil {
		return err
	}
	if d.AdvantageSince == 0 || d.AdvantageEnd != 0 && d.AdvantageEnd <= s.now().UnixMilli() {
		return validation("Warm throughput requires the account setting MinimumThroughputBillingCommitment to be ENABLED.")
	}
	return nil
}

// advantageMin is how long the commitment lasts at least.
const advantageMin = 24 * time.Hour

// DescribeAccountSettings shows the on-demand billing commitment.
func (s *Service) DescribeAccountSettings(ctx context.Context, in *kinesis.DescribeAccountSettingsInput) (*kinesis.DescribeAccountSettingsOutput, error) {
	caller := api.CallerFrom(ctx)
	d, _, err := s.account(caller.Account, caller.Region)
	if err != nil {
		return nil, err
	}
	return &kinesis.DescribeAccountSettingsOutput{MinimumThroughputBillingCommitment: s.commitment(d)}, nil
}

// UpdateAccountSettings turns the commitment on, or off from the end of its 24 hours on.
func (s *Service) UpdateAccountSettings(ctx context.Context, in *kinesis.UpdateAccountSettingsInput) (*kinesis.UpdateAccountSettingsOutput, error) {
	caller := api.CallerFrom(ctx)
	want := in.MinimumThroughputBillingCommitment
	key := accountKey(caller.Account, caller.Region)
	for {
		d, version, err := s.account(caller.Account, caller.Region)
		if err != nil {
			return nil, err
		}
		now := s.now().UnixMilli()
		over := d.AdvantageSince == 0 || d.AdvantageEnd != 0 && d.AdvantageEnd <= now
		switch {
		case want.Status == kinesis.MinimumThroughputBillingCommitmentInputStatusEnabled && over:
			d.AdvantageSince, d.AdvantageEnd = now, 0
		case want.Status == kinesis.MinimumThroughputBillingCommitmentInputStatusEnabled:
			d.AdvantageEnd = 0
		case !over && d.AdvantageEnd == 0:
			d.AdvantageEnd = max(now, d.AdvantageSince+advantageMin.Milliseconds())
		}
		err = s.cfg.Catalog.Commit(ctx, catalog.Txn{Expect: map[string]uint64{key: version}, Write: map[string]json.RawMessage{key: encode(d)}})
		if errors.Is(err, catalog.ErrConflict) {
			continue
		}
		return &kinesis.UpdateAccountSettingsOutput{MinimumThroughputBillingCommitment: s.commitment(d)}, err
	}
}

func (s *Service) commitment(d *accountDoc) *kinesis.MinimumThroughputBillingCommitmentOutput {
	out := &kinesis.MinimumThroughputBillingCommitmentOutput{Status: kinesis.MinimumThroughputBillingCommitmentOutputStatusDisabled}
	if d.AdvantageSince == 0 {
		return out
	}
	out.StartedAt = new(time.UnixMilli(d.AdvantageSince))
	out.EarliestAllowedEndAt = new(time.UnixMilli(d.AdvantageSince).Add(advantageMin))
	switch {
	case d.AdvantageEnd == 0:
		out.Status = kinesis.MinimumThroughputBillingCommitmentOutputStatusEnabled
	case d.AdvantageEnd > s.now().UnixMilli():
		out.Status = kinesis.MinimumThroughputBillingCommitmentOutputStatusEnabledUntilEarliestAllowedEnd
	default:
		out.EndedAt = new(time.UnixMilli(d.AdvantageEnd))
	}
	return out
}
