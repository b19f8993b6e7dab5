// Package mapping is the engine of Lambda's event source mappings for Kinesis
// streams: it reads a stream's shards, makes batches, and calls a function with
// each until all of it is done. It knows nothing of HTTP, of the Lambda API or
// of where things are kept: all that is behind the five interfaces below.
//
// Its nouns. A Mapping (Config) binds a stream, or an enhanced fan-out consumer
// of one, to a function. It reads every shard of the stream, parents before their
// children (lineage.go). A shard is read by one goroutine (shard.go), which
// deals its records to lanes: one, or ParallelizationFactor of them, a partition
// key always to the same lane. A lane (lane.go) closes a batch, has it
// invoked, and takes it through retries, bisecting and partial answers
// until it is done; it is blocked meanwhile, and the other lanes go on.
//
// A record is done when the function took it, when a filter dropped it, or when
// it was given up (retries used up, too old) and that was told to the on-failure
// destination. The checkpoint of a shard is the highest sequence number up to
// which everything is done, whatever lane it went to, and is stored after that:
// a restart can deliver a batch again, and never skips one (at least once).
//
// Every batch is of one shard, and is at most BatchSize records and 6 MB of
// the event's JSON.
//
// A record is delivered as the stream has it. Lambda does not take records that the
// Kinesis Producer Library aggregated apart (its users do, with a library in the
// function), so neither is it done here; filters see the aggregate too,
// which is no JSON.
//
// Where Lambda does not say what it does, this is done here:
//   - Pauses between tries double from 200 ms to a minute (function errors) or 20 s
//     (throttles, service errors); what is gone is looked for every 10 s.
//   - A key's lane is its FNV-1a hash modulo the factor. With a tumbling window a shard has one lane.
//   - A record whose event alone is above 6 MB is given up at once, as if its retries were used up.
//   - A window's last invocation has no records; given up, it is told of with batchSize 0. Its answer needs no state.
//   - With LATEST a shard begins at the time of the mapping's first start, to the millisecond.
//   - A stream or function that vanishes does not end a mapping: it says so in LastProcessingResult and waits.
//   - An event's eventSourceARN is the mapping's EventSourceArn: with a consumer, the consumer's.
package mapping

import (
	"context"
	"errors"
	"time"
)

// Config is one mapping, valid and complete: the API has filled in the defaults.
type Config struct {
	UUID              string
	FunctionARN       string // with its qualifier, if the mapping has one
	StreamARN         string // always the stream's
	ConsumerARN       string // of an enhanced fan-out consumer: shards are subscribed to; empty: polled
	Region            string // awsRegion of the records
	InvokeIdentityARN string // invokeIdentityArn of the records: the function's role

	StartingPosition Position // TRIM_HORIZON, LATEST or AT_TIMESTAMP; asked once, before there are checkpoints

	BatchSize               int           // 1 to 10,000
	BatchingWindow          time.Duration // 0 to 300 s; how long a batch may wait to fill
	ParallelizationFactor   int           // 1 to 10; 0 is 1
	BisectOnFunctionError   bool
	MaximumRetryAttempts    int           // -1: without end
	MaximumRecordAge        time.Duration // 0 or less: without end (AWS's -1)
	ReportBatchItemFailures bool
	Filters                 []string      // patterns; none: every record passes
	TumblingWindow          time.Duration // 0: none; up to 900 s
	OnFailureARN            string        // empty: what is given up is dropped
}

// ShardID and SequenceNumber are as the stream's API has them. Sequence numbers
// of a shard compare as numbers: the longer is the greater, then as text.
type (
	ShardID        string
	SequenceNumber string
)

// PositionKind is how a Position says where to begin.
type PositionKind string

const (
	TrimHorizon         PositionKind = "TRIM_HORIZON"
	Latest              PositionKind = "LATEST"
	AtTimestamp         PositionKind = "AT_TIMESTAMP"
	AtSequenceNumber    PositionKind = "AT_SEQUENCE_NUMBER"
	AfterSequenceNumber PositionKind = "AFTER_SEQUENCE_NUMBER"
)

// Position is a place in a shard. Sequence is set with the last two kinds, Time with AtTimestamp.
type Position struct {
	Kind     PositionKind
	Time     time.Time
	Sequence SequenceNumber
}

