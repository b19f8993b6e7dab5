package streams

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/shardlog"
)

// bodyBytesMax is the most that one PutRecords takes in data and partition keys.
const bodyBytesMax = 10 << 20

// PutRecords stores up to 500 records of up to 10 MiB together. Anything wrong
// with any record refuses the whole call. Then each record stands for itself:
// one that its shard has no capacity for, or that could not be stored, has its
// error in its place of the answer and uses up nothing. Records of one shard
// keep the order of the call.
func (s *Service) PutRecords(ctx context.Context, in *kinesis.PutRecordsInput) (*kinesis.PutRecordsOutput, error) {
	st, d, err := s.writable(ctx, in.StreamName, in.StreamARN)
	if err != nil {
		return nil, err
	}
	p := newPut(len(in.Records))
	defer p.free()
	total := 0
	for i := range in.Records {
		r := &in.Records[i]
		size, err := p.check(d, i, r.PartitionKey, r.ExplicitHashKey, r.Data)
		if err != nil {
			return nil, err
		}
		total += size
	}
	if total > bodyBytesMax {
		return nil, invalidArgument("Records total size of %d bytes exceeds the limit of %d bytes.", total, bodyBytesMax)
	}
	if in.DryRun != nil && *in.DryRun {
		return nil, dryRun()
	}
	began := time.Now()
	s.put(ctx, st, d, p)
	p.countPut(st, began, false)
	for i := range p.items {
		if p.items[i].code == vanished {
			return nil, streamNotFound(d.Account, d.Name)
		}
	}
	return p.output(), nil
}

// writable finds a stream that takes records.
func (s *Service) writable(ctx context.Context, name, arn *string) (*stream, *streamDoc, error) {
	st, d, err := s.lookup(ctx, name, arn)
	if err == nil && d.Status != kinesis.StreamStatusActive && d.Status != kinesis.StreamStatusUpdating {
		err = streamNotFound(d.Account, d.Name)
	}
	return st, d, err
}

// put is the work of one PutRecord or PutRecords.
type put struct {
	items  []putItem
	counts []int32           // per shard of the route
	parts  []shardlog.Put    // one per shard that gets records
	owners []*shard          // of parts
	log    []shardlog.Record // behind the parts
	order  []int32           // item of each record of log
}

type putItem struct {
	key   []byte // partition key
	data  []byte
	hash  hashKey
	part  int32 // position of its shard in the route; -1: done or refused
	shard *shard
	seq   sequence
	code  string // error, if it was not
	text  string
}

var putPool = sync.Pool{New: func() any { return new(put) }}

func newPut(n int) *put {
	p := putPool.Get().(*put)
	if cap(p.items) < n {
		p.items = make([]putItem, n)
	}
	p.items = p.items[:n]
	clear(p.items)
	return p
}

// free returns p to the pool without holding on to the request's memory.
func (p *put) free() {
	clear(p.items)
	clear(p.parts[:cap(p.parts)])
	clear(p.owners[:cap(p.owners)])
	clear(p.log[:cap(p.log)])
	putPool.Put(p)
}

// check takes one record in, or says what is wrong with it.
func (p *put) check(d *streamDoc, i int, partitionKey, explicitHashKey *string, data []byte) (size int, err error) {
	it := &p.items[i]
	if partitionKey == nil { // the model lets it out, for AUTO distribution
		if d.Distribution != kinesis.RecordDistributionStrategyAuto {
			return 0, validation("1 validation error detected: Value null at 'records.%d.member.partitionKey' failed to satisfy constraint: Member must not be null", i+1)
		}
		partitionKey = new(string)
	}
	it.key, it.data = stringBytes(*partitionKey), data
	size = len(it.key) + len(data)
	if size > int(d.MaxRecordKiB)<<10 {
		return 0, validation("1 validation error detected: Value at 'records.%d.member.data' failed to satisfy constraint: Member must have length less than or equal to %d", i+1, d.MaxRecordKiB<<10)
	}
	if explicitHashKey != nil {
		var ok bool
		if it.hash, ok = parseHashKey(*explicitHashKey); !ok {
			return 0, invalidArgument("Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was %s", *explicitHashKey)
		}
	} else if d.Distribution != kinesis.RecordDistributionStrategyAuto {
		it.hash = hashOf(*partitionKey)
	}
	return size, nil
}

// put routes, limits and stores the items, each of which ends with a sequence
// number or an error code.
//
// A shard that is split or merged meanwhile refuses what comes after its END
// marker; those records wait for the children to open and go to them. So a
// record is never acknowledged behind the END, where no reader looks.
func (s *Service) put(ctx context.Context, st *stream, d *streamDoc, p *put) {
	left := len(p.items)
	for first := true; left > 0; first = false {
		s.mu.RLock()
		changed := st.changed
		s.mu.RUnlock()
		r := st.route.Load()
		p.route(s, st, d, r, first)
		if len(p.parts) == 0 {
			return
		}
		s.cfg.Log.Append(ctx, p.parts)
		left = p.settle(s)
		if left == 0 {
			return
		}
		// A split or merge is between its END marker and the opening of the children.
		timer := time.NewTimer(5 * time.Second)
		select {
		case <-changed:
			timer.Stop()
		case <-timer.C:
			p.fail("the stream is being resharded")
			return
		case <-ctx.Done():
			timer.Stop()
			p.fail(ctx.Err().Error())
			return
		}
	}
}

