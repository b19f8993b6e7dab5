package rheo

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/call"
	"github.com/rheostream/rheo/internal/companion/lambda/mapping"
)

// lambdaStreams are the streams that event source mappings read. They are called
// as anybody calls them: in the name of the account that the mapping is of.
type lambdaStreams struct{ calls *call.Calls }

// kinesisCall calls an operation of Data Streams for an account.
func kinesisCall[Out any](ctx context.Context, calls *call.Calls, account, region, operation string, in any) (*Out, error) {
	caller := &api.Caller{Account: account, Region: region, Principal: "arn:aws:iam::" + account + ":root", UserAgent: "lambda.amazonaws.com", RequestID: "lambda"}
	out, err := calls.Do(ctx, caller, kinesis.Service.Op(operation), in)
	if err != nil {
		return nil, streamProblem(err)
	}
	return out.(*Out), nil
}

// streamProblem is an error of Data Streams as mappings know it.
func streamProblem(err error) error {
	var e *api.Error
	if !errors.As(err, &e) {
		return err
	}
	kind := error(nil)
	switch e.Code {
	case "ProvisionedThroughputExceededException", "LimitExceededException", "ResourceInUseException", "KMSThrottlingException":
		kind = mapping.ErrThrottled
	case "ExpiredIteratorException":
		kind = mapping.ErrIteratorExpired
	case "ResourceNotFoundException":
		if kind = mapping.ErrSourceGone; strings.Contains(e.Message, "hard ") { // "Could not find shard ..." and "Shard ... does not exist"
			kind = mapping.ErrShardGone
		}
	case "InvalidArgumentException":
		kind = mapping.ErrPosition
	case "AccessDeniedException":
		kind = mapping.ErrAccess
	default:
		return err
	}
	return &mapping.Problem{Kind: kind, Message: e.Message}
}

// Check implements lambda.Streams.
func (l lambdaStreams) Check(ctx context.Context, account, region, streamARN, consumerARN string) error {
	if consumerARN != "" {
		_, err := kinesisCall[kinesis.DescribeStreamConsumerOutput](ctx, l.calls, account, region, "DescribeStreamConsumer", &kinesis.DescribeStreamConsumerInput{ConsumerARN: &consumerARN})
		return err
	}
	_, err := kinesisCall[kinesis.DescribeStreamSummaryOutput](ctx, l.calls, account, region, "DescribeStreamSummary", &kinesis.DescribeStreamSummaryInput{StreamARN: &streamARN})
	return err
}

// Source implements lambda.Streams.
func (l lambdaStreams) Source(account, region, streamARN, consumerARN string) mapping.Source {
	return &lambdaSource{l.calls, account, region, streamARN, consumerARN}
}

// A lambdaSource is the stream of one mapping.
type lambdaSource struct {
	calls                                   *call.Calls
	account, region, streamARN, consumerARN string
}

