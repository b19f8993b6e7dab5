package streams

import (
	"context"
	"time"
	"unsafe"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
)

// PutRecord stores one record and says where. Records of one partition key that
// are put one after the other are read in that order, with or without
// SequenceNumberForOrdering, which is only checked.
func (s *Service) PutRecord(ctx context.Context, in *kinesis.PutRecordInput) (*kinesis.PutRecordOutput, error) {
	st, d, err := s.writable(ctx, in.StreamName, in.StreamARN)
	if err != nil {
		return nil, err
	}
	p := newPut(1)
	defer p.free()
	if in.PartitionKey == nil && d.Distribution != kinesis.RecordDistributionStrategyAuto {
		return nil, validation("1 validation error detected: Value null at 'partitionKey' failed to satisfy constraint: Member must not be null")
	}
	if _, err := p.check(d, 0, in.PartitionKey, in.ExplicitHashKey, in.Data); err != nil {
		if api.IsCode(err, "ValidationException") {
			err = validation("1 validation error detected: Value at 'data' failed to satisfy constraint: Member must have length less than or equal to %d", d.MaxRecordKiB<<10)
		}
		return nil, err
	}
	if q := in.SequenceNumberForOrdering; q != nil && d.Distribution != kinesis.RecordDistributionStrategyAuto {
		// As with AWS any number will do whose record is not of the future (by the
		// clock of whichever process gave it), of other shards and streams too: the
		// key's last record may be in a parent, or in a stream of this name before.
		seq, ok := parseSequence(*q)
		if !ok || seq.arrived > s.now().Unix()+1 {
			return nil, invalidArgument("ExclusiveMinimumSequenceNumber %s used in PutRecord on stream %s under account %s is invalid.", *q, d.Name, d.Account)
		}
	}
	if in.DryRun != nil && *in.DryRun {
		return nil, dryRun()
	}
	began := time.Now()
	s.put(ctx, st, d, p)
	p.countPut(st, began, true)
	it := &p.items[0]
	switch it.code {
	case "":
	case "ProvisionedThroughputExceededException":
		return nil, throughputExceeded("%s", it.text)
	case vanished:
		return nil, streamNotFound(d.Account, d.Name)
	default:
		return nil, &api.Error{Code: it.code, Message: it.text, Status: 500}
	}
	seq := it.seq.String()
	return &kinesis.PutRecordOutput{ShardId: &it.shard.id, SequenceNumber: &seq}, nil
}

// bytesString views bytes, which nobody may change any more, as a string.
func bytesString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// stringBytes views a string as bytes, which must not be changed: the log copies them.
func stringBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
