package logs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/keys"
	"github.com/rheostream/rheo/internal/shardlog"
)

// ShardID is the log shard of the commands, that is of all groups, streams and filters.
const ShardID shardlog.ID = "logs"

// A machine is one process's copy of the state: it applies commands in the order
// of the log, as package catalog does, and writes snapshots. All methods may be
// called concurrently.
type machine struct {
	log    shardlog.Log
	blobs  blob.Store
	sealer keys.Sealer
	logger *slog.Logger
	shard  shardlog.Shard

	snapshotEvery    int64
	snapshotInterval time.Duration

	closing sync.Once
	stop    context.CancelFunc
	done    chan struct{} // closed when no command is applied any more
	work    sync.WaitGroup

	shown    atomic.Pointer[state] // what readers see, never changed
	logged   atomic.Int64          // bytes of commands applied since open, by which snapshots are paced
	progress chan struct{}         // there is more of them

	mu      sync.Mutex
	pending map[[16]byte]chan error // mu; commands of this process that await their own application
	failed  error                   // mu; the log could not be read: nothing can be committed any more

	state *state // the apply loop's

	// Of the snapshot loop, and of open and close before and after it.
	covered       int64           // logged, at the last snapshot
	snapshotBytes int64           // size of the last snapshot
	bad           map[string]bool // snapshots that could not be read
}

// mend is what an operator is told when the log groups cannot be had whole.
const mend = "Nothing was changed. If the cause is a disk or a network that can be mended, mend it and start again; " +
	"else put the whole data directory, log and blobs, back from one backup."

func openMachine(ctx context.Context, c Config) (*machine, error) {
	shard, err := c.Log.Shard(ShardID)
	if errors.Is(err, shardlog.ErrNotFound) {
		shard, err = c.Log.Create(ctx, ShardID, shardlog.Options{})
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the log shard of log groups: %w", err)
	}
	m := &machine{
		log: c.Log, blobs: c.Blobs, sealer: c.Sealer, logger: c.Logger, shard: shard,
		snapshotEvery: c.SnapshotEvery, snapshotInterval: c.SnapshotInterval,
		done: make(chan struct{}), progress: make(chan struct{}, 1),
		pending: map[[16]byte]chan error{}, bad: map[string]bool{},
	}
	if err := m.restore(ctx); err != nil {
		return nil, err
	}
	loopCtx, cancel := context.WithCancel(context.Background())
	m.stop = cancel
	m.work.Go(func() { m.applyLoop(loopCtx) })
	m.work.Go(func() { m.snapshotLoop(loopCtx) })
	return m, nil
}

// restore makes the state of the newest snapshot that can be read and the commands behind it.
func (m *machine) restore(ctx context.Context) error {
	st, newest, wrong, err := m.loadSnapshot(ctx)
	if err != nil {
		return err
	}
	first, next := m.shard.Info().First, m.shard.Info().Next
	if uint64(next) <= newest {
		// New commands would get old offsets, and be taken for part of the snapshot.
		return fmt.Errorf("logs: the log ends before %d, but the newest snapshot reaches to %d: the log is not the one that belongs to these blobs. %s", next, newest, mend)
	}
	if first > nextOffset(st.offset) && next > nextOffset(st.offset) {
		err := fmt.Errorf("logs: the log starts at %d, but the newest readable snapshot ends at %d: what is between is missing", first, st.offset)
		if wrong != nil {
			err = fmt.Errorf("%w, because of %w", err, wrong)
		}
		return fmt.Errorf("%w. %s", err, mend)
	}
	m.state = st
	m.shown.Store(st.view())
	var b shardlog.Batch
	for nextOffset(m.state.offset) < m.shard.Info().Next {
		if err := m.applyNext(ctx, &b); err != nil {
			err = fmt.Errorf("logs: cannot apply the commands behind the snapshot at %d: %w", st.offset, err)
			if ctx.Err() != nil || errors.Is(err, errNewer) {
				return err
			}
			return fmt.Errorf("%w. %s", err, mend)
		}
	}
	return nil
}

// close stops applying and writes a snapshot of what was applied since the last
// one. The log stays open.
func (m *machine) close() {
	m.closing.Do(func() {
		m.stop()
		m.work.Wait()
		m.mu.Lock()
		failed := m.failed
		m.mu.Unlock()
		if failed != nil || m.logged.Load() == m.covered {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := m.snapshot(ctx); err != nil {
			m.logger.Error("cannot write a snapshot of the log groups; the next start reads the log instead", "err", err)
		}
	})
}

// view is the state that readers see: all that was committed before is in it.
func (m *machine) view() *state { return m.shown.Load() }

// commit logs a command and waits until it is applied and shown to readers. It
// returns errConflict, and has changed nothing, if an expectation did not hold.
// When ctx ends first the command may or may not come to be applied. Urgent
// commands are those that can make room on a full disk.
func (m *machine) commit(ctx context.Context, st step, urgent bool) error {
	var id [16]byte
	rand.Read(id[:])
	data, err := st.encode(id, m.sealer)
	if err != nil {
		return fmt.Errorf("logs: cannot make a command: %w", err)
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

	put := []shardlog.Put{{Shard: m.shard, Urgent: urgent, Records: []shardlog.Record{{Data: data}}}}
	m.log.Append(ctx, put)
	if put[0].Err != nil {
		return fmt.Errorf("logs: cannot log a command: %w", put[0].Err)
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
		err := m.shard.Wait(ctx, nextOffset(m.state.offset))
		if err == nil {
			err = m.applyNext(ctx, &b)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			m.fail(fmt.Errorf("logs: cannot go on: %w", err))
			return
		}
		select {
		case m.progress <- struct{}{}:
		default:
		}
	}
}

func nextOffset(offset uint64) shardlog.Offset { return shardlog.Offset(offset) + 1 }

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

// applyNext applies a batch of commands, shows the outcome to readers, and then
// tells those who issued the commands.
func (m *machine) applyNext(ctx context.Context, b *shardlog.Batch) error {
	from := nextOffset(m.state.offset)
	if err := m.shard.Read(ctx, from, 1000, 1<<20, b); err != nil {
		return err
	}
	type reply struct {
		id  [16]byte
		err error
	}
	replies := make([]reply, 0, len(b.Records))
	for _, r := range b.Records {
		id, st, err := parseCommand(r.Data, m.sealer)
		if err == nil {
			err = m.state.apply(uint64(r.Offset), r.Arrival, &st)
		}
		if err != nil && !errors.Is(err, errConflict) {
			// Readers keep what they had: the state may have the command in part.
			return fmt.Errorf("command %d: %w", r.Offset, err)
		}
		replies = append(replies, reply{id, err})
		m.logged.Add(int64(len(r.Data)))
	}
	if b.Next > nextOffset(m.state.offset) { // offsets without records, as failed groups leave
		m.state.offset = uint64(b.Next) - 1
	}
	m.shown.Store(m.state.view())
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range replies {
		if ch, ok := m.pending[r.id]; ok {
			delete(m.pending, r.id)
			ch <- r.err
		}
	}
	return nil
}
