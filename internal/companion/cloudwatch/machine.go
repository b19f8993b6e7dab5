package cloudwatch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/rheostream/rheo/internal/keys"
	"github.com/rheostream/rheo/internal/shardlog"
)

// ShardID is the log shard of all metrics.
const ShardID shardlog.ID = "cloudwatch"

// mend is what an operator is told when the metrics cannot be had whole.
const mend = "Nothing was changed. If the cause is a disk or a network that can be mended, mend it and start again; " +
	"else put the whole data directory, log and blobs, back from one backup."

// A machine brings puts to the log, and from the log, in its order, into the store.
// All methods may be called concurrently.
type machine struct {
	log    shardlog.Log
	sealer keys.Sealer
	logger *slog.Logger
	shard  shardlog.Shard
	store  *store

	done     chan struct{} // closed when no command is applied any more
	progress chan struct{} // commands have been applied

	mu      sync.Mutex
	pending map[[16]byte]chan error // mu; commands of this process that await their own application
	failed  error                   // mu; the log could not be read: nothing can be put any more
}

// openMachine applies what is in the log behind the offset that the segments cover.
func openMachine(ctx context.Context, c Config, st *store, covered uint64) (*machine, error) {
	shard, err := openShard(ctx, c.Log)
	if err != nil {
		return nil, err
	}
	m := &machine{log: c.Log, sealer: c.Sealer, logger: c.Logger, shard: shard, store: st,
		done: make(chan struct{}), progress: make(chan struct{}, 1), pending: map[[16]byte]chan error{}}
	info := shard.Info()
	if uint64(info.Next) <= covered {
		// New commands would get old offsets, and be taken for part of the segments.
		return nil, fmt.Errorf("cloudwatch: the log ends before %d, but the newest manifest reaches to %d: the log is not the one that belongs to these blobs. %s", info.Next, covered, mend)
	}
	if info.First > nextOffset(covered) && info.Next > nextOffset(covered) {
		return nil, fmt.Errorf("cloudwatch: the log starts at %d, but the newest readable manifest ends at %d: what is between is missing. %s", info.First, covered, mend)
	}
	var b shardlog.Batch
	for m.next() < m.shard.Info().Next {
		if err := m.applyNext(ctx, &b); err != nil {
			err = fmt.Errorf("cloudwatch: cannot apply the commands behind %d: %w", covered, err)
			if ctx.Err() != nil || errors.Is(err, errNewer) {
				return nil, err
			}
			return nil, fmt.Errorf("%w. %s", err, mend)
		}
	}
	return m, nil
}

func openShard(ctx context.Context, log shardlog.Log) (shardlog.Shard, error) {
	shard, err := log.Shard(ShardID)
	if errors.Is(err, shardlog.ErrNotFound) {
		shard, err = log.Create(ctx, ShardID, shardlog.Options{})
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the metrics' log shard: %w", err)
	}
	return shard, nil
}

func nextOffset(offset uint64) shardlog.Offset { return shardlog.Offset(offset) + 1 }

func (m *machine) next() shardlog.Offset {
	m.store.mu.RLock()
	defer m.store.mu.RUnlock()
	return nextOffset(m.store.offset)
}

// commit logs a put and waits until reads see it. When ctx ends first it may or
// may not come to be.
func (m *machine) commit(ctx context.Context, p *put) error {
	var id [16]byte
	rand.Read(id[:])
	data, err := p.encode(id, m.sealer)
	if err != nil {
		return fmt.Errorf("cloudwatch: cannot make a command: %w", err)
	}
	outcome := make(chan error, 1)
	m.mu.Lock()
	if m.failed != nil {
		m.mu.Unlock()
		return m.failed
	}
	m.pending[id] = outcome
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.pending, id)
		m.mu.Unlock()
	}()

	puts := []shardlog.Put{{Shard: m.shard, Records: []shardlog.Record{{Data: data}}}}
	m.log.Append(ctx, puts)
	if puts[0].Err != nil {
		return fmt.Errorf("cloudwatch: cannot log a command: %w", puts[0].Err)
	}
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-m.done:
		return shardlog.ErrClosed
	}
}

func (m *machine) applyLoop(ctx context.Context) {
	defer close(m.done)
	var b shardlog.Batch
	for {
		err := m.shard.Wait(ctx, m.next())
		if err == nil {
			err = m.applyNext(ctx, &b)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			m.fail(fmt.Errorf("cloudwatch: cannot go on: %w", err))
			return
		}
		select {
		case m.progress <- struct{}{}:
		default:
		}
	}
}

func (m *machine) fail(err error) {
	m.logger.Error(err.Error())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failed = err
	for _, ch := range m.pending {
		ch <- err
	}
	clear(m.pending)
}

// applyNext applies a batch of commands, and tells those who issued them.
func (m *machine) applyNext(ctx context.Context, b *shardlog.Batch) error {
	if err := m.shard.Read(ctx, m.next(), 1000, 1<<20, b); err != nil {
		return err
	}
	ids := make([][16]byte, 0, len(b.Records))
	for _, r := range b.Records {
		id, p, err := parseCommand(r.Data, m.sealer)
		if err != nil {
			return fmt.Errorf("command %d: %w", r.Offset, err)
		}
		m.store.apply(uint64(r.Offset), r.Arrival, p)
		ids = append(ids, id)
	}
	if b.Next > 0 { // offsets without records, as failed groups leave
		m.store.skip(uint64(b.Next) - 1)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		if ch, ok := m.pending[id]; ok {
			delete(m.pending, id)
			ch <- nil
		}
	}
	return nil
}
