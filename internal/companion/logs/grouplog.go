package logs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/keys"
	"github.com/rheostream/rheo/internal/shardlog"
)

// A groupLog is the log shard of one group, and the index of it.
type groupLog struct {
	id    string
	shard shardlog.Shard

	mu    sync.Mutex // held while the index is made, or brought up to date
	index *index     // mu; nil while nobody has asked for it

	used   atomic.Int64 // when the index was last asked for, ms
	cost   atomic.Int64 // of the index
	behind atomic.Int64 // bytes put since the index was brought up to date
	saves  atomic.Int64 // bytes of records that the index's blob has not
}

// groupLogs are the logs of all groups.
type groupLogs struct {
	log    shardlog.Log
	blobs  blob.Store
	sealer keys.Sealer
	logger *slog.Logger
	grain  int64                                         // bytes of a chunk of a new index
	live   func(groupID string) func(stream uint64) bool // set before use

	mu   sync.Mutex
	byID map[string]*groupLog // mu
}

// shardPrefix begins the names of the groups' log shards.
const shardPrefix = "logs/"

func groupShard(id string) shardlog.ID { return shardlog.ID(shardPrefix + id) }

// forever is the retention of a log whose events do not expire. It is not 0,
// which would make one damaged record keep all behind it from being read.
const forever = 100 * 365 * 24 * time.Hour

// arrivalMargin is how much longer than its retention a log keeps a record:
// events may be that far ahead of their arrival. Reads look at their times.
const arrivalMargin = aheadMax

func retentionOf(days int) time.Duration {
	if days == 0 {
		return forever
	}
	return time.Duration(days)*24*time.Hour + arrivalMargin
}

// openGroupLogs finds the log of each group, makes those that are missing and deletes
// those of groups that are gone: a crash may leave either.
func openGroupLogs(ctx context.Context, c Config, st *state) (*groupLogs, error) {
	l := &groupLogs{log: c.Log, blobs: c.Blobs, sealer: c.Sealer, logger: c.Logger, grain: chunkBytes, byID: map[string]*groupLog{}}
	var leftover []shardlog.Shard
	holding := 0
	found := map[string]shardlog.Shard{}
	for _, sh := range c.Log.Shards() {
		if id, ok := strings.CutPrefix(string(sh.ID()), shardPrefix); ok {
			found[id] = sh
		}
	}
	known := map[string]bool{}
	var failed error
	st.groups.Scan(func(_ string, g *group) bool {
		id, want := g.doc.ID, retentionOf(g.doc.Days)
		known[id] = true
		sh := found[id]
		if sh == nil {
			c.Logger.Error("the log has lost the events of a log group; it starts empty", "group", g.doc.Name)
			if failed = c.Blobs.Delete(ctx, indexName(id)); failed == nil {
				sh, failed = c.Log.Create(ctx, groupShard(id), shardlog.Options{Retention: want})
			}
		} else if sh.Info().Retention != want {
			failed = c.Log.SetRetention(ctx, sh, want)
		}
		if failed == nil {
			l.byID[id] = &groupLog{id: id, shard: sh}
		}
		return failed == nil
	})
	if failed != nil {
		return nil, fmt.Errorf("logs: cannot reconcile the log with its groups: %w", failed)
	}
	for id, sh := range found {
		if !known[id] {
			leftover = append(leftover, sh)
			if sh.Info().Next > 1 {
				holding++
			}
		}
	}
	if st.offset == 0 && holding > 0 {
		// What is to be taken for leftovers may be all that somebody has.
		return nil, fmt.Errorf("logs: no log group is known, but %d shards of the log hold events: the commands that made the groups are lost. %s", holding, mend)
	}
	for _, sh := range leftover {
		if err := l.delete(ctx, strings.TrimPrefix(string(sh.ID()), shardPrefix), sh); err != nil {
			return nil, fmt.Errorf("logs: cannot delete the log of a group that is gone: %w", err)
		}
	}
	return l, l.sweep(ctx)
}

// sweep deletes the indexes of groups that are gone.
func (l *groupLogs) sweep(ctx context.Context) error {
	for after := ""; ; {
		infos, err := l.blobs.List(ctx, indexPrefix, after, 1000)
		if err != nil {
			return fmt.Errorf("logs: cannot list indexes: %w", err)
		}
		if len(infos) == 0 {
			return nil
		}
		for _, i := range infos {
			if after = i.Name; l.byID[strings.TrimPrefix(i.Name, indexPrefix)] != nil {
				continue
			}
			if err := l.blobs.Delete(ctx, i.Name); err != nil {
				return fmt.Errorf("logs: cannot delete the index of a group that is gone: %w", err)
			}
		}
	}
}

