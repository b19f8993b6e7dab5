// Package catalog knows what exists: streams, shards, consumers, settings, who
// holds a lease. It is a deterministic state machine: an ordered map of
// documents, changed by commands that are applied in the order of a reserved
// log shard. Every process applies the same commands in the same order, so no
// leader is elected, and the same code serves one process on a disk and many on
// Kafka.
//
// A document is JSON under a slash-separated key; its meaning belongs to the
// service that writes it (fields are only ever added; a change of meaning gets
// a new key prefix). Its version is the log offset of the command that last
// wrote it. A command is a transaction ([Txn]): a list of (key, version) that
// must hold, the documents to write or delete, and whole trees of documents to
// rename or delete. A command whose expectations do not hold is refused by all
// processes alike and changes nothing. That is all the machine knows, which
// keeps [State.Apply] free of clocks, randomness and rules that change between
// versions of rheo: a service decides on what it read, and its expectations make
// the decision safe. (The alternative, one command type per transition with its
// rules inside Apply, makes every rule part of the log's format for ever.)
//
//	command   version u8 = 1, or 2 with trees | id 16 bytes | Txn as JSON
//	snapshot  "RHEOCAT" | version u8 = 1 | offset u64 | count u32 |
//	          count x (key len u32 | key | version u64 | doc len u32 | doc) |
//	          crc32c u32 of all before it, in every version
//
// One goroutine applies commands, each to a state of its own; what readers get
// is a copy that shares all unchanged parts (a copy-on-write B-tree) and is
// never changed again. So a list, however long, and a snapshot hold up nothing,
// and readers never wait for a sync: only, where they ask at that moment, for
// the one command that is being applied. That they do wait for, until all
// watchers have been told, so that the catalog and the views that watchers keep
// are of one moment, whichever of them is looked at first.
//
// Snapshots are blobs named by their offset, written at a clean stop, when
// enough was logged since the last, and every few minutes if anything was; so
// the catalog depends on few of its commands, and not for long. Two are kept:
// the shard is trimmed to the older one only after the newer is durable. A
// snapshot that is damaged or cannot be read therefore costs nothing: the older
// one and the commands behind it give the same state, byte by byte. (An I/O error is
// treated as damage is. To fail the start would be no safer.) From then on it is
// not counted among the two. When no snapshot meets the log, or commands are
// damaged that no snapshot covers, Open refuses: a service that starts on half a
// catalog takes the other half's records for leftovers. A snapshot or command
// of a newer version is refused too, and not passed over: it is not damaged.
package catalog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/shardlog"
)

// ShardID is the reserved log shard of the catalog of all services.
const ShardID shardlog.ID = "catalog"

// Config of a catalog. Log and Blobs are required.
type Config struct {
	Log   shardlog.Log
	Blobs blob.Store
	// Shard is the log shard that the commands are in, and the first part of the
	// names of the snapshots; empty is ShardID. A service that keeps documents
	// which others must not wait for has a catalog of its own by it.
	Shard shardlog.ID
	// SnapshotEvery is how many bytes of commands are logged between
	// snapshots; 0 means 4 MiB or the size of the last snapshot, whichever is more.
	SnapshotEvery int64
	// SnapshotInterval is after how long a snapshot is written of whatever was
	// logged; 0 means 5 minutes.
	SnapshotInterval time.Duration
	Logger           *slog.Logger
}

// Catalog is one process's copy of the state. All methods may be called concurrently.
type Catalog struct {
	cfg     Config
	shard   shardlog.Shard
	closing sync.Once
	stop    context.CancelFunc
	done    chan struct{} // closed when no command is applied any more
	work    sync.WaitGroup

	logged   atomic.Int64  // bytes of commands applied since Open, by which snapshots are paced
	progress chan struct{} // there is more of them

	mu       sync.RWMutex
	shown    *State                  // mu; what readers see: the state after some command, itself never changed
	watchers []watcher               // mu
	pending  map[[16]byte]chan error // mu; commands of this process that await their own application
	failed   error                   // mu; the log could not be read: nothing can be committed any more

	state *State // the apply loop's

	// Of the snapshot loop, and of Open and Close before and after it.
	covered       int64           // logged, at the last snapshot
	snapshotBytes int64           // size of the last snapshot
	bad           map[string]bool // snapshots that could not be read
}

