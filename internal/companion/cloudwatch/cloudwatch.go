// Package cloudwatch is the part of Amazon CloudWatch that clients of Kinesis need:
// the KCL and the KPL put their metrics into it, and rheo its own, under AWS's
// names and dimensions, so that people and their dashboards find both.
//
//	PutMetricData  GetMetricData  GetMetricStatistics  ListMetrics
//
// A metric is a namespace, a name and dimensions; its data of one unit are a
// series. Of the samples of a second (in high resolution) or a minute a [summary]
// is kept: their number, sum, least and most, and how they are distributed, for
// percentiles. Older summaries are merged, as CloudWatch does:
//
//	1 s     for 3 hours, of data that were put in high resolution
//	1 min   for 15 days
//	5 min   for 63 days
//	1 h     for 455 days
//
// What is put is a record of a log shard of its own and durable when it is
// answered. It stands in memory, under one budget, until it is written into
// segments: blobs of one such tier and one partition of time, which a manifest
// lists together with the series (see [manifest]). So a start reads a manifest and
// at most an hour of the log, and history is not in memory.
//
// Where it differs from CloudWatch:
//   - There is a limit on series, their number (Config.SeriesMax) and the bytes of
//     their names and dimensions, and on memory for data; see [budget]. What is more is
//     refused. A series is forgotten 455 days after its last data, or after fifteen days
//     if there is no room for another one.
//   - Data are there for reads as soon as they are put.
//   - Percentiles are exact while a period has up to 256 different values, and otherwise
//     within some percent; of samples with a negative value there are none, as in CloudWatch.
//   - Metric math, SQL, SEARCH and dynamic labels are refused or left as they are; entities
//     are accepted and not kept.
//   - There are no alarms, dashboards, streams and insights. What asks for them is told so.
//
// One process at a time writes segments; with several on one log that is to be the
// holder of a lease in the catalog.
package cloudwatch

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/keys"
	"github.com/rheostream/rheo/internal/metrics"
	"github.com/rheostream/rheo/internal/shardlog"
)

// MemoryBytesDefault is the budget of series and of data that are not in segments yet.
const MemoryBytesDefault = 16 << 20

// seriesBytes is how much memory there is for a series on average, of the half of the
// memory that series may take: it makes the limit on their number.
const seriesBytes = 1 << 10

// Config of the service. Log and Blobs are required.
type Config struct {
	Log         shardlog.Log
	Blobs       blob.Store
	Sealer      keys.Sealer       // nil: nothing is sealed, which is epoch 0
	MemoryBytes int64             // of series, and of data not yet in segments; 0 is MemoryBytesDefault
	SeriesMax   int               // of all accounts; 0 is one for each 2 KiB of memory
	Answers     Memory            // what reads take until they are answered; nil: unlimited
	Own         *metrics.Registry // whose metrics are put into AWS/Kinesis each minute; none if nil
	Metrics     *metrics.Registry // for the service's own figures; none are kept if nil
	Logger      *slog.Logger      // discarded if nil

	// FlushEvery is after how long data go into segments; 0 is an hour. They do
	// earlier when they take a quarter of the memory, and when a put finds no room.
	FlushEvery time.Duration
}

// Service serves the operations. All its exported methods may be called concurrently.
type Service struct {
	store   *store
	machine *machine
	keeper  *keeper
	budget  budget
	answers Memory
	now     func() time.Time
	logger  *slog.Logger

	stop func()
	work sync.WaitGroup
}

// New opens the metrics: all that is in the log can be read when it returns.
func New(ctx context.Context, c Config) (*Service, error) {
	s, err := open(ctx, c)
	if err != nil {
		return nil, err
	}
	if c.Metrics != nil {
		c.Metrics.Gauge("rheo_cloudwatch_memory_bytes", "Memory that metrics take of their budget.",
			func() float64 { return float64(s.store.memory()) })
		c.Metrics.Gauge("rheo_cloudwatch_series", "Metrics, each of one unit.",
			func() float64 { return float64(s.store.shareOf(scope{}).series) })
	}
	loop := s.apply()
	s.work.Go(func() { s.keeper.loop(loop, s.machine.log.Progress()) })
	if c.Own != nil {
		s.work.Go(func() { s.ownLoop(loop, c.Own) })
	}
	return s, nil
}

// open makes a service at rest, with all that is in the log.
func open(ctx context.Context, c Config) (*Service, error) {
	if c.Log == nil || c.Blobs == nil {
		return nil, errors.New("cloudwatch: no log or no blobs")
	}
	if c.Sealer == nil {
		c.Sealer = keys.Identity{}
	}
	if c.MemoryBytes == 0 {
		c.MemoryBytes = MemoryBytesDefault
	}
	if c.SeriesMax == 0 {
		c.SeriesMax = int(c.MemoryBytes / 2 / seriesBytes)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.FlushEvery == 0 {
		c.FlushEvery = time.Hour
	}
	s := &Service{answers: c.Answers, now: c.Log.Now, logger: c.Logger}
	s.budget.memoryMax, s.budget.seriesMax = c.MemoryBytes, int64(c.SeriesMax)
	k, err := openKeeper(ctx, c)
	if err != nil {
		return nil, err
	}
	s.keeper, s.store = k, k.store
	if s.machine, err = openMachine(ctx, c, k.store, k.offset()); err != nil {
		return nil, err
	}
	if k.store.fresh == 0 { // what the log had is due: nobody knows for how long it has been there
		k.flushed = s.now()
	}
	return s, nil
}

// apply begins to apply what is put. It returns what ends with the service.
func (s *Service) apply() context.Context {
	loop, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.machine.log.Start()
	return loop
}

// Close ends the service. What is not in segments is in the log, which stays open.
func (s *Service) Close() {
	s.stop()
	s.work.Wait()
	s.machine.log.Stop()
}

// Subset is what callers of other operations are told.
func (s *Service) Subset() string {
	return "rheo serves the part of CloudWatch that clients of Kinesis need, and this operation is not in it; docs/cloudwatch.md lists those that are"
}
