package shardlog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// The log's own records: what shards there are and how they are kept. They go
// through the journal like records of data, in frames with flagControl whose
// data is an operation and its values; checkpoints carry their outcome on.
// Applying one twice, or again after newer ones and then those too, changes nothing.
const (
	opCreate    = 1 // retention, id
	opDelete    = 2
	opRetention = 3 // retention, floor
	opTrim      = 4 // first offset that stays
)

type command struct {
	op        byte
	retention time.Duration
	floor     int64
	trim      uint64
	id        ID
}

func (c *command) encode() []byte {
	b := []byte{c.op}
	switch c.op {
	case opCreate:
		b = le.AppendUint64(b, uint64(c.retention))
		b = append(b, c.id...)
	case opRetention:
		b = le.AppendUint64(b, uint64(c.retention))
		b = le.AppendUint64(b, uint64(c.floor))
	case opTrim:
		b = le.AppendUint64(b, c.trim)
	}
	return b
}

func decodeCommand(b []byte) (c command, err error) {
	bad := fmt.Errorf("%w: control record", errFrame)
	if len(b) == 0 {
		return c, bad
	}
	c.op = b[0]
	b = b[1:]
	want := map[byte]int{opCreate: 9, opDelete: 0, opRetention: 16, opTrim: 8}
	n, known := want[c.op]
	if !known || len(b) < n || len(b) > n && c.op != opCreate || len(b) > 8+idBytesMax {
		return c, bad
	}
	switch c.op {
	case opCreate:
		c.retention, c.id = time.Duration(le.Uint64(b)), ID(b[8:])
	case opRetention:
		c.retention, c.floor = time.Duration(le.Uint64(b)), int64(le.Uint64(b[8:]))
	case opTrim:
		c.trim = le.Uint64(b)
	}
	return c, nil
}

const idBytesMax = 255

// Create makes an empty shard.
func (d *Disk) Create(ctx context.Context, id ID, o Options) (Shard, error) {
	if id == "" || len(id) > idBytesMax {
		return nil, fmt.Errorf("shard id of %d bytes: 1 to %d are allowed", len(id), idBytesMax)
	}
	if o.Retention < 0 {
		return nil, fmt.Errorf("negative retention %v", o.Retention)
	}
	if d.space.full.Load() {
		return nil, ErrNoSpace
	}
	d.mu.Lock()
	if _, taken := d.creating[id]; taken || d.byID[id] != nil {
		d.mu.Unlock()
		return nil, ErrExists
	}
	if d.nextRef == math.MaxUint32 {
		d.mu.Unlock()
		return nil, errors.New("shard references are used up")
	}
	ref := d.nextRef
	d.nextRef++
	d.creating[id] = struct{}{}
	d.mu.Unlock()

	s := d.newShard(ref, id)
	s.retention = o.Retention
	forget := func() {
		d.mu.Lock()
		delete(d.creating, id)
		d.mu.Unlock()
	}
	g, err := d.control(ctx, nil, ref, command{op: opCreate, retention: o.Retention, id: id}, control{
		apply: func() {
			d.mu.Lock()
			delete(d.creating, id)
			d.byID[id], d.byRef[ref] = s, s
			d.mu.Unlock()
		},
		fail: forget,
	})
	if err != nil {
		forget()
		return nil, err
	}
	if err := g.wait(ctx); err != nil {
		return nil, err
	}
	// Once more, in another group: all of the shard's records in the journal hang on
	// this one, and are not to be lost with one block.
	g, err = d.control(ctx, s, ref, command{op: opCreate, retention: o.Retention, id: id}, control{apply: func() {}, fail: func() {}})
	if err == nil {
		g.wait(ctx) // it is created, whatever becomes of this
	}
	s.identifySoon()
	return s, nil
}

