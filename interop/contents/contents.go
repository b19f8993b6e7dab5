// Package contents reads back what is in a stream: every user record of every
// shard, aggregates of the Kinesis Producer Library unpacked by the rules of the
// Kinesis Client Library. It is what consumers are checked against.
package contents

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// A Shard is all that a shard holds, in order.
type Shard struct {
	ID      string
	Parents []string
	Records []Record
	Packed  int // records of the stream; fewer than user records where there are aggregates
}

// A Position is where a user record is. Positions of one key grow from parent shards to their children.
type Position struct {
	Sequence string // decimal
	Sub      int    // which of its aggregate, 0 for a plain record
}

// Compare orders positions.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(len(p.Sequence), len(q.Sequence)), strings.Compare(p.Sequence, q.Sequence), cmp.Compare(p.Sub, q.Sub))
}

// A Record is a user record.
type Record struct {
	Position
	Key, Data string

	// Stray says that the key belongs into another shard: a producer packed the
	// aggregate before it knew of a split or merge. The producer library sends
	// such a user record again.
	Stray bool
	// Dropped says that a record of the same aggregate is stray. Consumers leave
	// out the aggregate as a whole.
	Dropped bool
}

// Read reads the whole stream. It waits out the limits of its shards, which it may share with consumers.
func Read(ctx context.Context, client *kinesis.Client, stream string) ([]Shard, error) {
	listed, err := List(ctx, client, stream)
	if err != nil {
		return nil, err
	}
	shards := make([]Shard, len(listed))
	errs := make([]error, len(listed))
	var all sync.WaitGroup
	for i, l := range listed {
		all.Go(func() {
			shards[i], errs[i] = readShard(ctx, client, stream, l)
		})
	}
	all.Wait()
	return shards, errors.Join(errs...)
}

// List lists all shards of a stream, closed ones too, in order of their ids.
func List(ctx context.Context, client *kinesis.Client, stream string) (shards []types.Shard, err error) {
	in := &kinesis.ListShardsInput{StreamName: &stream}
	for {
		out, err := client.ListShards(ctx, in)
		if err != nil {
			return nil, err
		}
		shards = append(shards, out.Shards...)
		if out.NextToken == nil {
			slices.SortFunc(shards, func(a, b types.Shard) int { return strings.Compare(*a.ShardId, *b.ShardId) })
			return shards, nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
}

// Open says whether a shard takes records.
func Open(shard types.Shard) bool { return shard.SequenceNumberRange.EndingSequenceNumber == nil }

// Range is the shard's part of the hash range, both ends belong to it.
func Range(shard types.Shard) (first, last *big.Int, err error) {
	first, ok := new(big.Int).SetString(*shard.HashKeyRange.StartingHashKey, 10)
	last, ok2 := new(big.Int).SetString(*shard.HashKeyRange.EndingHashKey, 10)
	if !ok || !ok2 {
		return nil, nil, fmt.Errorf("%s has the hash range %s to %s", *shard.ShardId, *shard.HashKeyRange.StartingHashKey, *shard.HashKeyRange.EndingHashKey)
	}
	return first, last, nil
}

func readShard(ctx context.Context, client *kinesis.Client, stream string, listed types.Shard) (Shard, error) {
	shard := Shard{ID: *listed.ShardId}
	for _, parent := range []*string{listed.ParentShardId, listed.AdjacentParentShardId} {
		if parent != nil {
			shard.Parents = append(shard.Parents, *parent)
		}
	}
	first, last, err := Range(listed)
	if err != nil {
		return shard, err
	}
	start, err := client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
		StreamName: &stream, ShardId: &shard.ID, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	if err != nil {
		return shard, err
	}
	for iterator := start.ShardIterator; iterator != nil; {
		out, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator})
		if throttled := (*types.ProvisionedThroughputExceededException)(nil); errors.As(err, &throttled) {
			select {
			case <-ctx.Done():
				return shard, ctx.Err()
			case <-time.After(time.Second): // the window of the limits
			}
			continue
		} else if err != nil {
			return shard, err
		}
		for _, r := range out.Records {
			shard.Packed++
			records, err := userRecords(r, first, last)
			if err != nil {
				return shard, fmt.Errorf("%s %s: %w", shard.ID, *r.SequenceNumber, err)
			}
			shard.Records = append(shard.Records, records...)
		}
		if len(out.Records) == 0 && aws.ToInt64(out.MillisBehindLatest) == 0 && out.NextShardIterator != nil {
			break
		}
		iterator = out.NextShardIterator
	}
	return shard, nil
}

// userRecords gives what consumers are to see of a record.
func userRecords(r types.Record, first, last *big.Int) ([]Record, error) {
	packed, ok, err := unpack(r.Data)
	if err != nil {
		return nil, err
	}
	if !ok {
		return []Record{{Position: Position{Sequence: *r.SequenceNumber}, Key: *r.PartitionKey, Data: string(r.Data)}}, nil
	}
	var records []Record
	anyStray := false
	for i, u := range packed {
		hash, err := u.hash()
		if err != nil {
			return nil, err
		}
		stray := hash.Cmp(first) < 0 || hash.Cmp(last) > 0
		anyStray = anyStray || stray
		records = append(records, Record{Position: Position{Sequence: *r.SequenceNumber, Sub: i}, Key: u.key, Data: u.data, Stray: stray})
	}
	for i := range records {
		records[i].Dropped = anyStray
	}
	return records, nil
}
