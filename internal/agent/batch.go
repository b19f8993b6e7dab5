package agent

import (
	"bytes"
	"time"
)

// A Record is what a stream takes: data, and a partition key where the service has them.
type Record struct {
	Data []byte
	Key  string
}

// A batch is records that are sent in one call, and the spans that are committed
// when all of them are taken. It belongs to its tailer, or to one sender.
type batch struct {
	data  []byte // of all records, one behind the other
	ends  []int  // of each in data
	keys  []string
	bytes int // data and keys
	began time.Time

	spans []*span
	sent  bool // all is taken
}

func (b *batch) empty() bool { return len(b.ends) == 0 && len(b.spans) == 0 }

func (b *batch) add(data []byte, key string) {
	b.data = append(b.data, data...)
	b.ends = append(b.ends, len(b.data))
	b.keys = append(b.keys, key)
	b.bytes += len(data) + len(key)
}

// join puts data behind the last record's, if that stays within limit.
func (b *batch) join(data []byte, limit int) bool {
	n := len(b.ends)
	if n == 0 || len(b.data)-b.start(n-1)+len(data) > limit {
		return false
	}
	b.data = append(b.data, data...)
	b.ends[n-1] = len(b.data)
	b.bytes += len(data)
	return true
}

func (b *batch) start(i int) int {
	if i == 0 {
		return 0
	}
	return b.ends[i-1]
}

// records are good until the batch is reset.
func (b *batch) records() []Record {
	records := make([]Record, len(b.ends))
	for i, end := range b.ends {
		records[i] = Record{b.data[b.start(i):end:end], b.keys[i]}
	}
	return records
}

// reach says that the batch has all of a source up to its offset. window is what
// stands before that.
func (b *batch) reach(s *source, window []byte, now time.Time) {
	if n := len(b.spans); n == 0 || b.spans[n-1].src != s {
		sp := &span{src: s}
		b.spans = append(b.spans, sp)
		s.spans = append(s.spans, sp)
	}
	if b.began.IsZero() {
		b.began = now
	}
	b.spans[len(b.spans)-1].end = mark{s.offset, bytes.Clone(window), s.discarding, s.running.at(s.offset)}
}

func (b *batch) reset() {
	*b = batch{data: b.data[:0], ends: b.ends[:0], keys: b.keys[:0]}
}
