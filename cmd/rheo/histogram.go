package main

import (
	"math/bits"
	"time"
)

// A histogram counts durations in buckets that are each at most 1/32 wider than
// the one before, from 1 microsecond to hours, in a fixed space.
type histogram struct {
	counts [64 * steps]int64
	n      int64
	max    time.Duration
}

// steps are the buckets of each doubling.
const steps = 32

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(uint64(d.Microseconds()))]++
	h.n++
	h.max = max(h.max, d)
}

// bucket is exact below 2*steps; above, the five bits after the highest count.
func bucket(us uint64) int {
	if us < 2*steps {
		return int(us)
	}
	shift := bits.Len64(us) - 6
	return shift*steps + int(us>>shift)
}

// upper is the largest number of a bucket.
func upper(i int) uint64 {
	if i < 2*steps {
		return uint64(i)
	}
	shift := i/steps - 1
	return (uint64(i-shift*steps)+1)<<shift - 1
}

// quantile is a duration that q of all, 0 to 1, do not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := int64(q * float64(h.n))
	for i, n := range h.counts {
		if rank -= n; rank < 0 {
			return min(time.Duration(upper(i))*time.Microsecond, h.max)
		}
	}
	return h.max
}