// control hands a control record to the committer. With a shard, its lock is
// held while the record takes its place, and prepare (nil for none) has its say first.
func (d *Disk) control(ctx context.Context, s *shard, ref uint32, c command, then control) (*group, error) {
	r := Record{Data: c.encode()}
	size := frameSize(&r)
	now := d.clock.Now().UnixMilli()
	var wait roomWait
	for {
		if s != nil {
			s.mu.Lock()
			if s.gone() {
				s.mu.Unlock()
				return nil, ErrNotFound
			}
		}
		g, b, at, err := d.commit.reserve(size, 1, part{}, &then)
		if err == nil && c.op == opDelete {
			s.deleting = true
		}
		if s != nil {
			s.mu.Unlock()
		}
		if err == nil {
			g.finish(mix(at, putFrame(b, &r, flagControl, ref, 0, now)))
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

// SetRetention changes a shard's retention. Records that were out of view under
// the old one stay so: the floor sees to that.
func (d *Disk) SetRetention(ctx context.Context, sh Shard, retention time.Duration) error {
	s, err := d.own(sh)
	if err != nil {
		return err
	}
	if retention < 0 {
		return fmt.Errorf("negative retention %v", retention)
	}
	s.mu.Lock()
	floor := s.horizon(d.clock.Now())
	s.mu.Unlock()
	c := command{op: opRetention, retention: retention, floor: floor}
	g, err := d.control(ctx, s, s.ref, c, control{apply: func() { s.apply(&c) }, fail: func() {}})
	if err != nil {
		return err
	}
	return g.wait(ctx)
}

// Trim forgets the records below before.
func (d *Disk) Trim(ctx context.Context, sh Shard, before Offset) error {
	s, err := d.own(sh)
	if err != nil {
		return err
	}
	// What is not yet written cannot be trimmed: the next offset is the most.
	before = min(before, s.Info().Next)
	c := command{op: opTrim, trim: uint64(before)}
	g, err := d.control(ctx, s, s.ref, c, control{apply: func() { s.apply(&c) }, fail: func() {}})
	if err != nil {
		return err
	}
	return g.wait(ctx)
}

// Delete removes a shard. Its files go later, and in any case at the next start.
func (d *Disk) Delete(ctx context.Context, sh Shard) error {
	s, err := d.own(sh)
	if err != nil {
		return err
	}
	g, err := d.control(ctx, s, s.ref, command{op: opDelete}, control{
		apply: func() { d.forget(s) },
		fail: func() {
			s.mu.Lock()
			s.deleting = false
			s.mu.Unlock()
		},
	})
	if err != nil {
		return err
	}
	return g.wait(ctx)
}

// forget takes a deleted shard out of the maps and leaves its files to the keeper.
func (d *Disk) forget(s *shard) {
	d.mu.Lock()
	if d.byID[s.id] == s {
		delete(d.byID, s.id)
	}
	delete(d.byRef, s.ref)
	d.garbage = append(d.garbage, s)
	d.mu.Unlock()
	s.mu.Lock()
	s.deleted = true
	s.mu.Unlock()
	s.wakeWaiters()
	d.kick(d.keep)
}

// Seal appends the END marker.
func (d *Disk) Seal(ctx context.Context, sh Shard) (Offset, error) {
	s, err := d.own(sh)
	if err != nil {
		return 0, err
	}
	var r Record
	size := frameSize(&r)
	now := d.clock.Now().UnixMilli()
	var wait roomWait
	for {
		s.mu.Lock()
		if s.gone() {
			s.mu.Unlock()
			return 0, ErrNotFound
		}
		if s.sealed {
			end := s.end
			s.mu.Unlock()
			return Offset(end), nil
		}
		if g := s.sealing; g != nil {
			s.mu.Unlock()
			if err := g.wait(ctx); err != nil {
				return 0, err
			}
			continue
		}
		seq := s.next
		arrival := max(now, s.lastArrival)
		g, b, at, err := d.commit.reserve(size, 1, part{s, seq}, &control{
			apply: func() {
				s.mu.Lock()
				s.sealed, s.end, s.sealing = true, seq, nil
				s.mu.Unlock()
			},
			fail: func() {
				s.mu.Lock()
				s.sealing = nil
				s.mu.Unlock()
			},
		})
		if err == nil {
			s.sealing = g
			s.took(g, at, size, 1, seq, arrival, false)
		}
		s.mu.Unlock()
		if err == nil {
			g.finish(mix(at, putFrame(b, &r, flagEnd, s.ref, seq, arrival)))
			if err := g.wait(ctx); err != nil {
				return 0, err
			}
			return Offset(seq), nil
		}
		if err != errBusy {
			return 0, err
		}
		if err := wait.wait(ctx, d); err != nil {
			return 0, err
		}
	}
}

// roomWait waits for memory or for the journal, one second in all.
type roomWait struct {
	deadline time.Time
	changed  <-chan struct{}
}

// wait returns when it is worth trying again. The first call only starts to
// listen, so that nothing can change between the look and the wait.
func (w *roomWait) wait(ctx context.Context, d *Disk) error {
	if w.changed == nil {
		if w.deadline.IsZero() {
			w.deadline = time.Now().Add(d.cfg.waitMax)
		}
		w.changed = d.room.wait()
		return nil
	}
	left := time.Until(w.deadline)
	if left <= 0 {
		return ErrOverloaded
	}
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-w.changed:
		w.changed = nil
		return nil
	case <-t.C:
		return ErrOverloaded
	case <-ctx.Done():
		return ctx.Err()
	}
}
