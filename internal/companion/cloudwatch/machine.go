package cloudwatch

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/rheostream/rheo/internal/keys"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/statelog"
)

// ShardID is the log shard of all metrics.
const ShardID shardlog.ID = "cloudwatch"

// mend is what an operator is told when the metrics cannot be had whole.
const mend = "Nothing was changed. If the cause is a disk or a network that can be mended, mend it and start again; " +
	"else put the whole data directory, log and blobs, back from one backup."

// A machine brings puts to the log, and from the log, in its order, into the store.
// All methods may be called concurrently.
type machine struct {
	sealer keys.Sealer
	store  *store
	log    *statelog.Log
}

// openMachine applies what is in the log behind the offset that the segments cover.
func openMachine(ctx context.Context, c Config, st *store, covered uint64) (*machine, error) {
	m := &machine{sealer: c.Sealer, store: st}
	log, err := statelog.Open(ctx, statelog.Config{Log: c.Log, Shard: ShardID, Machine: applier{m}, Name: "cloudwatch", Snapshot: "manifest", Mend: mend, Logger: c.Logger})
	if err != nil {
		return nil, err
	}
	m.log = log
	return m, log.Replay(ctx, covered, nil)
}

// commit logs a put and waits until reads see it. When ctx ends first it may or
// may not come to be.
func (m *machine) commit(ctx context.Context, p *put) error {
	var id statelog.ID
	rand.Read(id[:])
	data, err := p.encode(id, m.sealer)
	if err != nil {
		return fmt.Errorf("cloudwatch: cannot make a command: %w", err)
	}
	return m.log.Commit(ctx, id, data, false)
}

// An applier is the machine as the log knows it.
type applier struct{ m *machine }

func (a applier) Offset() uint64 {
	a.m.store.mu.RLock()
	defer a.m.store.mu.RUnlock()
	return a.m.store.offset
}

// Apply applies a batch of commands.
func (a applier) Apply(b *shardlog.Batch) ([]statelog.Outcome, error) {
	outcomes := make([]statelog.Outcome, 0, len(b.Records))
	for _, r := range b.Records {
		id, p, err := parseCommand(r.Data, a.m.sealer)
		if err != nil {
			return nil, fmt.Errorf("command %d: %w", r.Offset, err)
		}
		a.m.store.apply(uint64(r.Offset), r.Arrival, p)
		outcomes = append(outcomes, statelog.Outcome{ID: id})
	}
	if b.Next > 0 { // offsets without records, as failed groups leave
		a.m.store.skip(uint64(b.Next) - 1)
	}
	return outcomes, nil
}
