package streams

import (
	"context"
	"fmt"
	"reflect"

	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/rheostream/rheo/internal/api/kinesis"
)

// An operation of a round: one parent split at a hash key, or two merged.
type shardOp struct {
	parents []uint32
	at      hashKey // split: first hash key of the second child
}

// roundMax is how many splits or merges one round does at most. What is done at
// once is one command, and holds up the puts to all shards that it seals.
const roundMax = 1000

// reshard brings a stream to what its document's Reshard says, in rounds of
// splits and merges that do not touch the same shard twice, nor more than
// roundMax shards:
//
//  1. children are created in the log, empty
//  2. command: parents SEALING, children PENDING
//  3. each parent gets its END marker: durable with all before it, and from
//     here on the log refuses its puts, which wait for the children
//  4. command: parents CLOSED, children OPEN
//
// A crash between 1 and 2 leaves logs that nobody knows; between 2 and 4 the
// SEALING parents say that 3 and 4 are to be done, at the next start too.
func (s *Service) reshard(ctx context.Context, st *stream) error {
	for {
		sealing, pending := s.unfinished(st)
		if len(sealing) > 0 {
			if err := s.finishRound(ctx, st, sealing, pending); err != nil {
				return err
			}
			continue
		}
		d := st.doc.Load()
		if d == nil || d.Reshard == nil {
			return nil
		}
		ops := s.nextRound(st, d.Reshard)
		if len(ops) == 0 {
			if err := s.endReshard(ctx, st, d.Reshard); err != nil {
				return err
			}
			continue
		}
		if err := s.beginRound(ctx, st, d, ops[:min(len(ops), roundMax)]); err != nil {
			return err
		}
	}
}

// endReshard says that a goal is reached, unless the stream has another one by
// now, or is being deleted.
func (s *Service) endReshard(ctx context.Context, st *stream, goal *reshardDoc) error {
	return s.update(ctx, st, func(c *change) error {
		if !reflect.DeepEqual(c.doc.Reshard, goal) {
			return nil
		}
		c.doc.Reshard, c.doc.Due = nil, 0
		if c.doc.Status == kinesis.StreamStatusUpdating {
			c.doc.Status = kinesis.StreamStatusActive
		}
		return nil
	})
}

// unfinished lists the parents of a round that has begun, and its children.
func (s *Service) unfinished(st *stream) (sealing, pending []*shard) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, sh := range st.shards {
		switch sh.doc.Load().State {
		case shardSealing:
			sealing = append(sealing, sh)
		case shardPending:
			pending = append(pending, sh)
		}
	}
	return sealing, pending
}

// beginRound is steps 1 and 2.
func (s *Service) beginRound(ctx context.Context, st *stream, d *streamDoc, ops []shardOp) error {
	s.mu.RLock()
	docs := map[uint32]shardDoc{}
	for _, op := range ops {
		for _, p := range op.parents {
			if sh := st.shards[p]; sh != nil {
				docs[p] = *sh.doc.Load()
			}
		}
	}
	s.mu.RUnlock()
	var children []*shardDoc
	next := d.NextShard
	child := func(start, end hashKey, parents ...uint32) {
		c := &shardDoc{Index: next, Created: s.now().UnixMilli(), Start: start, End: end, State: shardPending, Parent: &parents[0]}
		if len(parents) > 1 {
			c.Adjacent = &parents[1]
		}
		children = append(children, c)
		next++
	}
	for _, op := range ops {
		first, ok := docs[op.parents[0]]
		if !ok || first.State != shardOpen {
			return fmt.Errorf("shard %d of stream %s is not open", op.parents[0], d.Name)
		}
		if len(op.parents) == 2 {
			second, ok := docs[op.parents[1]]
			if !ok || second.State != shardOpen || first.End.next() != second.Start {
				return fmt.Errorf("shards %v of stream %s are not open neighbours", op.parents, d.Name)
			}
			child(first.Start, second.End, op.parents...)
			continue
		}
		child(first.Start, op.at.prev(), op.parents[0])
		child(op.at, first.End, op.parents[0])
	}
	if err := s.createLogs(ctx, d, children); err != nil {
		return err
	}
	return s.update(ctx, st, func(c *change) error {
		if c.doc.NextShard != d.NextShard || c.doc.Reshard == nil || c.doc.RetentionHours != d.RetentionHours {
			return nil // deleted meanwhile, or done by someone else, or the logs are not as they should be: look again
		}
		c.doc.NextShard = next
		for p, pd := range docs {
			key := shardKey(st.id, p)
			_, version, _ := s.cfg.Catalog.Get(key)
			c.expect[key] = version
			pd.State = shardSealing
			c.write[key] = encode(pd)
		}
		for _, ch := range children {
			c.write[shardKey(st.id, ch.Index)] = encode(ch)
		}
		return nil
	})
}

