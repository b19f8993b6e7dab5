package mapping_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rheostream/rheo/internal/companion/lambda/mapping"
)

// memStream is a stream in memory that behaves as internal/streams does: lineages,
// iterators that expire after five minutes, closed shards that end, subscriptions that
// last for five minutes and give way to new ones, trimming, five reads a second.
type memStream struct {
	mu        sync.Mutex
	created   time.Time
	retention time.Duration
	shards    []*memShard
	next      int // sequence numbers given out
	made      int // shards
	gone      bool
	changed   chan struct{} // closed when a shard changed
	limited   bool          // five reads a second and shard
	reads     int           // GetRecords and events
	fault     func(op string, shard mapping.ShardID) error
}

type memShard struct {
	mapping.Shard
	from, to uint64 // hashes
	records  []mapping.Record
	trimmed  int // of records
	read     []time.Time
	sub      *memSubscription
}

func newMemStream(shards int) *memStream {
	s := &memStream{created: time.Now(), retention: 24 * time.Hour, changed: make(chan struct{}), limited: true}
	for i := range shards {
		width := uint64(1<<32) / uint64(shards)
		s.add(uint64(i)*width, uint64(i+1)*width)
	}
	s.shards[shards-1].to = 1 << 32
	return s
}

// add makes a shard. The caller holds mu, or is alone.
func (s *memStream) add(from, to uint64, parents ...mapping.ShardID) *memShard {
	id := mapping.ShardID(fmt.Sprintf("shardId-%012d", s.made))
	s.made++
	sh := &memShard{Shard: mapping.Shard{ID: id, Parents: parents}, from: from, to: to}
	s.shards = append(s.shards, sh)
	return sh
}

func hashOf(key string) uint64 {
	h := fnv.New32a()
	h.Write([]byte("routing " + key))
	return uint64(h.Sum32())
}

func (s *memStream) put(key, data string) mapping.SequenceNumber {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sh := range s.shards {
		if h := hashOf(key); !sh.Closed && sh.from <= h && h < sh.to {
			s.next++
			seq := mapping.SequenceNumber(s.prefix() + fmt.Sprintf("%030d", s.next))
			sh.records = append(sh.records, mapping.Record{PartitionKey: key, SequenceNumber: seq, Data: []byte(data), Arrival: time.Now()})
			s.wake()
			return seq
		}
	}
	panic("no shard for " + key)
}

// prefix is what all of the stream's sequence numbers begin with.
func (s *memStream) prefix() string { return "49" + strconv.FormatInt(s.created.Unix(), 10) }

func (s *memStream) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *memStream) shard(id mapping.ShardID) *memShard {
	for _, sh := range s.shards {
		if sh.ID == id {
			return sh
		}
	}
	return nil
}

func (s *memStream) readCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

func (s *memStream) open() (out []mapping.ShardID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sh := range s.shards {
		if !sh.Closed {
			out = append(out, sh.ID)
		}
	}
	return out
}

func (s *memStream) split(id mapping.ShardID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.shard(id)
	sh.Closed = true
	middle := (sh.from + sh.to) / 2
	s.add(sh.from, middle, id)
	s.add(middle, sh.to, id)
	s.wake()
}

// merge merges two neighbours; false if they are none.
func (s *memStream) merge(a, b mapping.ShardID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, y := s.shard(a), s.shard(b)
	if x.to != y.from {
		return false
	}
	x.Closed, y.Closed = true, true
	s.add(x.from, y.to, a, b)
	s.wake()
	return true
}

// expire takes a closed shard and its records out of the stream.
func (s *memStream) expire(id mapping.ShardID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shards = slices.DeleteFunc(s.shards, func(sh *memShard) bool { return sh.ID == id })
}

func (s *memStream) check(op string, id mapping.ShardID) (*memShard, error) {
	if s.gone {
		return nil, &mapping.Problem{Kind: mapping.ErrSourceGone, Message: "Stream lambda-stream under account 123456789012 not found."}
	}
	if s.fault != nil {
		if err := s.fault(op, id); err != nil {
			return nil, err
		}
	}
	if id == "" {
		return nil, nil
	}
	sh := s.shard(id)
	if sh == nil {
		return nil, mapping.ErrShardGone
	}
	return sh, nil
}

func (s *memStream) Stream(ctx context.Context) (mapping.Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.check("Stream", ""); err != nil {
		return mapping.Stream{}, err
	}
	out := mapping.Stream{Created: s.created, Retention: s.retention}
	for _, sh := range s.shards {
		out.Shards = append(out.Shards, sh.Shard)
	}
	return out, nil
}

// offset is where a position is. The caller holds mu.
func (s *memStream) offset(sh *memShard, at mapping.Position) (int, error) {
	switch at.Kind {
	case mapping.TrimHorizon:
		return sh.trimmed, nil
	case mapping.Latest:
		return len(sh.records), nil
	case mapping.AtTimestamp:
		if at.Time.After(time.Now()) {
			return 0, mapping.ErrPosition
		}
		i := slices.IndexFunc(sh.records, func(r mapping.Record) bool { return !r.Arrival.Before(at.Time) })
		if i < 0 {
			i = len(sh.records)
		}
		return max(i, sh.trimmed), nil
	case mapping.AfterSequenceNumber, mapping.AtSequenceNumber:
		if !strings.HasPrefix(string(at.Sequence), s.prefix()) {
			return 0, mapping.ErrPosition
		}
		i := 0
		for i < len(sh.records) && (sh.records[i].SequenceNumber < at.Sequence ||
			sh.records[i].SequenceNumber == at.Sequence && at.Kind == mapping.AfterSequenceNumber) {
			i++
		}
		return max(i, sh.trimmed), nil
	}
	return 0, fmt.Errorf("no such position: %v", at)
}

