// Package statelog keeps a state that commands change, in the order of a log shard:
// what exists (package catalog), the tables of DynamoDB, the metrics of CloudWatch.
// Every process applies the same commands in the same order, so no leader is elected,
// and the same code serves one process on a disk and many on Kafka. The package knows
// nothing of states and commands: a [Machine] does.
//
//	commit   a command is logged, and its issuer waits until this process has applied it
//	apply    one goroutine reads the shard and has the machine apply what it finds
//	start    the machine brings the state of a snapshot; the commands behind it are
//	         applied before anything else. A log and a snapshot that do not meet are
//	         an error: a state with a hole is worse than none
//
// [Snapshots] are blobs that are named by the offset that they reach to. Two are kept,
// and the shard is trimmed to the older one only after the newer is durable: one that
// is damaged costs nothing.
package statelog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/rheostream/rheo/internal/shardlog"
)

// ErrNewer: bytes are those of a newer version, which is no damage: nothing is passed
// over for it. Machines wrap it.
var ErrNewer = errors.New("written by a newer rheo")

// An ID tells the commands of this process from those of others.
type ID = [16]byte

// An Outcome is what a command came to: nil, or why it has changed nothing.
type Outcome struct {
	ID  ID
	Err error
}

// A Machine is a state and what commands mean. Its methods are called by one goroutine
// at a time.
type Machine interface {
	// Offset is how far the state reaches.
	Offset() uint64
	// Apply applies the commands of a batch and has readers see them before it
	// returns. The state then reaches to b.Next-1: offsets may have no record.
	// An error is one of the log, or of commands that cannot be read; nothing
	// more is applied after it.
	Apply(b *shardlog.Batch) ([]Outcome, error)
}

// Config of a log. All but Logger is required.
type Config struct {
	Log     shardlog.Log
	Shard   shardlog.ID // made if there is none
	Machine Machine
	Name    string // whose state it is, for errors: "catalog"
	// Snapshot is what the state at the start is of: "snapshot", "manifest".
	Snapshot string
	// Mend is what an operator is told to do when the state cannot be had whole.
	Mend   string
	Logger *slog.Logger
}

// A Log brings commands to a machine. All methods may be called concurrently, but for
// those that say when they are called.
type Log struct {
	cfg   Config
	shard shardlog.Shard
	stop  context.CancelFunc
	done  chan struct{} // closed when no command is applied any more

	logged   atomic.Int64  // bytes of commands applied since Open
	progress chan struct{} // there is more of them

	mu      sync.Mutex
	pending map[ID]chan error // mu; commands of this process that await their own application
	failed  error             // mu; the log could not be read: nothing can be committed any more
}

// Open opens the shard.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	shard, err := cfg.Log.Shard(cfg.Shard)
	if errors.Is(err, shardlog.ErrNotFound) {
		shard, err = cfg.Log.Create(ctx, cfg.Shard, shardlog.Options{})
	}
	if err != nil {
		return nil, fmt.Errorf("%s: cannot open the log shard: %w", cfg.Name, err)
	}
	return &Log{cfg: cfg, shard: shard, done: make(chan struct{}), progress: make(chan struct{}, 1), pending: map[ID]chan error{}}, nil
}

