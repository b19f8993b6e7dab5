package main

import (
	"cmp"
	"context"
	"crypto/md5"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// GetRecords may be called five times a second for a shard.
const readPause = 210 * time.Millisecond

var (
	shardIDs = []string{"shardId-000000000000", "shardId-000000000001"}
	maxHash  = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1))
)

func (s *script) create(ctx context.Context) {
	must(s.client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &s.stream, ShardCount: aws.Int32(2),
		Tags: map[string]string{"purpose": "interop"}}))
	waiter := kinesis.NewStreamExistsWaiter(s.client, func(o *kinesis.StreamExistsWaiterOptions) { o.MinDelay = 100 * time.Millisecond })
	if err := waiter.Wait(ctx, &kinesis.DescribeStreamInput{StreamName: &s.stream}, time.Minute); err != nil {
		fail("stream_exists: %v", err)
	}
	equal("open shards", *s.awaitActive(ctx, s.stream).OpenShardCount, 2)
	tags := must(s.client.ListTagsForStream(ctx, &kinesis.ListTagsForStreamInput{StreamName: &s.stream})).Tags
	equal("tags", len(tags), 1)
	equal("tag", *tags[0].Key+"="+*tags[0].Value, "purpose=interop")
	shards := must(s.client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &s.stream})).Shards
	equal("shards", len(shards), 2)
	next := big.NewInt(0)
	for i, shard := range shards {
		equal("shard id", *shard.ShardId, shardIDs[i])
		equal("start of the shard's hash range", *shard.HashKeyRange.StartingHashKey, next.String())
		end, _ := new(big.Int).SetString(*shard.HashKeyRange.EndingHashKey, 10)
		next.Add(end, big.NewInt(1))
	}
	equal("end of the last hash range", next.Sub(next, big.NewInt(1)).String(), maxHash.String())
	fmt.Println("create: 2 shards, tagged, hash ranges without a hole")
}

// shardFor is where the first stream's records of a key go.
func shardFor(key string) string {
	sum := md5.Sum([]byte(key))
	return shardIDs[sum[0]>>7]
}

func (s *script) put(ctx context.Context) {
	s.records = map[string][]record{}
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	s.putOne(ctx, "every byte", all, "", shardFor("every byte"))
	s.putOne(ctx, "to the first", []byte("a"), "0", shardIDs[0])
	s.putOne(ctx, "to the last", []byte("b"), maxHash.String(), shardIDs[1])
	s.putMany(ctx, "first")
	// Some clients send timestamps in whole seconds: a second batch has seconds of its own.
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second + 20*time.Millisecond)))
	s.batch2 = time.Now().Truncate(time.Second)
	s.putMany(ctx, "second")

	var last string
	for i := range 3 {
		in := &kinesis.PutRecordInput{StreamName: &s.stream, PartitionKey: aws.String("ordered"), Data: fmt.Appendf(nil, "ordered %d", i)}
		if last != "" {
			in.SequenceNumberForOrdering = &last
		}
		out := must(s.client.PutRecord(ctx, in))
		if *out.SequenceNumber <= last {
			fail("sequence number %s does not follow %s", *out.SequenceNumber, last)
		}
		last = *out.SequenceNumber
		s.remember(*out.ShardId, record{"ordered", string(in.Data), last})
	}
	for _, records := range s.records {
		slices.SortFunc(records, func(a, b record) int { return cmp.Compare(a.sequence, b.sequence) })
	}
	fmt.Println("put: PutRecord, PutRecords, ExplicitHashKey, SequenceNumberForOrdering")
}

func (s *script) putOne(ctx context.Context, key string, data []byte, hash, shard string) {
	in := &kinesis.PutRecordInput{StreamName: &s.stream, PartitionKey: &key, Data: data}
	if hash != "" {
		in.ExplicitHashKey = &hash
	}
	out := must(s.client.PutRecord(ctx, in))
	equal("shard of "+key, *out.ShardId, shard)
	s.remember(shard, record{key, string(data), *out.SequenceNumber})
}

