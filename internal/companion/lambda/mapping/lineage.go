package mapping

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	// lookEvery is how often the stream is looked at without a reason, and lookPause how long it
	// takes at least from one look to the next.
	lookEvery = time.Minute
	lookPause = time.Second
)

// lineage is the shards of a stream as a mapping goes through them: a shard is read when each
// of its parents is done, or is not in the stream any more. It belongs to one goroutine.
type lineage struct {
	m        *Mapping
	ctx      context.Context // ends when the stream is to be left
	created  time.Time
	shards   []Shard
	listed   map[ShardID]bool // shards
	known    map[ShardID]Checkpoint
	running  map[ShardID]bool
	outcomes chan outcome
	doubtful bool // a place was not in the stream: it may be another
}

// follow reads a stream until the mapping is to stop, or the stream is replaced by another of its
// name, which is then read from its beginning.
func (m *Mapping) follow() {
	stream, known, err := m.begin()
	if err != nil {
		return // it is to stop
	}
	ctx, leave := context.WithCancel(m.soft)
	defer leave()
	l := &lineage{m: m, ctx: ctx, created: stream.Created, known: known, running: map[ShardID]bool{}, outcomes: make(chan outcome)}
	l.see(&stream)
	look := time.NewTimer(lookEvery)
	defer look.Stop()
	lookedAt, failures := time.Now(), 0
	soon := func() { look.Reset(max(0, lookPause-time.Since(lookedAt))) }
	for ctx.Err() == nil {
		if err := l.start(); err != nil {
			break
		}
		select {
		case o := <-l.outcomes:
			l.over(&o)
			soon() // its children
		case <-m.looked:
			soon()
		case <-look.C:
			lookedAt = time.Now()
			look.Reset(lookEvery)
			stream, err := m.source.Stream(ctx)
			switch {
			case ctx.Err() != nil:
			case err != nil:
				failures++
				m.problem("", err, failures)
				look.Reset(gonePause)
			case !stream.Created.Equal(l.created):
				leave()
			default:
				failures = 0
				l.see(&stream)
				l.doubtful = false
				l.forget()
			}
		case <-ctx.Done():
		}
	}
	for len(l.running) > 0 {
		o := <-l.outcomes
		delete(l.running, o.id)
	}
}

// begin looks at the stream and at how far the mapping has come in it. What does
// not work is tried again; an error is that the mapping is to stop.
func (m *Mapping) begin() (Stream, map[ShardID]Checkpoint, error) {
	for failures := 0; ; {
		stream, known, err := m.load()
		if err == nil || m.soft.Err() != nil {
			return stream, known, m.soft.Err()
		}
		failures++
		m.problem("", err, failures)
		if err := sleep(m.soft, readBackoff.after(failures)); err != nil {
			return stream, nil, err
		}
	}
}

func (m *Mapping) load() (stream Stream, known map[ShardID]Checkpoint, err error) {
	stream, err = m.source.Stream(m.soft)
	if err != nil {
		return stream, nil, err
	}
	all, err := m.services.Checkpoints.Load(m.soft, m.cfg.UUID)
	if err != nil {
		return stream, nil, err
	}
	known = map[ShardID]Checkpoint{}
	var void []ShardID
	for _, c := range all {
		if c.Stream.Equal(stream.Created) {
			known[c.Shard] = c
		} else {
			void = append(void, c.Shard)
		}
	}
	defer func() {
		void = slices.DeleteFunc(void, func(id ShardID) bool { _, ok := known[id]; return ok }) // those were replaced
		if err == nil && len(void) > 0 {
			if err := m.services.Checkpoints.Delete(m.soft, m.cfg.UUID, void...); err != nil {
				m.fault("", err)
			}
		}
	}()
	if len(known) > 0 {
		return stream, known, nil
	}
	// The mapping was never here. Where it begins is kept, so that a restart begins there too.
	first := m.cfg.StartingPosition
	if len(void) > 0 {
		first = Position{Kind: TrimHorizon} // all of a stream that has come after the last one is new
	}
	var begin []Checkpoint
	for _, s := range stream.Shards {
		c := Checkpoint{Shard: s.ID, Stream: stream.Created, From: first}
		if first.Kind == Latest {
			c.From, c.Ended = Position{Kind: AtTimestamp, Time: m.began}, s.Closed
		}
		begin = append(begin, c)
		known[s.ID] = c
	}
	if len(begin) == 0 {
		return stream, known, fmt.Errorf("the stream has no shards yet: %w", ErrThrottled)
	}
	err = m.services.Checkpoints.Store(m.soft, m.cfg.UUID, begin...)
	return stream, known, err
}

// see takes note of what the stream looks like.
func (l *lineage) see(stream *Stream) {
	l.m.retention.Store(int64(stream.Retention))
	l.shards, l.listed = nil, map[ShardID]bool{}
	for _, s := range stream.Shards {
		if !l.listed[s.ID] { // a list of many pages may name one twice
			l.listed[s.ID], l.shards = true, append(l.shards, s)
		}
	}
}

// start begins to read the shards whose turn it is; an error is that the stream is to be left.
func (l *lineage) start() error {
	if l.doubtful {
		return nil
	}
	var begin []ShardID
	var unknown []Checkpoint
	for _, s := range l.shards {
		c, known := l.known[s.ID]
		if l.running[s.ID] || c.Ended || !l.parentsDone(s) {
			continue
		}
		if !known {
			// It came out of shards that were read: all of it is new.
			c = Checkpoint{Shard: s.ID, Stream: l.created, From: Position{Kind: TrimHorizon}}
			unknown = append(unknown, c)
		}
		begin = append(begin, s.ID)
	}
	// What begins is kept before: a mapping that knows no shard would start anew.
	for failures := 0; len(unknown) > 0; {
		err := l.m.services.Checkpoints.Store(l.ctx, l.m.cfg.UUID, unknown...)
		if err == nil {
			break
		}
		failures++
		l.m.fault("", err)
		if err := sleep(l.ctx, storeBackoff.after(failures)); err != nil {
			return err
		}
	}
	for _, c := range unknown {
		l.known[c.Shard] = c
	}
	for _, id := range begin {
		l.running[id] = true
		s := newShard(l.ctx, l.m, l.known[id])
		go func() { l.outcomes <- s.run() }()
	}
	return nil
}

func (l *lineage) parentsDone(s Shard) bool {
	for _, p := range s.Parents {
		if l.running[p] || l.listed[p] && !l.known[p].Ended {
			return false
		}
	}
	return true
}

// over takes note of how a shard ended.
func (l *lineage) over(o *outcome) {
	delete(l.running, o.id)
	c := l.known[o.id]
	switch {
	case o.ended:
		c.Ended = true
	case o.err != nil:
		// The place is not in the shard, though the stream is the same: rather all of the
		// shard again than nothing.
		l.m.fault(o.id, o.err)
		c = Checkpoint{Shard: o.id, Stream: l.created, From: Position{Kind: TrimHorizon}}
		l.doubtful = true
	}
	l.known[o.id] = c
}

// forget drops the checkpoints of shards that the stream has no more.
func (l *lineage) forget() {
	var gone []ShardID
	for id := range l.known {
		if !l.running[id] && !l.listed[id] {
			gone = append(gone, id)
		}
	}
	if len(gone) == 0 || len(gone) == len(l.known) {
		return
	}
	if err := l.m.services.Checkpoints.Delete(l.ctx, l.m.cfg.UUID, gone...); err != nil {
		l.m.fault("", err)
		return
	}
	for _, id := range gone {
		delete(l.known, id)
	}
}