// route assigns the items that are still to be stored to shards and builds the
// parts of the append, in the order of the call within each shard.
func (p *put) route(s *Service, st *stream, d *streamDoc, r *route, first bool) {
	p.counts = append(p.counts[:0], make([]int32, len(r.shards))...)
	p.parts, p.owners = p.parts[:0], p.owners[:0]
	now := s.now()
	n := 0
	for i := range p.items {
		it := &p.items[i]
		if !first && it.part != retry {
			continue
		}
		it.part = done
		at := -1
		if d.Distribution == kinesis.RecordDistributionStrategyAuto && len(r.shards) > 0 {
			at = int(st.spread.Add(1) % uint64(len(r.shards)))
		} else {
			at = r.find(it.hash)
		}
		if at < 0 {
			it.code = s.lost(st)
			it.text = "Internal service failure."
			continue
		}
		it.shard = r.shards[at]
		if first && !it.shard.write.take(now, len(it.key)+len(it.data), s.cfg.Limits) {
			it.code = "ProvisionedThroughputExceededException"
			it.text = "Rate exceeded for shard " + it.shard.id + " in stream " + st.name.name + " under account " + st.name.account + "."
			continue
		}
		it.part = int32(at)
		p.counts[at]++
		n++
	}
	if cap(p.log) < n {
		p.log, p.order = make([]shardlog.Record, n), make([]int32, n)
	}
	p.log, p.order = p.log[:n], p.order[:n]
	// counts becomes, per shard, where its next record goes.
	next := int32(0)
	for at, c := range p.counts {
		p.counts[at] = next
		if c > 0 {
			p.parts = append(p.parts, shardlog.Put{Shard: r.shards[at].log, Records: p.log[next : next+c : next+c]})
			p.owners = append(p.owners, r.shards[at])
		}
		next += c
	}
	for i := range p.items {
		if it := &p.items[i]; it.part >= 0 {
			at := p.counts[it.part]
			p.counts[it.part]++
			p.log[at] = shardlog.Record{PartitionKey: it.key, Data: it.data}
			p.order[at] = int32(i)
		}
	}
}

const (
	done  = -1
	retry = -2
)

// settle takes over what Append did and returns how many items have to be tried again.
func (p *put) settle(s *Service) (left int) {
	at := 0
	for i := range p.parts {
		part, sh := &p.parts[i], p.owners[i]
		sealed := errors.Is(part.Err, shardlog.ErrSealed)
		created := sh.doc.Load().Created / 1000
		bytes := 0
		for j := range part.Records {
			it := &p.items[p.order[at]]
			at++
			rec := &part.Records[j]
			switch {
			case part.Err == nil:
				it.part = done
				it.seq = sequence{created: created, shard: sh.index, counter: uint64(rec.Offset), arrived: rec.Arrival / 1000}
				bytes += len(it.key) + len(it.data)
			case sealed:
				it.part = retry
				left++
			default:
				it.part = done
				it.code, it.text = "InternalFailure", "Internal service failure."
				sh.write.giveBack(len(it.key)+len(it.data), s.cfg.Limits)
				switch {
				case errors.Is(part.Err, shardlog.ErrNoSpace):
					it.text = "The disk of this server is full."
				case errors.Is(part.Err, shardlog.ErrOverloaded):
					it.code, it.text = "ProvisionedThroughputExceededException", "Rate exceeded for the log of this server."
				case errors.Is(part.Err, shardlog.ErrNotFound):
					it.code = s.lost(sh.stream)
				}
			}
		}
		if part.Err == nil {
			sh.usage.put(len(part.Records), bytes)
		} else if !sealed && !gone(part.Err) && !errors.Is(part.Err, shardlog.ErrNoSpace) { // of a full disk the log tells once
			s.cfg.Logger.Error("cannot store records", "shard", part.Shard.ID(), "records", len(part.Records), "err", part.Err)
		}
	}
	return left
}

// vanished is the code of a record that found its stream deleted. A PutRecords
// in which that happens is refused as a whole: nothing of it can be read.
const vanished = "ResourceNotFoundException"

// lost is the code of a record for which there is no shard: the stream has just
// been deleted, or that is our fault.
func (s *Service) lost(st *stream) string {
	if d := st.doc.Load(); d == nil || d.Status == kinesis.StreamStatusDeleting {
		return vanished
	}
	return "InternalFailure"
}

// gone says that an append failed because the caller or the stream went away,
// which is nobody's fault.
func gone(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, shardlog.ErrNotFound)
}

// fail ends the items that would have to be tried again.
func (p *put) fail(why string) {
	for i := range p.items {
		if it := &p.items[i]; it.part == retry {
			it.part, it.code, it.text = done, "InternalFailure", "Internal service failure: "+why+"."
		}
	}
}

func (p *put) output() *kinesis.PutRecordsOutput {
	n := len(p.items)
	failed := int32(0)
	out := &kinesis.PutRecordsOutput{FailedRecordCount: &failed, Records: make([]kinesis.PutRecordsResultEntry, n)}
	// One string holds all sequence numbers.
	digits := make([]byte, 0, 56*n)
	for i := range p.items {
		if p.items[i].code == "" {
			digits = p.items[i].seq.append(digits)
		}
	}
	all, texts := bytesString(digits), make([]string, n) // digits is not written to again
	for i := range p.items {
		it, e := &p.items[i], &out.Records[i]
		if it.code != "" {
			code, text := it.code, it.text
			e.ErrorCode, e.ErrorMessage = &code, &text
			failed++
			continue
		}
		texts[i], all = all[:56], all[56:]
		e.SequenceNumber, e.ShardId = &texts[i], &it.shard.id
	}
	return out
}

// usage counts what goes into a shard, for on-demand scaling.
type usage struct{ records, bytes atomic.Int64 }

func (u *usage) put(records, bytes int) {
	u.records.Add(int64(records))
	u.bytes.Add(int64(bytes))
}
