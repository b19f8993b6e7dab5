package shardlog

import (
	"context"
	"fmt"
	"sync"
)

// Append stores records. Each Put takes its place in a group under its shard's
// lock, in order; then all wait once for the disk.
func (d *Disk) Append(ctx context.Context, puts []Put) {
	var few [16]*group
	groups := few[:]
	if len(puts) > len(few) {
		p := groupLists.Get().(*[]*group)
		defer func() {
			clear(*p)
			groupLists.Put(p)
		}()
		if cap(*p) < len(puts) {
			*p = make([]*group, len(puts))
		}
		*p = (*p)[:len(puts)]
		groups = *p
	}
	now := d.clock.Now().UnixMilli()
	for i := range puts {
		groups[i], puts[i].Err = d.enqueue(ctx, &puts[i], now)
	}
	for i := range puts {
		if groups[i] != nil {
			puts[i].Err = groups[i].wait(ctx)
		}
	}
}

var groupLists = sync.Pool{New: func() any { return new([]*group) }}

// enqueue puts the frames of p into a group.
func (d *Disk) enqueue(ctx context.Context, p *Put, now int64) (*group, error) {
	s, err := d.own(p.Shard)
	if err != nil {
		return nil, err
	}
	size := 0
	for i := range p.Records {
		r := &p.Records[i]
		if len(r.PartitionKey) > keyBytesMax || len(r.Data) > dataBytesMax {
			return nil, fmt.Errorf("record with %d bytes of key and %d of data: %w", len(r.PartitionKey), len(r.Data), ErrTooLarge)
		}
		size += frameSize(r)
	}
	if size > d.putMax {
		return nil, fmt.Errorf("%d bytes for one shard at once, of at most %d: %w", size, d.putMax, ErrTooLarge)
	}
	if !p.Urgent && d.space.refuses() {
		return nil, ErrNoSpace
	}
	var wait roomWait
	for {
		s.mu.Lock()
		switch {
		case s.gone():
			err = ErrNotFound
		case s.sealed || s.sealing != nil:
			err = ErrSealed
		case len(p.Records) == 0:
			s.mu.Unlock()
			return nil, nil
		}
		if err != nil {
			s.mu.Unlock()
			return nil, err
		}
		first, last := s.next, s.next+uint64(len(p.Records))-1
		arrival := max(now, s.lastArrival)
		g, b, at, err := d.commit.reserve(size, len(p.Records), part{s, last}, nil)
		if err == nil {
			s.took(g, at, size, len(p.Records), last, arrival, true)
		}
		s.mu.Unlock()
		if err == nil {
			g.finish(s.fill(b, at, p.Records, first, arrival))
			return g, nil
		}
		if err != errBusy {
			return nil, err
		}
		if err := wait.wait(ctx, d); err != nil {
			return nil, err
		}
	}
}

// fill builds the frames of records in b, which lies at a place in a group, and
// returns their share of the group's digest.
func (s *shard) fill(b []byte, place int, records []Record, seq uint64, arrival int64) (digest uint64) {
	n := 0
	for i := range records {
		r := &records[i]
		size := frameSize(r)
		digest += mix(place+n, putFrame(b[n:n+size:n+size], r, 0, s.ref, seq, arrival))
		r.Offset, r.Arrival = Offset(seq), arrival
		n += size
		seq++
	}
	return digest
}