func (s *script) putMany(ctx context.Context, batch string) {
	in := &kinesis.PutRecordsInput{StreamName: &s.stream}
	for i := range 20 {
		in.Records = append(in.Records, types.PutRecordsRequestEntry{PartitionKey: aws.String(fmt.Sprintf("k%d", i)), Data: fmt.Appendf(nil, "%s %d", batch, i)})
	}
	out := must(s.client.PutRecords(ctx, in))
	equal("failed records", *out.FailedRecordCount, 0)
	equal("results of PutRecords", len(out.Records), len(in.Records))
	for i, r := range out.Records {
		key := *in.Records[i].PartitionKey
		equal("shard of "+key, *r.ShardId, shardFor(key))
		s.remember(*r.ShardId, record{key, string(in.Records[i].Data), *r.SequenceNumber})
	}
}

func (s *script) remember(shard string, r record) {
	equal("digits of a sequence number", len(r.sequence), 56)
	s.records[shard] = append(s.records[shard], r)
}

func (s *script) read(ctx context.Context) {
	for _, shard := range shardIDs {
		want := s.records[shard]
		second := slices.IndexFunc(want, func(r record) bool { return r.data[0] == 's' })
		iterator := func(in kinesis.GetShardIteratorInput) *string {
			in.StreamName, in.ShardId = &s.stream, &shard
			return must(s.client.GetShardIterator(ctx, &in)).ShardIterator
		}
		latest := iterator(kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeLatest})
		for _, c := range []struct {
			in   kinesis.GetShardIteratorInput
			want []record
		}{
			{kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon}, want},
			{kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: &want[3].sequence}, want[3:]},
			{kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAfterSequenceNumber, StartingSequenceNumber: &want[3].sequence}, want[4:]},
			{kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: &s.batch2}, want[second:]},
		} {
			got, out := s.get(ctx, iterator(c.in), 0)
			same(string(c.in.ShardIteratorType), got, c.want)
			equal("MillisBehindLatest at the tip", *out.MillisBehindLatest, 0)
			time.Sleep(readPause)
		}

		key := map[string]string{shardIDs[0]: "0", shardIDs[1]: maxHash.String()}[shard]
		s.putOne(ctx, "late", []byte("late"), key, shard)
		got, _ := s.get(ctx, latest, 0)
		want = s.records[shard]
		same("LATEST", got, want[len(want)-1:])

		next, paged := iterator(kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon}), []record(nil)
		for len(paged) < len(want) {
			time.Sleep(readPause)
			got, out := s.get(ctx, next, 7)
			if len(got) > 7 || len(got) == 0 {
				fail("Limit 7 gave %d records", len(got))
			}
			paged, next = append(paged, got...), out.NextShardIterator
		}
		same("pages of 7", paged, want)
	}
	fmt.Println("read: TRIM_HORIZON, AT_SEQUENCE_NUMBER, AFTER_SEQUENCE_NUMBER, AT_TIMESTAMP, LATEST, Limit")
}

func (s *script) get(ctx context.Context, iterator *string, limit int32) ([]record, *kinesis.GetRecordsOutput) {
	in := &kinesis.GetRecordsInput{ShardIterator: iterator}
	if limit > 0 {
		in.Limit = &limit
	}
	out := must(s.client.GetRecords(ctx, in))
	return toRecords(out.Records), out
}

func toRecords(in []types.Record) (out []record) {
	for _, r := range in {
		if age := time.Since(*r.ApproximateArrivalTimestamp); age < -time.Second || age > 5*time.Minute {
			fail("ApproximateArrivalTimestamp is %v", r.ApproximateArrivalTimestamp)
		}
		out = append(out, record{*r.PartitionKey, string(r.Data), *r.SequenceNumber})
	}
	return out
}

func same(what string, got, want []record) {
	if !slices.Equal(got, want) {
		fail("%s gave %d records\n%.300q\nwant %d\n%.300q", what, len(got), got, len(want), want)
	}
}
