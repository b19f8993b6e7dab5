package streams

import (
	"math/big"
	"math/rand/v2"
	"testing"
	"time"
)

func TestSequenceRoundTripAndOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	random := func() sequence {
		return sequence{rnd.Int64N(1 << 36), rnd.Uint32(), rnd.Uint64N(endCounter + 1), rnd.Int64N(1 << 36)}
	}
	for range 10_000 {
		q := random()
		s := q.String()
		if len(s) != 56 {
			t.Fatalf("%d digits: %s", len(s), s)
		}
		back, ok := parseSequence(s)
		if !ok || back != q {
			t.Fatalf("%+v -> %s -> %+v %v", q, s, back, ok)
		}
		// A greater counter of the same shard is a greater number, whatever the times.
		r := q
		r.counter, r.arrived = rnd.Uint64N(endCounter+1), rnd.Int64N(1<<36)
		if q.counter != r.counter && (big1(s).Cmp(big1(r.String())) < 0) != (q.counter < r.counter) {
			t.Fatalf("%+v and %+v are out of order", q, r)
		}
	}
}

func TestSequenceOfShards(t *testing.T) {
	parent := startingSequence(0, 1_700_000_000_000)
	end := endingSequence(0, 1_700_000_000_000, time.Unix(1_700_000_100, 0))
	child := startingSequence(1, 1_700_000_101_000)
	if big1(parent.String()).Cmp(big1(end.String())) >= 0 || big1(end.String()).Cmp(big1(child.String())) >= 0 {
		t.Errorf("%s, %s, %s do not grow", parent, end, child)
	}
}

func TestSequenceRefuses(t *testing.T) {
	good := startingSequence(3, 1_700_000_000_000).String()
	for _, s := range []string{"", "0", "1", good[:55], good + "0", "0" + good[1:], "x" + good[1:], good[:55] + "/",
		"99999999999999999999999999999999999999999999999999999999", "+" + good[1:], "10000000000000000000000000000000000000000000000000000000"} {
		if q, ok := parseSequence(s); ok {
			t.Errorf("%q parsed as %+v", s, q)
		}
	}
}

func big1(s string) *big.Int { n, _ := new(big.Int).SetString(s, 10); return n }

func BenchmarkSequenceAppend(b *testing.B) {
	q := sequence{1_700_000_000, 7, 123456789, 1_700_000_100}
	buf := make([]byte, 0, 64)
	for b.Loop() {
		buf = q.append(buf[:0])
	}
}
