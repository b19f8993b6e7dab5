package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

func (s *script) registerConsumer(ctx context.Context, stream, name string) (arn *string) {
	streamARN := s.awaitActive(ctx, stream).StreamARN
	arn = must(s.client.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: streamARN, ConsumerName: &name})).Consumer.ConsumerARN
	for {
		out := must(s.client.DescribeStreamConsumer(ctx, &kinesis.DescribeStreamConsumerInput{ConsumerARN: arn}))
		if out.ConsumerDescription.ConsumerStatus == types.ConsumerStatusActive {
			return arn
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (s *script) subscribe(ctx context.Context, consumer *string, shard string) *kinesis.SubscribeToShardEventStream {
	return must(s.client.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{ConsumerARN: consumer, ShardId: &shard,
		StartingPosition: &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}})).GetStream()
}

// next is the next event of a subscription, nil at its end.
func next(ctx context.Context, stream *kinesis.SubscribeToShardEventStream) *types.SubscribeToShardEvent {
	select {
	case event, open := <-stream.Events():
		if !open {
			if err := stream.Err(); err != nil {
				fail("subscription ended: %v", err)
			}
			return nil
		}
		return &event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value
	case <-ctx.Done():
		fail("no event of a subscription: %v", ctx.Err())
		return nil
	}
}

func (s *script) fanOut(ctx context.Context) {
	consumer := s.registerConsumer(ctx, s.stream, "reader")
	shard := shardIDs[0]
	stream := s.subscribe(ctx, consumer, shard)
	defer stream.Close()
	var got []record
	collect := func(n int) {
		for len(got) < n {
			event := next(ctx, stream)
			if event == nil {
				fail("the subscription ended after %d records of %d", len(got), n)
			}
			if aws.ToString(event.ContinuationSequenceNumber) == "" {
				fail("an event has no ContinuationSequenceNumber")
			}
			got = append(got, toRecords(event.Records)...)
		}
	}
	collect(len(s.records[shard]))
	s.putOne(ctx, "pushed", []byte("pushed"), "0", shard)
	collect(len(s.records[shard]))
	same("SubscribeToShard", got, s.records[shard])

	_, err := s.client.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{ConsumerARN: consumer, ShardId: &shard,
		StartingPosition: &types.StartingPosition{Type: types.ShardIteratorTypeLatest}})
	refused[*types.ResourceInUseException]("a second subscription at once", err, "Another active subscription exists for this consumer")
	consumers := must(s.client.ListStreamConsumers(ctx, &kinesis.ListStreamConsumersInput{StreamARN: s.awaitActive(ctx, s.stream).StreamARN})).Consumers
	equal("consumers", len(consumers), 1)
	fmt.Println("fan-out: records so far, a record put meanwhile, second subscription refused")
}