// create makes the log of a new group.
func (l *groupLogs) create(ctx context.Context, id string, days int) error {
	sh, err := l.log.Create(ctx, groupShard(id), shardlog.Options{Retention: retentionOf(days)})
	if err != nil {
		return fmt.Errorf("cannot make the log of a group: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.byID[id] = &groupLog{id: id, shard: sh}
	return nil
}

// drop deletes the log of a group that is gone.
func (l *groupLogs) drop(ctx context.Context, id string) error {
	l.mu.Lock()
	gl := l.byID[id]
	delete(l.byID, id)
	l.mu.Unlock()
	if gl == nil {
		return nil
	}
	return l.delete(ctx, id, gl.shard)
}

func (l *groupLogs) delete(ctx context.Context, id string, sh shardlog.Shard) error {
	if err := l.log.Delete(ctx, sh); err != nil && !errors.Is(err, shardlog.ErrNotFound) {
		return err
	}
	return l.blobs.Delete(ctx, indexName(id))
}

// get finds a group's log; nil if the group has just been deleted.
func (l *groupLogs) get(id string) *groupLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byID[id]
}

func (l *groupLogs) all() []*groupLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]*groupLog, 0, len(l.byID))
	for _, gl := range l.byID {
		list = append(list, gl)
	}
	return list
}

// look brings the index of a group's log up to date and shows it to do. All that
// was durable before is in it. Others who look wait meanwhile.
func (l *groupLogs) look(ctx context.Context, gl *groupLog, do func(x *index)) error {
	gl.mu.Lock()
	defer gl.mu.Unlock()
	gl.used.Store(l.log.Now().UnixMilli())
	if gl.index == nil {
		x, err := l.loadIndex(ctx, gl)
		if err != nil {
			return fmt.Errorf("cannot read the index of a log group: %w", err)
		}
		gl.index = x
	}
	gl.behind.Store(0)
	err := gl.index.advance(ctx, gl.shard)
	gl.cost.Store(gl.index.cost)
	gl.saves.Store(gl.index.unsaved)
	if err != nil {
		return err
	}
	if do != nil {
		do(gl.index)
	}
	return nil
}

const (
	saveBytes    = 8 << 20   // of records that an index's blob may be behind
	saveBytesAll = 128 << 20 // of all together, which is what a start after a crash reads at most
)

// keep is what is to be done now and then: indexes that are far behind are brought
// up to date, those whose blobs are far behind are written, and those that nobody
// has asked for lately are forgotten while all take more than memory.
func (l *groupLogs) keep(ctx context.Context, memory int64) {
	list := l.all()
	unsaved, cost := int64(0), int64(0)
	for _, gl := range list {
		if gl.behind.Load() >= chunkBytes {
			if err := l.look(ctx, gl, nil); err != nil && ctx.Err() == nil && !errors.Is(err, shardlog.ErrNotFound) {
				l.logger.Error("cannot bring the index of a log group up to date", "group", gl.id, "err", err)
			}
		}
		unsaved += gl.saves.Load()
		cost += gl.cost.Load()
	}
	slices.SortFunc(list, func(a, b *groupLog) int { return cmp.Compare(b.saves.Load(), a.saves.Load()) })
	for _, gl := range list {
		n := gl.saves.Load()
		if n < saveBytes && unsaved < saveBytesAll || n == 0 {
			break
		}
		if l.save(ctx, gl) {
			unsaved -= n
		}
	}
	if cost <= memory {
		return
	}
	slices.SortFunc(list, func(a, b *groupLog) int { return cmp.Compare(a.used.Load(), b.used.Load()) })
	for _, gl := range list {
		if n := gl.cost.Load(); n > 0 && cost > memory && l.save(ctx, gl) && gl.forget() {
			cost -= n
		}
	}
}

// save writes an index into its blob and says whether that was done.
func (l *groupLogs) save(ctx context.Context, gl *groupLog) bool {
	err := l.saveIndex(ctx, gl)
	if err != nil && ctx.Err() == nil {
		l.logger.Error("the next start has more of a log group to read", "group", gl.id, "err", err)
	}
	if err == nil {
		gl.saves.Store(0)
	}
	return err == nil
}

// forget drops the index from memory if nobody is at it.
func (gl *groupLog) forget() bool {
	if !gl.mu.TryLock() {
		return false
	}
	defer gl.mu.Unlock()
	gl.index = nil
	gl.cost.Store(0)
	gl.saves.Store(0)
	return true
}

// saveAll writes the indexes whose blobs are behind, when the service ends.
func (l *groupLogs) saveAll(ctx context.Context) {
	for _, gl := range l.all() {
		if ctx.Err() != nil {
			return
		}
		l.save(ctx, gl)
	}
}

// usage is what all indexes take of memory.
func (l *groupLogs) usage() (bytes int64) {
	for _, gl := range l.all() {
		bytes += gl.cost.Load()
	}
	return bytes
}
