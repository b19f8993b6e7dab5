package cloudwatch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/keys"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/statelog"
)

// segmentsMax is how many segments a partition has at most before they are merged.
const segmentsMax = 8

// A keeper keeps data on their way: out of memory into segments, from tier to tier
// as they age, and away in the end. All that it does in one pass becomes valid
// with one manifest. Its fields are its loop's, but for what it shares with the
// store by the store's lock.
type keeper struct {
	log    shardlog.Log
	blobs  blob.Store
	sealer keys.Sealer
	logger *slog.Logger
	store  *store

	flushEvery  time.Duration
	memoryFlush int64 // bytes of data at which they are flushed early

	wanted chan int64 // has what roomFor was told last
	level  int64      // how much data there may be; what is more is flushed

	generation uint64             // the last one that was used, for good or in vain
	previous   *manifest          // the one before the store's; nil if there is none that is good
	frozen     bool               // data are frozen that no segment has yet
	frozenAt   uint64             // how far in the log they reach
	flushed    time.Time          // when the last pass was that flushed
	swept      bool               // since open, blobs that nobody lists have been looked for
	damaged    map[partition]bool // that could not be read, since open
}

// openKeeper reads the newest manifest that can be read, and otherwise the one
// before it: the log still has all that is behind that.
func openKeeper(ctx context.Context, c Config) (*keeper, error) {
	k := &keeper{log: c.Log, blobs: c.Blobs, sealer: c.Sealer, logger: c.Logger,
		flushEvery: c.FlushEvery, memoryFlush: c.MemoryBytes / 4, wanted: make(chan int64, 1), level: math.MaxInt64, damaged: map[partition]bool{}}
	have, err := generations(ctx, c.Blobs)
	if err != nil {
		return nil, fmt.Errorf("cloudwatch: cannot list manifests: %w", err)
	}
	for _, g := range slices.Backward(have) {
		k.generation = max(k.generation, g)
		m, st, err := loadManifest(ctx, c.Blobs, g, c.Sealer)
		if err != nil {
			err = fmt.Errorf("%s: %w", manifestName(g), err)
			if errors.Is(err, statelog.ErrNewer) || ctx.Err() != nil {
				return nil, fmt.Errorf("cloudwatch: cannot use %w", err)
			}
			k.logger.Error("cannot use a manifest of the metrics; the one before it and the log have to do", "err", err)
			continue
		}
		if k.store == nil {
			k.store = st
			continue
		}
		k.previous = m
		break
	}
	if k.store == nil {
		k.store = newStore() // the log has all, or the machine will not open
	}
	return k, nil
}

// offset is how far in the log the segments reach.
func (k *keeper) offset() uint64 { return k.store.manifest.offset }

// loop makes a pass whenever one is due.
func (k *keeper) loop(ctx context.Context, progress <-chan struct{}) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	due := false // a full memory does not wait for the first tick
	for {
		if due || k.full() {
			if err := k.pass(ctx); err != nil && ctx.Err() == nil {
				k.logger.Error("cannot write metrics into segments; they stay in memory and in the log", "err", err)
			}
		}
		due, k.level = false, math.MaxInt64
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			due = true
		case <-progress:
		case k.level = <-k.wanted:
		}
	}
}

// roomFor has data flushed unless there are no more than so many bytes, which a put
// needs. It may be called concurrently, and does not wait.
func (k *keeper) roomFor(level int64) {
	select {
	case k.wanted <- level:
	default: // another put needs room too; what makes that makes this one's
	}
}

// full says that there is so much in memory that it cannot wait. Data that could
// not be written last time wait for the next tick.
func (k *keeper) full() bool {
	if k.frozen {
		return false
	}
	k.store.mu.RLock()
	defer k.store.mu.RUnlock()
	return k.store.fresh > k.memoryFlush || k.store.fresh > 0 && k.store.data > k.level
}

