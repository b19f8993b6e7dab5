package streams

import (
	"sync"
	"time"
)

// The capacity of one shard, as AWS documents it. All are scaled by Config.Limits.
const (
	writeBytesPerSec   = 1 << 20
	writeRecordsPerSec = 1000
	readBytesPerSec    = 2 << 20
	readCallsPerSec    = 5
	iteratorsPerSec    = 5
	answerBytesMax     = 10 << 20 // of one GetRecords
	fanoutBytesPerSec  = 2 << 20  // of one consumer from one shard
	subscribesPerSec   = 1        // of one consumer to one shard
)

// A bucket holds tokens that come back at a rate, up to one second's worth, or
// to one token where a second brings less. It may be overdrawn: what is taken beyond zero must come back first. The owner of
// the bucket's lock calls it.
type bucket struct {
	tokens float64
	at     time.Time
}

func (b *bucket) fill(now time.Time, perSec float64) {
	full := max(perSec, 1)
	if b.at.IsZero() {
		b.tokens = full
	} else if d := now.Sub(b.at); d > 0 {
		b.tokens = min(full, b.tokens+d.Seconds()*perSec)
	}
	b.at = now
}

// writeLimit is what a shard takes: bytes (keys and data) and records.
type writeLimit struct {
	mu             sync.Mutex
	bytes, records bucket // mu
}

// take accounts for one record of size bytes, or refuses it and takes nothing.
// A record larger than a second's worth is let through unless there is debt, and
// makes debt: the shard then takes nothing until that is paid. It does not wait
// for a full bucket, which writers of small records never leave; and what it
// overdraws comes back at the rate of all, so that they lose nothing but time.
func (l *writeLimit) take(now time.Time, size int, scale float64) bool {
	if scale < 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	perSec := writeBytesPerSec * scale
	l.bytes.fill(now, perSec)
	l.records.fill(now, writeRecordsPerSec*scale)
	if large := float64(size) > perSec; large {
		if l.records.tokens < 0 || l.bytes.tokens < 0 {
			return false
		}
	} else if l.records.tokens < 1 || l.bytes.tokens < float64(size) {
		return false
	}
	l.records.tokens--
	l.bytes.tokens -= float64(size)
	return true
}

// giveBack returns what take took for a record that then was not stored.
func (l *writeLimit) giveBack(size int, scale float64) {
	if scale < 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records.tokens++
	l.bytes.tokens += float64(size)
}

// readLimit is what a shard gives to GetRecords, over all its callers, and how
// many iterators.
type readLimit struct {
	mu                      sync.Mutex
	calls, bytes, iterators bucket // mu
}

// call admits one GetRecords. An answer of 10 MiB overdraws the bucket, so that
// the following calls are refused for up to 5 s.
func (l *readLimit) call(now time.Time, scale float64) bool {
	if scale < 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls.fill(now, readCallsPerSec*scale)
	l.bytes.fill(now, readBytesPerSec*scale)
	if l.calls.tokens < 1 || l.bytes.tokens <= 0 {
		return false
	}
	l.calls.tokens--
	return true
}

// answered takes the bytes that a call read.
func (l *readLimit) answered(size int, scale float64) {
	if scale < 0 {
		return
	}
	l.mu.Lock()
	l.bytes.tokens -= float64(size)
	l.mu.Unlock()
}

func (l *readLimit) iterator(now time.Time, scale float64) bool {
	if scale < 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.iterators.fill(now, iteratorsPerSec*scale)
	if l.iterators.tokens < 1 {
		return false
	}
	l.iterators.tokens--
	return true
}
