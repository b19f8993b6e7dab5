package shardlog

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

// Memory is a log that forgets: the contract without a disk, for tests and for
// those who want no more.
type Memory struct {
	clock Clock

	mu     sync.Mutex // guards all below, and all memoryShards
	shards map[ID]*memoryShard
	closed bool
}

type memoryShard struct {
	m         *Memory
	id        ID
	records   []Record // in order of offset
	next      Offset
	lastAt    int64
	retention time.Duration
	floor     int64
	trim      Offset
	end       Offset // 0: not sealed
	deleted   bool
	wake      chan struct{} // closed on every change
}

// NewMemory returns an empty log.
func NewMemory() *Memory { return NewMemoryWithClock(systemClock{time.Now()}) }

// NewMemoryWithClock returns an empty log that reads time from c.
func NewMemoryWithClock(c Clock) *Memory {
	return &Memory{clock: c, shards: map[ID]*memoryShard{}}
}

func (m *Memory) Now() time.Time { return m.clock.Wall() }

func (m *Memory) Create(ctx context.Context, id ID, o Options) (Shard, error) {
	if id == "" || len(id) > idBytesMax {
		return nil, fmt.Errorf("shard id of %d bytes: 1 to %d are allowed", len(id), idBytesMax)
	}
	if o.Retention < 0 {
		return nil, fmt.Errorf("negative retention %v", o.Retention)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	if m.shards[id] != nil {
		return nil, ErrExists
	}
	s := &memoryShard{m: m, id: id, next: 1, retention: o.Retention, wake: make(chan struct{})}
	m.shards[id] = s
	return s, nil
}

func (m *Memory) Shard(id ID) (Shard, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.shards[id]; s != nil {
		return s, nil
	}
	return nil, ErrNotFound
}

func (m *Memory) Shards() []Shard {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]Shard, 0, len(m.shards))
	for _, s := range m.shards {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b Shard) int { return strings.Compare(string(a.ID()), string(b.ID())) })
	return list
}

// own returns a live shard. Called with mu held.
func (m *Memory) own(h Shard) (*memoryShard, error) {
	s, ok := h.(*memoryShard)
	if !ok || s.m != m || s.deleted {
		return nil, ErrNotFound
	}
	if m.closed {
		return nil, ErrClosed
	}
	return s, nil
}

func (m *Memory) Append(ctx context.Context, puts []Put) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock.Wall().UnixMilli()
	for i := range puts {
		puts[i].Err = m.append(&puts[i], now)
	}
}

func (m *Memory) append(p *Put, now int64) error {
	s, err := m.own(p.Shard)
	if err != nil {
		return err
	}
	if s.end != 0 {
		return ErrSealed
	}
	for i := range p.Records {
		if r := &p.Records[i]; len(r.PartitionKey) > keyBytesMax || len(r.Data) > dataBytesMax {
			return fmt.Errorf("record with %d bytes of key and %d of data: %w", len(r.PartitionKey), len(r.Data), ErrTooLarge)
		}
	}
	for i := range p.Records {
		r := &p.Records[i]
		s.lastAt = max(s.lastAt, now)
		r.Offset, r.Arrival = s.next, s.lastAt
		s.next++
		c := *r
		c.PartitionKey, c.Data = slices.Clone(r.PartitionKey), slices.Clone(r.Data)
		if r.Producer != nil {
			mark := *r.Producer
			c.Producer = &mark
		}
		s.records = append(s.records, c)
	}
	s.changed()
	return nil
}

func (s *memoryShard) changed() {
	close(s.wake)
	s.wake = make(chan struct{})
}

func (m *Memory) Seal(ctx context.Context, h Shard) (Offset, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.own(h)
	if err != nil {
		return 0, err
	}
	if s.end == 0 {
		s.end = s.next
		s.next++
		s.changed()
	}
	return s.end, nil
}

func (m *Memory) SetRetention(ctx context.Context, h Shard, d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("negative retention %v", d)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.own(h)
	if err != nil {
		return err
	}
	s.floor = s.horizon()
	s.retention = d
	return nil
}

func (m *Memory) Trim(ctx context.Context, h Shard, before Offset) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.own(h)
	if err != nil {
		return err
	}
	s.trim = max(s.trim, min(before, s.next))
	return nil
}

func (m *Memory) Delete(ctx context.Context, h Shard) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.own(h)
	if err != nil {
		return err
	}
	delete(m.shards, s.id)
	s.deleted, s.records = true, nil
	s.changed()
	return nil
}

func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	m.closed = true
	for _, s := range m.shards {
		s.changed()
	}
	return nil
}

func (s *memoryShard) horizon() int64 {
	if s.retention == 0 {
		return s.floor
	}
	return max(s.floor, s.m.clock.Wall().Add(-s.retention).UnixMilli())
}

// view drops what is out of view and returns the rest. Called with mu held.
func (s *memoryShard) view() []Record {
	cut := s.horizon()
	n := sort.Search(len(s.records), func(i int) bool { return s.records[i].Arrival >= cut && s.records[i].Offset >= s.trim })
	s.records = s.records[n:]
	return s.records
}

func (s *memoryShard) ID() ID { return s.id }

func (s *memoryShard) Info() Info {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	v := s.view()
	i := Info{First: s.next, Next: s.next, LastArrival: s.lastAt, Sealed: s.end != 0, End: s.end, Retention: s.retention}
	if len(v) > 0 {
		i.First = v[0].Offset
	}
	for k := range v {
		i.Bytes += int64(frameSize(&v[k]))
	}
	return i
}

func (s *memoryShard) usable() error {
	switch {
	case s.deleted:
		return ErrNotFound
	case s.m.closed:
		return ErrClosed
	}
	return nil
}

func (s *memoryShard) Read(ctx context.Context, from Offset, maxRecords, maxBytes int, b *Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.Records, b.Buf = b.Records[:0], b.Buf[:0]
	b.Next, b.NextArrival, b.End = from, 0, false
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	v := s.view()
	v = v[sort.Search(len(v), func(i int) bool { return v[i].Offset >= from }):]
	bytes := 0
	for i := range v {
		r := &v[i]
		n := len(r.PartitionKey) + len(r.Data)
		if i > 0 && (i >= maxRecords || bytes+n > maxBytes) {
			b.NextArrival = r.Arrival
			b.Next = r.Offset
			return nil
		}
		bytes += n
		b.Records = append(b.Records, *r)
	}
	b.Next = max(from, s.next)
	b.End = s.end != 0
	return nil
}

func (s *memoryShard) Find(ctx context.Context, ms int64) (Offset, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if err := s.usable(); err != nil {
		return 0, err
	}
	v := s.view()
	if i := sort.Search(len(v), func(i int) bool { return v[i].Arrival >= ms }); i < len(v) {
		return v[i].Offset, nil
	}
	return s.next, nil
}

func (s *memoryShard) Wait(ctx context.Context, from Offset) error {
	for {
		s.m.mu.Lock()
		err := s.usable()
		ready := s.next > max(from, 1) || s.end != 0
		wake := s.wake
		s.m.mu.Unlock()
		if err != nil || ready {
			return err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
