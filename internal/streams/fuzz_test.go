package streams

import (
	"testing"
	"time"
)

// Whatever a client sends as a number, key, id or ARN is read to the one thing
// that is written so, or refused.

func FuzzSequence(f *testing.F) {
	f.Add("49590338271490256608559692538361571095921575989136588898")
	f.Add("0")
	f.Fuzz(func(t *testing.T, s string) {
		if q, ok := parseSequence(s); ok && q.String() != s {
			t.Errorf("%q is %+v, which is %s", s, q, q)
		}
	})
}

func FuzzHashKey(f *testing.F) {
	f.Add("340282366920938463463374607431768211455")
	f.Add("340282366920938463463374607431768211456")
	f.Fuzz(func(t *testing.T, s string) {
		if k, ok := parseHashKey(s); ok && k.String() != s {
			t.Errorf("%q is %s", s, k)
		}
	})
}

func FuzzShardID(f *testing.F) {
	f.Add(shard0)
	f.Add("shardId--1")
	f.Fuzz(func(t *testing.T, s string) {
		if i, ok := parseShardID(s); ok {
			if j, ok := parseShardID(shardID(i)); !ok || i != j {
				t.Errorf("%q is %d, whose id is %s", s, i, shardID(i))
			}
		}
	})
}

func FuzzStreamARN(f *testing.F) {
	f.Add("arn:aws:kinesis:us-east-1:123456789012:stream/s")
	f.Add("arn:aws-cn:kinesis:us-east-1:1:stream/s/consumer/c:1")
	f.Fuzz(func(t *testing.T, s string) {
		account, region, name, ok := parseStreamARN(s)
		if ok && region != "" && streamARN(account, region, name) != s {
			t.Errorf("%q is %s of %s in %s", s, name, account, region)
		}
	})
}

func FuzzToken(f *testing.F) {
	w := newWorld(f, Config{})
	it := w.sealIterator(iterator{"id", 7, 9, time.Now()})
	f.Add(it)
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := w.openIterator(s); (err == nil) != (s == it) {
			t.Errorf("%q: %v", s, err)
		}
		var page shardPage
		if w.openPage(listShardsToken, s, &page) == nil {
			t.Errorf("%q is a page", s)
		}
	})
}
