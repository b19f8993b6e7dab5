package logs

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/companion/logs/pattern"
	"github.com/rheostream/rheo/internal/shardlog"
)

// Streams are the Kinesis streams that filters deliver to.
type Streams interface {
	// PutRecords puts up to 500 records, of up to 5 MiB together with their keys, into
	// a stream. It returns the indices of those that were not taken and may be taken
	// later, or an error if it is not known that any was. It may be called
	// concurrently.
	PutRecords(ctx context.Context, account, region, streamARN string, records []StreamRecord) (refused []int, err error)
}

// A StreamRecord is a record for a stream.
type StreamRecord struct {
	PartitionKey string
	Data         []byte
}

// Functions are the functions that filters deliver to.
type Functions interface {
	// Check says why a function cannot be invoked.
	Check(ctx context.Context, account, region, functionARN string) error
	// Invoke has a function called with a payload, some time after it returns nil. It
	// may be called concurrently.
	Invoke(ctx context.Context, account, region, functionARN string, payload []byte) error
}

const (
	deliveriesMax = 4 // that read, compress and send at a time, each with a few MiB in memory

	recordsMax         = 500
	recordsBytesMax    = 4 << 20
	streamPayloadMax   = 900 << 10 // of a message's JSON, so that it is no more than 1 MiB whatever it compresses to
	functionPayloadMax = 700 << 10 // likewise, so that it is no more than 1 MiB in base64

	callMax    = 30 * time.Second // for what was collected
	backoffMin = 100 * time.Millisecond
	backoffMax = 30 * time.Second
)

// deliveries are the subscription filters at work, a loop each.
type deliveries struct {
	*Service
	streams       Streams
	functions     Functions
	streamPayload int // streamPayloadMax, less in tests; set before start

	ctx    context.Context
	cancel context.CancelFunc
	turn   chan struct{} // a token each for those who may read and send
	loops  sync.WaitGroup

	mu      sync.Mutex
	started bool                 // mu
	byID    map[string]*delivery // mu; by the filter's id

	delivered, dropped, failing atomic.Int64
}

// A delivery is one filter at work.
type delivery struct {
	all     *deliveries
	key     string // of the group
	groupID string
	id      string // of the filter
	log     *groupLog
	cancel  context.CancelFunc

	cursor atomic.Uint64 // all below this is delivered, or was not to be
	stored atomic.Uint64 // the cursor that the state has

	// Of the loop. While a batch could be delivered in part only, done says how far
	// each of its streams has come.
	done    progress
	taken   int // letters, so far
	failing bool
}

