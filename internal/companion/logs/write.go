package logs

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/logs"
)

// An Event is a line that another service of this process logs.
type Event struct {
	Time    time.Time
	Message string // one without text is left out, one of more than 1 MiB comes in parts
}

// Write logs events of another service of this process into a stream of an account's
// group in a region. The group and the stream are made if they are not there. It
// returns when the events are in memory; they are put in batches, those of a stream
// in the order of the calls, and soon. While 4 MiB wait, because the disk is slow or
// full, it waits for room until ctx ends: then it has logged a part of the events
// or none, and returns ctx's error. It may be called concurrently.
func (s *Service) Write(ctx context.Context, account, region, group, stream string, events []Event) error {
	return s.writer.write(ctx, target{account, region, group, stream}, events)
}

// Flush waits until all that was written before is on the disk.
func (s *Service) Flush(ctx context.Context) error { return s.writer.flush(ctx) }

// A target is a stream that is written to.
type target struct{ account, region, group, stream string }

func (t target) key() string { return groupKey(t.account, t.region, t.group) }

const (
	writeBytesMax = 4 << 20 // that wait, in all
	writersMax    = 2       // that put at a time
)

var errWriterClosed = errors.New("logs: the service is closed")

// A writer puts what services write. A stream has one batch under way at a time.
type writer struct {
	*Service
	ctx    context.Context
	cancel context.CancelFunc
	loops  sync.WaitGroup

	mu      sync.Mutex
	closed  bool              // mu
	bytes   int               // mu; that wait or are under way
	queues  map[target]*queue // mu; those that are not empty
	ready   []target          // mu; those of which nothing is under way
	changed chan struct{}     // mu; closed and replaced whenever something of this has changed
}

// A queue is what waits for a stream.
type queue struct {
	events []event
}

func newWriter(s *Service) *writer {
	w := &writer{Service: s, queues: map[target]*queue{}, changed: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	for range writersMax {
		w.loops.Go(w.loop)
	}
	return w
}

// close puts what waits, for up to five seconds, and ends.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := w.flush(ctx); err != nil {
		w.mu.Lock()
		w.logger.Error("log events of services could not be put before the end, and are lost", "bytes", w.bytes)
		w.mu.Unlock()
	}
	w.cancel()
	w.loops.Wait()
}

// notify wakes those who wait for a change. It is called with mu held.
func (w *writer) notify() {
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *writer) write(ctx context.Context, t target, events []Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range events {
		for text := e.Message; text != ""; {
			part := cutText(text, eventBytesMax-eventOverhead)
			text = text[len(part):]
			for !w.closed && w.bytes > 0 && w.bytes+len(part)+eventOverhead > writeBytesMax {
				changed := w.changed
				w.mu.Unlock()
				select {
				case <-changed:
				case <-ctx.Done():
				}
				w.mu.Lock()
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
			if w.closed {
				return errWriterClosed
			}
			w.bytes += len(part) + eventOverhead
			q := w.queues[t]
			if q == nil {
				q = &queue{}
				w.queues[t] = q
				w.ready = append(w.ready, t)
				w.notify()
			}
			q.events = append(q.events, event{e.Time.UnixMilli(), part})
		}
	}
	return nil
}

// cutText is the beginning of a text that is valid by itself, of at most n bytes.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for k := n; k > n-4; k-- {
		if s[k]&0xc0 != 0x80 {
			return s[:k]
		}
	}
	return s[:n]
}

func (w *writer) flush(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.bytes > 0 {
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		w.mu.Lock()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (w *writer) loop() {
	for {
		w.mu.Lock()
		for len(w.ready) == 0 {
			changed := w.changed
			w.mu.Unlock()
			select {
			case <-changed:
			case <-w.ctx.Done():
				return
			}
			w.mu.Lock()
		}
		t := w.ready[0]
		w.ready = w.ready[1:]
		q := w.queues[t]
		batch, bytes := q.batch()
		w.mu.Unlock()

		w.deliver(t, batch)

		w.mu.Lock()
		w.bytes -= bytes
		if q.events = q.events[len(batch):]; len(q.events) == 0 {
			delete(w.queues, t)
		} else {
			w.ready = append(w.ready, t)
		}
		w.notify()
		w.mu.Unlock()
		if w.ctx.Err() != nil {
			return
		}
	}
}

// batch is what of a queue is put at once. What is appended meanwhile does not touch it.
func (q *queue) batch() (events []event, bytes int) {
	n := 0
	for n < len(q.events) && n < pageMax {
		size := len(q.events[n].message) + eventOverhead
		if n > 0 && bytes+size > batchBytesMax {
			break
		}
		bytes += size
		n++
	}
	return q.events[:n:n], bytes
}

// deliver puts a batch. While the log takes nothing it tries again; what it cannot
// take for another reason is left out and told of.
func (w *writer) deliver(t target, batch []event) {
	sorted := slices.Clone(batch)
	slices.SortStableFunc(sorted, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := w.putInto(w.ctx, t, sorted)
		if err == nil {
			return
		}
		again := rheo.IsCode(err, "ThrottlingException") || rheo.IsCode(err, api.ServiceUnavailableException)
		if !again || w.ctx.Err() != nil {
			w.logger.Error("log events of a service are lost", "group", t.key(), "stream", t.stream, "events", len(batch), "err", err)
			return
		}
		select {
		case <-time.After(wait):
		case <-w.ctx.Done():
		}
	}
}

// putInto puts events into a stream, which it makes if it is not there.
func (w *writer) putInto(ctx context.Context, t target, events []event) error {
	key := t.key()
	for range 10 { // group and stream may be deleted again meanwhile
		g, ok := w.machine.view().groups.Get(key)
		if !ok {
			err := w.createGroup(ctx, groupDoc{ID: newID(), Account: t.account, Region: t.region, Name: t.group, Created: w.now().UnixMilli(),
				Class: string(api.LogGroupClassStandard), Tags: map[string]string{}})
			if err != nil && !rheo.IsCode(err, api.ResourceAlreadyExistsException) {
				return err
			}
			continue
		}
		sm, ok := g.streams.Get(t.stream)
		if !ok {
			err := w.createStream(ctx, key, t.stream)
			if err != nil && !rheo.IsCode(err, api.ResourceAlreadyExistsException) && !rheo.IsCode(err, api.ResourceNotFoundException) {
				return err
			}
			continue
		}
		_, err := w.put(ctx, g.doc.ID, sm.number, events)
		if !rheo.IsCode(err, api.ResourceNotFoundException) {
			return err
		}
	}
	return errors.New("logs: the group is deleted whenever it is made")
}
