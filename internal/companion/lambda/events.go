package lambda

import (
	"container/heap"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/rheostream/rheo/internal/shardlog"
)

// Invocations of type Event are accepted once they are in the log shard
// "lambda-events", and made from there: at least once, retried after errors of the
// function, given up for good when they are too old. Each is a record, and so is
// that it is done:
//
//	record   version u8 = 1 | kind u8 | key epoch u32 | body, sealed
//	accept   header length uvarint | eventHeader as JSON | payload
//	done     doneHeader as JSON
//
// An event that waits for a retry is accepted anew with what became of it so far,
// by a record that also says which one it is in the place of. So the oldest record that
// still counts moves on, and the shard is trimmed behind it. In memory is where
// the events are and when they are due, not what they carry.
//
// Nothing else is ordered: AWS promises none, and neither do we.
const (
	eventVersion = 1
	eventAccept  = 1
	eventDone    = 2

	eventHead = 6 // bytes before the body
)

const (
	// eventsMax is how many events wait at most.
	eventsMax = 1 << 16
	// At most eventsAtOnce are made at once, of one function eventsPerFunction: a
	// function that hangs holds up its own events only.
	eventsAtOnce      = 32
	eventsPerFunction = 8

	eventAgeDefault     = 6 * time.Hour
	eventRetriesDefault = 2
)

type eventHeader struct {
	RequestID     string
	FunctionID    string // of the document: a function re-created under the name is another
	Account       string
	Region        string
	Name          string
	Qualifier     string `json:",omitempty"`
	ClientContext string `json:",omitempty"`
	Accepted      int64
	Due           int64
	Failures      int32  `json:",omitempty"` // of the function so far
	Replaces      uint64 `json:",omitempty"` // offset of the record that no longer counts
}

type doneHeader struct{ Offsets []uint64 }

// events is the queue. Its records are read by whoever makes an event.
type events struct {
	s     *Service
	shard shardlog.Shard

	ctx    context.Context // done when the queue is closed
	cancel context.CancelFunc
	work   sync.WaitGroup
	wake   chan struct{} // something is due, or there is room

	// appending is held for reading from before a record of an event is appended
	// until the index has it.
	appending sync.RWMutex

	mu      sync.Mutex
	pending *btree.Map[uint64, *event] // mu; all events that are not done, by offset
	due     dueHeap                    // mu; those that are not being made
	lanes   map[string]*lane           // mu; by the key of the function
	making  int                        // mu
	bytes   int64                      // mu; of records of events
	done    int                        // mu; since the last trim
}

// An event is one that waits or is being made.
type event struct {
	offset uint64
	due    int64
	bytes  int64
	key    string        // of the function
	pause  time.Duration // before the next try after the function could not be run
}

// A lane is one function's.
type lane struct {
	making int
	parked []*event // due, and waiting for one that is being made
}

type dueHeap []*event

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due < h[j].due }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(*event)) }
func (h *dueHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return e
}

