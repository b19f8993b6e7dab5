package logs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/rheostream/rheo/internal/keys"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/statelog"
)

// ShardID is the log shard of the commands, that is of all groups, streams and filters.
const ShardID shardlog.ID = "logs"

// A machine is one process's copy of the state: it applies commands in the order
// of the log, and writes snapshots. All methods may be called concurrently.
type machine struct {
	sealer    keys.Sealer
	log       *statelog.Log
	snapshots *statelog.Snapshots

	closing sync.Once
	stop    context.CancelFunc // of the snapshot loop
	work    sync.WaitGroup

	shown atomic.Pointer[state] // what readers see, never changed
	state *state                // of whoever applies commands
}

// mend is what an operator is told when the log groups cannot be had whole.
const mend = "Nothing was changed. If the cause is a disk or a network that can be mended, mend it and start again; " +
	"else put the whole data directory, log and blobs, back from one backup."

func openMachine(ctx context.Context, c Config) (*machine, error) {
	m := &machine{sealer: c.Sealer, state: newState()}
	log, err := statelog.Open(ctx, statelog.Config{Log: c.Log, Shard: ShardID, Machine: applier{m}, Name: "logs", Snapshot: "snapshot", Mend: mend, Logger: c.Logger})
	if err != nil {
		return nil, err
	}
	m.log = log
	m.snapshots = &statelog.Snapshots{Blobs: c.Blobs, Prefix: snapshotPrefix, Name: "logs", Logger: c.Logger,
		Current: m.current, Every: c.SnapshotEvery, Interval: c.SnapshotInterval}
	_, newest, wrong, err := m.snapshots.Load(ctx, func(r io.Reader, _ int64) error {
		st, err := readSnapshot(r, m.sealer)
		if err == nil {
			m.state = st
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	m.shown.Store(m.state.view())
	if err := log.Replay(ctx, newest, wrong); err != nil {
		return nil, err
	}
	loop, cancel := context.WithCancel(context.Background())
	m.stop = cancel
	log.Start()
	m.work.Go(func() { m.snapshots.Loop(loop, log) })
	return m, nil
}

// close stops applying and writes a snapshot of what was applied since the last
// one. The log stays open.
func (m *machine) close() {
	m.closing.Do(func() {
		m.stop()
		m.work.Wait()
		m.log.Stop()
		m.snapshots.Last(m.log)
	})
}

// view is the state that readers see: all that was committed before is in it.
func (m *machine) view() *state { return m.shown.Load() }

// current is the state as it is to be written.
func (m *machine) current() (offset uint64, write func(io.Writer) error) {
	view := m.view()
	return view.offset, func(w io.Writer) error { return writeSnapshot(w, view, m.sealer) }
}

// commit logs a command and waits until it is applied and shown to readers. It
// returns errConflict, and has changed nothing, if an expectation did not hold.
// When ctx ends first the command may or may not come to be applied. Urgent
// commands are those that can make room on a full disk.
func (m *machine) commit(ctx context.Context, st step, urgent bool) error {
	var id statelog.ID
	rand.Read(id[:])
	data, err := st.encode(id, m.sealer)
	if err != nil {
		return fmt.Errorf("logs: cannot make a command: %w", err)
	}
	return m.log.Commit(ctx, id, data, urgent)
}

// An applier is the machine as the log knows it.
type applier struct{ m *machine }

func (a applier) Offset() uint64 { return a.m.state.offset }

// Apply applies a batch of commands, and then shows the outcome to readers.
func (a applier) Apply(b *shardlog.Batch) ([]statelog.Outcome, error) {
	st := a.m.state
	outcomes := make([]statelog.Outcome, 0, len(b.Records))
	for _, r := range b.Records {
		id, command, err := parseCommand(r.Data, a.m.sealer)
		if err == nil {
			err = st.apply(uint64(r.Offset), r.Arrival, &command)
		}
		if err != nil && !errors.Is(err, errConflict) {
			// Readers keep what they had: the state may have the command in part.
			return nil, fmt.Errorf("command %d: %w", r.Offset, err)
		}
		outcomes = append(outcomes, statelog.Outcome{ID: id, Err: err})
	}
	st.offset = max(st.offset, uint64(max(b.Next, 1))-1) // offsets without records, as failed groups leave
	a.m.shown.Store(st.view())
	return outcomes, nil
}
