// Package s3 is the part of Amazon S3 that so much else writes to: a plain object
// store, durable, on one machine.
//
//	buckets    CreateBucket HeadBucket DeleteBucket ListBuckets GetBucketLocation GetBucketVersioning
//	objects    PutObject GetObject HeadObject CopyObject DeleteObject DeleteObjects
//	           ListObjects ListObjectsV2
//	multipart  CreateMultipartUpload UploadPart UploadPartCopy CompleteMultipartUpload
//	           AbortMultipartUpload ListParts ListMultipartUploads
//
// with ranges, conditional reads and writes, checksums, presigned URLs, and both
// styles of addresses. There are no versions, tags, lists of access, lifecycles or
// events; what asks for them is told so.
//
// What an object holds is a blob, whose name a person can read:
//
//	s3/BUCKET/KEY.ID            an object; KEY with whatever a file's name cannot have replaced
//	s3-parts/BUCKET/KEY.ID      a part of an upload
//	s3-index/snapshot-OFFSET    the index
//
// Without keys to seal with the file is the object, byte for byte. All else (the
// true key, headers, ETag, checksums) is the index, which is in memory as a whole
// and under a budget: a state machine over the commands in a log shard of its own
// (see [txn]), with snapshots in blobs. All processes apply the same commands in
// the same order.
//
// A write makes a blob, which is durable and which nothing refers to, and then logs
// the command that does. A crash between the two leaves a blob too many, which the
// next start removes (see [Service.sweep]). A delete logs its command and then
// removes the blob; who is reading it goes on. What a write depends on, the absence
// of an object or its ETag, is decided on the index and goes into the command as a
// version: if it does not hold when the command is applied, the decision is made
// again. So conditional writes are linearizable, and no lock is held while a body
// comes in.
//
// The operations are methods with plain inputs, for services in this process too: they
// go by [call.Calls.Do] with the operation of [API], as requests do, so that policies
// and the audit log see them. A body is any io.Reader, and is never in memory as a whole.
//
// The HTTP side is here too, with each operation: handler.go has the table. It is
// not a library's. Those there are (two branches of gofakes3 were looked at) own what
// must be ours: they read bodies and check signatures themselves, and do not verify
// those of chunks and trailers; they know no accounts and no checksums that are kept;
// they decide conditions before the write and not with it, and keep track of uploads
// in their own memory, which a restart loses. What was left to take was the XML.
package s3

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/keys"
	"github.com/rheostream/rheo/internal/metrics"
	"github.com/rheostream/rheo/internal/shardlog"
)

// MemoryBytesDefault is the budget of the index if nothing else is configured.
const MemoryBytesDefault = 64 << 20

// Config of the service. Log and Blobs are required.
type Config struct {
	Log         shardlog.Log
	Blobs       blob.Store
	Sealer      keys.Sealer       // nil: nothing is sealed, which is epoch 0
	MemoryBytes int64             // of the index; 0 is MemoryBytesDefault
	QuotaBytes  int64             // that the objects and parts of one account may take; 0 is no limit
	Disk        func() Disk       // of the volume of Blobs; nil: it is not looked at before it is full
	Metrics     *metrics.Registry // none are kept if nil
	Logger      *slog.Logger      // discarded if nil

	// SnapshotEvery is how many bytes of commands are logged between snapshots;
	// 0 means 4 MiB or the size of the last snapshot, whichever is more.
	SnapshotEvery int64
	// SnapshotInterval is after how long a snapshot is written of whatever was
	// logged; 0 means 5 minutes.
	SnapshotInterval time.Duration
}

// A Disk says how many bytes are free on a volume, and how many of these objects
// must leave to others.
type Disk struct{ Free, Reserve int64 }

// Service serves the operations. All its exported methods may be called
// concurrently; the context of an operation carries its caller ([api.WithCaller]).
type Service struct {
	machine *machine
	blobs   blob.Store
	sealer  keys.Sealer
	budget  budget
	quota   quota
	disk    func() Disk
	now     func() time.Time
	logger  *slog.Logger

	lastUpload atomic.Int64 // when the youngest upload of this process began, in µs

	underway names // blobs that are written and not yet referred to

	stop func()
	work sync.WaitGroup
}

