package mapping

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rheostream/rheo/internal/companion/lambda/mapping/pattern"
)

// checkpointEvery is how often a checkpoint is stored that only passed over records that
// a filter dropped.
const checkpointEvery = time.Second

// storeAhead is how long deliveries go on while a checkpoint is being stored: that much
// may be done again after a crash.
const storeAhead = 250 * time.Millisecond

// eventKept is how large a lane's buffer may be to be used again.
const eventKept = 256 << 10

// shard reads and delivers one shard. All of its state belongs to the goroutine
// of run; what takes time (a read, a delivery, a store) is done by a goroutine of
// its own that tells run when something came of it.
type shard struct {
	m      *Mapping
	id     ShardID
	format *eventFormat
	reader reader
	ctx    context.Context // ends when the shard is to be left
	leave  context.CancelFunc

	from   Position  // where it begins while nothing is done
	stream time.Time // Checkpoint.Stream
	lanes  []lane
	old    []SequenceNumber // where lanes were that were dealt by another factor
	last   SequenceNumber   // the record read last; reading goes on after it
	high   SequenceNumber   // the furthest ever read
	seek   bool             // reading goes on elsewhere: after what the lanes have seen
	atEnd  bool             // the shard is closed and nothing follows last
	tip    time.Time        // when nothing followed last yet
	window openWindow

	reading bool
	answers chan answer
	reports chan report

	saved      Checkpoint // stored last, or being stored
	storing    bool
	stored     chan error
	dirty      bool // something is done that was not stored
	soft       bool // no more than what a filter dropped: it can wait
	lastStore  time.Time
	failures   int       // of the store in a row
	storeAgain time.Time // not before
	endStored  bool      // the checkpoint stored last, or being stored, says that the shard ended
}

// outcome is how a shard ended.
type outcome struct {
	id    ShardID
	ended bool // all of it is done, and its checkpoint says so
	err   error
}

func newShard(ctx context.Context, m *Mapping, cp Checkpoint) *shard {
	s := &shard{
		m: m, id: cp.Shard, format: newEventFormat(&m.cfg, cp.Shard), from: cp.From, stream: cp.Stream,
		lanes: make([]lane, m.cfg.lanes()), answers: make(chan answer, 1), reports: make(chan report), stored: make(chan error, 1),
		seek: true, saved: cp,
	}
	s.ctx, s.leave = context.WithCancel(ctx)
	s.reader = reader{m: m, shard: cp.Shard, created: cp.Stream, format: s.format}
	for i := range s.lanes {
		s.lanes[i].readTo = cp.Done
		if len(cp.Lanes) == len(s.lanes) {
			s.lanes[i].readTo = cp.Lanes[i]
		}
	}
	if len(cp.Lanes) != len(s.lanes) {
		s.old = cp.Lanes
	}
	if m.cfg.TumblingWindow > 0 && cp.Window != nil {
		s.window.resume(cp.Window, cp.Done)
	}
	return s
}

// run reads and delivers until the shard's end is done, it cannot be read, or
// it is to be left. A delivery under way is waited for, and what is done is stored.
func (s *shard) run() outcome {
	defer s.reader.close()
	defer s.leave()
	var lost error
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		leaving := s.ctx.Err() != nil
		now := time.Now()
		var wake time.Time
		if !leaving {
			wake = sooner(s.resume(now), s.dispatch(now))
			s.read()
		}
		ended := !leaving && s.done()
		wake = sooner(wake, s.store(now, leaving, ended))
		idle := !s.reading && !s.storing && !s.busy()
		switch {
		case ended && idle && !s.dirty:
			return outcome{id: s.id, ended: true}
		case leaving && idle:
			s.drop()
			return outcome{id: s.id, err: lost}
		}
		if !wake.IsZero() {
			timer.Reset(max(0, wake.Sub(now)))
		}
		left := s.ctx.Done()
		if leaving {
			left = nil
		}
		select {
		case a := <-s.answers:
			s.reading = false
			if lost = s.take(&a); lost != nil {
				s.leave()
			}
		case r := <-s.reports:
			s.report(&r)
		case err := <-s.stored:
			s.storeDone(err)
		case <-timer.C:
		case <-left:
		}
	}
}

// resume lets lanes go on that gave their batch's memory back, or says when they are to.
func (s *shard) resume(now time.Time) (wake time.Time) {
	for i := range s.lanes {
		l := &s.lanes[i]
		if l.again.After(now) {
			wake = sooner(wake, l.again)
		} else if !l.again.IsZero() {
			l.again, l.blocked = time.Time{}, false
		}
	}
	return wake
}

