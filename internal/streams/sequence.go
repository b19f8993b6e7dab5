package streams

import (
	"math/bits"
	"strconv"
	"time"

	"github.com/rheostream/rheo/internal/shardlog"
)

// A sequence names a record, or a shard's begin or end, as AWS's sequence
// numbers do: 56 decimal digits, which are 47 hexadecimal ones:
//
//	2 | shard created, s: 9 | shard index: 1 (low digit) | counter: 16 | 00 | record arrived, s: 9 | shard index: 8 | 2
//
// Our counter is the record's offset in its log shard, so the number is a
// function of (shard, offset, arrival) and needs no storing. Clients compare
// the numbers as integers: they grow with the offset within a shard and from a
// parent to its children, which are created later.
type sequence struct {
	created int64  // s since 1970, shard
	shard   uint32 // index: the number in its shard id
	counter uint64 // at most maxCounter
	arrived int64  // s since 1970, record
}

// endCounter is the counter of a closed shard's EndingSequenceNumber.
const endCounter = 0x7fff_ffff_ffff_ffff

const tenTo19 = 10_000_000_000_000_000_000

// append writes the decimal form.
func (q sequence) append(dst []byte) []byte {
	created, arrived := uint64(q.created)&(1<<36-1), uint64(q.arrived)&(1<<36-1)
	l0 := 2 | uint64(q.shard)<<4 | arrived<<36
	l1 := arrived>>28 | q.counter<<16
	l2 := q.counter>>48 | uint64(q.shard&0xf)<<16 | created<<20 | 2<<56
	// Three digits to the base 10^19.
	divide := func() uint64 {
		var r uint64
		l2, r = l2/tenTo19, l2%tenTo19
		l1, r = bits.Div64(r, l1, tenTo19)
		l0, r = bits.Div64(r, l0, tenTo19)
		return r
	}
	low, mid, high := divide(), divide(), divide()
	var buf [57]byte // high has 18 digits
	digits19(buf[:19], high)
	digits19(buf[19:38], mid)
	digits19(buf[38:], low)
	return append(dst, buf[1:]...)
}

// digits19 writes v < 10^19 in decimal, with leading zeros. Ten thousand
// records an answer make it worth the pairs.
func digits19(dst []byte, v uint64) {
	_ = dst[18]
	top, rest := v/10_000_000_000_000_000, v%10_000_000_000_000_000
	dst[0] = byte('0' + top/100)
	pair(dst[1:], uint32(top%100))
	digits8(dst[3:11], uint32(rest/100_000_000))
	digits8(dst[11:19], uint32(rest%100_000_000))
}

func digits8(dst []byte, v uint32) {
	_ = dst[7]
	high, low := v/10_000, v%10_000
	pair(dst, high/100)
	pair(dst[2:], high%100)
	pair(dst[4:], low/100)
	pair(dst[6:], low%100)
}

const pairs = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899"

func pair(dst []byte, v uint32) { dst[1], dst[0] = pairs[2*v+1], pairs[2*v] }

func (q sequence) String() string { return string(q.append(make([]byte, 0, 56))) }

// offset is the place in the shard's log that the number stands for.
func (q sequence) offset() shardlog.Offset { return shardlog.Offset(q.counter) }

// parseSequence reads the decimal form; ok is false for whatever append does not write.
func parseSequence(s string) (q sequence, ok bool) {
	if len(s) != 56 || s[0] == '0' {
		return q, false
	}
	var l0, l1, l2 uint64
	for i := 0; i < len(s); {
		n := min(18, len(s)-i)
		chunk, err := strconv.ParseUint(s[i:i+n], 10, 64)
		if err != nil {
			return q, false
		}
		scale := uint64(1)
		for range n {
			scale *= 10
		}
		// l = l*scale + chunk
		c0, p0 := bits.Mul64(l0, scale)
		c1, p1 := bits.Mul64(l1, scale)
		c2, p2 := bits.Mul64(l2, scale)
		var c uint64
		l0, c = bits.Add64(p0, chunk, 0)
		l1, c = bits.Add64(p1, c0, c)
		l2, c = bits.Add64(p2, c1, c)
		if c2+c != 0 {
			return q, false
		}
		i += n
	}
	if l2>>56 != 2 || l0&0xf != 2 || l1>>8&0xff != 0 {
		return q, false
	}
	q = sequence{
		created: int64(l2 >> 20 & (1<<36 - 1)),
		shard:   uint32(l0 >> 4),
		counter: l1>>16 | l2<<48,
		arrived: int64(l0>>36 | l1&0xff<<28),
	}
	if uint64(q.shard&0xf) != l2>>16&0xf || q.counter > endCounter {
		return q, false
	}
	return q, true
}

// startingSequence is the number that a shard begins with; its records follow.
func startingSequence(shard uint32, createdMs int64) sequence {
	return sequence{created: createdMs / 1000, shard: shard, arrived: createdMs / 1000}
}

// endingSequence is the number after all records of a closed shard.
func endingSequence(shard uint32, createdMs int64, closed time.Time) sequence {
	return sequence{created: createdMs / 1000, shard: shard, counter: endCounter, arrived: closed.Unix()}
}