// openEvents finds the events that are not done.
func openEvents(ctx context.Context, s *Service) (*events, error) {
	log := s.cfg.Log
	shard, err := log.Shard(EventsShardID)
	if errors.Is(err, shardlog.ErrNotFound) {
		shard, err = log.Create(ctx, EventsShardID, shardlog.Options{})
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the log shard %s: %w", EventsShardID, err)
	}
	q := &events{s: s, shard: shard, wake: make(chan struct{}, 1), pending: new(btree.Map[uint64, *event]), lanes: make(map[string]*lane)}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	var b shardlog.Batch
	for at := shard.Info().First; at < shard.Info().Next; at = b.Next {
		err := shard.Read(ctx, at, 1000, 4<<20, &b)
		var damaged *shardlog.DamagedError
		if errors.As(err, &damaged) && s.cfg.Repair && damaged.To >= at {
			s.logger.Error("accepted events are damaged, and given up", "err", err)
			b.Next = damaged.To + 1
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, r := range b.Records {
			if err := q.recover(uint64(r.Offset), r.Data); err != nil {
				return nil, fmt.Errorf("record %d: %w", r.Offset, err)
			}
		}
		if b.Next <= at {
			break
		}
	}
	q.pending.Scan(func(_ uint64, e *event) bool {
		heap.Push(&q.due, e)
		return true
	})
	return q, nil
}

// recover takes a record for what it says. It is for one goroutine, before start.
func (q *events) recover(offset uint64, data []byte) error {
	kind, body, err := q.open(data)
	if err != nil {
		return err
	}
	if kind == eventDone {
		var d doneHeader
		if err := json.Unmarshal(body, &d); err != nil {
			return err
		}
		for _, o := range d.Offsets {
			q.forget(o)
		}
		return nil
	}
	h, _, err := splitEvent(body)
	if err != nil {
		return err
	}
	if h.Replaces != 0 {
		q.forget(h.Replaces)
	}
	q.remember(newEvent(offset, h, len(data)))
	return nil
}

func newEvent(offset uint64, h *eventHeader, bytes int) *event {
	return &event{offset: offset, due: h.Due, bytes: int64(bytes), key: functionID{h.Account, h.Region, h.Name}.key()}
}

// remember and forget keep the index. The caller holds mu, or is alone.
func (q *events) remember(e *event) {
	q.pending.Set(e.offset, e)
	q.bytes += e.bytes
}

func (q *events) forget(offset uint64) {
	if e, ok := q.pending.Delete(offset); ok {
		q.bytes -= e.bytes
	}
}

func (q *events) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pending.Len()
}

// encode makes a record.
func (q *events) encode(kind byte, header any, payload []byte) ([]byte, error) {
	text, err := json.Marshal(header)
	if err != nil {
		return nil, err
	}
	body := text
	if kind == eventAccept {
		body = binary.AppendUvarint(make([]byte, 0, 4+len(text)+len(payload)), uint64(len(text)))
		body = append(append(body, text...), payload...)
	}
	sealed, epoch, err := q.s.cfg.Sealer.Seal(sealEvent, body)
	if err != nil {
		return nil, fmt.Errorf("lambda: cannot seal: %w", err)
	}
	b := binary.LittleEndian.AppendUint32(append(make([]byte, 0, eventHead+len(sealed)), eventVersion, kind), epoch)
	return append(b, sealed...), nil
}

// open reads a record. The body may alias it.
func (q *events) open(data []byte) (kind byte, body []byte, err error) {
	if len(data) < eventHead {
		return 0, nil, errDamaged
	}
	if data[0] != eventVersion || data[1] != eventAccept && data[1] != eventDone {
		return 0, nil, errNewer
	}
	body, err = q.s.cfg.Sealer.Open(sealEvent, data[eventHead:], binary.LittleEndian.Uint32(data[2:]))
	if err != nil {
		err = fmt.Errorf("cannot open what was sealed: %w", err)
	}
	return data[1], body, err
}

// splitEvent takes an accept record's body apart. The payload aliases it.
func splitEvent(body []byte) (*eventHeader, []byte, error) {
	n, used := binary.Uvarint(body)
	if used <= 0 || n > uint64(len(body)-used) {
		return nil, nil, errDamaged
	}
	h := new(eventHeader)
	if err := json.Unmarshal(body[used:used+int(n)], h); err != nil {
		return nil, nil, err
	}
	return h, body[used+int(n):], nil
}

// accept puts an event into the queue: it is durable on return.
func (q *events) accept(ctx context.Context, ref reference, functionDocID string, in *Invocation) error {
	now := q.s.nowMillis()
	h := &eventHeader{RequestID: in.RequestID, FunctionID: functionDocID, Account: ref.account, Region: ref.region, Name: ref.name, Qualifier: ref.qualifier,
		ClientContext: in.ClientContext, Accepted: now, Due: now}
	data, err := q.encode(eventAccept, h, in.Payload)
	if err != nil {
		return err
	}
	q.mu.Lock()
	full := q.pending.Len() >= eventsMax || q.bytes+int64(len(data)) > q.s.cfg.EventBytesMax
	q.mu.Unlock()
	if full {
		return user("TooManyRequestsException", "The queue of events is full: %d, or %d bytes, wait to be made.", eventsMax, q.s.cfg.EventBytesMax)
	}
	err = q.add(ctx, h, data, false)
	switch {
	case errors.Is(err, shardlog.ErrOverloaded):
		return tooMany("CallerRateLimitExceeded")
	case errors.Is(err, shardlog.ErrNoSpace):
		return serviceError("There is no space left on the disk for events.")
	}
	return err
}

