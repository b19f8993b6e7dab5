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
// must hold, and the documents to write or delete. A command whose
// expectations do not hold is refused by all processes alike and changes
// nothing. That is all the machine knows, which keeps [State.Apply] free of
// clocks, randomness and rules that change between versions of rheo: a service
// decides on what it read, and its expectations make the decision safe. (The
// alternative, one command type per transition with its rules inside Apply,
// makes every rule part of the log's format for ever.)
//
//	command   version u8 = 1 | id 16 bytes | Txn as JSON
//	snapshot  "RHEOCAT" | version u8 = 1 | offset u64 | count u32 |
//	          count x (key len u32 | key | version u64 | doc len u32 | doc) | crc32c u32
//
// Snapshots are blobs named by their offset; two are kept, and the shard is
// trimmed to the older one only after the newer is durable. A crash between the
// two leaves commands that the snapshot already covers: they are skipped.
package catalog

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/shardlog"
)

// ShardID is the reserved log shard.
const ShardID shardlog.ID = "catalog"

const snapshotPrefix = "catalog/snapshot-"

// Config of a catalog. Log and Blobs are required.
type Config struct {
	Log   shardlog.Log
	Blobs blob.Store
	// SnapshotEvery is how many bytes of commands are logged between
	// snapshots; 0 means 4 MiB or the size of the last snapshot, whichever is more.
	SnapshotEvery int64
	Logger        *slog.Logger
}

// Catalog is one process's copy of the state. All methods may be called concurrently.
type Catalog struct {
	cfg   Config
	shard shardlog.Shard
	stop  context.CancelFunc
	done  chan struct{}

	mu       sync.RWMutex
	state    *State                  // mu
	watchers []watcher               // mu
	pending  map[[16]byte]chan error // mu; commands of this process that await their own application
	failed   error                   // mu; the log could not be read: nothing can be committed any more

	sinceSnapshot int64 // the apply loop's
	lastSnapshot  int64 // the apply loop's; its size in bytes
}

type watcher struct {
	prefix string
	fn     func([]Change)
}

// A Change is a document that a command wrote; Doc is nil when it was deleted.
type Change struct {
	Key     string
	Version uint64
	Doc     []byte
}

// ErrConflict: an expectation of the transaction did not hold; read again and decide anew.
var ErrConflict = errors.New("catalog: a document changed meanwhile")

// Open reads the newest good snapshot, applies the commands behind it and keeps applying.
func Open(ctx context.Context, cfg Config) (*Catalog, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	shard, err := cfg.Log.Shard(ShardID)
	if errors.Is(err, shardlog.ErrNotFound) {
		shard, err = cfg.Log.Create(ctx, ShardID, shardlog.Options{})
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the catalog's log shard: %w", err)
	}
	c := &Catalog{cfg: cfg, shard: shard, done: make(chan struct{}), pending: map[[16]byte]chan error{}}
	if c.state, err = c.loadSnapshot(ctx); err != nil {
		return nil, err
	}
	if first := shard.Info().First; uint64(first) > c.state.Offset+1 && uint64(shard.Info().Next) > c.state.Offset+1 {
		return nil, fmt.Errorf("catalog: the log starts at %d, but the newest readable snapshot ends at %d", first, c.state.Offset)
	}
	if next := shard.Info().Next; uint64(next) <= c.state.Offset {
		// New commands would get old offsets, and be taken for part of the snapshot.
		return nil, fmt.Errorf("catalog: the log ends before %d, but the newest snapshot reaches to %d: the log is not the one that belongs to these blobs", next, c.state.Offset)
	}
	var b shardlog.Batch
	for c.state.Offset+1 < uint64(shard.Info().Next) {
		if err := c.applyNext(ctx, &b); err != nil {
			return nil, err
		}
	}
	loopCtx, cancel := context.WithCancel(context.Background())
	c.stop = cancel
	go c.applyLoop(loopCtx)
	return c, nil
}

// Close stops applying. The log stays open.
func (c *Catalog) Close() {
	c.stop()
	<-c.done
}

// Get reads a document. The bytes must not be changed.
func (c *Catalog) Get(key string) (doc []byte, version uint64, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.state.Docs[key]
	return e.Doc, e.Version, ok
}

// List reads the documents whose keys start with prefix, in key order.
func (c *Catalog) List(prefix string) []Change {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.state.list(prefix)
}

// Watch calls fn with all documents under prefix and then, in the order of the
// log, with those that each command changed. fn runs before Commit returns to
// whoever issued the command, holds up all others, and must not call the catalog.
func (c *Catalog) Watch(prefix string, fn func([]Change)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if all := c.state.list(prefix); len(all) > 0 {
		fn(all)
	}
	c.watchers = append(c.watchers, watcher{prefix, fn})
}