type watcher struct {
	prefix string
	fn     func([]Change)
}

// mend is what an operator is told when the catalog cannot be had whole.
const mend = "Nothing was changed. If the cause is a disk or a network that can be mended, mend it and start again; " +
	"else put the whole data directory, log and blobs, back from one backup. " +
	"(Rheo does not start on a part of its catalog: it would take the records of streams that it does not know for leftovers, and remove them.)"

// Open reads the newest good snapshot, applies the commands behind it and keeps applying.
func Open(ctx context.Context, cfg Config) (*Catalog, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.SnapshotInterval == 0 {
		cfg.SnapshotInterval = 5 * time.Minute
	}
	if cfg.Shard == "" {
		cfg.Shard = ShardID
	}
	shard, err := cfg.Log.Shard(cfg.Shard)
	if errors.Is(err, shardlog.ErrNotFound) {
		shard, err = cfg.Log.Create(ctx, cfg.Shard, shardlog.Options{})
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the log shard %s: %w", cfg.Shard, err)
	}
	c := &Catalog{
		cfg: cfg, shard: shard, done: make(chan struct{}), progress: make(chan struct{}, 1),
		pending: map[[16]byte]chan error{}, bad: map[string]bool{},
	}
	if err := c.restore(ctx); err != nil {
		return nil, err
	}
	loopCtx, cancel := context.WithCancel(context.Background())
	c.stop = cancel
	c.work.Go(func() { c.applyLoop(loopCtx) })
	c.work.Go(func() { c.snapshotLoop(loopCtx) })
	return c, nil
}

// restore makes the state of the newest snapshot that can be read and the commands behind it.
func (c *Catalog) restore(ctx context.Context) error {
	st, newest, wrong, err := c.loadSnapshot(ctx)
	if err != nil {
		return err
	}
	first, next := c.shard.Info().First, c.shard.Info().Next
	if uint64(next) <= newest {
		// New commands would get old offsets, and be taken for part of the snapshot.
		return fmt.Errorf("%s: the log ends before %d, but the newest snapshot reaches to %d: the log is not the one that belongs to these blobs. %s", c.cfg.Shard, next, newest, mend)
	}
	if first > nextOffset(st.offset) && next > nextOffset(st.offset) {
		err := fmt.Errorf("%s: the log starts at %d, but the newest readable snapshot ends at %d: what is between is missing", c.cfg.Shard, first, st.offset)
		if wrong != nil {
			err = fmt.Errorf("%w (%w)", err, wrong)
		}
		return fmt.Errorf("%w. %s", err, mend)
	}
	c.state = st
	c.shown = st.copy()
	var b shardlog.Batch
	for nextOffset(c.state.offset) < c.shard.Info().Next {
		if err := c.applyNext(ctx, &b); err != nil {
			err = fmt.Errorf("%s: cannot apply the commands behind the snapshot at %d: %w", c.cfg.Shard, st.offset, err)
			if ctx.Err() != nil || errors.Is(err, errNewer) {
				return err
			}
			return fmt.Errorf("%w. %s", err, mend)
		}
	}
	return nil
}

