package mapping

import "time"

// pending is a record that was read and is not done.
type pending struct {
	Record
	before SequenceNumber // of the record before it in the shard; empty: there was none
	size   int            // of its JSON in an event
	queued time.Time
}

// held is what the record takes of the memory budget.
func (p *pending) held() int64 {
	return int64(len(p.Data)+len(p.PartitionKey)+p.size) + recordOverhead
}

// A queue this long is read on for no more. An answer may go beyond it.
const (
	laneRecordsMax = 10_000
	laneBytesMax   = 2 * payloadMax // of JSON
)

// lane is the records of a shard that are delivered one batch after the other: all of it,
// or those of some partition keys. It belongs to the shard's loop.
type lane struct {
	queue   []pending
	bytes   int       // of the queue's JSON
	batch   []pending // being delivered: of it, what is not done
	event   []byte    // a delivery's buffer, while there is none
	busy    bool      // a delivery is under way, with a batch or without (a window's last)
	blocked bool      // its last invocation failed
	// marks are the parts of a batch that failed, and gave its memory back until it is
	// tried again: at again it is read anew, and divided as it was.
	marks []mark
	again time.Time
	// Up to readTo every record of the lane was seen: what is neither queued nor in
	// the batch is done. A lane that has lost records, because it was blocked and
	// there was no room for them, stays where it is until they are read again.
	readTo SequenceNumber
	lossy  bool
}

// done is up to where all of the lane's records are done.
func (l *lane) done() SequenceNumber {
	switch {
	case len(l.batch) > 0:
		return l.batch[0].before
	case len(l.queue) > 0:
		return l.queue[0].before
	}
	return l.readTo
}

func (l *lane) full() bool {
	return len(l.queue) >= laneRecordsMax || l.bytes >= laneBytesMax
}

// push queues a record.
func (l *lane) push(p *pending) {
	l.queue = append(l.queue, *p)
	l.bytes += p.size
}

// take moves the first n records of the queue into the batch.
func (l *lane) take(n int) {
	l.batch, l.queue = l.queue[:n:n], l.queue[n:]
	for i := range l.batch {
		l.bytes -= l.batch[i].size
	}
	if len(l.queue) == 0 {
		l.queue = nil
	}
	l.busy = true
}

// shed drops the queue, to be read again; what it held is returned.
func (l *lane) shed() (held int64) {
	if len(l.queue) == 0 {
		return 0
	}
	for i := range l.queue {
		held += l.queue[i].held()
	}
	l.readTo, l.lossy = l.queue[0].before, true
	l.queue, l.bytes = nil, 0
	return held
}

// mark is a part of a batch whose records are to be read again: up to last.
type mark struct {
	last SequenceNumber
	part part // its counts; without records
}

// marked is how many records of the queue the marks cover, if all of them are there;
// whole says whether no more will come.
func (l *lane) marked(whole bool) (n int, complete bool) {
	end := l.marks[len(l.marks)-1].last
	for n < len(l.queue) && !end.less(l.queue[n].SequenceNumber) {
		n++
	}
	return n, whole || n < len(l.queue) || n > 0 && l.queue[n-1].SequenceNumber == end
}

// divide makes the batch's parts: one, or those that are marked.
func (l *lane) divide() []part {
	rest, out := l.batch, []part(nil)
	for _, m := range l.marks {
		n := 0
		for n < len(rest) && !m.last.less(rest[n].SequenceNumber) {
			n++
		}
		if n > 0 {
			m.part.records = rest[:n:n]
			out = append(out, m.part)
		}
		rest = rest[n:]
	}
	if l.marks = nil; len(rest) > 0 {
		out = append(out, part{records: rest})
	}
	return out
}

// laneOf is which of n lanes a partition key goes to, now and after a restart.
func laneOf(key string, n int) int {
	if n == 1 {
		return 0
	}
	h := uint32(2166136261) // FNV-1a
	for i := range len(key) {
		h = (h ^ uint32(key[i])) * 16777619
	}
	return int(h % uint32(n))
}

// less compares sequence numbers of a shard; the empty one is before all.
func (s SequenceNumber) less(t SequenceNumber) bool {
	if len(s) != len(t) {
		return len(s) < len(t)
	}
	return s < t
}
