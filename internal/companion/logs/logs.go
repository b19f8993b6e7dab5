// Package logs is the part of Amazon CloudWatch Logs that streams and functions
// need: functions, deliveries and applications write their logs into it, people
// read them, and subscription filters send them on into streams.
//
//	groups         CreateLogGroup DeleteLogGroup DescribeLogGroups
//	               PutRetentionPolicy DeleteRetentionPolicy
//	               TagResource UntagResource ListTagsForResource TagLogGroup UntagLogGroup ListTagsLogGroup
//	streams        CreateLogStream DeleteLogStream DescribeLogStreams
//	events         PutLogEvents GetLogEvents FilterLogEvents TestMetricFilter
//	subscriptions  PutSubscriptionFilter DeleteSubscriptionFilter DescribeSubscriptionFilters
//
// Its nouns. A group has streams, and a log: a log shard of its own, on which each
// PutLogEvents is one [record], durable when it is answered. Groups, streams and
// filters are a [state] that applies commands in the order of another log shard, as
// DynamoDB's tables are. What a group's log has is found by its [index], which
// says of each stretch of about 1 MiB (a [chunk]) which times and streams are in it;
// it is made of the log alone, kept in a blob, and brought up to date whenever
// somebody looks. A filter has a cursor: how far in the group's log it has delivered.
//
// Retention is the log's, by arrival, so space goes by whole segments; reads also
// look at the times of events, which is what AWS's retention goes by.
//
// # The order of events
//
// Events are read in the order of their times, as AWS has it, and each once,
// whatever is put meanwhile, which AWS does not promise. The two go together by
// windows: a window is a stretch of the log that ends, at most, at its end when
// the window was opened. All of its events come in the order of their times; then
// comes the next window, with what has been put since. The token has the window
// and the place in it. A window has no more than 64 MiB of chunks that can have what
// is asked for, so that a call reads no more than that.
//
// Where it differs from CloudWatch Logs:
//   - What was put can be read at once, and the facts of streams are exact at once.
//   - A page of events ends where a window ends, and may be empty with a token.
//   - The number of streams is limited by memory (Config.MemoryBytes). When there is no
//     room for another one, those whose events have all expired are forgotten.
//   - DeleteLogStream hides its events at once; their space goes with the retention.
//   - A filter whose destination fails keeps trying for as long as the group keeps
//     the events, not for a day.
//   - There are no Insights, metric filters, exports, live tail, data protection,
//     transformers, anomaly detection and destinations in other accounts; groups
//     have one class. What asks for them is told so.
//
// One process at a time delivers; with several on one log that is to be the holder
// of a lease in the catalog.
package logs

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

// MemoryBytesDefault is the budget of groups, streams and indexes.
const MemoryBytesDefault = 16 << 20

// Config of the service. Log and Blobs are required.
type Config struct {
	Log         shardlog.Log
	Blobs       blob.Store
	Sealer      keys.Sealer       // nil: nothing is sealed, which is epoch 0
	MemoryBytes int64             // half of it for groups and streams, half for indexes; 0 is MemoryBytesDefault
	Answers     Memory            // what reads take until they are answered; nil: unlimited
	Streams     Streams           // where filters deliver to; nil: filters to streams are refused
	Functions   Functions         // likewise; nil: filters to functions are refused
	Metrics     *metrics.Registry // for the service's own figures; none are kept if nil
	Logger      *slog.Logger      // discarded if nil

	// SnapshotEvery is how many bytes of commands are logged between snapshots;
	// 0 means 4 MiB or the size of the last snapshot, whichever is more.
	SnapshotEvery int64
	// SnapshotInterval is after how long a snapshot is written of whatever was
	// logged; 0 means 5 minutes.
	SnapshotInterval time.Duration
	// KeepEvery is how often indexes are looked after and cursors are stored, which is
	// how much a filter delivers again after a crash; 0 means 5 seconds.
	KeepEvery time.Duration
}

// Service serves the operations. All its exported methods may be called concurrently.
type Service struct {
	machine    *machine
	logs       *groupLogs
	deliveries *deliveries
	writer     *writer
	sealer     keys.Sealer
	answers    Memory
	memory     int64
	window     int64 // windowBytes, less in tests
	now        func() time.Time
	logger     *slog.Logger

	retaining sync.Mutex // held while a retention is changed
	clearing  sync.Mutex // held while streams are forgotten to make room

	stop func()
	work sync.WaitGroup
}

