package streams

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/shardlog"
)

// GetRecords reads on from an iterator: at most 10,000 records and about 10 MiB.
// At the end of a closed shard there is no next iterator, and ChildShards says
// where to go on; the two always come together.
func (s *Service) GetRecords(ctx context.Context, in *kinesis.GetRecordsInput) (*kinesis.GetRecordsOutput, error) {
	it, err := s.openIterator(*in.ShardIterator)
	if err != nil {
		return nil, err
	}
	st, sh, err := s.iterated(ctx, it, in.StreamARN)
	if err != nil {
		return nil, err
	}
	if in.DryRun != nil && *in.DryRun {
		return nil, dryRun()
	}
	began := time.Now()
	if !sh.read.call(s.now(), s.cfg.Limits) {
		countReadRefused(st, sh)
		return nil, throughputExceeded("Rate exceeded for Shard - %s/%s/%s", st.name.account, st.name.name, sh.id)
	}
	limit := 10_000
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	allowed, reserved := s.reserveAnswer(answerBytesMax)
	if allowed == 0 {
		return nil, throughputExceeded("Rate exceeded for the memory of this server.")
	}
	b := batches.Get().(*shardlog.Batch)
	err = sh.log.Read(ctx, it.offset, limit, allowed, b)
	reserved = s.fitAnswer(b, reserved)
	release := func() { s.releaseAnswer(reserved); freeBatch(b) }
	if err != nil {
		release()
		return nil, readError(sh, err)
	}
	if !api.Hold(ctx, release) {
		s.releaseAnswer(reserved) // the records are the caller's
	}
	records, size := s.clientRecords(sh, b)
	sh.read.answered(size, s.cfg.Limits)
	out := &kinesis.GetRecordsOutput{Records: records, MillisBehindLatest: new(s.behind(b))}
	if out.ChildShards = s.childrenAtEnd(sh, b); out.ChildShards == nil {
		token := s.sealIterator(iterator{st.id, sh.index, b.Next, s.now()})
		out.NextShardIterator = &token
	}
	countGet(st, sh, began, len(records), size, *out.MillisBehindLatest)
	return out, nil
}

// readError says of a shard that is gone what its reader has to know: that it
// expired, or was deleted with its stream.
func readError(sh *shard, err error) error {
	st := sh.stream
	switch {
	case !errors.Is(err, shardlog.ErrNotFound):
		return fmt.Errorf("cannot read shard %s: %w", sh.log.ID(), err)
	case st.doc.Load() == nil:
		return streamNotFound(st.name.account, st.name.name)
	}
	return shardMissing(st, sh.id)
}

// iterated finds the shard of an iterator, for its owner only.
func (s *Service) iterated(ctx context.Context, it iterator, arn *string) (*stream, *shard, error) {
	caller := api.CallerFrom(ctx)
	s.mu.RLock()
	st := s.byID[it.streamID]
	var sh *shard
	if st != nil {
		sh = st.shards[it.shard]
	}
	s.mu.RUnlock()
	if st == nil || st.name.account != caller.Account || st.name.region != caller.Region {
		return nil, nil, notFound("The stream of this ShardIterator was not found under account %s.", caller.Account)
	}
	d := st.doc.Load()
	if d == nil || d.Status == kinesis.StreamStatusDeleting {
		return nil, nil, streamNotFound(st.name.account, st.name.name)
	}
	if arn != nil && *arn != d.arn() {
		return nil, nil, invalidArgument("StreamARN %s is not that of the stream of this ShardIterator.", *arn)
	}
	if sh == nil {
		return nil, nil, shardMissing(st, shardID(it.shard))
	}
	return st, sh, nil
}

// clientRecords shows what was read as clients see it. The data alias the batch.
// size is what counts against the shard's read limit.
func (s *Service) clientRecords(sh *shard, b *shardlog.Batch) (out []kinesis.Record, size int) {
	n := len(b.Records)
	out = make([]kinesis.Record, n)
	// The pointers of all records point into four allocations.
	digits, keys, arrivals := make([]byte, 0, 56*n), 0, 0
	for i := range b.Records {
		keys += len(b.Records[i].PartitionKey)
		if i == 0 || b.Records[i].Arrival != b.Records[i-1].Arrival {
			arrivals++ // records of the same moment share its time
		}
	}
	keyBytes := make([]byte, 0, keys)
	q := sequence{created: sh.doc.Load().Created / 1000, shard: sh.index}
	for i := range b.Records {
		r := &b.Records[i]
		q.counter, q.arrived = uint64(r.Offset), r.Arrival/1000
		digits = q.append(digits)
		keyBytes = append(keyBytes, r.PartitionKey...)
		size += len(r.PartitionKey) + len(r.Data)
	}
	// Neither is written to again.
	allDigits, allKeys := bytesString(digits), bytesString(keyBytes)
	texts, times := make([]string, 2*n), make([]time.Time, 0, arrivals)
	for i := range b.Records {
		r, o := &b.Records[i], &out[i]
		texts[2*i], allDigits = allDigits[:56], allDigits[56:]
		texts[2*i+1], allKeys = allKeys[:len(r.PartitionKey)], allKeys[len(r.PartitionKey):]
		if i == 0 || r.Arrival != b.Records[i-1].Arrival {
			times = append(times, time.UnixMilli(r.Arrival))
		}
		o.SequenceNumber, o.PartitionKey = &texts[2*i], &texts[2*i+1]
		o.ApproximateArrivalTimestamp = &times[len(times)-1]
		if o.Data = r.Data; o.Data == nil {
			o.Data = []byte{}
		}
	}
	return out, size
}

// behind is MillisBehindLatest: the age of the next record to read, 0 when there is none.
func (s *Service) behind(b *shardlog.Batch) int64 {
	if b.NextArrival == 0 {
		return 0
	}
	return max(0, s.now().UnixMilli()-b.NextArrival)
}

// childrenAtEnd are the children of a shard when the reader has reached its
// end, else nil. Between the END marker and the CLOSED command the children do
// not show yet: the reader is told to come back.
func (s *Service) childrenAtEnd(sh *shard, b *shardlog.Batch) []kinesis.ChildShard {
	if !b.End || sh.doc.Load().State != shardClosed {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []kinesis.ChildShard
	for _, c := range sh.stream.sorted() {
		d := c.doc.Load()
		if d.Parent == nil || *d.Parent != sh.index && (d.Adjacent == nil || *d.Adjacent != sh.index) {
			continue
		}
		child := kinesis.ChildShard{ShardId: &c.id, ParentShards: []string{shardID(*d.Parent)}, HashKeyRange: hashRange(d)}
		if d.Adjacent != nil {
			child.ParentShards = append(child.ParentShards, shardID(*d.Adjacent))
		}
		out = append(out, child)
	}
	return out
}

// sorted lists the stream's shards by index, those that clients may see. The caller holds Service.mu.
func (st *stream) sorted() []*shard {
	out := make([]*shard, 0, len(st.shards))
	for _, sh := range st.shards {
		if sh.doc.Load().State != shardPending {
			out = append(out, sh)
		}
	}
	slices.SortFunc(out, func(a, b *shard) int { return cmp.Compare(a.index, b.index) })
	return out
}

func hashRange(d *shardDoc) *kinesis.HashKeyRange {
	return &kinesis.HashKeyRange{StartingHashKey: new(d.Start.String()), EndingHashKey: new(d.End.String())}
}