// pass flushes data if that is due; then it moves on those that have aged, and
// merges partitions of many segments. Each of the two that fails has changed nothing;
// the next pass begins it anew.
func (k *keeper) pass(ctx context.Context) error {
	now := k.log.Now()
	k.store.mu.RLock()
	current, fresh, floors := k.store.manifest, k.store.fresh, k.store.floors
	k.store.mu.RUnlock()

	aged := floorsAt(now.Unix())
	if aged[0] < floors[0] { // the clock was set back
		aged = floors
	}
	due := now.Sub(k.flushed) >= k.flushEvery || k.moved(current, aged)
	if k.frozen || k.full() || due && fresh > 0 {
		if !k.frozen {
			k.frozenAt, k.frozen = k.store.freeze(aged), true
		}
		if err := k.write(ctx, now, (*pass).flush); err != nil {
			return err
		}
		current = k.store.manifest // which nobody else replaces
	}
	if k.moved(current, aged) || k.crowded(current) {
		return k.write(ctx, now, func(w *pass) error {
			if err := w.rollUp(aged); err != nil {
				return err
			}
			return w.compact()
		})
	}
	if !k.swept {
		return k.sweep(ctx, current)
	}
	return nil
}

// write has do make the next manifest, and makes it valid.
func (k *keeper) write(ctx context.Context, now time.Time, do func(*pass) error) error {
	current := k.store.manifest
	k.generation++
	w := &pass{keeper: k, ctx: ctx, next: &manifest{generation: k.generation, offset: current.offset, segments: slices.Clone(current.segments)}}
	if err := do(w); err != nil {
		return err
	}
	return k.finish(ctx, current, w.next, now)
}

// finish makes a manifest valid, and forgets what only older ones than the
// current list.
func (k *keeper) finish(ctx context.Context, current, next *manifest, now time.Time) error {
	b, err := encodeManifest(next, k.store, k.sealer)
	if err != nil {
		return fmt.Errorf("cannot make a manifest: %w", err)
	}
	if err := k.blobs.Put(ctx, manifestName(next.generation), bytes.NewReader(b)); err != nil {
		return fmt.Errorf("cannot write a manifest: %w", err)
	}
	k.store.commit(next, now.Unix())
	if k.frozen {
		k.frozen, k.flushed = false, now
	}
	k.previous = nil
	if current.generation > 0 {
		k.previous = current
	}
	if err := k.sweep(ctx, next); err != nil {
		return fmt.Errorf("cannot delete old segments: %w", err)
	}
	if k.previous == nil {
		return nil
	}
	shard, err := k.log.Shard(ShardID)
	if err != nil {
		return err
	}
	return k.log.Trim(ctx, shard, shardlog.Offset(k.previous.offset)+1)
}

// sweep deletes the manifests but the current and the previous one, and the
// segments that neither lists.
func (k *keeper) sweep(ctx context.Context, current *manifest) error {
	listed := map[string]bool{manifestName(current.generation): true}
	for _, m := range []*manifest{current, k.previous} {
		if m == nil {
			continue
		}
		listed[manifestName(m.generation)] = true
		for _, sg := range m.segments {
			listed[sg.name] = true
		}
	}
	for _, prefix := range []string{manifestPrefix, segmentPrefix} {
		for after := ""; ; {
			infos, err := k.blobs.List(ctx, prefix, after, 1000)
			if err != nil {
				return err
			}
			if len(infos) == 0 {
				break
			}
			for _, i := range infos {
				if after = i.Name; listed[i.Name] {
					continue
				}
				if err := k.blobs.Delete(ctx, i.Name); err != nil {
					return err
				}
			}
		}
	}
	k.swept = true
	return nil
}

// A partition is a time of a tier.
type partition struct {
	tier  int
	start int64
}

func (sg *segment) partition() partition { return partition{sg.tier, sg.start} }

func comparePartitions(a, b partition) int {
	return cmp.Or(cmp.Compare(a.tier, b.tier), cmp.Compare(a.start, b.start))
}

