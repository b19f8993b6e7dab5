package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// check reads the whole stream and compares it with what writers and readers know.
func (s *stream) check(ctx context.Context, total *tally) error {
	if _, err := s.awaitActive(ctx); err != nil { // a reshard that was cut short goes on
		return err
	}
	shards, err := s.shards(ctx)
	if err != nil {
		return err
	}
	stored := map[position]string{}
	for _, shard := range shards {
		if err := s.readAll(ctx, *shard.ShardId, stored); err != nil {
			return fmt.Errorf("cannot read %s: %w", *shard.ShardId, err)
		}
		if shard.SequenceNumberRange.EndingSequenceNumber != nil {
			if s.closed[*shard.ShardId] {
				total.reshards++
				delete(s.closed, *shard.ShardId)
			}
		}
	}
	for shard := range s.closed {
		total.undone++
		fmt.Println("its reshard was acknowledged, but open is", shard)
	}

	for at, data := range s.acked {
		if stored[at] != data {
			total.lost++
			report("acknowledged, but lost", at, data, stored[at])
		}
	}
	for at, data := range s.seen {
		if stored[at] != data {
			total.gone++
			report("seen by a reader, but gone", at, data, stored[at])
		}
	}
	s.checkOrder(stored, total)
	total.acked += s.ackedSinceCheck
	s.ackedSinceCheck = 0
	for err, n := range s.errors {
		fmt.Printf("%d calls failed before the kill: %.300s\n", n, err)
	}
	clear(s.errors)
	return nil
}

// checkOrder looks at the records of each writer in the order of their sequence
// numbers, which go on from parents to children: calls must be in order, and no record twice.
func (s *stream) checkOrder(stored map[position]string, total *tally) {
	inOrder := slices.SortedFunc(maps.Keys(stored), func(a, b position) int { return cmp.Compare(a.sequence, b.sequence) })
	type id struct{ writer, call, index int }
	known := map[id]bool{}
	var lastCall [writers]int
	for _, at := range inOrder {
		var r id
		if _, err := fmt.Sscan(stored[at], &r.writer, &r.call, &r.index); err != nil || r.writer < 0 || r.writer >= writers {
			total.lost++
			report("not what any writer put", at, "", stored[at])
			continue
		}
		if known[r] {
			total.duplicated++
			report("twice", at, stored[at], "")
		}
		known[r] = true
		if r.call < lastCall[r.writer] {
			total.disordered++
			report("after a later call's record", at, stored[at], "")
		}
		lastCall[r.writer] = r.call
	}
}

func report(what string, at position, want, got string) {
	fmt.Printf("%s: %s %s: want %.40q, there is %.40q\n", what, at.shard, at.sequence, want, got)
}

func (s *stream) shards(ctx context.Context) (all []types.Shard, err error) {
	in := &kinesis.ListShardsInput{StreamName: &s.name}
	for {
		out, err := s.client.ListShards(ctx, in)
		if err != nil {
			return nil, err
		}
		all = append(all, out.Shards...)
		if out.NextToken == nil {
			return all, nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
}

func (s *stream) readAll(ctx context.Context, shard string, into map[position]string) error {
	start, err := s.client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: &s.name, ShardId: &shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	if err != nil {
		return err
	}
	for iterator := start.ShardIterator; iterator != nil; {
		out, err := s.client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator})
		if err != nil {
			return err
		}
		for _, r := range out.Records {
			into[position{shard, *r.SequenceNumber}] = string(r.Data)
		}
		if len(out.Records) == 0 && *out.MillisBehindLatest == 0 && out.NextShardIterator != nil {
			return nil
		}
		iterator = out.NextShardIterator
	}
	return nil
}

// delete removes the stream, and returns once its name is free.
func (s *stream) delete(ctx context.Context) error {
	if _, err := s.client.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: &s.name, EnforceConsumerDeletion: aws.Bool(true)}); err != nil {
		return err
	}
	for {
		_, err := s.client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &s.name})
		if gone := (*types.ResourceNotFoundException)(nil); errors.As(err, &gone) {
			return nil
		} else if err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}