func (s *memStream) Iterator(ctx context.Context, id mapping.ShardID, at mapping.Position) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh, err := s.check("Iterator", id)
	if err != nil {
		return "", err
	}
	i, err := s.offset(sh, at)
	return s.iterator(id, i), err
}

func (s *memStream) iterator(id mapping.ShardID, offset int) string {
	return fmt.Sprintf("%s %d %d", id, offset, time.Now().UnixNano())
}

func (s *memStream) Records(ctx context.Context, iterator string, limit int) (mapping.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var id mapping.ShardID
	var from int
	var made int64
	if _, err := fmt.Sscan(iterator, &id, &from, &made); err != nil {
		return mapping.Answer{}, fmt.Errorf("iterator %q: %w", iterator, err)
	}
	sh, err := s.check("Records", id)
	if err != nil {
		return mapping.Answer{}, err
	}
	now := time.Now()
	if now.Sub(time.Unix(0, made)) > 5*time.Minute {
		return mapping.Answer{}, mapping.ErrIteratorExpired
	}
	sh.read = slices.DeleteFunc(sh.read, func(t time.Time) bool { return now.Sub(t) >= time.Second })
	if s.limited && len(sh.read) == 5 {
		return mapping.Answer{}, mapping.ErrThrottled
	}
	sh.read = append(sh.read, now)
	s.reads++
	a, to := s.answer(sh, max(from, sh.trimmed), limit, 10<<20)
	if to < len(sh.records) || !sh.Closed {
		a.Next = s.iterator(id, to)
	}
	return a, nil
}

// answer reads from an offset. The caller holds mu.
func (s *memStream) answer(sh *memShard, from, limit, bytes int) (a mapping.Answer, to int) {
	for to = from; to < len(sh.records) && to-from < limit && bytes > 0; to++ {
		a.Records = append(a.Records, sh.records[to])
		bytes -= len(sh.records[to].Data)
	}
	if to < len(sh.records) {
		a.Behind = max(time.Millisecond, time.Since(sh.records[to].Arrival))
	}
	return a, to
}

// memSubscription is a subscription whose events' data are overwritten by the next.
type memSubscription struct {
	s     *memStream
	sh    *memShard
	at    int
	until time.Time
	last  time.Time
	data  []byte
	ended bool
}

func (s *memStream) Subscribe(ctx context.Context, id mapping.ShardID, at mapping.Position) (mapping.Subscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh, err := s.check("Subscribe", id)
	if err != nil {
		return nil, err
	}
	i, err := s.offset(sh, at)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if old := sh.sub; old != nil && now.Sub(old.until.Add(-5*time.Minute)) < 5*time.Second {
		return nil, mapping.ErrThrottled
	}
	sh.sub = &memSubscription{s: s, sh: sh, at: i, until: now.Add(5 * time.Minute), last: now}
	return sh.sub, nil
}

func (sub *memSubscription) Next(ctx context.Context) (mapping.Answer, error) {
	s := sub.s
	for i := range sub.data {
		sub.data[i] = '!'
	}
	for {
		s.mu.Lock()
		now := time.Now()
		if sub.ended || sub.sh.sub != sub || !now.Before(sub.until) {
			s.mu.Unlock()
			return mapping.Answer{}, io.EOF
		}
		if _, err := s.check("Next", sub.sh.ID); err != nil {
			s.mu.Unlock()
			return mapping.Answer{}, err
		}
		a, to := s.answer(sub.sh, sub.at, 10_000, 1<<20)
		atEnd := to == len(sub.sh.records) && sub.sh.Closed
		if len(a.Records) > 0 || atEnd || now.Sub(sub.last) >= 5*time.Second {
			sub.at, sub.last, sub.ended = to, now, atEnd
			sub.data = nil
			for i := range a.Records {
				sub.data = append(sub.data, a.Records[i].Data...)
			}
			at := 0
			for i := range a.Records {
				n := len(a.Records[i].Data)
				a.Records[i].Data = sub.data[at : at+n]
				at += n
			}
			if !atEnd {
				a.Next = s.prefix() + fmt.Sprintf("%030d", 0)
				if to > 0 {
					a.Next = string(sub.sh.records[to-1].SequenceNumber)
				}
			}
			s.reads++
			s.mu.Unlock()
			return a, nil
		}
		changed := s.changed
		s.mu.Unlock()
		t := time.NewTimer(min(sub.until.Sub(now), sub.last.Add(5*time.Second).Sub(now)))
		select {
		case <-changed:
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return mapping.Answer{}, ctx.Err()
		}
		t.Stop()
	}
}

func (sub *memSubscription) Close() error {
	sub.s.mu.Lock()
	defer sub.s.mu.Unlock()
	if sub.sh.sub == sub {
		sub.sh.sub = nil
	}
	return nil
}
