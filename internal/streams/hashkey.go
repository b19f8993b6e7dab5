package streams

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/big"
	"math/bits"
)

// A hashKey is a point of the hash space 0 .. 2^128-1 that shards divide.
type hashKey struct{ hi, lo uint64 }

var maxHashKey = hashKey{^uint64(0), ^uint64(0)}

// hashOf maps a partition key to its hash key: MD5 of its UTF-8 bytes, big endian.
func hashOf(partitionKey string) hashKey {
	sum := md5.Sum([]byte(partitionKey))
	return hashKey{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:])}
}

func (a hashKey) less(b hashKey) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

func (a hashKey) next() hashKey {
	lo, carry := bits.Add64(a.lo, 1, 0)
	return hashKey{a.hi + carry, lo}
}

func (a hashKey) prev() hashKey {
	lo, borrow := bits.Sub64(a.lo, 1, 0)
	return hashKey{a.hi - borrow, lo}
}

// sub returns a - b (mod 2^128).
func (a hashKey) sub(b hashKey) hashKey {
	lo, borrow := bits.Sub64(a.lo, b.lo, 0)
	hi, _ := bits.Sub64(a.hi, b.hi, borrow)
	return hashKey{hi, lo}
}

// add returns a + b (mod 2^128).
func (a hashKey) add(b hashKey) hashKey {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	return hashKey{a.hi + b.hi + carry, lo}
}

// half returns a / 2.
func (a hashKey) half() hashKey { return hashKey{a.hi >> 1, a.lo>>1 | a.hi<<63} }

// uniformStarts are the first hash keys of n shards of equal size: multiples of
// floor(2^128/n). The last shard takes the remainder.
func uniformStarts(n int) []hashKey {
	step := new(big.Int).Lsh(big.NewInt(1), 128)
	step.Div(step, big.NewInt(int64(n)))
	out := make([]hashKey, n)
	at := new(big.Int)
	var buf [16]byte
	for i := range out {
		at.FillBytes(buf[:])
		out[i] = hashKey{binary.BigEndian.Uint64(buf[:8]), binary.BigEndian.Uint64(buf[8:])}
		at.Add(at, step)
	}
	return out
}

// parseHashKey reads the decimal form; ok is false for anything but 0 .. 2^128-1.
func parseHashKey(s string) (k hashKey, ok bool) {
	if len(s) == 0 || len(s) > 39 || len(s) > 1 && s[0] == '0' {
		return k, false
	}
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			return k, false
		}
		// k = k*10 + d
		h1, l1 := bits.Mul64(k.lo, 10)
		h2, l2 := bits.Mul64(k.hi, 10)
		if h2 != 0 {
			return k, false
		}
		lo, carry := bits.Add64(l1, uint64(d), 0)
		hi, carry := bits.Add64(l2, h1, carry)
		if carry != 0 {
			return k, false
		}
		k = hashKey{hi, lo}
	}
	return k, true
}

func (a hashKey) String() string {
	var buf [16]byte
	binary.BigEndian.PutUint64(buf[:8], a.hi)
	binary.BigEndian.PutUint64(buf[8:], a.lo)
	return new(big.Int).SetBytes(buf[:]).String()
}

// In the catalog a hash key is its decimal form in a JSON string.
func (a hashKey) MarshalJSON() ([]byte, error) { return json.Marshal(a.String()) }

func (a *hashKey) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	k, ok := parseHashKey(s)
	if !ok {
		return fmt.Errorf("bad hash key %q", s)
	}
	*a = k
	return nil
}
