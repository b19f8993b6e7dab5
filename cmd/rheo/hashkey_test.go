package main

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

func TestHashRange(t *testing.T) {
	const most = "340282366920938463463374607431768211455"
	for _, c := range []struct {
		first, last, bar, middle string
	}{
		{"0", most, "########", "170141183460469231731687303715884105728"},
		{"0", "170141183460469231731687303715884105727", "####....", "85070591730234615865843651857942052864"},
		{"170141183460469231731687303715884105728", most, "....####", "255211775190703847597530955573826158592"},
		{"0", "0", "#.......", "0"},
		{most, most, ".......#", most},
		{"0", "1", "#.......", "1"},
	} {
		r, err := rangeOf(&types.HashKeyRange{StartingHashKey: aws.String(c.first), EndingHashKey: aws.String(c.last)})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.bar(8, "#", "."); got != c.bar {
			t.Errorf("%s to %s is drawn %s, want %s", c.first, c.last, got, c.bar)
		}
		if got := r.middle().String(); got != c.middle {
			t.Errorf("%s to %s splits at %s, want %s", c.first, c.last, got, c.middle)
		}
		if !r.holds(r.first) || !r.holds(r.last) || r.holds(new(big.Int).Add(r.last, big.NewInt(1))) {
			t.Errorf("%s to %s does not hold its ends, or more", c.first, c.last)
		}
	}
	for _, bad := range []string{"", "-1", "1e3", "0x1", "340282366920938463463374607431768211456"} {
		if _, err := parseHash(bad); err == nil {
			t.Errorf("%q is taken for a hash key", bad)
		}
	}
}

func TestShardID(t *testing.T) {
	for in, want := range map[string]string{
		"3": "shardId-000000000003", "000000000012": "shardId-000000000012", "shardId-000000000003": "shardId-000000000003",
		"": "", "x": "x", "1234567890123": "1234567890123",
	} {
		if got := shardID(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
	if shardNumber("shardId-000000000000") != "0" || shardNumber("shardId-000000000120") != "120" {
		t.Error("the short form of an id is wrong")
	}
}

// Quantiles are exact below 64 µs and at most 1/32 too high above.
func TestHistogram(t *testing.T) {
	for us := uint64(0); us < 1<<20; us = us + 1 + us/100 {
		up := upper(bucket(us))
		if up < us || float64(up-us) > float64(us)/32 {
			t.Fatalf("%d is in a bucket up to %d", us, up)
		}
	}
	if b := bucket(math.MaxUint64); b >= len(histogram{}.counts) {
		t.Fatalf("the largest number is in bucket %d", b)
	}
	var h histogram
	if h.quantile(0.5) != 0 {
		t.Error("an empty histogram has a median")
	}
	for _, i := range rand.Perm(1000) {
		h.add(time.Duration(i+1) * time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{0: time.Millisecond, 0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second} {
		got := h.quantile(q)
		if math.Abs(float64(got-want)) > float64(want)/32+float64(time.Millisecond) {
			t.Errorf("quantile %v is %v, want about %v", q, got, want)
		}
	}
}

func TestTerminal(t *testing.T) {
	if got := visible("a\x1b[2J\tb\u0085\n"); got != "a\\x1b[2J\tb\\u0085\n" {
		t.Errorf("control characters come out as %q", got)
	}
	const doc = "{\n  \"a\\\"b\": [\n    \"x:\", 1, null\n  ]\n}"
	coloured := style{on: true}.json(doc)
	plain := coloured
	for _, code := range []string{"\x1b[32m", "\x1b[34m", "\x1b[0m"} {
		plain = strings.ReplaceAll(plain, code, "")
	}
	if plain != doc || !strings.Contains(coloured, "\x1b[34m\"a\\\"b\"\x1b[0m:") {
		t.Errorf("coloured: %q", coloured)
	}
	if (style{}).json(doc) != doc {
		t.Error("without colours there are some")
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is written %s", n, got)
		}
	}
}
