package streams

import (
	"encoding/json"
	"testing"
)

func TestHashKeyText(t *testing.T) {
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{"0", true}, {"1", true}, {"18446744073709551615", true}, {"18446744073709551616", true},
		{"170141183460469231731687303715884105728", true},
		{"340282366920938463463374607431768211455", true},
		{"340282366920938463463374607431768211456", false},
		{"999999999999999999999999999999999999999", false},
		{"1000000000000000000000000000000000000000", false},
		{"", false}, {"00", false}, {"01", false}, {"-1", false}, {"+1", false}, {"1x", false}, {" 1", false},
	} {
		k, ok := parseHashKey(c.text)
		if ok != c.ok || ok && k.String() != c.text {
			t.Errorf("%q -> %v %v", c.text, k, ok)
		}
	}
}

// The hash of a partition key, checked with `printf a | md5sum`.
func TestHashOf(t *testing.T) {
	if got := hashOf("a"); got != (hashKey{0x0cc175b9c0f1b6a8, 0x31c399e269772661}) {
		t.Errorf("%x", got)
	}
}

// The ranges that AWS shows for one, two and three shards.
func TestUniformStarts(t *testing.T) {
	for n, want := range map[int][]string{
		1: {"0"},
		2: {"0", "170141183460469231731687303715884105728"},
		3: {"0", "113427455640312821154458202477256070485", "226854911280625642308916404954512140970"},
	} {
		for i, k := range uniformStarts(n) {
			if k.String() != want[i] {
				t.Errorf("%d shards, shard %d starts at %s, want %s", n, i, k, want[i])
			}
		}
	}
}

func TestHashKeyArithmetic(t *testing.T) {
	k := hashKey{0, ^uint64(0)}
	if k.next() != (hashKey{1, 0}) || k.next().prev() != k || !k.less(k.next()) || k.less(k) {
		t.Error("next, prev, less")
	}
	if maxHashKey.half() != (hashKey{1<<63 - 1, ^uint64(0)}) || maxHashKey.sub(k).add(k) != maxHashKey {
		t.Error("half, sub, add")
	}
	b, _ := json.Marshal(maxHashKey)
	var back hashKey
	if err := json.Unmarshal(b, &back); err != nil || back != maxHashKey {
		t.Errorf("%s -> %v %v", b, back, err)
	}
}
