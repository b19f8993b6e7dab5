package main

import (
	"sync/atomic"
)

// writtenMeter compares what a server wrote with what it was given.
type writtenMeter struct {
	s        *server
	requests atomic.Int64 // served since the loop began

	start ioCounters // when the clock started
	// The second half begins when the journal has been overwritten once.
	wrapStart    ioCounters
	wrapRequests int64
	isWrapped    bool
}

func (m *writtenMeter) begin() {
	m.start, _ = processIO(m.s.pid())
	m.requests.Store(0)
}

// wrapped tells whether the journal was written from end to end since begin.
// Of what rheo writes at most half goes elsewhere, to the segments.
func (m *writtenMeter) wrapped() bool {
	now, err := processIO(m.s.pid())
	if err != nil {
		return true
	}
	journal, times := filesSize(m.s.dir, "journal"), int64(1)
	if m.s.kind == rheo || filesSize(m.s.dir, "shard-") > 0 {
		times = 2
	}
	written := now.writeBytes - m.start.writeBytes
	if !m.isWrapped && written >= times*journal {
		m.isWrapped, m.wrapStart, m.wrapRequests = true, now, m.requests.Load()
	}
	// Half as much again, so that there is something to count after the wrap.
	return m.isWrapped && written >= times*journal*3/2
}

// perByte is what was written for each payload byte, whole when counted after a wrap.
func (m *writtenMeter) perByte(payload int) (ratio float64, whole bool) {
	now, err := processIO(m.s.pid())
	if err != nil {
		return 0, false
	}
	from, requests := m.start, m.requests.Load()
	if m.isWrapped {
		from, requests = m.wrapStart, requests-m.wrapRequests
	}
	if requests == 0 {
		return 0, false
	}
	return float64(now.writeBytes-from.writeBytes) / float64(requests) / float64(payload), m.isWrapped
}
