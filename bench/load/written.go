package main

import "sync/atomic"

// writtenMeter compares what a server wrote with what it was given, from the
// start of the clock or, once that has happened, from the first journal wrap.
//
// /proc/PID/io counts a page as written when it becomes dirty, and where the
// page cache holds large folios, a whole folio; so the device's own count,
// which has the other processes' writes too, is given beside it.
type writtenMeter struct {
	s         *server
	payload   int64        // bytes of data in a request
	journaled int64        // bytes that a request surely adds to the journal
	requests  atomic.Int64 // served since begin

	from      written
	isWrapped bool
}

// written is the counters at one moment.
type written struct {
	process, device int64
	requests        int64
}

func (m *writtenMeter) now() written {
	io, err := processIO(m.s.pid())
	if err != nil { // the server ended; the row fails by itself
		return written{}
	}
	return written{io.writeBytes, deviceWritten(m.s.dir), m.requests.Load()}
}

func (m *writtenMeter) begin() {
	m.requests.Store(0)
	m.from = m.now()
}

// wrapped tells whether the journal was written from end to end since begin,
// and then half as much again, so that there is something to count after the wrap.
func (m *writtenMeter) wrapped() bool {
	journal := filesSize(m.s.dir, "/journal")
	done := m.requests.Load() * m.journaled
	if !m.isWrapped && done >= journal {
		m.isWrapped, m.from = true, m.now()
	}
	return m.isWrapped && done >= journal*3/2
}

// perByte is what was written for each payload byte, whole when counted after a wrap.
func (m *writtenMeter) perByte() (process, device float64, whole bool) {
	now := m.now()
	payload := float64((now.requests - m.from.requests) * m.payload)
	if payload <= 0 {
		return 0, 0, false
	}
	return float64(now.process-m.from.process) / payload, float64(now.device-m.from.device) / payload, m.isWrapped
}
