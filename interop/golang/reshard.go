package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// reshard splits and merges below a writer and a reader.
func (s *script) reshard(ctx context.Context) {
	name := "interop-go-reshard"
	must(s.client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &name, ShardCount: aws.Int32(1)}))
	s.awaitActive(ctx, name)

	stop := make(chan struct{})
	var acked []string // "key number", in order within each key
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			key := fmt.Sprintf("key%d", i%7)
			data := fmt.Sprintf("%s %06d", key, i)
			must(s.client.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: &name, PartitionKey: &key, Data: []byte(data)}))
			acked = append(acked, data)
		}
	})
	reader := &lineage{script: s, stream: name, parentsLeft: map[string]int{}, started: map[string]bool{}, seen: map[string][]string{}}
	reading, stopReading := context.WithCancel(ctx)
	var reads sync.WaitGroup
	reads.Go(func() { reader.follow(ctx, reading, shardIDs[0]) })

	time.Sleep(400 * time.Millisecond)
	must(s.client.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: &name, ShardToSplit: &shardIDs[0],
		NewStartingHashKey: aws.String("170141183460469231731687303715884105728")}))
	equal("open shards after the split", *s.awaitActive(ctx, name).OpenShardCount, 2)
	time.Sleep(400 * time.Millisecond)
	must(s.client.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: &name,
		ShardToMerge: aws.String("shardId-000000000001"), AdjacentShardToMerge: aws.String("shardId-000000000002")}))
	equal("open shards after the merge", *s.awaitActive(ctx, name).OpenShardCount, 1)
	time.Sleep(400 * time.Millisecond)
	close(stop)
	writer.Wait()
	for deadline := time.Now().Add(30 * time.Second); reader.count() < len(acked) && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	stopReading()
	reads.Wait()

	want := map[string][]string{}
	for _, data := range acked {
		want[data[:4]] = append(want[data[:4]], data)
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if !slices.Equal(reader.seen[key], want[key]) {
			fail("of %s the reader saw\n%v\nwant\n%v", key, reader.seen[key], want[key])
		}
	}
	equal("shards that the reader went through", len(reader.started), 4)
	s.checkLineage(ctx, name)
	s.subscribeToClosed(ctx, name)
	must(s.client.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: &name, EnforceConsumerDeletion: aws.Bool(true)}))
	fmt.Printf("reshard: split and merge below a reader, %d records each seen once and in order; a closed shard's subscription ends with its children\n", len(acked))
}

// A lineage reads a stream from its first shard through all children.
type lineage struct {
	*script
	stream string

	mu          sync.Mutex
	parentsLeft map[string]int // of a child: how many are still being read
	started     map[string]bool
	seen        map[string][]string // under mu: of each key
	total       int
}

func (l *lineage) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// follow reads one shard to its end and then those children whose parents have all been read.
func (l *lineage) follow(ctx, reading context.Context, shard string) {
	l.mu.Lock()
	l.started[shard] = true
	l.mu.Unlock()
	iterator := must(l.client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: &l.stream, ShardId: &shard,
		ShardIteratorType: types.ShardIteratorTypeTrimHorizon})).ShardIterator
	for reading.Err() == nil {
		records, out := l.get(ctx, iterator, 0)
		l.mu.Lock()
		l.total += len(records)
		for _, r := range records {
			l.seen[r.key] = append(l.seen[r.key], r.data)
		}
		l.mu.Unlock()
		if iterator = out.NextShardIterator; iterator == nil {
			l.descend(ctx, reading, shard, out.ChildShards)
			return
		}
		if len(out.ChildShards) != 0 {
			fail("%s has children and a next iterator", shard)
		}
		time.Sleep(readPause)
	}
}

func (l *lineage) descend(ctx, reading context.Context, shard string, children []types.ChildShard) {
	if len(children) == 0 {
		fail("%s ended without ChildShards", shard)
	}
	var below sync.WaitGroup
	defer below.Wait()
	for _, child := range children {
		if !slices.Contains(child.ParentShards, shard) || child.HashKeyRange == nil {
			fail("child of %s is %+v", shard, child)
		}
		l.mu.Lock()
		if _, known := l.parentsLeft[*child.ShardId]; !known {
			l.parentsLeft[*child.ShardId] = len(child.ParentShards)
		}
		l.parentsLeft[*child.ShardId]--
		ready := l.parentsLeft[*child.ShardId] == 0
		l.mu.Unlock()
		if ready {
			below.Go(func() { l.follow(ctx, reading, *child.ShardId) })
		}
	}
}

func (s *script) checkLineage(ctx context.Context, name string) {
	shards := must(s.client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &name})).Shards
	equal("shards in all", len(shards), 4)
	for _, id := range []string{"shardId-000000000000", "shardId-000000000001", "shardId-000000000002"} {
		if shardOf(shards, id).SequenceNumberRange.EndingSequenceNumber == nil {
			fail("closed %s has no EndingSequenceNumber", id)
		}
	}
	merged := shardOf(shards, "shardId-000000000003")
	equal("parent of the merged shard", aws.ToString(merged.ParentShardId), "shardId-000000000001")
	equal("adjacent parent of the merged shard", aws.ToString(merged.AdjacentParentShardId), "shardId-000000000002")
}

func (s *script) subscribeToClosed(ctx context.Context, name string) {
	stream := s.subscribe(ctx, s.registerConsumer(ctx, name, "late"), shardIDs[0])
	defer stream.Close()
	var last *types.SubscribeToShardEvent
	for event := next(ctx, stream); event != nil; event = next(ctx, stream) {
		last = event
	}
	if last == nil {
		fail("the subscription to a closed shard ended without an event")
	}
	equal("children in the last event", len(last.ChildShards), 2)
	if last.ContinuationSequenceNumber != nil {
		fail("the last event has ContinuationSequenceNumber %s", *last.ContinuationSequenceNumber)
	}
}