// Commit logs a transaction and waits until it is applied. It returns
// ErrConflict if an expectation did not hold. When ctx ends first the
// transaction may or may not come to be applied.
func (c *Catalog) Commit(ctx context.Context, t Txn) error {
	doc, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("catalog: cannot encode command: %w", err)
	}
	var id [16]byte
	rand.Read(id[:])
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

	put := []shardlog.Put{{Shard: c.shard, Urgent: true, Records: []shardlog.Record{{Data: slices.Concat([]byte{commandVersion}, id[:], doc)}}}}
	c.cfg.Log.Append(ctx, put)
	if put[0].Err != nil {
		return fmt.Errorf("catalog: cannot log command: %w", put[0].Err)
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
		err := c.shard.Wait(ctx, shardlog.Offset(c.next()))
		if err == nil {
			err = c.applyNext(ctx, &b)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.fail(fmt.Errorf("catalog: cannot go on: %w", err))
			return
		}
		if err := c.maybeSnapshot(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Logger.Error("cannot write catalog snapshot", "err", err)
		}
	}
}

func (c *Catalog) next() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.state.Offset + 1
}

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
	from := c.next()
	if err := c.shard.Read(ctx, shardlog.Offset(from), 1000, 1<<20, b); err != nil {
		return err
	}
	for _, r := range b.Records {
		cmd, err := parseCommand(r.Data)
		if err != nil {
			return fmt.Errorf("command %d: %w", r.Offset, err)
		}
		c.apply(uint64(r.Offset), cmd)
		c.sinceSnapshot += int64(len(r.Data))
	}
	if len(b.Records) == 0 && uint64(b.Next) > from { // offsets without records, as failed groups leave
		c.mu.Lock()
		c.state.Offset = uint64(b.Next) - 1
		c.mu.Unlock()
	}
	return nil
}

func (c *Catalog) apply(offset uint64, cmd command) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changes, err := c.state.Apply(offset, cmd.txn)
	if err == nil {
		for _, w := range c.watchers {
			if mine := under(changes, w.prefix); len(mine) > 0 {
				w.fn(mine)
			}
		}
	}
	if ch, ok := c.pending[cmd.id]; ok {
		delete(c.pending, cmd.id)
		ch <- err
	}
}

func under(changes []Change, prefix string) []Change {
	var out []Change
	for _, ch := range changes {
		if strings.HasPrefix(ch.Key, prefix) {
			out = append(out, ch)
		}
	}
	return out
}

func (c *Catalog) maybeSnapshot(ctx context.Context) error {
	every := c.cfg.SnapshotEvery
	if every == 0 {
		every = max(4<<20, c.lastSnapshot)
	}
	if c.sinceSnapshot < every {
		return nil
	}
	c.sinceSnapshot = 0
	c.mu.RLock()
	snap, offset := c.state.encode(), c.state.Offset
	c.mu.RUnlock()
	c.lastSnapshot = int64(len(snap))
	if err := c.cfg.Blobs.Put(ctx, snapshotName(offset), bytes.NewReader(snap)); err != nil {
		return err
	}
	have, err := c.snapshots(ctx)
	if err != nil || len(have) < 2 {
		return err
	}
	keep := have[len(have)-2]
	for _, s := range have[:len(have)-2] {
		if err := c.cfg.Blobs.Delete(ctx, s.name); err != nil {
			return err
		}
	}
	return c.cfg.Log.Trim(ctx, c.shard, shardlog.Offset(keep.offset+1))
}

func snapshotName(offset uint64) string { return fmt.Sprintf("%s%020d", snapshotPrefix, offset) }

type snapshotBlob struct {
	name   string
	offset uint64
}

// snapshots lists them, oldest first.
func (c *Catalog) snapshots(ctx context.Context) ([]snapshotBlob, error) {
	infos, err := c.cfg.Blobs.List(ctx, snapshotPrefix, "", 1000)
	if err != nil {
		return nil, err
	}
	var out []snapshotBlob
	for _, i := range infos {
		if off, err := strconv.ParseUint(strings.TrimPrefix(i.Name, snapshotPrefix), 10, 64); err == nil {
			out = append(out, snapshotBlob{i.Name, off})
		}
	}
	return out, nil
}

// loadSnapshot reads the newest snapshot that is whole. A damaged one is said
// and passed over: the one before it and the log still have everything.
func (c *Catalog) loadSnapshot(ctx context.Context) (*State, error) {
	have, err := c.snapshots(ctx)
	if err != nil {
		return nil, fmt.Errorf("catalog: cannot list snapshots: %w", err)
	}
	for _, s := range slices.Backward(have) {
		r, _, err := c.cfg.Blobs.Get(ctx, s.name, 0, -1)
		if err != nil {
			return nil, fmt.Errorf("catalog: cannot read snapshot %s: %w", s.name, err)
		}
		data, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			return nil, fmt.Errorf("catalog: cannot read snapshot %s: %w", s.name, err)
		}
		st, err := decodeState(data)
		if err == nil {
			c.lastSnapshot = int64(len(data))
			return st, nil
		}
		c.cfg.Logger.Error("catalog snapshot is damaged; using the one before it", "snapshot", s.name, "err", err)
	}
	return newState(), nil
}
