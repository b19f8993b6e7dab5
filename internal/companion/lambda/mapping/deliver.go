package mapping

import (
	"context"
	"errors"
	"slices"
	"time"
)

// delivery takes one batch to the function until it is done, or the shard is to be left.
// It runs in a goroutine of its own, and reports to the shard's.
//
// A batch is one part at first; bisecting makes it several, which are done one after the
// other, so that records stay in order.
type delivery struct {
	s     *shard
	lane  int
	parts []part
	event []byte

	window      *Window // with the state for the next invocation; nil where the mapping has no windows
	early       bool    // of a window's last invocation: it ends before its time
	terminating bool    // the state is too large: the window's last invocation comes next
	unreported  int     // records that are done, and that a terminating window counts as done only with it
	last        Record  // the window's last record

	again time.Time // set: the memory is given back until then
}

// part is consecutive records of a batch that are invoked together.
type part struct {
	records []pending
	final   bool // a window's last invocation, which has no records
	retries int  // that count: one more than MaximumRetryAttempts, and they are given up
	invokes int  // in which they were
	faults  int  // in a row: tries that did not reach the function
	last    Result
}

// report is what a delivery has come to: how many more records of its lane's batch are done.
type report struct {
	lane          int
	done          int
	windowChanged bool
	window        *Window
	blocked       bool
	finished      bool
	marks         []mark // of what is left, which is to be read anew at again
	again         time.Time
	event         []byte // the buffer, to be used again
}

// A batch that waits for longer than this gives its memory back if others wait for it.
const yieldAfter = time.Second

// A destination is tried this often, and each time for so long.
const (
	sendTriesMax = 3
	sendTime     = 30 * time.Second
)

func (s *shard) deliver(lane int, d delivery) {
	d.s, d.lane = s, lane
	go func() {
		d.run()
		s.reports <- report{lane: lane, finished: true, marks: d.marks(), again: d.again, event: d.event}
	}()
}

func (d *delivery) run() {
	m := d.s.m
	for d.s.ctx.Err() == nil && d.again.IsZero() {
		if d.terminating && (len(d.parts) == 0 || !d.parts[0].final) {
			d.parts = append([]part{{final: true}}, d.parts...)
		}
		if len(d.parts) == 0 {
			return
		}
		p := &d.parts[0]
		if n := d.tooOld(p); n > 0 {
			d.giveUp(n, recordTooOld)
			continue
		}
		inv := d.invocation(p)
		d.event = d.s.format.append(slices.Grow(d.event[:0], d.s.format.size(p.records, inv)), p.records, inv)
		if len(d.event) > payloadMax && len(p.records) > 1 {
			d.halve()
			continue
		}
		if len(d.event) > payloadMax && len(p.records) == 1 {
			d.giveUp(1, retriesExhausted) // no payload can hold it
			continue
		}
		res, err := m.services.Invoker.Invoke(m.hard, m.cfg.FunctionARN, d.event)
		if err != nil || res.FunctionError != "" {
			d.event = nil // a function that was given up on may be reading it yet
		}
		if err != nil {
			if m.hard.Err() != nil {
				return
			}
			p.faults++
			m.services.Observer.Count(m.cfg.UUID, Counts{FailedInvokeEvents: int64(len(p.records))})
			m.problem(d.s.id, err, p.faults)
			pause := invokeBackoff.after(p.faults)
			if errors.Is(err, ErrFunctionGone) {
				pause = gonePause
			}
			d.pause(p, pause)
			continue
		}
		p.faults = 0
		p.invokes++
		v := judge(&m.cfg, &res, p.records, inv)
		p.last, p.last.Payload = res, nil
		d.observe(p, &v)
		d.keepState(&v)
		if !v.failed {
			d.finish()
			continue
		}
		if v.done > 0 {
			d.advance(v.done)
		}
		switch bisect := m.cfg.BisectOnFunctionError; {
		case bisect && v.done > 0:
			// Bisected at the number that the function returned: what is left is tried at once.
		case bisect && len(p.records) > 1:
			d.halve()
		default:
			p.retries++
			if most := m.cfg.MaximumRetryAttempts; most >= 0 && p.retries > most {
				d.giveUp(len(p.records), retriesExhausted)
				continue
			}
			d.pause(p, functionBackoff.after(p.retries))
		}
	}
}

// invocation is what the event of a part says of the window.
func (d *delivery) invocation(p *part) invocation {
	return invocation{window: d.window, final: p.final, early: p.final && (d.early || d.terminating)}
}

// tooOld is how many records at the front are older than the mapping allows, or than
// the stream keeps them: those it still has are tried once.
func (d *delivery) tooOld(p *part) (n int) {
	age := d.ageMax(p.invokes+p.faults > 0)
	if age <= 0 {
		return 0
	}
	oldest := time.Now().Add(-age)
	for n < len(p.records) && p.records[n].Arrival.Before(oldest) {
		n++
	}
	return n
}

func (d *delivery) ageMax(tried bool) time.Duration {
	age := d.s.m.cfg.MaximumRecordAge
	if retention := time.Duration(d.s.m.retention.Load()); retention > 0 && tried && (age <= 0 || retention < age) {
		age = retention
	}
	return age
}