// read begins a read if there is room for more.
func (s *shard) read() {
	if s.reading || !s.wantsMore() {
		return
	}
	if s.seek {
		s.last = s.nextUnseen()
		at := s.from
		if s.last != "" {
			at = Position{Kind: AfterSequenceNumber, Sequence: s.last}
		}
		s.reader.seek(at)
		s.seek, s.atEnd, s.tip = false, false, time.Time{}
	}
	s.reader.limit, s.reader.urgent = readRecordsMax, false
	if slices.ContainsFunc(s.lanes, func(l lane) bool { return len(l.marks) > 0 }) {
		// A batch is read anew, for which little memory was free. Who waits for the rest of one
		// holds the beginning of it, and would wait for ever if all did.
		s.reader.limit = min(readRecordsMax, s.m.cfg.BatchSize*len(s.lanes))
		s.reader.urgent = slices.ContainsFunc(s.lanes, func(l lane) bool { return len(l.marks) > 0 && len(l.queue) > 0 })
	}
	s.reading = true
	go func() { s.answers <- s.reader.read(s.ctx) }()
}

// wantsMore says whether a lane could use more records than it has and none has
// too many. A blocked lane is not waited for: what it has no room for it loses, and what
// a lane has lost is read again when it goes on.
func (s *shard) wantsMore() bool {
	hungry := false
	for i := range s.lanes {
		l := &s.lanes[i]
		switch {
		case l.blocked:
		case l.lossy:
			if len(l.queue) == 0 && !l.busy {
				l.lossy, s.seek, hungry = false, true, true
			}
		case l.full():
			return false
		case len(l.queue) < s.m.cfg.BatchSize && l.bytes < payloadMax:
			hungry = true
		}
	}
	return hungry && (s.seek || !s.atEnd)
}

// nextUnseen is after which record reading must go on so that no lane misses one.
// A lane that has lost records and cannot take them yet does not count.
func (s *shard) nextUnseen() SequenceNumber {
	low, found := SequenceNumber(""), false
	for i := range s.lanes {
		if l := &s.lanes[i]; !l.lossy && (!found || l.readTo.less(low)) {
			low, found = l.readTo, true
		}
	}
	return low
}

// take deals an answer's records to the lanes. An error is that the shard cannot be read on.
func (s *shard) take(a *answer) error {
	switch {
	case errors.Is(a.err, ErrShardGone):
		// What was not read expired with it.
		s.m.fault(s.id, a.err)
		s.atEnd = true
		for i := range s.lanes {
			s.lanes[i].lossy, s.lanes[i].marks = false, nil
		}
		return nil
	case a.err != nil && s.ctx.Err() != nil:
		return nil
	case a.err != nil:
		return a.err
	}
	if len(s.lanes) == 1 {
		s.lanes[0].queue = slices.Grow(s.lanes[0].queue, len(a.records))
	}
	var counts Counts
	free := int64(0)
	for i := range a.records {
		p := &a.records[i]
		p.before, s.last = s.last, p.SequenceNumber
		if isNew := s.high.less(s.last); isNew {
			s.high = s.last
			counts.PolledEvents++
		}
		kept, dropped := s.deal(p)
		if !kept {
			free += p.held()
		}
		if dropped {
			counts.FilteredOutEvents++
		}
	}
	s.m.engine.budget.release(free)
	for i := range s.lanes {
		if l := &s.lanes[i]; !l.lossy && l.readTo.less(s.last) {
			l.readTo = s.last
		}
	}
	s.atEnd, s.tip = a.atEnd, a.tip
	if len(a.records) > 0 {
		s.soft = s.soft || !s.dirty
		s.dirty = true
		s.m.services.Observer.Count(s.m.cfg.UUID, counts)
	}
	return nil
}

// deal gives a record to its lane, unless the lane has had it, the filter drops it, or
// the lane is blocked and has no room.
func (s *shard) deal(p *pending) (kept, dropped bool) {
	l := &s.lanes[laneOf(p.PartitionKey, len(s.lanes))]
	seq := p.SequenceNumber
	if !l.readTo.less(seq) || l.lossy || s.doneBefore(p) {
		return false, false
	}
	if !s.m.passes(s.id, p) {
		l.readTo = seq
		return false, true
	}
	if l.blocked && l.full() {
		l.lossy = true
		return false, false
	}
	if len(s.lanes) > 1 || !s.m.filters.Empty() {
		p.Data = slices.Clone(p.Data) // so that it does not keep all of the answer
	}
	l.push(p)
	l.readTo = seq
	return true, false
}

// doneBefore says whether a lane of another factor had done the record.
func (s *shard) doneBefore(p *pending) bool {
	if s.old == nil {
		return false
	}
	if far := slices.MaxFunc(s.old, compare); far.less(p.SequenceNumber) {
		s.old = nil
		return false
	}
	return !s.old[laneOf(p.PartitionKey, len(s.old))].less(p.SequenceNumber)
}

