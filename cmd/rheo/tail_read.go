package main

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
)

// A reader reads one shard for a tail.
type reader struct {
	tail   *tail
	shard  string
	hashes hashRange
	at     position // of what to read next
	resume <-chan struct{}
}

// pollPause is the least time between two reads of a shard: it allows five a second.
const pollPause = 200 * time.Millisecond

// poll reads with GetRecords.
func (r *reader) poll(ctx context.Context) {
	var iterator *string
	failures := 0
	for {
		asked := time.Now()
		var out *kinesis.GetRecordsOutput
		var err error
		if iterator == nil {
			iterator, err = r.iterator(ctx)
		}
		if err == nil {
			out, err = r.tail.client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator})
		}
		if err != nil {
			var expired *types.ExpiredIteratorException
			switch {
			case errors.As(err, &expired):
				iterator = nil
			case throttled(err):
				if sleep(ctx, backoff(failures)) != nil {
					return
				}
				failures++
			default:
				r.send(ctx, batch{err: err})
				return
			}
			continue
		}
		failures = 0
		iterator = out.NextShardIterator
		b := batch{
			records:  r.records(out.Records),
			caughtUp: aws.ToInt64(out.MillisBehindLatest) == 0,
			asked:    asked,
			end:      iterator == nil,
			children: out.ChildShards,
		}
		if !r.send(ctx, b) || b.end {
			return
		}
		pause := pollPause
		if b.caughtUp && r.tail.follow {
			pause = r.tail.interval
		}
		if sleep(ctx, time.Until(asked.Add(pause))) != nil {
			return
		}
	}
}

func (r *reader) iterator(ctx context.Context) (*string, error) {
	in := &kinesis.GetShardIteratorInput{ShardId: &r.shard, ShardIteratorType: r.at.kind}
	in.StreamName, in.StreamARN = streamRef(r.tail.stream)
	switch r.at.kind {
	case types.ShardIteratorTypeAtTimestamp:
		in.Timestamp = &r.at.time
	case types.ShardIteratorTypeAfterSequenceNumber:
		in.StartingSequenceNumber = &r.at.sequence
	}
	out, err := r.tail.client.GetShardIterator(ctx, in)
	if err != nil {
		return nil, err
	}
	return out.ShardIterator, nil
}

// push reads with SubscribeToShard, which ends every five minutes and is begun
// again where it was.
func (r *reader) push(ctx context.Context) {
	failures := 0
	for {
		in := &kinesis.SubscribeToShardInput{ConsumerARN: &r.tail.consumerARN, ShardId: &r.shard, StartingPosition: &types.StartingPosition{Type: r.at.kind}}
		switch r.at.kind {
		case types.ShardIteratorTypeAtTimestamp:
			in.StartingPosition.Timestamp = &r.at.time
		case types.ShardIteratorTypeAfterSequenceNumber:
			in.StartingPosition.SequenceNumber = &r.at.sequence
		}
		// The SDK's event streams share state through their client: this one has its own.
		out, err := kinesis.New(r.tail.client.Options()).SubscribeToShard(ctx, in)
		if err == nil {
			var done bool
			if done, err = r.session(ctx, out.GetStream()); done {
				return
			}
		}
		var inUse *types.ResourceInUseException
		var refused smithy.APIError
		switch {
		case ctx.Err() != nil:
			return
		case err == nil: // the session is over
			failures = 0
		case failures == pushFailuresMax, errors.As(err, &refused) && !throttled(err) && !errors.As(err, &inUse):
			r.send(ctx, batch{err: err})
			return
		default:
			// The connection broke; or an earlier subscription is held against us,
			// for five seconds.
			failures++
		}
		if sleep(ctx, backoff(failures)) != nil {
			return
		}
	}
}

// pushFailuresMax is how often in a row a subscription may fail: some 20 s.
const pushFailuresMax = 10

// session reads one subscription; done at the shard's end, or ours.
func (r *reader) session(ctx context.Context, events *kinesis.SubscribeToShardEventStream) (done bool, err error) {
	defer events.Close()
	for e := range events.Events() {
		event, ok := e.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent)
		if !ok {
			continue
		}
		b := batch{
			records:  r.records(event.Value.Records),
			caughtUp: aws.ToInt64(event.Value.MillisBehindLatest) == 0,
			asked:    time.Now(),
			end:      event.Value.ContinuationSequenceNumber == nil,
			children: event.Value.ChildShards,
		}
		if c := event.Value.ContinuationSequenceNumber; c != nil && *c != "" {
			r.at = position{kind: types.ShardIteratorTypeAfterSequenceNumber, sequence: *c}
		}
		if !r.send(ctx, b) || b.end {
			return true, nil
		}
	}
	return false, events.Err()
}

func (r *reader) records(in []types.Record) []record {
	now := time.Now()
	out := make([]record, len(in))
	for i, rec := range in {
		out[i] = record{
			shard: r.shard, hashes: r.hashes, sequence: aws.ToString(rec.SequenceNumber), key: aws.ToString(rec.PartitionKey),
			arrival: aws.ToTime(rec.ApproximateArrivalTimestamp), data: rec.Data, received: now,
		}
	}
	if len(out) > 0 {
		r.at = position{kind: types.ShardIteratorTypeAfterSequenceNumber, sequence: out[len(out)-1].sequence}
	}
	return out
}

// send hands a batch over and waits until it is printed; false if the tail has ended.
func (r *reader) send(ctx context.Context, b batch) bool {
	b.shard = r.shard
	select {
	case r.tail.batches <- b:
	case <-ctx.Done():
		return false
	}
	if b.end || b.err != nil {
		return true
	}
	select {
	case <-r.resume:
		return true
	case <-ctx.Done():
		return false
	}
}

// throttled says whether err goes away by waiting.
func throttled(err error) bool {
	var throughput *types.ProvisionedThroughputExceededException
	var limit *types.LimitExceededException
	return errors.As(err, &throughput) || errors.As(err, &limit)
}
