package wire

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// BudgetDefault is how much memory requests may hold together if nothing else is configured.
const BudgetDefault = 1 << 30

// A Budget is the memory that bodies, what is decoded from them, answers and the
// queues of readers share. What is held is reserved before it is filled, so that
// no number of clients makes the process outgrow its machine. It is safe for
// concurrent use.
type Budget struct {
	max  int64
	used atomic.Int64
}

// NewBudget makes a budget of max bytes; [BudgetDefault] if 0.
func NewBudget(max int64) *Budget {
	if max <= 0 {
		max = BudgetDefault
	}
	return &Budget{max: max}
}

// Reserve takes n bytes, or none if there are not as many left.
func (b *Budget) Reserve(n int64) bool {
	if b.used.Add(n) > b.max {
		b.used.Add(-n)
		return false
	}
	return true
}

// Take takes n bytes that are in use already, past the maximum if need be: what
// comes next has to wait for them.
func (b *Budget) Take(n int64) { b.used.Add(n) }

// Release gives n bytes back.
func (b *Budget) Release(n int64) { b.used.Add(-n) }

// Used is how many bytes are taken.
func (b *Budget) Used() int64 { return b.used.Load() }

// Bodies and answers are kept in buffers of powers of two, from 4 KiB to 32 MiB:
// a buffer of each size is found again by the next request of about that size.
const (
	smallestBuffer = 12 // 1<<12 bytes
	largestBuffer  = 25
)

var buffers [largestBuffer - smallestBuffer + 1]sync.Pool

// getBuffer returns an empty buffer with room for n bytes.
func getBuffer(n int) *[]byte {
	class := max(bits.Len(uint(max(n, 1)-1)), smallestBuffer)
	if class > largestBuffer {
		b := make([]byte, 0, n)
		return &b
	}
	if b, ok := buffers[class-smallestBuffer].Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, 1<<class)
	return &b
}

// putBuffer takes a buffer back, also one that has grown since.
func putBuffer(b *[]byte) {
	class := bits.Len(uint(cap(*b))) - 1
	if class < smallestBuffer || class > largestBuffer {
		return
	}
	*b = (*b)[:0]
	buffers[class-smallestBuffer].Put(b)
}