// New opens the log groups: all that was answered can be read when it returns.
// Filters deliver nothing before Deliver is called.
func New(ctx context.Context, c Config) (*Service, error) {
	if c.Log == nil || c.Blobs == nil {
		return nil, errors.New("logs: no log or no blobs")
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
	if c.SnapshotInterval == 0 {
		c.SnapshotInterval = 5 * time.Minute
	}
	if c.KeepEvery == 0 {
		c.KeepEvery = 5 * time.Second
	}
	m, err := openMachine(ctx, c)
	if err != nil {
		return nil, err
	}
	l, err := openGroupLogs(ctx, c, m.view())
	if err != nil {
		m.close()
		return nil, err
	}
	s := &Service{machine: m, logs: l, sealer: c.Sealer, answers: c.Answers, memory: c.MemoryBytes, window: windowBytes, now: c.Log.Now, logger: c.Logger}
	l.live = s.live
	s.deliveries = newDeliveries(s, c.Streams, c.Functions)
	s.writer = newWriter(s)
	if c.Metrics != nil {
		s.measure(c.Metrics)
	}
	loop, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.work.Go(func() { s.keepLoop(loop, c.KeepEvery) })
	return s, nil
}

func (s *Service) measure(r *metrics.Registry) {
	r.Gauge("rheo_logs_memory_bytes", "Memory that log groups, streams and indexes take of their budget.",
		func() float64 { return float64(s.machine.view().bytes + s.logs.usage()) })
	r.Gauge("rheo_logs_groups", "Log groups.", func() float64 { return float64(s.machine.view().groups.Len()) })
	r.Counter("rheo_logs_delivered_total", "Log events that subscription filters delivered.",
		func() float64 { return float64(s.deliveries.delivered.Load()) })
	r.Counter("rheo_logs_dropped_total", "Log events that a destination can never take, and that were left out.",
		func() float64 { return float64(s.deliveries.dropped.Load()) })
	r.Gauge("rheo_logs_failing_filters", "Subscription filters whose destination takes nothing at the moment.",
		func() float64 { return float64(s.deliveries.failing.Load()) })
}

// Deliver starts the delivery of subscription filters: what they deliver to can be
// called from now on.
func (s *Service) Deliver() { s.deliveries.start() }

// Close ends the service: what was written is put, cursors are stored, indexes and a
// snapshot are written. The log stays open.
func (s *Service) Close() {
	s.writer.close()
	s.deliveries.stop()
	s.stop()
	s.work.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s.deliveries.storeCursors(ctx, true)
	s.logs.saveAll(ctx)
	s.machine.close()
}

// Subset is what callers of other operations are told.
func (s *Service) Subset() string {
	return "rheo serves the part of CloudWatch Logs that writes, reads and forwards log events, and this operation is not in it; docs/logs.md lists those that are"
}

func (s *Service) keepLoop(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.logs.keep(ctx, s.memory/2)
		s.deliveries.storeCursors(ctx, false)
	}
}

// live says of the streams of a group whether they are there.
func (s *Service) live(groupID string) func(stream uint64) bool {
	var found *group
	s.machine.view().groups.Scan(func(_ string, g *group) bool {
		if g.doc.ID == groupID {
			found = g
		}
		return found == nil
	})
	return func(stream uint64) bool {
		if found == nil {
			return false
		}
		_, ok := found.names.Get(stream)
		return ok
	}
}

// decide makes a change: what is to be done is decided on the current state, and
// decided again if something of it has changed until it is logged. No step changes
// nothing. Urgent changes may be what makes room on a full disk.
func (s *Service) decide(ctx context.Context, urgent bool, decide func(*state) (*step, error)) error {
	for range 100 {
		st, err := decide(s.machine.view())
		if err != nil || st == nil {
			return err
		}
		err = s.machine.commit(ctx, *st, urgent)
		if !errors.Is(err, errConflict) {
			return logged(err)
		}
	}
	return fmt.Errorf("logs: decided 100 times, and the group had changed each time")
}

// changeGroup changes the definition of a group.
func (s *Service) changeGroup(ctx context.Context, key string, change func(*groupDoc) error) (doc groupDoc, err error) {
	err = s.decide(ctx, false, func(st *state) (*step, error) {
		g, ok := st.groups.Get(key)
		if !ok {
			return nil, noGroup
		}
		doc = g.doc.clone()
		if err := change(&doc); err != nil {
			return nil, err
		}
		return &step{kind: putGroup, group: key, version: g.version, doc: doc}, nil
	})
	return doc, err
}

// roomFor says whether groups and streams may take so much more memory.
func (s *Service) roomFor(st *state, n int64) error {
	if st.bytes+n > s.memory/2 {
		return limitExceeded("Resource limit exceeded. (rheo keeps the names of log groups and streams in memory, up to a limit of %d bytes that can be configured.)", s.memory/2)
	}
	return nil
}
