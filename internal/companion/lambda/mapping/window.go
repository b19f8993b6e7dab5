package mapping

import "time"

// windowGrace is how long after a window's end the shard is asked once more for
// records of it: one may be on its way to the disk.
const windowGrace = time.Second

// openWindow is a shard's tumbling window. Records belong to windows by their
// arrival: one opens with its first record, and is over when a record of a later one is
// next, when its end has passed and nothing more is there, or when the shard ends. The
// function is then invoked a last time, without records. A record that comes late goes
// into the window that is open.
//
// A state above 1 MB ends the window early: the last invocation follows at once, with
// that state, and the window's other records begin with none.
type openWindow struct {
	isOpen bool
	window Window
	begun  bool   // the function has returned a state, which is window's
	last   Record // the last that was done, without its data
}

// resume opens the window of a checkpoint, up to whose record it has come.
func (o *openWindow) resume(w *Window, done SequenceNumber) {
	*o = openWindow{isOpen: true, begun: true, window: *w, last: Record{SequenceNumber: done, Arrival: w.Start}}
}

// open opens the window of a record, if none is open.
func (o *openWindow) open(arrival time.Time, length time.Duration) {
	if o.isOpen {
		return
	}
	ms := arrival.UnixMilli()
	start := time.UnixMilli(ms - ms%length.Milliseconds())
	*o = openWindow{isOpen: true, window: Window{Start: start, End: start.Add(length)}}
}

// current is the open window; nil if there is none.
func (o *openWindow) current() *Window {
	if !o.isOpen {
		return nil
	}
	w := o.window // a delivery has its own
	return &w
}

// over says whether the record is of a later window.
func (o *openWindow) over(arrival time.Time) bool {
	return o.isOpen && !arrival.Before(o.window.End)
}

// saw notes the last record that is done.
func (o *openWindow) saw(r *Record) {
	if o.isOpen {
		o.last = Record{SequenceNumber: r.SequenceNumber, Arrival: r.Arrival}
	}
}

// set is what a delivery has made of the window: nil after its last invocation.
func (o *openWindow) set(w *Window) {
	if w == nil {
		*o = openWindow{}
		return
	}
	o.window, o.begun = *w, w.State != nil
}

// stored is the window for a checkpoint.
func (o *openWindow) stored() *Window {
	if !o.begun {
		return nil
	}
	return o.current()
}

// closeWindow starts the last invocation of a window that is over. While nothing comes,
// the shard's reads, one a second, are what it is noticed by.
func (s *shard) closeWindow(i int, now time.Time) (started bool) {
	w, l := &s.window, &s.lanes[i]
	if !w.isOpen {
		return false
	}
	switch {
	case len(l.queue) > 0:
		if !w.over(l.queue[0].Arrival) {
			return false
		}
	case l.lossy || s.seek:
		return false
	case s.atEnd, !s.tip.Before(w.window.End.Add(windowGrace)):
	default:
		return false
	}
	if !w.begun {
		*w = openWindow{} // nothing of it was done
		return false
	}
	l.busy = true
	s.deliver(i, delivery{parts: []part{{final: true}}, window: w.current(), early: now.Before(w.window.End), last: w.last})
	return true
}