func compare(a, b SequenceNumber) int {
	switch {
	case a.less(b):
		return -1
	case b.less(a):
		return 1
	}
	return 0
}

// passes applies the mapping's filters.
func (m *Mapping) passes(id ShardID, p *pending) bool {
	if m.filters.Empty() {
		return true
	}
	return m.filters.Match(&pattern.Event{
		Constants: &m.constants, ShardID: string(id), PartitionKey: p.PartitionKey, SequenceNumber: string(p.SequenceNumber),
		Arrival: string(appendSeconds(nil, p.Arrival)), Data: p.Data,
	})
}

// dispatch starts what deliveries there are to start, and says when there may be another.
func (s *shard) dispatch(now time.Time) (wake time.Time) {
	if s.failures > 0 || s.storing && s.dirty && now.Sub(s.lastStore) > storeAhead {
		return // what cannot be stored would come again
	}
	for i := range s.lanes {
		l := &s.lanes[i]
		if l.busy {
			continue
		}
		if s.m.cfg.TumblingWindow > 0 {
			if s.closeWindow(i, now) {
				continue
			}
		}
		if n, at := s.closeBatch(l, now); n > 0 {
			l.take(n)
			s.deliver(i, delivery{parts: l.divide(), window: s.window.current(), event: l.event})
		} else {
			wake = sooner(wake, at)
		}
	}
	return wake
}

// closeBatch says how many records the next batch has, or when it is to be
// looked at again: it has BatchSize records, or 6 MB, or the next record is in the next
// tumbling window, or its first record waited for BatchingWindow or until the tumbling
// window's end, or no more will come.
func (s *shard) closeBatch(l *lane, now time.Time) (n int, at time.Time) {
	if len(l.queue) == 0 {
		return 0, at
	}
	if len(l.marks) > 0 {
		n, complete := l.marked(s.atEnd && !l.lossy)
		if n > 0 || !complete {
			if !complete {
				n = 0
			}
			return n, at
		}
		l.marks = nil // they are in the stream no more
	}
	cfg := &s.m.cfg
	if cfg.TumblingWindow > 0 {
		s.window.open(l.queue[0].Arrival, cfg.TumblingWindow)
	}
	size := s.format.frameSize(s.window.current())
	closed := s.atEnd && !l.lossy
	for n < len(l.queue) && n < cfg.BatchSize {
		p := &l.queue[n]
		if n > 0 && (size+p.size > payloadMax || s.window.over(p.Arrival)) {
			closed = true
			break
		}
		size += p.size
		n++
	}
	due := l.queue[0].queued.Add(cfg.BatchingWindow)
	if s.window.isOpen {
		due = sooner(due, s.window.window.End)
	}
	if !closed && n < cfg.BatchSize && due.After(now) {
		return 0, due
	}
	return n, at
}

// report takes note of what a delivery has done.
func (s *shard) report(r *report) {
	l := &s.lanes[r.lane]
	if r.done > 0 {
		free := int64(0)
		for i := range l.batch[:r.done] {
			free += l.batch[i].held()
		}
		s.window.saw(&l.batch[r.done-1].Record)
		clear(l.batch[:r.done])
		l.batch = l.batch[r.done:]
		s.m.engine.budget.release(free)
	}
	if r.done > 0 || r.windowChanged {
		s.dirty, s.soft = true, false
		l.blocked = false
	}
	if r.windowChanged {
		s.window.set(r.window)
	}
	if r.blocked {
		l.blocked = true
		if s.m.engine.budget.short() {
			s.m.engine.budget.release(l.shed())
		}
	}
	if r.finished {
		l.busy, l.blocked = false, !r.again.IsZero()
		if l.event = r.event; cap(l.event) > eventKept {
			l.event = nil
		}
		l.marks, l.again = r.marks, r.again
		if len(l.batch) > 0 { // left undone: the shard is being left, or memory is needed
			s.m.engine.budget.release(heldBy(l.batch) + l.shed())
			l.readTo, l.lossy = l.batch[0].before, true // before the queue, too
			l.batch = nil
		}
	}
}

func heldBy(records []pending) (held int64) {
	for i := range records {
		held += records[i].held()
	}
	return held
}

// done says whether all of the shard is.
func (s *shard) done() bool {
	if !s.atEnd || s.seek || s.reading || s.window.isOpen {
		return false
	}
	for i := range s.lanes {
		if l := &s.lanes[i]; l.busy || l.lossy || len(l.queue) > 0 {
			return false
		}
	}
	return true
}

func (s *shard) busy() bool {
	return slices.ContainsFunc(s.lanes, func(l lane) bool { return l.busy })
}

// drop gives back what the queues hold.
func (s *shard) drop() {
	for i := range s.lanes {
		s.m.engine.budget.release(s.lanes[i].shed())
	}
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
