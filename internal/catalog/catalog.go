// Package catalog knows what exists: streams, shards, consumers, settings, who
// holds a lease. It is a deterministic state machine: an ordered map of
// documents, changed by commands that are applied in the order of a reserved
// log shard. Every process applies the same commands in the same order, so no
// leader is elected, and the same code serves one process on a disk and many on
// Kafka. (Package statelog does that for every state of the kind; what a document,
// a command and a snapshot are is this package's.)
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
	"fmt"
	"io"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/statelog"
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
	log       *statelog.Log
	snapshots *statelog.Snapshots
	closing   sync.Once
	stop      context.CancelFunc // of the snapshot loop
	work      sync.WaitGroup

	mu       sync.RWMutex
	shown    *State    // mu; what readers see: the state after some command, itself never changed
	watchers []watcher // mu

	state *State // of whoever applies commands
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
	name := string(cfg.Shard)
	c := new(Catalog)
	log, err := statelog.Open(ctx, statelog.Config{Log: cfg.Log, Shard: cfg.Shard, Machine: applier{c}, Name: name, Snapshot: "snapshot", Mend: mend, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	c.log = log
	c.snapshots = &statelog.Snapshots{Blobs: cfg.Blobs, Prefix: name + "/snapshot-", Name: name, Logger: cfg.Logger,
		Current: c.current, Every: cfg.SnapshotEvery, Interval: cfg.SnapshotInterval}
	c.state = newState()
	_, newest, wrong, err := c.snapshots.Load(ctx, func(r io.Reader, size int64) error {
		st, err := readState(r, size)
		if err == nil {
			c.state = st
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	c.shown = c.state.copy()
	if err := log.Replay(ctx, newest, wrong); err != nil {
		return nil, err
	}
	loop, cancel := context.WithCancel(context.Background())
	c.stop = cancel
	log.Start()
	c.work.Go(func() { c.snapshots.Loop(loop, log) })
	return c, nil
}

// Close stops applying and writes a snapshot of what was applied since the
// last one. The log stays open.
func (c *Catalog) Close() {
	c.closing.Do(func() {
		c.stop()
		c.work.Wait()
		c.log.Stop()
		c.snapshots.Last(c.log)
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
		return fmt.Errorf("catalog: cannot encode command: %w", err)
	}
	return c.log.Commit(ctx, id, data, true)
}

// An applier is the catalog as the log knows it.
type applier struct{ c *Catalog }

func (a applier) Offset() uint64 { return a.c.state.offset }

func (a applier) Apply(b *shardlog.Batch) ([]statelog.Outcome, error) {
	outcomes := make([]statelog.Outcome, 0, len(b.Records))
	for _, r := range b.Records {
		cmd, err := parseCommand(r.Data)
		if err != nil {
			return nil, fmt.Errorf("command %d: %w", r.Offset, err)
		}
		outcomes = append(outcomes, statelog.Outcome{ID: cmd.id, Err: a.c.apply(uint64(r.Offset), cmd)})
	}
	if end := uint64(b.Next); len(b.Records) == 0 && end > a.c.state.offset+1 { // offsets without records, as failed groups leave
		a.c.mu.Lock()
		a.c.state.offset = end - 1
		a.c.shown = a.c.state.copy()
		a.c.mu.Unlock()
	}
	return outcomes, nil
}

// apply applies a command, tells the watchers and shows it to readers.
func (c *Catalog) apply(offset uint64, cmd command) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	changes, err := c.state.Apply(offset, cmd.txn)
	for _, w := range c.watchers {
		if mine := under(changes, w.prefix); len(mine) > 0 {
			w.fn(mine)
		}
	}
	c.shown = c.state.copy()
	return err
}