// New opens the store: the index is that of all commands in the log when it returns.
func New(ctx context.Context, c Config) (*Service, error) {
	if c.Log == nil || c.Blobs == nil {
		return nil, errors.New("s3: no log or no blobs")
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
	m, err := openMachine(ctx, c)
	if err != nil {
		return nil, err
	}
	s := &Service{machine: m, blobs: c.Blobs, sealer: c.Sealer, disk: c.Disk, now: c.Log.Now, logger: c.Logger}
	s.budget.max, s.quota.max = c.MemoryBytes, c.QuotaBytes
	if c.Metrics != nil {
		c.Metrics.Gauge("rheo_s3_memory_bytes", "Memory that the index of objects takes of its budget.",
			func() float64 { return float64(m.view().bytes) })
		c.Metrics.Gauge("rheo_s3_objects", "Objects in all buckets.", func() float64 { return float64(m.view().used().objects) })
		c.Metrics.Gauge("rheo_s3_bytes", "Bytes of objects and of parts of uploads.", func() float64 { return float64(m.view().used().bytes) })
	}
	loop, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.work.Go(func() { s.sweep(loop) })
	s.work.Go(func() { s.removeLoop(loop) })
	return s, nil
}

// Close ends the service and writes a snapshot. The log stays open.
func (s *Service) Close() {
	s.stop()
	s.work.Wait()
	s.machine.close()
}

const subset = "rheo serves a part of S3, and this is not in it; docs/s3.md lists the operations that are"

// Subset is what callers of other operations are told.
func (s *Service) Subset() string { return subset }

// decide makes a change: what is to be done is decided on the current state, and
// decided again if something of it has changed until it is logged. An empty txn
// changes nothing.
func (s *Service) decide(ctx context.Context, decide func(*state) (txn, error)) error {
	for range 100 {
		t, err := decide(s.machine.view())
		if err != nil || len(t) == 0 {
			return err
		}
		if err = s.write(ctx, t); !errors.Is(err, errConflict) {
			return err
		}
	}
	return &api.Error{Code: "ConditionalRequestConflict", Status: 409,
		Message: "The conditional request cannot succeed due to a conflicting operation against this resource."}
}

func (s *Service) write(ctx context.Context, t txn) error {
	costs, urgent := int64(0), true
	for i := range t {
		costs += t[i].costs()
		// Deletes are taken when nothing else is, for they may be what makes room.
		urgent = urgent && t[i].frees()
	}
	if costs > 0 {
		if !s.budget.reserve(s.machine.view().bytes, costs) {
			return fullIndex(s.budget.max)
		}
		defer s.budget.release(costs)
	}
	err := s.machine.commit(ctx, t, urgent)
	switch {
	case errors.Is(err, shardlog.ErrOverloaded):
		return slowDown("The log cannot take more at the moment. Please reduce your request rate.")
	case errors.Is(err, shardlog.ErrNoSpace):
		return errDiskFull
	}
	return err
}

// owned finds a bucket of the caller's account.
func owned(ctx context.Context, st *state, name string) (*bucket, error) {
	b, ok := st.buckets.Get(name)
	if !ok {
		return nil, noSuchBucket(name)
	}
	if b.doc.Account != api.CallerFrom(ctx).Account {
		return nil, errAccessDenied
	}
	return b, nil
}

// A budget bounds what the index and the commands on their way to it take.
type budget struct {
	max int64

	mu       sync.Mutex
	underway int64 // mu
}

func (b *budget) reserve(used, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if used+b.underway+n > b.max {
		return false
	}
	b.underway += n
	return true
}

func (b *budget) release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.underway -= n
}

// A quota bounds what each account has on disk, with what is on its way there.
type quota struct {
	max int64 // 0: none

	mu       sync.Mutex
	underway map[string]int64 // mu; by account
}

func (q *quota) reserve(account string, used, n int64) error {
	if q.max == 0 {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if used+q.underway[account]+n > q.max {
		return &api.Error{Code: "QuotaExceeded", Status: 403,
			Message: fmt.Sprintf("The account may store %d bytes, and this would be more.", q.max)}
	}
	if q.underway == nil {
		q.underway = make(map[string]int64)
	}
	q.underway[account] += n
	return nil
}

func (q *quota) release(account string, n int64) {
	if q.max == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.underway[account] -= n; q.underway[account] == 0 {
		delete(q.underway, account)
	}
}

// names is a set of names.
type names struct {
	mu  sync.Mutex
	set map[string]bool // mu
}

func (n *names) add(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.set == nil {
		n.set = make(map[string]bool)
	}
	n.set[name] = true
}

func (n *names) remove(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.set, name)
}

func (n *names) has(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.set[name]
}
