package streams

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/shardlog"
)

// An iterator is a position in a shard: the offset of the next record to read.
type iterator struct {
	streamID string
	shard    uint32
	offset   shardlog.Offset
	made     time.Time
}

func (s *Service) sealIterator(it iterator) string {
	b := make([]byte, 0, 12+len(it.streamID))
	b = binary.LittleEndian.AppendUint32(b, it.shard)
	b = binary.LittleEndian.AppendUint64(b, uint64(it.offset))
	return s.tokens.seal(iteratorToken, it.made, append(b, it.streamID...))
}

func (s *Service) openIterator(token string) (it iterator, err error) {
	b, made, err := s.tokens.open(iteratorToken, token)
	if err != nil || len(b) < 12 {
		return it, invalidArgument("Invalid ShardIterator.")
	}
	it = iterator{string(b[12:]), binary.LittleEndian.Uint32(b), shardlog.Offset(binary.LittleEndian.Uint64(b[4:])), made}
	now := s.now()
	if now.Sub(made) > tokenLifetime {
		const layout = "Mon Jan 02 15:04:05 UTC 2006"
		return it, api.Errorf("ExpiredIteratorException", "Iterator expired. The iterator was created at time %s while right now it is %s which is further in the future than the tolerated delay of 300000 milliseconds.",
			made.UTC().Format(layout), now.UTC().Format(layout))
	}
	return it, nil
}

// position turns where a reader wants to start into an offset. Both
// GetShardIterator and SubscribeToShard start this way; op is which of them asks.
func (s *Service) position(ctx context.Context, op string, sh *shard, kind kinesis.ShardIteratorType, sequenceNumber *string, at *time.Time) (shardlog.Offset, error) {
	const either = "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified %s and "
	if sequenceNumber != nil && (kind == kinesis.ShardIteratorTypeTrimHorizon || kind == kinesis.ShardIteratorTypeLatest) {
		return 0, invalidArgument(either+"also a StartingSequenceNumber.", kind)
	}
	switch kind {
	case kinesis.ShardIteratorTypeTrimHorizon:
		return sh.log.Info().First, nil
	case kinesis.ShardIteratorTypeLatest:
		// Next is not above any record that is still on its way to the disk, so
		// that none acknowledged from now on is skipped.
		return sh.log.Info().Next, nil
	case kinesis.ShardIteratorTypeAtTimestamp:
		if at == nil {
			return 0, invalidArgument("Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp parameter.")
		}
		if now := s.now().UnixMilli(); at.UnixMilli() > now {
			return 0, invalidArgument("The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: %d, currentTimestampInMillis: %d", at.UnixMilli(), now)
		}
		return sh.log.Find(ctx, at.UnixMilli())
	case kinesis.ShardIteratorTypeAtSequenceNumber, kinesis.ShardIteratorTypeAfterSequenceNumber:
		if sequenceNumber == nil {
			return 0, invalidArgument(either+"no StartingSequenceNumber.", kind)
		}
		q, err := s.checkSequence(op, sh, *sequenceNumber)
		if err != nil {
			return 0, err
		}
		offset := q.offset()
		if q.counter == endCounter {
			// The end of a closed shard, of which the log knows the END marker.
			return sh.log.Info().Next, nil
		}
		if kind == kinesis.ShardIteratorTypeAfterSequenceNumber {
			offset++
		}
		return offset, nil
	}
	return 0, invalidArgument("Invalid ShardIteratorType: %s", kind)
}

// checkSequence refuses a sequence number that this shard did not give out.
func (s *Service) checkSequence(op string, sh *shard, text string) (sequence, error) {
	refused := func(why string) error {
		return invalidArgument("StartingSequenceNumber %s used in %s on shard %s in stream %s under account %s is invalid%s.", text, op, sh.id, sh.stream.name.name, sh.stream.name.account, why)
	}
	q, ok := parseSequence(text)
	d := sh.doc.Load()
	switch {
	case !ok:
		return q, refused("")
	case q.shard != sh.index:
		return q, invalidArgument("Invalid StartingSequenceNumber. It encodes %s, while it was used in a call to a shard with %s", shardID(q.shard), sh.id)
	case q.created != d.Created/1000:
		return q, refused(" because it did not come from this stream")
	case q.counter == endCounter && d.State != shardClosed, q.counter != endCounter && q.offset() >= max(1, sh.log.Info().Next):
		return q, refused("") // it lies ahead
	}
	return q, nil
}

// visibleShard finds a shard that clients may see.
func (s *Service) visibleShard(st *stream, id string) (*shard, error) {
	index, ok := parseShardID(id)
	if !ok {
		return nil, shardNotFound(st, id)
	}
	s.mu.RLock()
	sh := st.shards[index]
	s.mu.RUnlock()
	if sh == nil || sh.doc.Load().State == shardPending {
		return nil, shardMissing(st, shardID(index))
	}
	return sh, nil
}