// add logs an event, in the place of another one if it has one, and lets it wait.
func (q *events) add(ctx context.Context, h *eventHeader, data []byte, urgent bool) error {
	q.appending.RLock()
	defer q.appending.RUnlock()
	offset, err := q.append(ctx, data, urgent)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if h.Replaces != 0 {
		q.forget(h.Replaces)
	}
	e := newEvent(offset, h, len(data))
	q.remember(e)
	heap.Push(&q.due, e)
	q.nudge()
	return nil
}

// append logs a record. Those that let others be trimmed are urgent.
func (q *events) append(ctx context.Context, data []byte, urgent bool) (uint64, error) {
	put := []shardlog.Put{{Shard: q.shard, Urgent: urgent, Records: []shardlog.Record{{Data: data}}}}
	q.s.cfg.Log.Append(ctx, put)
	if put[0].Err != nil {
		return 0, fmt.Errorf("lambda: cannot log an event: %w", put[0].Err)
	}
	return uint64(put[0].Records[0].Offset), nil
}

func (q *events) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *events) start() { q.work.Go(q.loop) }

// close gives up what is being made, which is made again after the next start.
func (q *events) close() {
	q.cancel()
	q.work.Wait()
}

// loop has events made as they are due.
func (q *events) loop() {
	for q.ctx.Err() == nil {
		e, wait := q.take()
		if e != nil {
			q.work.Go(func() { q.make(e) })
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-q.wake:
		case <-timer.C:
		case <-q.ctx.Done():
		}
		timer.Stop()
	}
}

// take takes the event that is to be made next, or says how long to wait for one.
func (q *events) take() (*event, time.Duration) {
	now := q.s.nowMillis()
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.due) > 0 && q.making < eventsAtOnce {
		e := q.due[0]
		if e.due > now {
			return nil, time.Duration(min(e.due-now, 60_000)) * time.Millisecond
		}
		heap.Pop(&q.due)
		l := q.lanes[e.key]
		if l == nil {
			l = &lane{}
			q.lanes[e.key] = l
		}
		if l.making >= eventsPerFunction {
			l.parked = append(l.parked, e)
			continue
		}
		l.making++
		q.making++
		return e, 0
	}
	return nil, time.Minute // or when one is done
}

// leave gives the place of e to another event.
func (q *events) leave(e *event) {
	q.mu.Lock()
	l := q.lanes[e.key]
	l.making--
	q.making--
	if len(l.parked) > 0 {
		heap.Push(&q.due, l.parked[0])
		l.parked = l.parked[1:]
	}
	if l.making == 0 && len(l.parked) == 0 {
		delete(q.lanes, e.key)
	}
	q.mu.Unlock()
	q.nudge()
}

// read reads an event's record.
func (q *events) read(e *event) (*eventHeader, []byte, error) {
	var b shardlog.Batch
	if err := q.shard.Read(q.ctx, shardlog.Offset(e.offset), 1, 1, &b); err != nil {
		return nil, nil, err
	}
	if len(b.Records) != 1 || uint64(b.Records[0].Offset) != e.offset {
		return nil, nil, fmt.Errorf("the record is not there")
	}
	_, body, err := q.open(b.Records[0].Data)
	if err != nil {
		return nil, nil, err
	}
	return splitEvent(body)
}

// trim forgets records that no longer count. While it looks which these are,
// nothing is being appended that the index does not have yet.
func (q *events) trim() {
	q.mu.Lock()
	q.done++
	enough := q.done >= 256 || q.pending.Len() == 0
	if enough {
		q.done = 0
	}
	q.mu.Unlock()
	if !enough {
		return
	}
	q.appending.Lock()
	q.mu.Lock()
	first, _, ok := q.pending.Min()
	q.mu.Unlock()
	if !ok {
		first = uint64(q.shard.Info().Next)
	}
	q.appending.Unlock()
	if err := q.s.cfg.Log.Trim(q.ctx, q.shard, shardlog.Offset(first)); err != nil && q.ctx.Err() == nil {
		q.s.logger.Warn("cannot trim the queue of events", "err", err)
	}
}