// Stream implements mapping.Source.
func (s *lambdaSource) Stream(ctx context.Context) (mapping.Stream, error) {
	d, err := kinesisCall[kinesis.DescribeStreamSummaryOutput](ctx, s.calls, s.account, s.region, "DescribeStreamSummary", &kinesis.DescribeStreamSummaryInput{StreamARN: &s.streamARN})
	if err != nil {
		return mapping.Stream{}, err
	}
	sum := d.StreamDescriptionSummary
	st := mapping.Stream{Created: *sum.StreamCreationTimestamp, Retention: time.Duration(*sum.RetentionPeriodHours) * time.Hour}
	in := &kinesis.ListShardsInput{StreamARN: &s.streamARN}
	for {
		out, err := kinesisCall[kinesis.ListShardsOutput](ctx, s.calls, s.account, s.region, "ListShards", in)
		if err != nil {
			return mapping.Stream{}, err
		}
		for i := range out.Shards {
			sh := &out.Shards[i]
			m := mapping.Shard{ID: mapping.ShardID(*sh.ShardId), Closed: sh.SequenceNumberRange.EndingSequenceNumber != nil}
			for _, parent := range []*string{sh.ParentShardId, sh.AdjacentParentShardId} {
				if parent != nil {
					m.Parents = append(m.Parents, mapping.ShardID(*parent))
				}
			}
			st.Shards = append(st.Shards, m)
		}
		if out.NextToken == nil {
			return st, nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
}

// Iterator implements mapping.Source.
func (s *lambdaSource) Iterator(ctx context.Context, shard mapping.ShardID, at mapping.Position) (string, error) {
	in := &kinesis.GetShardIteratorInput{StreamARN: &s.streamARN, ShardId: new(string(shard)), ShardIteratorType: kinesis.ShardIteratorType(at.Kind)}
	in.StartingSequenceNumber, in.Timestamp = placeOf(at)
	out, err := kinesisCall[kinesis.GetShardIteratorOutput](ctx, s.calls, s.account, s.region, "GetShardIterator", in)
	if err != nil {
		return "", err
	}
	return *out.ShardIterator, nil
}

func placeOf(at mapping.Position) (sequence *string, timestamp *time.Time) {
	if at.Sequence != "" {
		sequence = new(string(at.Sequence))
	}
	if at.Kind == mapping.AtTimestamp {
		timestamp = &at.Time
	}
	return sequence, timestamp
}

// Records implements mapping.Source. Without holds (api.Hold) the data are ours for good.
func (s *lambdaSource) Records(ctx context.Context, iterator string, limit int) (mapping.Answer, error) {
	out, err := kinesisCall[kinesis.GetRecordsOutput](ctx, s.calls, s.account, s.region, "GetRecords", &kinesis.GetRecordsInput{ShardIterator: &iterator, Limit: new(int32(limit))})
	if err != nil {
		return mapping.Answer{}, err
	}
	return answerOf(out.Records, out.NextShardIterator, out.MillisBehindLatest), nil
}

func answerOf(records []kinesis.Record, next *string, behind *int64) mapping.Answer {
	a := mapping.Answer{Records: make([]mapping.Record, 0, len(records))}
	for i := range records {
		r := &records[i]
		a.Records = append(a.Records, mapping.Record{PartitionKey: *r.PartitionKey, SequenceNumber: mapping.SequenceNumber(*r.SequenceNumber), Data: r.Data, Arrival: *r.ApproximateArrivalTimestamp})
	}
	if next != nil {
		a.Next = *next
	}
	if behind != nil {
		a.Behind = time.Duration(*behind) * time.Millisecond
	}
	return a
}

// Subscribe implements mapping.Source.
func (s *lambdaSource) Subscribe(ctx context.Context, shard mapping.ShardID, at mapping.Position) (mapping.Subscription, error) {
	pos := &kinesis.StartingPosition{Type: kinesis.ShardIteratorType(at.Kind)}
	pos.SequenceNumber, pos.Timestamp = placeOf(at)
	out, err := kinesisCall[kinesis.SubscribeToShardOutput](ctx, s.calls, s.account, s.region, "SubscribeToShard",
		&kinesis.SubscribeToShardInput{ConsumerARN: &s.consumerARN, ShardId: new(string(shard)), StartingPosition: pos})
	if err != nil {
		return nil, err
	}
	return lambdaSubscription{out.EventStream}, nil
}

type lambdaSubscription struct{ api.Events }

// Next implements mapping.Subscription. The event at the end of a shard has
// children, and nothing to go on from.
func (s lambdaSubscription) Next(ctx context.Context) (mapping.Answer, error) {
	for {
		e, err := s.Events.Next(ctx)
		if err != nil {
			return mapping.Answer{}, streamProblem(err)
		}
		if e, ok := e.(*kinesis.SubscribeToShardEvent); ok {
			a := answerOf(e.Records, e.ContinuationSequenceNumber, e.MillisBehindLatest)
			if len(e.ChildShards) > 0 {
				a.Next = ""
			}
			return a, nil
		}
	}
}
