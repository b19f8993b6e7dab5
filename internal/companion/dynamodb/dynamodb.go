// Package dynamodb is the part of Amazon DynamoDB that clients of Kinesis need:
// the KCL keeps its leases in it, and the lock client, the multi-language daemon
// and the consumer libraries for Go, Node and Python their checkpoints. It is a
// correct and durable DynamoDB, not a large one:
//
//	tables     CreateTable DescribeTable UpdateTable DeleteTable ListTables
//	           DescribeTimeToLive UpdateTimeToLive TagResource UntagResource ListTagsOfResource
//	           DescribeContinuousBackups UpdateContinuousBackups DescribeLimits DescribeEndpoints
//	items      PutItem GetItem UpdateItem DeleteItem Query Scan
//	           BatchGetItem BatchWriteItem TransactGetItems TransactWriteItems
//
// both with expressions and with the dialect from before them. Where it differs
// from DynamoDB:
//   - All tables are in memory, under one budget (Config.MemoryBytes); what does not
//     fit is refused with LimitExceededException, reads and deletes go on. One
//     account may take three quarters of it.
//   - Every read is consistent, whether it asks for it or not, and so are indexes.
//     A page of Query or Scan is of one moment.
//   - Transactions wait for each other; there is no TransactionConflict.
//   - Provisioned throughput is kept and shown, and throttles nobody.
//   - Making a table or an index takes no time beyond Config.Transition: the answer
//     says CREATING, as DynamoDB's does, and the next call finds it ACTIVE.
//   - Point-in-time recovery can be switched on and is shown, for clients that
//     insist, but there is no restore: rheo's own backup is that of its directory.
//   - There are no streams, global tables, resource policies, PartiQL, imports and
//     exports; encryption is the server's, not a table's. What asks for them is told so.
//
// An operation decides on the current state what is to be written, and commits
// that with the versions of the items that it decided on, as a command on a log
// shard of its own (see [txn]); all processes apply the same commands in the same
// order ([state], by package statelog). So a write is durable when it is answered, and a condition held
// at the moment at which its write was made: writes are linearizable. Those of one
// process on one item wait for each other first (latches), so that they seldom
// have to decide again.
package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/keys"
	"github.com/rheostream/rheo/internal/metrics"
	"github.com/rheostream/rheo/internal/shardlog"
)

// MemoryBytesDefault is the budget of all tables if nothing else is configured.
const MemoryBytesDefault = 64 << 20

// Config of the service. Log and Blobs are required.
type Config struct {
	Log         shardlog.Log
	Blobs       blob.Store
	Sealer      keys.Sealer       // nil: nothing is sealed, which is epoch 0
	MemoryBytes int64             // of all tables; 0 is MemoryBytesDefault
	Answers     Memory            // of answers; nil: unlimited
	Transition  time.Duration     // how long tables and indexes are CREATING or UPDATING
	Metrics     *metrics.Registry // none are kept if nil
	Logger      *slog.Logger      // discarded if nil

	// ExpireEvery is how often expired items are looked for; 0 is a minute.
	ExpireEvery time.Duration
	// SnapshotEvery is how many bytes of commands are logged between snapshots;
	// 0 means 4 MiB or the size of the last snapshot, whichever is more.
	SnapshotEvery int64
	// SnapshotInterval is after how long a snapshot is written of whatever was
	// logged; 0 means 5 minutes.
	SnapshotInterval time.Duration
}

// Service serves the operations. All its exported methods may be called concurrently.
type Service struct {
	machine    *machine
	latches    latches
	budget     budget
	answers    Memory
	transition time.Duration
	now        func() time.Time
	logger     *slog.Logger

	stop func()
	work sync.WaitGroup
}

// New opens the tables: the state is that of all commands in the log when it returns.
func New(ctx context.Context, c Config) (*Service, error) {
	if c.Log == nil || c.Blobs == nil {
		return nil, errors.New("dynamodb: no log or no blobs")
	}
	if c.Sealer == nil {
		c.Sealer = keys.Identity{}
	}
	if c.MemoryBytes == 0 {
		c.MemoryBytes = MemoryBytesDefault
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.ExpireEvery == 0 {
		c.ExpireEvery = time.Minute
	}
	if c.SnapshotInterval == 0 {
		c.SnapshotInterval = 5 * time.Minute
	}
	m, err := openMachine(ctx, c)
	if err != nil {
		return nil, err
	}
	s := &Service{machine: m, answers: c.Answers, transition: c.Transition, now: c.Log.Now, logger: c.Logger}
	s.budget.max = c.MemoryBytes
	if c.Metrics != nil {
		c.Metrics.Gauge("rheo_dynamodb_memory_bytes", "Memory that tables take of their budget.",
			func() float64 { return float64(m.view().bytes) })
		c.Metrics.Gauge("rheo_dynamodb_tables", "Tables.", func() float64 { return float64(m.view().tables.Len()) })
	}
	loop, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.work.Go(func() { s.expireLoop(loop, c.ExpireEvery) })
	return s, nil
}

// Close ends the service and writes a snapshot. The log stays open.
func (s *Service) Close() {
	s.stop()
	s.work.Wait()
	s.machine.close()
}

// Subset is what callers of other operations are told.
func (s *Service) Subset() string {
	return "rheo serves the part of DynamoDB that clients of Kinesis need, and this operation is not in it; docs/dynamodb.md lists those that are"
}

// decide makes a change: what is to be done is decided on the current state,
// and decided again if something of it has changed until it is logged. Others
// that decide on the same keys wait. An empty txn changes nothing.
func (s *Service) decide(ctx context.Context, keys []string, decide func(*state) (txn, error)) error {
	release, err := s.latches.take(ctx, keys)
	if err != nil {
		return err
	}
	defer release()
	for range 100 { // only other processes, and calls that were given up, can be in the way
		t, err := decide(s.machine.view())
		if err != nil || len(t) == 0 {
			return err
		}
		err = s.write(ctx, t)
		if !errors.Is(err, errConflict) {
			return err
		}
	}
	return fmt.Errorf("decided 100 times on %q, and it had changed each time", keys)
}

// write commits what was decided, if there is memory for it.
func (s *Service) write(ctx context.Context, t txn) error {
	costs := int64(0)
	for i := range t {
		costs += t[i].costs
	}
	urgent := t.makesRoom()
	if costs > 0 {
		account := t.account()
		switch s.budget.reserve(s.machine.view(), account, costs, urgent) {
		case errBudget:
			return limitExceeded("The memory for tables, %d bytes, is used up. (rheo keeps DynamoDB's tables in memory, up to a limit that can be configured.)", s.budget.max)
		case errShare:
			return limitExceeded("The memory for tables of one account, %d bytes, is used up. (rheo keeps DynamoDB's tables in memory, up to a limit that can be configured.)", s.budget.share())
		}
		defer s.budget.release(account, costs)
	}
	err := s.machine.commit(ctx, t, urgent)
	switch {
	case errors.Is(err, shardlog.ErrOverloaded):
		return throttled("The log cannot take more at the moment. Try again.")
	case errors.Is(err, shardlog.ErrNoSpace):
		return limitExceeded("There is no space left on the disk for writes; deletes are taken.")
	}
	return err
}
