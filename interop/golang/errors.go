package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
)

func (s *script) errors(ctx context.Context) {
	missing := "interop-missing"
	_, err := s.client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &missing})
	refused[*types.ResourceNotFoundException]("a missing stream", err, "Stream interop-missing under account 000000000000 not found.")
	_, err = s.client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &s.stream, ShardCount: aws.Int32(1)})
	refused[*types.ResourceInUseException]("a stream's second creation", err, "Stream "+s.stream+" under account 000000000000 already exists.")
	_, err = s.client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: aws.String("AAAA")})
	refused[*types.InvalidArgumentException]("a forged iterator", err, "Invalid ShardIterator.")
	_, err = s.client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: &s.stream, ShardId: aws.String("shardId-000000000099"),
		ShardIteratorType: types.ShardIteratorTypeLatest})
	refused[*types.ResourceNotFoundException]("a missing shard", err, "shardId-000000000099")

	_, err = s.client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("no spaces"), ShardCount: aws.Int32(1)})
	var apiError smithy.APIError
	if !errors.As(err, &apiError) || apiError.ErrorCode() != "ValidationException" ||
		!strings.HasPrefix(apiError.ErrorMessage(), "1 validation error detected: Value 'no spaces' at 'streamName' failed to satisfy constraint: ") {
		fail("a wrong name gave %v", err)
	}

	s.throttled(ctx)
	fmt.Println("errors: ResourceNotFound, ResourceInUse, InvalidArgument, Validation, ProvisionedThroughputExceeded")
}

// throttled goes over a shard's megabyte a second, with one call and with one batch.
func (s *script) throttled(ctx context.Context) {
	once := func(o *kinesis.Options) { o.RetryMaxAttempts = 1 }
	big := make([]byte, 900_000)
	var err error
	for i := 0; i < 20 && err == nil; i++ {
		_, err = s.client.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: &s.stream, PartitionKey: aws.String("big"),
			ExplicitHashKey: aws.String("0"), Data: big}, once)
	}
	refused[*types.ProvisionedThroughputExceededException]("too much for a shard", err, "Rate exceeded for shard shardId-000000000000 in stream "+s.stream+" under account 000000000000.")

	time.Sleep(2 * time.Second) // the shard's capacity is back
	in := &kinesis.PutRecordsInput{StreamName: &s.stream}
	for range 5 {
		in.Records = append(in.Records, types.PutRecordsRequestEntry{PartitionKey: aws.String("big"), ExplicitHashKey: aws.String("0"), Data: big})
	}
	out := must(s.client.PutRecords(ctx, in, once))
	var failed int32
	for _, r := range out.Records {
		if r.ErrorCode != nil {
			equal("error of a record", *r.ErrorCode, "ProvisionedThroughputExceededException")
			failed++
		} else if r.SequenceNumber == nil {
			fail("a record has neither number nor error")
		}
	}
	equal("FailedRecordCount", *out.FailedRecordCount, failed)
	if failed == 0 || failed == 5 {
		fail("%d of 5 large records were refused", failed)
	}
}

func (s *script) delete(ctx context.Context) {
	_, err := s.client.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: &s.stream})
	refused[*types.ResourceInUseException]("deletion with a consumer", err, "")
	arn := s.awaitActive(ctx, s.stream).StreamARN
	must(s.client.DeregisterStreamConsumer(ctx, &kinesis.DeregisterStreamConsumerInput{StreamARN: arn, ConsumerName: aws.String("reader")}))
	for {
		out := must(s.client.ListStreamConsumers(ctx, &kinesis.ListStreamConsumersInput{StreamARN: arn}))
		if len(out.Consumers) == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	must(s.client.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: &s.stream}))
	waiter := kinesis.NewStreamNotExistsWaiter(s.client, func(o *kinesis.StreamNotExistsWaiterOptions) { o.MinDelay = 100 * time.Millisecond })
	if err := waiter.Wait(ctx, &kinesis.DescribeStreamInput{StreamName: &s.stream}, time.Minute); err != nil {
		fail("stream_not_exists: %v", err)
	}
	fmt.Println("delete: refused with a consumer, then gone")
}
