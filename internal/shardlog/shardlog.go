package shardlog

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ID names a shard for its client: opaque to the log, at most 255 bytes, unique
// for all time (a deleted shard's ID may be created again only as a new, empty shard
// whose offsets start over).
type ID string

// Offset is a record's place in its shard. Offsets strictly increase; gaps are
// normal (failed groups leave them, and Kafka's markers take offsets too). The
// first record has offset 1 or more; 0 is before all records.
type Offset uint64

// Record is one record. On Append the log sets Offset and Arrival and copies
// the bytes; the caller may reuse them on return. On Read the byte slices alias
// the Batch's memory.
type Record struct {
	Offset       Offset
	Arrival      int64  // ms since 1970 by Log.Now; never decreases within a shard
	Encrypted    bool   // PartitionKey and Data were sealed by the layer above
	KeyEpoch     uint32 // which data key, when Encrypted
	Nonce        [12]byte
	Producer     *ProducerMark // nil unless an idempotent producer wrote it
	PartitionKey []byte        // at most 1 KiB (256 code points of up to 4 bytes), plus sealing overhead
	Data         []byte        // at most 10 MiB, plus sealing overhead
}

// ProducerMark identifies a record of an idempotent producer.
type ProducerMark struct {
	ID    [16]byte
	Epoch uint64
	Index uint32
}

// Options are what can be chosen for a shard.
type Options struct {
	// Retention hides a record once it is older; 0 keeps all until Trim. A
	// shard of retention 0 is for clients that need every record: where stored ones
	// were damaged and given up by a repair, its Reads fail with a *DamagedError
	// until they start behind those; Reads of other shards pass over them.
	Retention time.Duration
}

// Put is the part of an Append that goes to one shard. Its records get
// increasing offsets in order. Err is set by Append: the records of a Put are
// stored all or none.
type Put struct {
	Shard   Shard
	Records []Record
	Err     error
	// Urgent records are stored while others are refused with ErrNoSpace, as
	// long as any space is left: they are few, small and may be what frees some
	// (the catalog's commands, without which nothing could be deleted).
	Urgent bool
}

// Log is a set of shards. All methods may be called concurrently.
type Log interface {
	// Create makes an empty shard, durable on return. ErrExists if there is one of that ID.
	Create(ctx context.Context, id ID, o Options) (Shard, error)
	// Shard finds a shard. ErrNotFound if there is none.
	Shard(id ID) (Shard, error)
	// Shards lists all shards, sorted by ID.
	Shards() []Shard
	// Append stores the records of every Put. On return each Put has its Err; a
	// Put whose Err is nil is durable and readable. ErrSealed and ErrNotFound
	// tell that nothing of that Put was stored. If ctx ends first, the Puts
	// still under way get ctx's error and may or may not be stored.
	// ErrOverloaded and ErrNoSpace also store nothing.
	Append(ctx context.Context, puts []Put)
	// Seal appends the END marker, durable on return, with all that was
	// appended before it. Later Puts get ErrSealed. Sealing twice is the same
	// as once. It returns the marker's offset.
	Seal(ctx context.Context, s Shard) (Offset, error)
	// SetRetention changes a shard's retention. Raising it does not bring
	// expired records back.
	SetRetention(ctx context.Context, s Shard, d time.Duration) error
	// Trim forgets the records below offset before, lazily but for good: no later Read returns them.
	Trim(ctx context.Context, s Shard, before Offset) error
	// Delete removes a shard and its records, durable on return. Readers and waiters get ErrNotFound.
	Delete(ctx context.Context, s Shard) error
	// Now is the clock that stamps arrivals.
	Now() time.Time
	// Close waits for what is under way, makes it durable and releases the log.
	Close() error
}

// Shard is a handle on one shard. It stays valid until the shard is deleted;
// afterwards its methods return ErrNotFound.
type Shard interface {
	ID() ID
	Info() Info
	// Read fills b with records at or after offset from (from the horizon, if
	// from lies below it), at least one if there is any, at most maxRecords and
	// about maxBytes of keys and data (a first record larger than maxBytes comes alone).
	// Only durable records are seen. b is reset first; its memory is reused.
	Read(ctx context.Context, from Offset, maxRecords, maxBytes int, b *Batch) error
	// Find returns the offset of the first visible record with Arrival >= ms,
	// or Info.Next if there is none yet.
	Find(ctx context.Context, ms int64) (Offset, error)
	// Wait returns when a record at or after from is readable, the shard is
	// sealed or deleted (ErrNotFound), or ctx ends (its error).
	Wait(ctx context.Context, from Offset) error
}

// Info is a shard's state at one moment.
type Info struct {
	First       Offset // lowest offset that may still be visible
	Next        Offset // just above the last durable record; Next <= every offset not yet readable
	LastArrival int64  // ms; arrival of the last durable record, 0 if none ever
	Sealed      bool
	End         Offset // the END marker's offset, when Sealed
	Retention   time.Duration
	Bytes       int64 // bytes of records held, about
}

// Batch is the result of a Read.
type Batch struct {
	Records []Record
	// Next is where the following Read goes on.
	Next Offset
	// NextArrival is the arrival of the first record at or after Next, 0 if
	// there is none yet: the reader has caught up.
	NextArrival int64
	// End is true when the shard is sealed and nothing follows Next.
	End bool
	// Buf is the memory behind Records, owned by the batch and reused.
	Buf []byte

	// The disk log's, reused likewise.
	marks []ProducerMark
	spans []span
	runs  []run
}

var (
	ErrNotFound = errors.New("no such shard")
	ErrExists   = errors.New("shard exists")
	ErrSealed   = errors.New("shard is sealed")
	// ErrOverloaded: the journal or the memory budget stayed full for the longest wait (1 s).
	ErrOverloaded = errors.New("the log cannot keep up")
	// ErrNoSpace: the disk is full or below its reserve; reads and deletes go on.
	ErrNoSpace = errors.New("no space left for records")
	ErrClosed  = errors.New("log is closed")
)

// DamagedError says that stored bytes are not what was written. From and To
// bound the offsets concerned, as far as known (To 0: unknown).
type DamagedError struct {
	Shard    ID
	From, To Offset
	Where    string // file and position
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("damaged records in shard %s, offsets %d to %d (%s)", e.Shard, e.From, e.To, e.Where)
}
