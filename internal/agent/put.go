package agent

import (
	"crypto/md5"
	"encoding/hex"
	"math/rand/v2"
	"strconv"
	"time"
	"unicode/utf8"
)

// put adds a record to the batch, and sends that first if it is full. It reports
// whether there was room.
func (t *tailer) put(s *source, data []byte, key string, now time.Time) bool {
	if b := t.batch; b != nil && b.bytes+len(data) <= t.flow.BufferBytes && b.join(data, t.flow.AggregateBytes) {
		return true
	}
	if b := t.batch; b != nil && len(b.ends) > 0 && (len(b.ends) >= t.flow.BufferRecords || b.bytes+len(data)+len(key) > t.flow.BufferBytes) {
		if !t.room() {
			return false
		}
		t.reach(s, now)
		t.seal()
	}
	if t.batch == nil {
		t.batch = t.newBatch()
	}
	t.batch.add(data, key)
	if t.batch.began.IsZero() {
		t.batch.began = now
	}
	return true
}

// reach notes in the batch how far the source came.
func (t *tailer) reach(s *source, now time.Time) {
	if t.batch == nil {
		t.batch = t.newBatch()
	}
	s.hash(t.raw, t.rawStart)
	p := int(s.offset - t.rawStart)
	t.batch.reach(s, t.raw[max(0, p-markBytes):p], now)
}

func (t *tailer) newBatch() *batch {
	if n := len(t.free); n > 0 {
		b := t.free[n-1]
		t.free = t.free[:n-1]
		return b
	}
	return new(batch)
}

// room says whether another batch may be under way.
func (t *tailer) room() bool {
	return t.inFlight == 0 || t.inFlight < t.flow.QueueBatches && t.inFlightBytes+t.batch.bytes <= t.budget
}

// seal hands the batch to the senders.
func (t *tailer) seal() {
	b := t.batch
	t.batch = nil
	if len(b.ends) == 0 {
		b.sent = true
		t.settle(b)
		return
	}
	t.inFlight++
	t.inFlightBytes += b.bytes
	t.queue <- b
}

// collect takes a batch back from a sender.
func (t *tailer) collect(b *batch) {
	t.inFlight--
	t.inFlightBytes -= b.bytes
	t.settle(b)
}

func (t *tailer) settle(b *batch) {
	if !b.sent {
		return
	}
	for _, sp := range b.spans {
		sp.done = true
		if sp.src.settle() {
			t.dirty = true
		}
	}
	if len(t.free) < freeMax {
		b.reset()
		t.free = append(t.free, b)
	}
}

func (t *tailer) keyOf(data []byte) string {
	switch {
	case t.flow.Service == Firehose:
		return ""
	case t.flow.DeterministicKeys:
		sum := md5.Sum(data)
		return hex.EncodeToString(sum[:])
	}
	return strconv.FormatUint(rand.Uint64(), 36)
}

// truncate cuts data so that it has limit bytes with the terminator, between
// characters where it can.
func truncate(data []byte, limit int, terminator []byte) []byte {
	n := limit - len(terminator)
	for back := 0; back < utf8.UTFMax && n-back > 0; back++ {
		if utf8.RuneStart(data[n-back]) {
			n -= back
			break
		}
	}
	return append(append(make([]byte, 0, limit), data[:n]...), terminator...)
}