// Stream is what a stream looks like now.
type Stream struct {
	// Created tells a stream from an earlier one of the same name.
	Created time.Time
	// Retention is how long the stream keeps records: after that one that still
	// fails is given up. 0: not known.
	Retention time.Duration
	Shards    []Shard
}

// Shard is one of a stream's shards. Parents are those that it came out of: one
// after a split, two after a merge, none of a shard of the stream's beginning.
// Parents that the stream no longer lists may still be named.
type Shard struct {
	ID      ShardID
	Parents []ShardID
	Closed  bool // takes no more records
}

// Record is one record as the stream has it.
type Record struct {
	PartitionKey   string
	SequenceNumber SequenceNumber
	Data           []byte
	Arrival        time.Time
}

// Answer is what one read of a shard gave.
type Answer struct {
	Records []Record
	// Next is the iterator to read on with (of Records), or the sequence number to
	// subscribe after (of a Subscription); empty at the end of a closed shard.
	Next string
	// Behind is MillisBehindLatest: how far behind the tip the answer's end is.
	Behind time.Duration
}

// Problem is an error of a Source or an Invoker of a known kind: one of the Err values.
// Message is the service's own ("User: ... is not authorized to perform: ..."),
// and becomes LastProcessingResult as "PROBLEM: " with the message.
type Problem struct {
	Kind    error
	Message string
}

func (p *Problem) Error() string { return p.Kind.Error() + ": " + p.Message }
func (p *Problem) Unwrap() error { return p.Kind }

// What a Source's errors wrap. Everything else is taken for a passing fault. All
// are tried again, with back-off.
var (
	// ErrThrottled: asked too much or too often; the same works later.
	ErrThrottled = errors.New("throttled")
	// ErrIteratorExpired: the iterator is too old; a new one works.
	ErrIteratorExpired = errors.New("iterator expired")
	// ErrShardGone: the shard is past its retention and not in the stream any more.
	ErrShardGone = errors.New("shard gone")
	// ErrPosition: the sequence number is not one of this shard's: it is of
	// another stream that had the same name.
	ErrPosition = errors.New("position is not in this stream")
	// ErrSourceGone: the stream or the consumer is not there, or not any more.
	ErrSourceGone = errors.New("source gone")
	// ErrAccess: not allowed to read.
	ErrAccess = errors.New("access denied")
)

// Source is the stream of one mapping. Its methods may be called by many
// goroutines at once, a Subscription's by one at a time.
type Source interface {
	// Stream describes the stream. Shards are all of it, closed ones that still hold records too.
	Stream(ctx context.Context) (Stream, error)
	// Iterator and Records are GetShardIterator and GetRecords: of a mapping
	// without a consumer. The records' data are the caller's to keep. limit is 1 to 10,000.
	Iterator(ctx context.Context, shard ShardID, at Position) (iterator string, err error)
	Records(ctx context.Context, iterator string, limit int) (Answer, error)
	// Subscribe is SubscribeToShard: of a mapping with a consumer. That another
	// subscription still has the shard is ErrThrottled.
	Subscribe(ctx context.Context, shard ShardID, at Position) (Subscription, error)
}

// Subscription is one subscription to a shard, which lasts for five minutes.
type Subscription interface {
	// Next waits for the next event. It and its data are good until the following
	// call. io.EOF: the subscription is over (at its five minutes, or after the
	// event without a Next).
	Next(ctx context.Context) (Answer, error)
	Close() error
}

// Result is what became of an invocation that reached the function.
type Result struct {
	RequestID       string
	StatusCode      int    // of Invoke's answer: 200, with a function error too
	ExecutedVersion string // "$LATEST" or a number
	FunctionError   string // empty: success; "Unhandled" or "Handled"
	Payload         []byte // what the function answered
}

// What an Invoker's errors wrap; the function did not run, or nobody knows.
// None counts as one of MaximumRetryAttempts. ErrThrottled is one of them;
// everything else is taken for a service error.
var (
	// ErrFunctionGone: there is no such function, version or alias.
	ErrFunctionGone = errors.New("function gone")
	// ErrFunctionDisabled: the function cannot be invoked in its state (it is
	// inactive, failed to start, has a reserved concurrency of 0, or its role or key is denied).
	ErrFunctionDisabled = errors.New("function cannot be invoked")
)

