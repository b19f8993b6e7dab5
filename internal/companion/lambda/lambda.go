// Package lambda is the part of AWS Lambda that consumers of streams need:
// functions, their versions and aliases, invocations, and event source mappings,
// by the API of 2015-03-31.
//
//	functions   CreateFunction GetFunction GetFunctionConfiguration UpdateFunctionCode
//	            UpdateFunctionConfiguration DeleteFunction ListFunctions
//	versions    PublishVersion ListVersionsByFunction
//	aliases     CreateAlias GetAlias UpdateAlias DeleteAlias ListAliases
//	policies    AddPermission RemovePermission GetPolicy
//	tags        TagResource UntagResource ListTags
//	limits      PutFunctionConcurrency GetFunctionConcurrency DeleteFunctionConcurrency GetAccountSettings
//	invoking    Invoke; Put-, Update-, Get-, Delete-, ListFunctionEventInvokeConfig
//	mappings    CreateEventSourceMapping GetEventSourceMapping ListEventSourceMappings
//	            UpdateEventSourceMapping DeleteEventSourceMapping
//
// The package does not run code itself: a [Runner] does, as processes of this
// machine or at another Lambda endpoint ([Remote]). Without one everything but
// Invoke works. What is kept, and where:
//
//	log shard "lambda"              documents of functions, versions, aliases, mappings: a
//	                                catalog of its own (documents.go)
//	log shard "lambda-checkpoints"  how far each mapping has come in each shard: another one,
//	                                for they are written all the time (checkpoints.go)
//	log shard "lambda-events"       invocations that were accepted and not made yet (events.go)
//	blobs "lambda/code/..."         zips of functions, sealed (code.go)
//
// An operation decides on the documents that it read and commits what it wants to
// change with the version of the function's document: all changes of one function
// and its parts come one after the other, in whichever process they are made.
//
// Where it differs from Lambda is in docs/lambda.md; what is not there is refused
// by name, never ignored.
package lambda

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/catalog"
	"github.com/rheostream/rheo/internal/keys"
	"github.com/rheostream/rheo/internal/metrics"
	"github.com/rheostream/rheo/internal/shardlog"
)

// The log shards.
const (
	ShardID            shardlog.ID = "lambda"
	CheckpointsShardID shardlog.ID = "lambda-checkpoints"
	EventsShardID      shardlog.ID = "lambda-events"
)

const (
	// StateBytesMaxDefault is the budget of all documents if nothing else is configured.
	StateBytesMaxDefault = 16 << 20
	// ConcurrencyDefault is how many invocations of an account run at once in a region, as in AWS.
	ConcurrencyDefault = 1000
	// codeBytesMax is how much code an account may have in a region, as in AWS.
	codeBytesMax = 75 << 30
)

// Config of the service. Log and Blobs are required.
type Config struct {
	Log    shardlog.Log
	Blobs  blob.Store
	Sealer keys.Sealer // nil: nothing is sealed, which is epoch 0

	// Runner runs functions; nil: they can be made, and Invoke says which setting is missing.
	Runner Runner
	// Streams are what mappings read; nil: no mapping can be made.
	Streams Streams
	// Objects has code (S3Bucket, S3Key) and takes what mappings give up; nil: both are refused.
	Objects Objects
	// Queues take what becomes of events and what mappings give up; nil: refused.
	Queues Queues

	// StateBytesMax is the budget of all documents, and of all checkpoints again,
	// in memory; 0 is StateBytesMaxDefault.
	StateBytesMax int64
	// EventBytesMax bounds the accepted invocations that wait, on the disk; 0 is 1 GiB.
	EventBytesMax int64
	// MappingBytesMax is the budget of records that mappings have read and not done
	// with; 0 is the engine's least, 32 MiB.
	MappingBytesMax int64
	// Concurrency is how many invocations of an account may run at once in a
	// region; 0 is ConcurrencyDefault.
	Concurrency int
	// Repair gives up events that are damaged in the log, and starts; without it
	// they are an error of New.
	Repair     bool
	Answers    Memory        // of answers and of zips on their way to a blob; nil: unlimited
	Transition time.Duration // how long functions are Pending and updates InProgress
	Metrics    *metrics.Registry
	Logger     *slog.Logger // discarded if nil
}

// Memory is the budget that large values are taken from while an operation has
// them, and answers until they have been sent.
type Memory interface {
	// Reserve takes n bytes, or none and returns false.
	Reserve(n int64) bool
	// Take takes n bytes that are in use already, past the maximum if need be.
	Take(n int64)
	Release(n int64)
}

