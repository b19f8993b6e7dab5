package logs

import (
	"context"
	"errors"
	"sync"

	"github.com/rheostream/rheo/internal/shardlog"
)

// An index says of a group's log where to look for events: of each chunk what times
// and streams it has, and of each stream its first and last. It is made of the
// log alone, so it can be forgotten, and is then made again: from the blob that
// it was last written to, and what is in the log behind that.
type index struct {
	next    shardlog.Offset // records below it are in the index
	chunks  []chunk         // in order; only the last one grows
	streams map[uint64]*streamFacts
	grain   int64 // bytes at which a chunk is closed
	cost    int64 // of memory, about
	unsaved int64 // bytes of records that the index's blob does not have yet
}

// streamFacts are what is known of a stream's events.
type streamFacts struct {
	first, last int64           // least and greatest time of an event, ms
	ingested    int64           // arrival of the last record, ms
	bytes       int64           // of messages
	from, to    shardlog.Offset // its first and last record
}

// factsCost is what the facts of a stream take of memory, about.
const factsCost = 112

func newIndex(grain int64) *index {
	return &index{next: 1, streams: map[uint64]*streamFacts{}, grain: grain}
}

// add takes in the next record.
func (x *index) add(offset shardlog.Offset, arrival int64, size int, rec *record) {
	n := len(x.chunks)
	if n == 0 || x.chunks[n-1].bytes >= x.grain {
		if n >= chunksMax {
			x.coarsen()
			n = len(x.chunks)
		}
		x.chunks = append(x.chunks, chunk{})
		x.cost += chunkCost
		n++
	}
	c := &x.chunks[n-1]
	before := c.streams.cost()
	c.add(offset, arrival, size, rec)
	x.cost += c.streams.cost() - before

	f := x.streams[rec.stream]
	if f == nil {
		f = &streamFacts{first: rec.least, last: rec.most, from: offset}
		x.streams[rec.stream] = f
		x.cost += factsCost
	}
	f.first, f.last = min(f.first, rec.least), max(f.last, rec.most)
	f.ingested, f.to = arrival, offset
	f.bytes += rec.bytes
	x.next = offset + 1
	x.unsaved += int64(size)
}

// coarsen makes one chunk of each two, so that a log of any length has few.
func (x *index) coarsen() {
	x.grain *= 2
	kept := x.chunks[:0]
	for i := 0; i < len(x.chunks); i += 2 {
		c := x.chunks[i]
		if i+1 < len(x.chunks) {
			c.join(&x.chunks[i+1])
		}
		kept = append(kept, c)
	}
	clear(x.chunks[len(kept):])
	x.chunks = kept
	x.recount()
}

// expire forgets chunks below an offset: their records are gone.
func (x *index) expire(first shardlog.Offset) {
	n := 0
	for n < len(x.chunks) && x.chunks[n].next <= first {
		n++
	}
	if n == 0 {
		return
	}
	x.chunks = append(x.chunks[:0], x.chunks[n:]...)
	clear(x.chunks[len(x.chunks):cap(x.chunks)])
	x.recount()
}

// prune forgets streams that are not there any more.
func (x *index) prune(live func(stream uint64) bool) {
	for n := range x.streams {
		if !live(n) {
			delete(x.streams, n)
		}
	}
	x.recount()
}

func (x *index) recount() {
	x.cost = factsCost * int64(len(x.streams))
	for i := range x.chunks {
		x.cost += chunkCost + x.chunks[i].streams.cost()
	}
}

// batches are what reads of logs read into.
var batches = sync.Pool{New: func() any { return new(shardlog.Batch) }}

// readBytes is about how much one read takes.
const readBytes = 1 << 20

// readRecords calls yield with the records in [from, to) of a shard until it
// returns false. What yield gets is valid during the call only.
func readRecords(ctx context.Context, shard shardlog.Shard, from, to shardlog.Offset, yield func(r *shardlog.Record, rec *record) (bool, error)) (next shardlog.Offset, err error) {
	b := batches.Get().(*shardlog.Batch)
	defer batches.Put(b)
	for from < to {
		if err := shard.Read(ctx, from, 10_000, readBytes, b); err != nil {
			return from, err
		}
		for i := range b.Records {
			r := &b.Records[i]
			if r.Offset >= to {
				return to, nil
			}
			rec, err := parseRecord(r.Data)
			if err != nil {
				return from, &damagedRecord{r.Offset, err}
			}
			more, err := yield(r, &rec)
			if err != nil {
				return from, err
			}
			if from = r.Offset + 1; !more {
				return from, nil
			}
		}
		if b.Next <= from && len(b.Records) == 0 {
			return to, nil // nothing is there up to the log's end
		}
		from = max(from, b.Next)
	}
	return from, nil
}

// A damagedRecord is a record that is whole for the log and none of ours.
type damagedRecord struct {
	offset shardlog.Offset
	err    error
}

func (e *damagedRecord) Error() string { return e.err.Error() }
func (e *damagedRecord) Unwrap() error { return e.err }

// advance takes in what the log has behind the index. When it returns nil, all
// that was durable when it was called is in the index.
func (x *index) advance(ctx context.Context, shard shardlog.Shard) error {
	info := shard.Info()
	x.expire(info.First)
	for x.next < info.Next {
		next, err := readRecords(ctx, shard, x.next, info.Next, func(r *shardlog.Record, rec *record) (bool, error) {
			x.add(r.Offset, r.Arrival, len(r.Data), rec)
			return true, nil
		})
		x.next = max(x.next, next)
		var damaged *shardlog.DamagedError
		if errors.As(err, &damaged) && damaged.To >= x.next {
			x.next = damaged.To + 1 // what is behind can be read
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