// Invoker calls functions, each call synchronously (RequestResponse). It is
// called by many goroutines at once.
type Invoker interface {
	// Invoke returns when the function has answered. The payload is the
	// Invoker's until then; for good, if there was an error. A function that exceeds its time, crashes, or answers too much is a
	// Result with a FunctionError; an error is one that was not the function's.
	Invoke(ctx context.Context, functionARN string, payload []byte) (Result, error)
}

// Checkpoint is how far a mapping has come in a shard.
type Checkpoint struct {
	Shard ShardID
	// Stream is the stream's creation: a checkpoint of an earlier stream of the same name is void.
	Stream time.Time
	// From is where to begin while nothing is done yet. A mapping that starts at
	// LATEST begins where it was first started, whenever it reads first.
	From Position
	// Done is the last sequence number up to which all is done; empty: nothing yet.
	Done SequenceNumber
	// Lanes is set where lanes have come to different places: up to which sequence
	// number each is done. Their number is the ParallelizationFactor that dealt them.
	Lanes []SequenceNumber
	// Ended: the shard is closed and all of it is done.
	Ended bool
	// Window is the open tumbling window's state, as of Done.
	Window *Window
}

// Window is an open tumbling window of a shard: its bounds and the state that the
// function returned last, JSON of at most 1 MB.
type Window struct {
	Start, End time.Time
	State      []byte
}

// Checkpoints keeps the checkpoints of all mappings. It is called by many
// goroutines at once, for one shard by one at a time.
type Checkpoints interface {
	// Load returns all checkpoints of a mapping, in any order; none is no error.
	Load(ctx context.Context, uuid string) ([]Checkpoint, error)
	// Store is durable when it returns, and replaces what the shards named had: all
	// of them or, with an error, none or all. It is called again then.
	Store(ctx context.Context, uuid string, checkpoints ...Checkpoint) error
	// Delete forgets shards that the stream no longer has. Unknown ones are no error.
	Delete(ctx context.Context, uuid string, shards ...ShardID) error
}

// Failures sends what was given up to an on-failure destination.
type Failures interface {
	// Send is durable at the destination when it returns. A Failure has the
	// document for queues and topics, and the key and document for buckets. An error is
	// counted and the batch is passed over nevertheless, as Lambda does, after a
	// few tries by the caller.
	Send(ctx context.Context, destinationARN string, f *Failure) error
}

// Observer hears what happens. Its methods are called by many goroutines at once
// and must not block.
type Observer interface {
	// Processed is told each change of LastProcessingResult.
	Processed(uuid, lastProcessingResult string)
	// Count adds to the mapping's metrics.
	Count(uuid string, c Counts)
	// IteratorAge is how old the last record of a batch was when the function was
	// done with it, well or not: Lambda's IteratorAge.
	IteratorAge(uuid, functionARN string, age time.Duration)
	// Fault is for the log: something passing that an operator may want to know.
	Fault(uuid string, shard ShardID, err error)
}

// Counts are the metrics of an event source mapping under Lambda's names, each what is to be added.
type Counts struct {
	PolledEvents                int64 // PolledEventCount
	FilteredOutEvents           int64 // FilteredOutEventCount
	InvokedEvents               int64 // InvokedEventCount
	FailedInvokeEvents          int64 // FailedInvokeEventCount
	DroppedEvents               int64 // DroppedEventCount: given up
	OnFailureDeliveredEvents    int64 // OnFailureDestinationDeliveredEventCount
	DestinationDeliveryFailures int64 // DestinationDeliveryFailures
}

// LastProcessingResult, as Lambda has it; others are "PROBLEM: " and a Problem's message.
const (
	ResultNone           = "No records processed"
	ResultOK             = "OK"
	ResultFunctionFailed = "PROBLEM: Function call failed"
	resultFault          = "PROBLEM: internal Lambda error"
)

// The engine's use:
//
//	e := mapping.New(mapping.Services{...}, mapping.Limits{})
//	m, err := e.Start(cfg, source) // reads until it is stopped
//	err = m.Stop(ctx)              // waits for invocations under way, stores what is done
//	err = e.Close(ctx)             // stops all
//
// A mapping that is changed is stopped and started with its new Config: the
// checkpoints lead on. A deleted one's checkpoints are the caller's to delete.