// Close stops applying and writes a snapshot of what was applied since the
// last one. The log stays open.
func (c *Catalog) Close() {
	c.closing.Do(func() {
		c.stop()
		c.work.Wait()
		c.mu.Lock()
		failed := c.failed
		c.mu.Unlock()
		if failed != nil || c.logged.Load() == c.covered {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.snapshot(ctx); err != nil {
			c.cfg.Logger.Error("cannot write catalog snapshot; the next start reads the log instead", "catalog", c.cfg.Shard, "err", err)
		}
	})
}

// now is the state after the last command.
func (c *Catalog) now() *State {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.shown
}

// Get reads a document. The bytes must not be changed.
func (c *Catalog) Get(key string) (doc []byte, version uint64, ok bool) {
	d, ok := c.now().docs.Get(key)
	return d.Doc, d.Version, ok
}

// List reads the documents whose keys start with prefix, in key order.
func (c *Catalog) List(prefix string) []Change { return c.now().list(prefix) }

// Scan goes through the documents whose keys start with prefix and sort after
// the key after, in key order, all as of one moment. Its cost is that of the
// documents taken, not of those there are.
func (c *Catalog) Scan(prefix, after string) iter.Seq[Change] {
	return c.now().scan(prefix, after)
}

// Watch calls fn with all documents under prefix and then, in the order of the
// log, with those that each command changed, in key order. fn runs before
// Commit returns to whoever issued the command, holds up all other commands and
// readers, and must not call the catalog.
func (c *Catalog) Watch(prefix string, fn func([]Change)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if all := c.shown.list(prefix); len(all) > 0 {
		fn(all)
	}
	c.watchers = append(c.watchers, watcher{prefix, fn})
}

// Commit logs a transaction and waits until it is applied. It returns
// ErrConflict if an expectation did not hold. When ctx ends first the
// transaction may or may not come to be applied.
func (c *Catalog) Commit(ctx context.Context, t Txn) error {
	if err := t.check(); err != nil {
		return err
	}
	var id [16]byte
	rand.Read(id[:])
	data, err := command{id, t}.encode()
	if err != nil {
		return fmt.Errorf("%s: cannot encode command: %w", c.cfg.Shard, err)
	}
	outcome := make(chan error, 1)
	c.mu.Lock()
	if c.failed != nil {
		c.mu.Unlock()
		return c.failed
	}
	c.pending[id] = outcome
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.pending, id)
		c.mu.Unlock()
	}()

	put := []shardlog.Put{{Shard: c.shard, Urgent: true, Records: []shardlog.Record{{Data: data}}}}
	c.cfg.Log.Append(ctx, put)
	if put[0].Err != nil {
		return fmt.Errorf("%s: cannot log command: %w", c.cfg.Shard, put[0].Err)
	}
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-c.done:
		return shardlog.ErrClosed
	}
}

func (c *Catalog) applyLoop(ctx context.Context) {
	defer close(c.done)
	var b shardlog.Batch
	for {
		err := c.shard.Wait(ctx, nextOffset(c.state.offset))
		if err == nil {
			err = c.applyNext(ctx, &b)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.fail(fmt.Errorf("%s: cannot go on: %w", c.cfg.Shard, err))
			return
		}
		select {
		case c.progress <- struct{}{}:
		default:
		}
	}
}

func nextOffset(offset uint64) shardlog.Offset { return shardlog.Offset(offset) + 1 }

func (c *Catalog) fail(err error) {
	c.cfg.Logger.Error(err.Error())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = err
	for _, ch := range c.pending {
		ch <- err
	}
	clear(c.pending)
}

// applyNext applies one batch of commands.
func (c *Catalog) applyNext(ctx context.Context, b *shardlog.Batch) error {
	from := nextOffset(c.state.offset)
	if err := c.shard.Read(ctx, from, 1000, 1<<20, b); err != nil {
		return err
	}
	for _, r := range b.Records {
		cmd, err := parseCommand(r.Data)
		if err != nil {
			return fmt.Errorf("command %d: %w", r.Offset, err)
		}
		c.apply(uint64(r.Offset), cmd)
		c.logged.Add(int64(len(r.Data)))
	}
	if len(b.Records) == 0 && b.Next > from { // offsets without records, as failed groups leave
		c.mu.Lock()
		c.state.offset = uint64(b.Next) - 1
		c.shown = c.state.copy()
		c.mu.Unlock()
	}
	return nil
}

// apply applies a command, tells the watchers, shows it to readers and answers its issuer.
func (c *Catalog) apply(offset uint64, cmd command) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changes, err := c.state.Apply(offset, cmd.txn)
	for _, w := range c.watchers {
		if mine := under(changes, w.prefix); len(mine) > 0 {
			w.fn(mine)
		}
	}
	c.shown = c.state.copy()
	if ch, ok := c.pending[cmd.id]; ok {
		delete(c.pending, cmd.id)
		ch <- err
	}
}
