package main

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// A tail merges shards by arrival. Each shard is read by a goroutine of its own
// (tail_read.go), which hands over a batch and reads on when that
// is printed: a batch a shard is all that is held.
//
// The earliest of the shards' next records is printed when no shard that has
// none at hand can still come up with an earlier one. Clocks play no part in
// knowing that: a shard that was asked after the record had been received, and
// had no more, has nothing from before it. A pushed shard cannot be asked; one
// that is at its tip is given pushGrace to push what it has. A shard that
// does not answer is waited for no longer than patience.
type tail struct {
	client      *client
	stream      string
	consumerARN string // empty: poll
	interval    time.Duration
	follow      bool
	open        []types.Shard // to begin with
	begin       position
	emit        func(*record) error
	flush       func() error // what was emitted; called before waiting

	batches chan batch
	shards  map[string]*shardTail // being read
	started map[string]bool       // ever read
}

const (
	pushGrace = 150 * time.Millisecond
	patience  = 5 * time.Second
)

// A record as the stream has it.
type record struct {
	shard    string
	hashes   hashRange // of the shard
	sequence string
	key      string
	arrival  time.Time
	data     []byte
	received time.Time // here, by the monotonic clock
}

// A batch is what a shard had to say at once.
type batch struct {
	shard    string
	records  []record
	caughtUp bool      // there was nothing behind these
	asked    time.Time // when; of a pushed batch, when it came
	end      bool      // the shard is closed and read to its end
	children []types.ChildShard
	err      error
}

// shardTail is a shard that is being read.
type shardTail struct {
	id       string
	pending  []record
	resume   chan struct{} // lets the reader go on
	caughtUp bool
	asked    time.Time
	heard    time.Time
	tipped   bool // has once been caught up: all that was there at the start is here
	end      bool
	children []types.ChildShard
}

func (t *tail) run(ctx context.Context) error {
	t.started = map[string]bool{}
	for _, s := range t.open {
		r, err := rangeOf(s.HashKeyRange)
		if err != nil {
			return err
		}
		t.start(ctx, aws.ToString(s.ShardId), r, t.begin)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for len(t.shards) > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b := <-t.batches:
			if b.err != nil {
				return b.err
			}
			t.take(b)
		case <-tick.C:
		}
		err := t.print(ctx, time.Now())
		if e := t.flush(); err == nil {
			err = e
		}
		if err != nil {
			return err
		}
		if !t.follow && t.drained() {
			return nil
		}
	}
	return nil
}

func (t *tail) start(ctx context.Context, id string, hashes hashRange, from position) {
	t.started[id] = true
	s := &shardTail{id: id, resume: make(chan struct{}, 1), heard: time.Now()}
	t.shards[id] = s
	r := reader{tail: t, shard: id, hashes: hashes, at: from, resume: s.resume}
	if t.consumerARN != "" {
		go r.push(ctx)
	} else {
		go r.poll(ctx)
	}
}

func (t *tail) take(b batch) {
	s := t.shards[b.shard]
	s.pending, s.caughtUp, s.asked, s.heard = b.records, b.caughtUp, b.asked, time.Now()
	s.tipped = s.tipped || b.caughtUp
	s.end, s.children = b.end, b.children
	if len(s.pending) == 0 && !s.end {
		s.resume <- struct{}{}
	}
}

// print emits whatever may be, and lets those shards read on that are empty.
func (t *tail) print(ctx context.Context, now time.Time) error {
	for {
		if err := t.finish(ctx); err != nil {
			return err
		}
		var first *shardTail
		for _, s := range t.shards {
			if len(s.pending) > 0 && (first == nil || earlier(&s.pending[0], &first.pending[0])) {
				first = s
			}
		}
		if first == nil || !t.settled(&first.pending[0], now) {
			return nil
		}
		r := first.pending[0]
		first.pending = first.pending[1:]
		if err := t.emit(&r); err != nil {
			return err
		}
		if len(first.pending) == 0 && !first.end {
			first.pending = nil
			first.heard = now
			// What follows the batch was not looked for yet.
			first.resume <- struct{}{}
		}
	}
}

func earlier(a, b *record) bool {
	if !a.arrival.Equal(b.arrival) {
		return a.arrival.Before(b.arrival)
	}
	return a.shard < b.shard // a parent before its children
}

// settled says whether no shard can come up with a record from before r.
func (t *tail) settled(r *record, now time.Time) bool {
	for _, s := range t.shards {
		switch {
		case len(s.pending) > 0 || s.id == r.shard:
		case now.Sub(s.heard) > patience && now.Sub(r.received) > patience:
		case t.consumerARN != "" && s.caughtUp && now.Sub(r.received) >= pushGrace:
		case t.consumerARN == "" && s.caughtUp && !s.asked.Before(r.received):
		default:
			return false
		}
	}
	return true
}

// finish replaces shards that are read to their end by those that came out of
// them: a child is read when each of its parents that is read at all has ended.
func (t *tail) finish(ctx context.Context) error {
	var children []types.ChildShard
	for id, s := range t.shards {
		if s.end && len(s.pending) == 0 {
			children = append(children, s.children...)
			delete(t.shards, id)
		}
	}
	for _, c := range children {
		id := aws.ToString(c.ShardId)
		waits := slices.ContainsFunc(c.ParentShards, func(p string) bool { return t.shards[p] != nil })
		if waits || t.started[id] {
			continue // the other parent names it too, at its end
		}
		r, err := rangeOf(c.HashKeyRange)
		if err != nil {
			return err
		}
		t.start(ctx, id, r, position{kind: types.ShardIteratorTypeTrimHorizon})
	}
	return nil
}

// drained says whether every shard was read to its tip and printed.
func (t *tail) drained() bool {
	for _, s := range t.shards {
		if len(s.pending) > 0 || !s.tipped {
			return false
		}
	}
	return true
}
