package streams

import (
	"sync"

	"github.com/rheostream/rheo/internal/shardlog"
)

// Memory is the budget that answers are taken from before they are read.
type Memory interface {
	// Reserve takes n bytes, or none and returns false.
	Reserve(n int64) bool
	// Take takes n bytes that are in use already, past the maximum if need be.
	Take(n int64)
	Release(n int64)
}

// An answer of n bytes of records is n bytes read from the log and, encoded in
// base64 with its envelope, half as many again.
const answerFactor = 5 / 2.0

// leastAnswer is what a reader is given at least when memory is short: a shorter answer before none.
const leastAnswer = 64 << 10

// reserveAnswer takes room for the longest answer up to bytesMax that there is
// room for. It returns how long the answer may be, 0 if there is no room.
func (s *Service) reserveAnswer(bytesMax int) (allowed int, reserved int64) {
	for n := bytesMax; n >= leastAnswer; n /= 4 {
		reserved = int64(float64(n) * answerFactor)
		if s.cfg.Memory == nil || s.cfg.Memory.Reserve(reserved) {
			return n, reserved
		}
	}
	return 0, 0
}

func (s *Service) releaseAnswer(n int64) {
	if s.cfg.Memory != nil {
		s.cfg.Memory.Release(n)
	}
}

// fitAnswer gives back what the answer turned out not to need, and takes what a
// record larger than was allowed, which comes alone, needs more. It returns what
// is held now.
func (s *Service) fitAnswer(b *shardlog.Batch, reserved int64) int64 {
	used := int64(float64(len(b.Buf)) * answerFactor)
	switch {
	case used < reserved:
		s.releaseAnswer(reserved - used)
	case used > reserved && s.cfg.Memory != nil:
		s.cfg.Memory.Take(used - reserved)
	}
	return used
}

// batches are the memory of reads, kept for the next one.
var batches = sync.Pool{New: func() any { return new(shardlog.Batch) }}

// freeBatch keeps a batch unless one giant record has swollen it.
func freeBatch(b *shardlog.Batch) {
	if cap(b.Buf) <= 2*answerBytesMax {
		batches.Put(b)
	}
}