// finishRound is steps 3 and 4.
func (s *Service) finishRound(ctx context.Context, st *stream, sealing, pending []*shard) error {
	// Side by side: puts to the first wait until the last is sealed.
	var g errgroup.Group
	g.SetLimit(64)
	for _, sh := range sealing {
		g.Go(func() error {
			if _, err := s.cfg.Log.Seal(ctx, sh.log); err != nil {
				return fmt.Errorf("cannot seal shard %s: %w", sh.log.ID(), err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	now := s.now().UnixMilli()
	// Sequence numbers begin with the shard's creation, and clients compare them
	// as integers. So children are created at least a second after their parents
	// closed, and after they were created: rounds that follow each other faster
	// run ahead of the clock. (Nothing has been put into them yet.)
	created := now + 1000
	for _, sh := range sealing {
		created = max(created, sh.doc.Load().Created+1000)
	}
	return s.update(ctx, st, func(c *change) error {
		for _, sh := range sealing {
			d := *sh.doc.Load()
			d.State, d.Closed = shardClosed, now
			c.write[shardKey(st.id, sh.index)] = encode(d)
		}
		for _, sh := range pending {
			d := *sh.doc.Load()
			d.State, d.Created = shardOpen, created
			c.write[shardKey(st.id, sh.index)] = encode(d)
		}
		return nil
	})
}

// nextRound says which splits or merges come next; none when the goal is reached.
func (s *Service) nextRound(st *stream, goal *reshardDoc) []shardOp {
	open := st.route.Load().shards
	isOpen := func(i uint32) bool {
		return slices.ContainsFunc(open, func(sh *shard) bool { return sh.index == i })
	}
	switch {
	case goal.Split != nil && isOpen(goal.Split.Shard):
		return []shardOp{{parents: []uint32{goal.Split.Shard}, at: goal.Split.At}}
	case goal.Merge != nil && isOpen(goal.Merge.Left) && isOpen(goal.Merge.Right):
		return []shardOp{{parents: []uint32{goal.Merge.Left, goal.Merge.Right}}}
	case len(goal.Hot) > 0:
		var ops []shardOp
		hot := map[uint32]bool{}
		for _, i := range goal.Hot {
			hot[i] = true
		}
		for _, sh := range open {
			if d := sh.doc.Load(); hot[sh.index] && d.Start.next().less(d.End) {
				ops = append(ops, shardOp{parents: []uint32{sh.index}, at: d.Start.add(d.End.sub(d.Start).half()).next()})
			}
		}
		return ops
	case goal.Target > 0:
		return scalingRound(rangesOf(open), goal.Target)
	}
	return nil
}

// keyRange is an open shard to the planner.
type keyRange struct {
	start, end hashKey
	index      uint32
}

func rangesOf(shards []*shard) []keyRange {
	ranges := make([]keyRange, len(shards))
	for i, sh := range shards {
		d := sh.doc.Load()
		ranges[i] = keyRange{d.Start, d.End, sh.index}
	}
	return ranges
}

// scalingRound plans one round on the way from the open shards, in hash order,
// to n shards of equal size. First shards are split until every border of the
// goal is a border; then neighbours are merged until no other border is left.
// Each round touches a shard at most once and halves the distance, so doubling
// and halving take one round.
func scalingRound(open []keyRange, n int) []shardOp {
	starts := goalStarts(open, n)
	var ops []shardOp
	for _, r := range open {
		// The borders of the goal inside r; the middle one is cut first.
		lo, _ := slices.BinarySearchFunc(starts, r.start.next(), compareKeys)
		hi, _ := slices.BinarySearchFunc(starts, r.end.next(), compareKeys)
		if r.end == maxHashKey {
			hi = len(starts)
		}
		if lo < hi {
			ops = append(ops, shardOp{parents: []uint32{r.index}, at: starts[(lo+hi)/2]})
		}
	}
	if len(ops) > 0 {
		return ops
	}
	for i := 0; i+1 < len(open); i++ {
		if _, isBorder := slices.BinarySearchFunc(starts, open[i+1].start, compareKeys); !isBorder {
			ops = append(ops, shardOp{parents: []uint32{open[i].index, open[i+1].index}})
			i++
		}
	}
	return ops
}

// mostOpen is how many shards are open at most on the way from the open ones to
// n: when all is split and nothing merged yet, one behind each border, old or new.
func mostOpen(open []keyRange, n int) int {
	most := len(open)
	for _, g := range goalStarts(open, n) {
		if _, ok := slices.BinarySearchFunc(open, g, func(r keyRange, k hashKey) int { return compareKeys(r.start, k) }); !ok {
			most++
		}
	}
	return most
}

// goalStarts are uniformStarts(n), moved onto a border that is there already
// where the two differ only by the rounding of 2^128/n.
func goalStarts(open []keyRange, n int) []hashKey {
	starts := uniformStarts(n)
	slack := hashKey{0, 1 << 20}
	for i, g := range starts {
		at, ok := slices.BinarySearchFunc(open, g, func(r keyRange, k hashKey) int { return compareKeys(r.start, k) })
		if ok {
			continue
		}
		if at < len(open) && open[at].start.sub(g).less(slack) {
			starts[i] = open[at].start
		} else if at > 0 && g.sub(open[at-1].start).less(slack) {
			starts[i] = open[at-1].start
		}
	}
	return starts
}

func compareKeys(a, b hashKey) int {
	switch {
	case a.less(b):
		return -1
	case b.less(a):
		return 1
	}
	return 0
}

// startReshard puts a stream into UPDATING with a goal, having checked it
// against the document that the commit builds on.
func (s *Service) startReshard(ctx context.Context, st *stream, goal *reshardDoc, check func(c *change) error) error {
	err := s.update(ctx, st, func(c *change) error {
		if err := active(c.doc); err != nil {
			return err
		}
		if c.doc.Mode == kinesis.StreamModeOnDemand {
			return validation("Request is invalid. Stream %s under account %s is in On-Demand mode.", c.doc.Name, c.doc.Account)
		}
		if err := check(c); err != nil {
			return err
		}
		more := 0
		switch {
		case goal.Split != nil:
			more = 1
		case goal.Target > 0:
			open := rangesOf(st.route.Load().shards)
			goal.Peak = mostOpen(open, goal.Target)
			more = goal.Peak - len(open)
		}
		if more > 0 {
			if err := s.shardQuota(s.quota(c.doc.Account, c.doc.Region), c.doc.Account, c.doc.Region, more); err != nil {
				return err
			}
		}
		c.doc.Status, c.doc.Reshard = kinesis.StreamStatusUpdating, goal
		c.doc.Due = s.now().Add(s.cfg.Transition).UnixMilli()
		return s.touchAccount(c, c.doc.Account, c.doc.Region)
	})
	if err == nil {
		s.settle(ctx, st.name)
	}
	return err
}

// openShard finds a shard that can be split or merged.
func (s *Service) openShard(st *stream, id string) (*shard, *shardDoc, error) {
	sh, err := s.visibleShard(st, id)
	if err != nil {
		return nil, nil, shardNotFound(st, id)
	}
	d := sh.doc.Load()
	if d.State != shardOpen {
		return nil, nil, invalidArgument("Shard %s in stream %s under account %s is not open.", id, st.name.name, st.name.account)
	}
	return sh, d, nil
}