// pause waits before the part is tried again: not beyond the time when it is too old.
func (d *delivery) pause(p *part, wait time.Duration) {
	d.s.reports <- report{lane: d.lane, blocked: true}
	if age := d.ageMax(true); age > 0 && len(p.records) > 0 {
		wait = min(wait, time.Until(p.records[0].Arrival.Add(age+time.Millisecond)))
	}
	again := time.Now().Add(wait)
	for {
		left := time.Until(again)
		if left <= 0 || sleep(d.s.ctx, min(left, yieldAfter)) != nil {
			return
		}
		if left > yieldAfter && len(p.records) > 0 && !d.terminating && d.s.m.engine.budget.short() {
			d.again = again
			return
		}
	}
}

// marks is what is left, for when it is read again.
func (d *delivery) marks() (out []mark) {
	if d.again.IsZero() {
		return nil
	}
	for _, p := range d.parts {
		last := p.records[len(p.records)-1].SequenceNumber
		p.records = nil
		out = append(out, mark{last, p})
	}
	return out
}

// observe tells of an invocation that reached the function.
func (d *delivery) observe(p *part, v *verdict) {
	m := d.s.m
	n := len(p.records)
	m.services.Observer.Count(m.cfg.UUID, Counts{InvokedEvents: int64(n), FailedInvokeEvents: int64(n - v.done)})
	if n > 0 {
		m.services.Observer.IteratorAge(m.cfg.UUID, m.cfg.FunctionARN, max(0, time.Since(p.records[n-1].Arrival)))
	}
	if v.failed {
		m.processed(ResultFunctionFailed)
	} else {
		m.processed(ResultOK)
	}
}

// keepState takes over the state that the function returned, for the next invocation. One
// that is too large ends the window.
func (d *delivery) keepState(v *verdict) {
	if v.state == nil {
		return
	}
	d.window = &Window{d.window.Start, d.window.End, v.state}
	d.terminating = len(v.state) > stateMax
}

// finish ends a part that the function took.
func (d *delivery) finish() {
	if p := &d.parts[0]; !p.final {
		d.advance(len(p.records))
		return
	}
	d.endWindow()
}

// endWindow passes over a window's last invocation, with which its state is dropped.
func (d *delivery) endWindow() {
	d.parts = d.parts[1:]
	if !d.terminating {
		d.s.reports <- report{lane: d.lane, windowChanged: true}
		return
	}
	d.window = &Window{Start: d.window.Start, End: d.window.End}
	d.s.reports <- report{lane: d.lane, done: d.unreported, windowChanged: true, window: d.window}
	d.terminating, d.unreported = false, 0
}

// advance passes over the first n records of the part, which are done. With a window
// the state that goes with that is reported with it.
func (d *delivery) advance(n int) {
	p := &d.parts[0]
	d.last = Record{SequenceNumber: p.records[n-1].SequenceNumber, Arrival: p.records[n-1].Arrival}
	if p.records = p.records[n:]; len(p.records) == 0 {
		d.parts = d.parts[1:]
	}
	if d.terminating {
		d.unreported += n
		return
	}
	d.s.reports <- report{lane: d.lane, done: n, windowChanged: d.window != nil, window: d.window}
}

// halve bisects the part.
func (d *delivery) halve() {
	p := d.parts[0]
	first, second := p, p
	middle := len(p.records) / 2
	first.records, second.records = p.records[:middle], p.records[middle:]
	d.parts = append([]part{first, second}, d.parts[1:]...)
}

// giveUp passes over the first n records of the part after the on-failure destination was told.
func (d *delivery) giveUp(n int, condition string) {
	m, p := d.s.m, &d.parts[0]
	records := p.records[:n]
	counts := Counts{DroppedEvents: int64(n)}
	if m.cfg.OnFailureARN != "" {
		var last *Result
		if condition == retriesExhausted && p.invokes > 0 {
			last = &p.last
		}
		first, end := &d.last, &d.last
		if n > 0 {
			first, end = &records[0].Record, &records[n-1].Record
		}
		inv := d.invocation(p)
		event := d.s.format.append(make([]byte, 0, d.s.format.size(records, inv)), records, inv)
		f := newFailure(&m.cfg, d.s.id, condition, first, end, n, p.invokes, last, p.last.RequestID, event)
		if err := d.send(f); err != nil {
			m.fault(d.s.id, err)
			counts.DestinationDeliveryFailures = 1
		} else {
			counts.OnFailureDeliveredEvents = int64(n)
		}
	}
	m.services.Observer.Count(m.cfg.UUID, counts)
	if n == 0 {
		d.endWindow() // its state is lost
		return
	}
	d.advance(n)
}

func (d *delivery) send(f *Failure) (err error) {
	m := d.s.m
	for try := 1; ; try++ {
		ctx, cancel := context.WithTimeout(m.hard, sendTime)
		err = m.services.Failures.Send(ctx, m.cfg.OnFailureARN, f)
		cancel()
		if err == nil || try == sendTriesMax || m.hard.Err() != nil {
			return err
		}
		sleep(m.hard, sendBackoff.after(try))
	}
}