func newDeliveries(s *Service, streams Streams, functions Functions) *deliveries {
	d := &deliveries{Service: s, streams: streams, functions: functions, streamPayload: streamPayloadMax, turn: make(chan struct{}, deliveriesMax), byID: map[string]*delivery{}}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

func (ds *deliveries) start() {
	ds.mu.Lock()
	ds.started = true
	ds.mu.Unlock()
	ds.sync()
}

func (ds *deliveries) stop() {
	ds.mu.Lock()
	ds.cancel() // no loop begins any more
	ds.mu.Unlock()
	ds.loops.Wait()
}

// sync starts loops for filters that have none, and ends those of filters that
// are gone.
func (ds *deliveries) sync() {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if !ds.started || ds.ctx.Err() != nil {
		return
	}
	gone := make(map[string]bool, len(ds.byID))
	for id := range ds.byID {
		gone[id] = true
	}
	ds.machine.view().groups.Scan(func(key string, g *group) bool {
		for i := range g.doc.Filters {
			f := &g.doc.Filters[i]
			if delete(gone, f.ID); ds.byID[f.ID] != nil {
				continue
			}
			gl := ds.logs.get(g.doc.ID)
			if gl == nil {
				continue
			}
			ctx, cancel := context.WithCancel(ds.ctx)
			d := &delivery{all: ds, key: key, groupID: g.doc.ID, id: f.ID, log: gl, cancel: cancel, done: progress{}}
			at := g.cursor(f)
			d.stored.Store(at.offset)
			if next := uint64(gl.shard.Info().Next); at.offset > next {
				at = reached{offset: 1} // the log was lost, and has begun anew
			}
			d.cursor.Store(at.offset)
			maps.Copy(d.done, at.done)
			ds.byID[f.ID] = d
			ds.loops.Go(func() { d.run(ctx) })
		}
		return true
	})
	for id := range gone {
		ds.byID[id].cancel()
		delete(ds.byID, id)
	}
}

// storeCursors logs how far filters have come, where they have moved. At the end, when
// no loop is at work any more, it is exact; before, what of a batch could be delivered
// is not told, and would come again after a crash.
func (ds *deliveries) storeCursors(ctx context.Context, ended bool) {
	ds.mu.Lock()
	moved := make([]*delivery, 0, len(ds.byID))
	for _, d := range ds.byID {
		if d.cursor.Load() != d.stored.Load() || ended && len(d.done) > 0 {
			moved = append(moved, d)
		}
	}
	ds.mu.Unlock()
	for _, d := range moved {
		at := d.cursor.Load()
		st := step{kind: moveCursor, group: d.key, id: d.groupID, name: d.id, number: at}
		if ended {
			st.done = d.done
		}
		err := ds.machine.commit(ctx, st, false)
		switch {
		case err == nil:
			d.stored.Store(at)
		case errors.Is(err, errConflict): // the group is gone
		case ctx.Err() != nil:
			return
		default:
			ds.logger.Warn("cannot store how far a subscription filter has come; after a crash it delivers again", "group", d.key, "err", err)
			return
		}
	}
}

// filter is the filter as it is now; nil if it is gone.
func (d *delivery) filter() (*group, *filterDoc) {
	g, ok := d.all.machine.view().groups.Get(d.key)
	if !ok || g.doc.ID != d.groupID {
		return nil, nil
	}
	for i := range g.doc.Filters {
		if g.doc.Filters[i].ID == d.id {
			return g, &g.doc.Filters[i]
		}
	}
	return nil, nil
}

// run delivers until the filter is gone. What cannot be delivered it tries again, for
// as long as the group keeps it.
func (d *delivery) run(ctx context.Context) {
	defer d.report(nil)
	wait := backoffMin
	for {
		if err := d.log.shard.Wait(ctx, shardlog.Offset(d.cursor.Load())); err != nil {
			return // the filter, the group or the service ends
		}
		select {
		case d.all.turn <- struct{}{}:
		case <-ctx.Done():
			return
		}
		before := d.taken
		err := d.deliver(ctx)
		<-d.all.turn
		switch {
		case ctx.Err() != nil || errors.Is(err, errGone):
			return
		case err == nil:
			wait = backoffMin
			d.report(nil)
			continue
		}
		if d.taken > before {
			wait = backoffMin
		}
		if !errors.Is(err, errRefused) || wait > time.Second {
			d.report(err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, backoffMax)
	}
}

var (
	errGone    = errors.New("the filter is gone")
	errRefused = errors.New("the destination does not take as much")
)

// report tells once that a destination fails, and once that it does not any more.
func (d *delivery) report(err error) {
	switch {
	case err != nil && !d.failing:
		d.all.failing.Add(1)
		d.all.logger.Warn("a subscription filter cannot deliver; its log group keeps the events for as long as its retention", "group", d.key, "filter", d.id, "err", err)
	case err == nil && d.failing:
		d.all.failing.Add(-1)
		d.all.logger.Info("a subscription filter delivers again, or has ended", "group", d.key, "filter", d.id)
	}
	d.failing = err != nil
}

// A letter is a message on its way: the events of a stream up to a position.
type letter struct {
	stream uint64
	upTo   position
	events int
	data   []byte
}

// deliver delivers what about one read of the log gives, in the order of each stream,
// and moves the cursor behind it. If it fails, what it has delivered is in done.
func (d *delivery) deliver(ctx context.Context) error {
	g, f := d.filter()
	if f == nil {
		return errGone
	}
	match, err := pattern.Parse(f.Pattern)
	if err != nil {
		return err // it was taken when it was put
	}
	service, region, account, ok := parseDestination(f.Destination)
	if !ok {
		return fmt.Errorf("the destination is %s", f.Destination)
	}
	payloadMax := d.all.streamPayload
	if service == "lambda" {
		payloadMax = functionPayloadMax
	}
	rounds, next, err := d.collect(ctx, g, f, match, payloadMax)
	if damaged := (*shardlog.DamagedError)(nil); errors.As(err, &damaged) && uint64(damaged.To) >= d.cursor.Load() {
		d.all.logger.Error("a subscription filter leaves out events that are damaged", "group", d.key, "filter", f.Name, "err", err)
		d.cursor.Store(uint64(damaged.To) + 1)
		return nil
	}
	if err != nil {
		return err
	}
	// What has been collected is delivered also while the service ends: of a call that is
	// given up nobody knows whether it was done, and the next start would do it again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callMax)
	defer cancel()
	for _, letters := range rounds {
		if service == "lambda" {
			err = d.invoke(ctx, account, region, f, letters)
		} else {
			err = d.putRecords(ctx, account, region, f, letters)
		}
		if err != nil {
			return err
		}
	}
	d.cursor.Store(uint64(next))
	clear(d.done)
	return nil
}

// collect reads from the cursor on and makes letters of what matches. Those of a
// round are of different streams; those of the next one are to be sent when all of
// this one have been taken.
func (d *delivery) collect(ctx context.Context, g *group, f *filterDoc, match *pattern.Pattern, payloadMax int) (rounds [][]letter, next shardlog.Offset, err error) {
	type pile struct {
		message
		size int
		upTo position
		sent int // letters made
	}
	piles := map[uint64]*pile{}
	var order []uint64
	finish := func(stream uint64, p *pile) error {
		if len(p.LogEvents) == 0 {
			return nil
		}
		data, err := p.compress()
		if err != nil {
			return fmt.Errorf("cannot make a message: %w", err)
		}
		if len(rounds) <= p.sent {
			rounds = append(rounds, nil)
		}
		rounds[p.sent] = append(rounds[p.sent], letter{stream, p.upTo, len(p.LogEvents), data})
		p.sent++
		p.LogEvents, p.size = nil, 0
		return nil
	}
	next = shardlog.Offset(d.cursor.Load())
	end, read := d.log.shard.Info().Next, 0
	next, err = readRecords(ctx, d.log.shard, next, end, func(r *shardlog.Record, rec *record) (bool, error) {
		name, ok := g.names.Get(rec.stream)
		if !ok { // it was made after g was looked up, or deleted since
			now, _ := d.filter()
			if now == nil {
				return false, errGone
			}
			g = now
			if name, ok = g.names.Get(rec.stream); !ok {
				return read < readBytes, nil
			}
		}
		read += len(r.Data)
		done, some := d.done[rec.stream]
		p := piles[rec.stream]
		var failed error
		err := rec.events(d.all.sealer, func(place uint32, at int64, text []byte) bool {
			pos := position{at, uint64(r.Offset), place}
			if some && (pos.offset < done.offset || pos.offset == done.offset && pos.place <= done.place) || !match.Match(text) {
				return true
			}
			if p == nil {
				p = &pile{message: message{MessageType: dataMessage, Owner: g.doc.Account, LogGroup: g.doc.Name, LogStream: name, SubscriptionFilters: []string{f.Name}}}
				piles[rec.stream] = p
				order = append(order, rec.stream)
			}
			size := 120 + escapedLen(text)
			if p.size+size > payloadMax {
				if failed = finish(rec.stream, p); failed != nil {
					return false
				}
			}
			p.LogEvents = append(p.LogEvents, messageEvent{eventID(pos), at, string(text)})
			p.size += size
			p.upTo = pos
			return true
		})
		if err == nil {
			err = failed
		}
		return read < readBytes, err
	})
	if err != nil {
		return nil, 0, err
	}
	for _, stream := range order {
		if err := finish(stream, piles[stream]); err != nil {
			return nil, 0, err
		}
	}
	return rounds, next, nil
}

// escapedLen is about how long a text is in JSON.
func escapedLen(text []byte) int {
	n := len(text)
	for _, c := range text {
		switch {
		case c == '"' || c == '\\' || c == '\n' || c == '\t' || c == '\r':
			n++
		case c < ' ':
			n += 5
		}
	}
	return n
}

// took notes that a letter has been delivered.
func (d *delivery) took(l *letter) {
	d.done[l.stream] = l.upTo
	d.taken++
	d.all.delivered.Add(int64(l.events))
}

// putRecords puts the letters of a round into a stream. Letters of one stream have one
// partition key, and so come in order, unless the filter has them distributed.
func (d *delivery) putRecords(ctx context.Context, account, region string, f *filterDoc, letters []letter) error {
	if d.all.streams == nil {
		return errors.New("there are no streams to deliver to")
	}
	for len(letters) > 0 {
		n, bytes := 0, 0
		records := make([]StreamRecord, 0, min(len(letters), recordsMax))
		for n < len(letters) && n < recordsMax && (n == 0 || bytes+len(letters[n].data) <= recordsBytesMax) {
			key := newID()
			if f.Distribution != "Random" {
				sum := md5.Sum(fmt.Appendf(nil, "%s/%d", d.groupID, letters[n].stream))
				key = hex.EncodeToString(sum[:])
			}
			records = append(records, StreamRecord{key, letters[n].data})
			bytes += len(letters[n].data)
			n++
		}
		refused, err := d.all.streams.PutRecords(ctx, account, region, f.Destination, records)
		if err != nil {
			return fmt.Errorf("cannot put records into %s: %w", f.Destination, err)
		}
		not := make(map[int]bool, len(refused))
		for _, i := range refused {
			not[i] = true
		}
		for i := range n {
			if !not[i] {
				d.took(&letters[i])
			}
		}
		if len(refused) > 0 {
			return fmt.Errorf("%w: %d of %d records for %s were refused", errRefused, len(refused), n, f.Destination)
		}
		letters = letters[n:]
	}
	return nil
}

// invoke has a function called with each letter of a round.
func (d *delivery) invoke(ctx context.Context, account, region string, f *filterDoc, letters []letter) error {
	if d.all.functions == nil {
		return errors.New("there are no functions to deliver to")
	}
	for i := range letters {
		l := &letters[i]
		payload, err := forFunction(l.data)
		if err != nil {
			return fmt.Errorf("cannot make a message: %w", err)
		}
		err = d.all.functions.Invoke(ctx, account, region, f.Destination, payload)
		if rheo.IsCode(err, "RequestTooLargeException") || rheo.IsCode(err, "RequestEntityTooLargeException") {
			// One event that is too large; it would be tomorrow.
			d.all.logger.Error("a function cannot take an event that is so large; it is left out", "group", d.key, "function", f.Destination, "bytes", len(payload), "err", err)
			d.all.dropped.Add(int64(l.events))
			d.done[l.stream] = l.upTo
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot invoke %s: %w", f.Destination, err)
		}
		d.took(l)
	}
	return nil
}

// try says, in AWS's words, why nothing can be delivered to a destination.
func (ds *deliveries) try(ctx context.Context, f *filterDoc) error {
	service, region, account, _ := parseDestination(f.Destination)
	if service == "lambda" {
		if ds.functions == nil {
			return unsupported("Subscription filters to functions are")
		}
		if ds.functions.Check(ctx, account, region, f.Destination) != nil {
			return invalid("Could not execute the lambda function. Make sure you have given CloudWatch Logs permission to execute your function.")
		}
		return nil
	}
	if ds.streams == nil {
		return unsupported("Subscription filters to streams are")
	}
	m := message{MessageType: controlMessage, Owner: "CloudwatchLogs", SubscriptionFilters: []string{}, LogEvents: []messageEvent{
		{Timestamp: ds.now().UnixMilli(), Message: "CWL CONTROL MESSAGE: Checking health of destination Kinesis stream."}}}
	data, err := m.compress()
	if err != nil {
		return fmt.Errorf("cannot make a message: %w", err)
	}
	refused, err := ds.streams.PutRecords(ctx, account, region, f.Destination, []StreamRecord{{newID(), data}})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil || len(refused) > 0 {
		return invalid("Could not deliver test message to specified Kinesis stream. Check if the given kinesis stream is in ACTIVE state.")
	}
	return nil
}