// byPartition groups segments.
func byPartition(segments []*segment) (groups map[partition][]*segment, order []partition) {
	groups = map[partition][]*segment{}
	for _, sg := range segments {
		p := sg.partition()
		if groups[p] == nil {
			order = append(order, p)
		}
		groups[p] = append(groups[p], sg)
	}
	slices.SortFunc(order, comparePartitions)
	return groups, order
}

// moved says that segments have become older than their tier.
func (k *keeper) moved(m *manifest, floors [len(tiers)]int64) bool {
	return slices.ContainsFunc(m.segments, func(sg *segment) bool {
		return sg.start < floors[sg.tier] && !k.damaged[sg.partition()]
	})
}

// crowded says that a partition has too many segments.
func (k *keeper) crowded(m *manifest) bool {
	groups, _ := byPartition(m.segments)
	for p, g := range groups {
		if len(g) > segmentsMax && !k.damaged[p] {
			return true
		}
	}
	return false
}

// A pass makes the next manifest.
type pass struct {
	*keeper
	ctx     context.Context
	next    *manifest
	written int // segments, for their names
}

func (w *pass) name() string {
	w.written++
	return segmentName(w.next.generation, w.written)
}

// flush writes what is frozen, a segment for each partition.
func (w *pass) flush() error {
	var all []*series
	seen := map[partition]bool{}
	w.store.mu.RLock()
	w.store.series.Scan(func(_ string, sr *series) bool {
		any := false
		for t := range tiers {
			for i := range sr.frozen[t] {
				seen[partition{t, down(sr.frozen[t][i].at, tiers[t].span)}] = true
				any = true
			}
		}
		if any {
			all = append(all, sr)
		}
		return true
	})
	w.store.mu.RUnlock()
	slices.SortFunc(all, func(a, b *series) int { return cmp.Compare(a.id, b.id) })
	var order []partition
	for p := range seen {
		order = append(order, p)
	}
	slices.SortFunc(order, comparePartitions)
	w.next.offset = w.frozenAt
	for _, p := range order {
		sg, err := writeSegment(w.ctx, w.blobs, w.sealer, p.tier, p.start, w.name(), frozenBlocks(all, p.tier, p.start))
		if err != nil {
			return err
		}
		if sg != nil {
			w.next.segments = append(w.next.segments, sg)
		}
	}
	return nil
}

// rollUp moves partitions that are older than their tier to the next one. What is
// older than all of them goes.
func (w *pass) rollUp(floors [len(tiers)]int64) error {
	for t := range tiers { // what comes into a tier may have to go on
		groups, order := byPartition(w.next.segments)
		for _, p := range order {
			if p.tier != t || p.start >= floors[t] || w.damaged[p] {
				continue
			}
			if err := w.replace(groups[p], t+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// compact merges the segments of partitions that have many.
func (w *pass) compact() error {
	groups, order := byPartition(w.next.segments)
	for _, p := range order {
		if len(groups[p]) > segmentsMax && !w.damaged[p] {
			if err := w.replace(groups[p], p.tier); err != nil {
				return err
			}
		}
	}
	return nil
}

// replace makes one segment of those of a partition, in a tier. A partition with
// damaged segments is left as it is: what is whole of it can be read, and the others
// go on.
func (w *pass) replace(segments []*segment, tier int) error {
	var sg *segment
	if tier < len(tiers) {
		m := newMerger(w.ctx, w.blobs, w.sealer, segments, tier)
		var err error
		sg, err = writeSegment(w.ctx, w.blobs, w.sealer, tier, down(segments[0].start, tiers[tier].span), w.name(), m.block)
		if errors.Is(err, errDamaged) || errors.Is(err, blob.ErrNotFound) {
			w.logger.Error("cannot read metrics; they stay where they are", "err", err)
			w.damaged[segments[0].partition()] = true
			return nil
		}
		if err != nil {
			return err
		}
	}
	w.next.segments = slices.DeleteFunc(w.next.segments, func(sg *segment) bool { return slices.Contains(segments, sg) })
	if sg != nil {
		w.next.segments = append(w.next.segments, sg)
	}
	return nil
}