// Replay applies the commands that are in the log behind the machine's state. It is
// called once, before Start. newest is how far the newest snapshot reaches, whether
// it could be read or not, and wrong what was wrong with those that could not.
func (l *Log) Replay(ctx context.Context, newest uint64, wrong error) error {
	name, what, covered := l.cfg.Name, l.cfg.Snapshot, l.cfg.Machine.Offset()
	first, next := l.shard.Info().First, l.shard.Info().Next
	if uint64(next) <= newest {
		// New commands would get old offsets, and be taken for part of the snapshot.
		return fmt.Errorf("%s: the log ends before %d, but the newest %s reaches to %d: the log is not the one that belongs to these blobs. %s", name, next, what, newest, l.cfg.Mend)
	}
	if first > behind(covered) && next > behind(covered) {
		err := fmt.Errorf("%s: the log starts at %d, but the newest readable %s ends at %d: what is between is missing", name, first, what, covered)
		if wrong != nil {
			err = fmt.Errorf("%w (%w)", err, wrong)
		}
		return fmt.Errorf("%w. %s", err, l.cfg.Mend)
	}
	var b shardlog.Batch
	for behind(l.cfg.Machine.Offset()) < l.shard.Info().Next {
		if err := l.applyNext(ctx, &b); err != nil {
			err = fmt.Errorf("%s: cannot apply the commands behind the %s at %d: %w", name, what, covered, err)
			if ctx.Err() != nil || errors.Is(err, ErrNewer) {
				return err
			}
			return fmt.Errorf("%w. %s", err, l.cfg.Mend)
		}
	}
	return nil
}

// behind is the first offset that a state does not reach to.
func behind(offset uint64) shardlog.Offset { return shardlog.Offset(offset) + 1 }

// Start has commands applied from now on, until Stop.
func (l *Log) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	go l.applyLoop(ctx)
}

// Stop ends the applying of commands, and waits for it. The log stays open.
func (l *Log) Stop() {
	l.stop()
	<-l.done
}

// Failed is why nothing can be committed any more; nil while it can.
func (l *Log) Failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// Progress has something whenever commands have been applied since it was read last.
func (l *Log) Progress() <-chan struct{} { return l.progress }

// Commit logs a command and waits until it has been applied. It returns the machine's
// outcome. When ctx ends first the command may or may not come to be applied. Urgent
// commands are those that are taken when the disk is full.
func (l *Log) Commit(ctx context.Context, id ID, command []byte, urgent bool) error {
	outcome := make(chan error, 1)
	l.mu.Lock()
	if l.failed != nil {
		l.mu.Unlock()
		return l.failed
	}
	l.pending[id] = outcome
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.pending, id)
		l.mu.Unlock()
	}()

	put := []shardlog.Put{{Shard: l.shard, Urgent: urgent, Records: []shardlog.Record{{Data: command}}}}
	l.cfg.Log.Append(ctx, put)
	if put[0].Err != nil {
		return fmt.Errorf("%s: cannot log a command: %w", l.cfg.Name, put[0].Err)
	}
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-l.done:
		return shardlog.ErrClosed
	}
}

func (l *Log) applyLoop(ctx context.Context) {
	defer close(l.done)
	var b shardlog.Batch
	for {
		err := l.shard.Wait(ctx, behind(l.cfg.Machine.Offset()))
		if err == nil {
			err = l.applyNext(ctx, &b)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			l.fail(fmt.Errorf("%s: cannot go on: %w", l.cfg.Name, err))
			return
		}
		select {
		case l.progress <- struct{}{}:
		default:
		}
	}
}

// applyNext applies a batch of commands, and tells those who issued them.
func (l *Log) applyNext(ctx context.Context, b *shardlog.Batch) error {
	if err := l.shard.Read(ctx, behind(l.cfg.Machine.Offset()), 1000, 1<<20, b); err != nil {
		return err
	}
	outcomes, err := l.cfg.Machine.Apply(b)
	if err != nil {
		return err
	}
	for _, r := range b.Records {
		l.logged.Add(int64(len(r.Data)))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range outcomes {
		if ch, ok := l.pending[o.ID]; ok {
			delete(l.pending, o.ID)
			ch <- o.Err
		}
	}
	return nil
}

func (l *Log) fail(err error) {
	l.cfg.Logger.Error(err.Error())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = err
	for _, ch := range l.pending {
		ch <- err
	}
	clear(l.pending)
}

// Trim forgets the commands that a state has that reaches to an offset.
func (l *Log) Trim(ctx context.Context, offset uint64) error {
	return l.cfg.Log.Trim(ctx, l.shard, behind(offset))
}