// Service serves the operations. All its exported methods may be called concurrently.
type Service struct {
	cfg          Config
	docs         *catalog.Catalog
	size         size // of docs
	reservations reservations
	checkpoints  *checkpoints
	executions   *executions
	events       *events
	mappings     *mappings
	logger       *slog.Logger
	now          func() time.Time

	closing sync.Once
}

// New opens the state. Nothing runs before Start.
func New(ctx context.Context, c Config) (*Service, error) {
	if c.Log == nil || c.Blobs == nil {
		return nil, errors.New("lambda: no log or no blobs")
	}
	if c.Sealer == nil {
		c.Sealer = keys.Identity{}
	}
	if c.StateBytesMax == 0 {
		c.StateBytesMax = StateBytesMaxDefault
	}
	if c.EventBytesMax == 0 {
		c.EventBytesMax = 1 << 30
	}
	if c.Concurrency == 0 {
		c.Concurrency = ConcurrencyDefault
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{cfg: c, logger: c.Logger, now: c.Log.Now, executions: newExecutions(c.Concurrency)}
	if err := s.open(ctx); err != nil {
		s.Close()
		return nil, err
	}
	if c.Metrics != nil {
		c.Metrics.Gauge("rheo_lambda_state_bytes", "Memory that documents of functions and mappings take of their budget.",
			func() float64 { return float64(s.size.bytes()) })
		c.Metrics.Gauge("rheo_lambda_executions", "Invocations under way.",
			func() float64 { return float64(s.executions.total()) })
		c.Metrics.Gauge("rheo_lambda_events", "Accepted invocations that wait.",
			func() float64 { return float64(s.events.waiting()) })
	}
	return s, nil
}

func (s *Service) open(ctx context.Context) (err error) {
	c := s.cfg
	if s.docs, err = catalog.Open(ctx, catalog.Config{Log: c.Log, Blobs: c.Blobs, Shard: ShardID, Logger: c.Logger}); err != nil {
		return fmt.Errorf("cannot open the functions: %w", err)
	}
	s.docs.Watch("", s.size.follow)
	s.docs.Watch(functionPrefix, s.reservations.follow)
	if s.checkpoints, err = openCheckpoints(ctx, c); err != nil {
		return fmt.Errorf("cannot open the checkpoints of event source mappings: %w", err)
	}
	if s.events, err = openEvents(ctx, s); err != nil {
		return fmt.Errorf("cannot open the queue of invocations: %w", err)
	}
	s.mappings = newMappings(s)
	if err := s.sweepCode(ctx); err != nil {
		s.logger.Error("cannot remove the code of functions that are gone; the next start tries again", "err", err)
	}
	return nil
}

// Start begins to make the invocations that were accepted and to run the mappings.
func (s *Service) Start() {
	s.events.start()
	s.mappings.start()
}

// Close ends the mappings and the invocations of the queue, and writes snapshots.
// The log stays open.
func (s *Service) Close() {
	s.closing.Do(func() {
		if s.mappings != nil {
			s.mappings.close()
		}
		if s.events != nil {
			s.events.close()
		}
		if s.checkpoints != nil {
			s.checkpoints.close()
		}
		if s.docs != nil {
			s.docs.Close()
		}
	})
}

// Subset is what callers of other operations are told.
func (s *Service) Subset() string {
	return "rheo serves the part of Lambda that consumers of streams need, and this operation is not in it; docs/lambda.md lists those that are"
}

// architecture is this machine's, as Lambda calls it.
func architecture() string {
	if runtime.GOARCH == "arm64" {
		return "arm64"
	}
	return "x86_64"
}

// size counts the bytes of documents.
type size struct {
	mu    sync.Mutex
	total int64          // mu
	of    map[string]int // mu; by key
}

// documentCost is what a document takes beside its bytes: nodes of trees, headers.
const documentCost = 256

func (z *size) follow(changes []catalog.Change) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.of == nil {
		z.of = make(map[string]int)
	}
	for _, ch := range changes {
		z.total -= int64(z.of[ch.Key])
		if ch.Doc == nil {
			delete(z.of, ch.Key)
			continue
		}
		z.of[ch.Key] = len(ch.Key) + len(ch.Doc) + documentCost
		z.total += int64(z.of[ch.Key])
	}
}

func (z *size) bytes() int64 {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.total
}
