package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"google.golang.org/protobuf/encoding/protowire"
)

func TestParseFrom(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{
		"latest": "LATEST", "trim-horizon": "TRIM_HORIZON",
		"10m":                                  "2026-11-25T11:50:00Z",
		"1h30m":                                "2026-11-25T10:30:00Z",
		"2d":                                   "2026-11-23T12:00:00Z",
		"0s":                                   "2026-11-25T12:00:00Z",
		"2026-11-25T11:00:00+01:00":            "2026-11-25T10:00:00Z",
		"2026-11-25T10:00:00.5Z":               "2026-11-25T10:00:00.5Z",
		"1795600000":                           "2026-11-25T09:46:40Z",
		"yesterday":                            "error",
		"-5m":                                  "error",
		"12":                                   "error",
		"":                                     "error",
		"2026-13-01":                           "error",
		now.Local().Format("2006-01-02 15:04"): "2026-11-25T12:00:00Z",
	} {
		got, err := parseFrom(in, now)
		text := string(got.kind)
		switch {
		case err != nil:
			text = "error"
		case got.kind == types.ShardIteratorTypeAtTimestamp:
			text = got.time.UTC().Format(time.RFC3339Nano)
		}
		if text != want {
			t.Errorf("%q is %s, want %s", in, text, want)
		}
	}
}

// merging is a tail without readers: a test hands over the batches itself.
type merging struct {
	tail
	printed []string
}

func newMerging(push bool, shards ...string) *merging {
	m := &merging{}
	m.shards, m.started = map[string]*shardTail{}, map[string]bool{}
	m.emit = func(r *record) error { m.printed = append(m.printed, r.sequence); return nil }
	if push {
		m.consumerARN = "arn"
	}
	for _, id := range shards {
		m.shards[id] = &shardTail{id: id, resume: make(chan struct{}, 1), heard: time.Now()}
	}
	return m
}

// batch hands over a shard's records, given by their arrival, as if the reader
// had asked at one time and received the answer at another.
func (m *merging) batch(shard string, asked, received time.Time, caughtUp bool, arrivals ...int) {
	b := batch{shard: shard, caughtUp: caughtUp, asked: asked}
	for _, a := range arrivals {
		b.records = append(b.records, record{shard: shard, sequence: fmt.Sprint(shard, a), arrival: time.UnixMilli(int64(a)), received: received})
	}
	s := m.shards[shard]
	select {
	case <-s.resume:
	default:
	}
	m.take(b)
}

func (m *merging) expect(t *testing.T, now time.Time, want ...string) {
	t.Helper()
	if err := m.print(context.Background(), now); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(m.printed, want) {
		t.Errorf("printed %q, want %q", m.printed, want)
	}
}

func TestMergeWaitsForShardsThatMayHaveEarlier(t *testing.T) {
	now := time.Now()
	at := func(d time.Duration) time.Time { return now.Add(d) }
	m := newMerging(false, "a", "b")

	m.batch("a", at(0), at(10*time.Millisecond), true, 5, 7)
	m.expect(t, at(11*time.Millisecond)) // b was never heard
	m.batch("b", at(5*time.Millisecond), at(12*time.Millisecond), true)
	m.expect(t, at(13*time.Millisecond)) // b was asked before a's answer came
	m.batch("b", at(20*time.Millisecond), at(25*time.Millisecond), false)
	m.expect(t, at(26*time.Millisecond)) // b has more, and did not send it
	m.batch("b", at(30*time.Millisecond), at(35*time.Millisecond), true, 6)
	m.expect(t, at(36*time.Millisecond), "a5", "b6", "a7")
}

func TestMergePushed(t *testing.T) {
	now := time.Now()
	m := newMerging(true, "a", "b")
	m.batch("b", now, now, true)
	m.batch("a", now, now, true, 5)
	m.expect(t, now.Add(pushGrace/2))
	m.batch("b", now, now, true, 4)
	m.expect(t, now.Add(pushGrace/2), "b4")
	m.expect(t, now.Add(pushGrace), "b4", "a5")
}

func TestMergeDoesNotWaitForEver(t *testing.T) {
	m := newMerging(false, "a", "b")
	now := time.Now()
	m.batch("a", now, now, true, 5)
	m.expect(t, now.Add(patience-time.Second))
	m.expect(t, now.Add(patience+time.Second), "a5")
}

// Whatever the batches, records come out in order of arrival if shards answer,
// and in each shard's own order always.
func TestMergeOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		ids := []string{"a", "b", "c"}
		m := newMerging(false, ids...)
		now := time.Now()
		next, all := map[string][]int{}, []int{}
		for i := range 40 {
			id := ids[r.IntN(3)]
			next[id] = append(next[id], i)
			all = append(all, i)
		}
		for len(next["a"])+len(next["b"])+len(next["c"]) > 0 || m.shards["a"].pending != nil || m.shards["b"].pending != nil || m.shards["c"].pending != nil {
			now = now.Add(time.Millisecond)
			for _, id := range ids {
				if len(m.shards[id].pending) > 0 {
					continue // its reader waits
				}
				n := r.IntN(len(next[id]) + 1)
				m.batch(id, now, now, n == len(next[id]), next[id][:n]...)
				next[id] = next[id][n:]
			}
			if err := m.print(context.Background(), now); err != nil {
				t.Fatal(err)
			}
		}
		var got []int
		for _, s := range m.printed {
			var i int
			fmt.Sscan(s[1:], &i)
			got = append(got, i)
		}
		if !slices.Equal(got, all) {
			t.Fatalf("printed %v", m.printed)
		}
	}
}

func TestDecode(t *testing.T) {
	zip := func(s string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write([]byte(s))
		z.Close()
		return b.Bytes()
	}
	b64 := func(b []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(b)) }
	for _, c := range []struct {
		name string
		data []byte
		want string
		how  string
	}{
		{"text", []byte("hello"), "hello", ""},
		{"word that could be base64", []byte("password"), "password", ""},
		{"base64 of text stays", b64([]byte("hello, world")), "aGVsbG8sIHdvcmxk", ""},
		{"base64 of JSON", b64([]byte(`{"a":1}`)), `{"a":1}`, "base64"},
		{"gzip", zip("hello"), "hello", "gzip"},
		{"base64 of gzip", append(b64(zip("hello")), '\n'), "hello", "base64 gzip"},
		{"gzip of base64 of JSON", zip(string(b64([]byte(`[1]`)))), "[1]", "gzip base64"},
		{"empty", nil, "", ""},
		{"gzip cut short", zip("hello")[:12], string(zip("hello")[:12]), "warned"},
	} {
		how := ""
		got := decode(&record{data: c.data}, true, func(error) { how = "warned" })
		if len(got) != 1 {
			t.Fatalf("%s: %d records", c.name, len(got))
		}
		if how == "" {
			how = strings.Join(got[0].undone, " ")
		}
		if string(got[0].data) != c.want || how != c.how {
			t.Errorf("%s: %q by %q, want %q by %q", c.name, got[0].data, how, c.want, c.how)
		}
	}
	if _, err := inflate(zip("hello"), 5); err != nil {
		t.Error(err)
	}
	if _, err := inflate(zip("hello"), 4); err == nil {
		t.Error("data grows beyond the bound")
	}
}

// A producer that missed a split sends user records to the wrong shard, and
// then again to the right one: each is shown once.
func TestDecodeDropsMisplacedUserRecords(t *testing.T) {
	data := aggregateOf("a", "b") // hash of a is in the lower half, of b in the upper
	half := new(big.Int).Rsh(hashSpace, 1)
	lower := hashRange{big.NewInt(0), new(big.Int).Sub(half, big.NewInt(1))}
	upper := hashRange{half, new(big.Int).Sub(hashSpace, big.NewInt(1))}
	for key, hashes := range map[string]hashRange{"a": lower, "b": upper} {
		got := decode(&record{data: data, hashes: hashes}, true, func(err error) { t.Error(err) })
		if len(got) != 1 || got[0].key != key {
			t.Errorf("in %s's shard: %+v", key, got)
		}
	}
}

// User records have the index in their aggregate as a sub-sequence number, as for every
// consumer library; what has no right checksum is a plain record, and what has one and
// cannot be unpacked is told and shown as it is stored.
func TestDecodeAggregates(t *testing.T) {
	whole := aggregateOf("a", "b", "c")
	badSum := append([]byte(nil), whole...)
	badSum[len(badSum)-1] ^= 1
	badBody := append([]byte(nil), whole[:len(whole)-md5.Size]...)
	badBody = append(badBody[:4], protowire.AppendBytes(protowire.AppendTag(badBody[4:], 3, protowire.BytesType), []byte{8, 99})...) // key 99 of a table of 3
	sum := md5.Sum(badBody[4:])
	badBody = append(badBody, sum[:]...)
	for _, c := range []struct {
		name   string
		data   []byte
		want   string
		warned bool
	}{
		{"whole", whole, "a/0 b/1 c/2", false},
		{"a wrong checksum", badSum, "plain/-1", false},
		{"cut", whole[:len(whole)-1], "plain/-1", false},
		{"the magic alone", whole[:4], "plain/-1", false},
		{"a key that no table has", badBody, "plain/-1", true},
	} {
		warned := false
		var got []string
		for _, u := range decode(&record{key: "plain", data: c.data, hashes: hashRange{new(big.Int), hashSpace}}, true, func(error) { warned = true }) {
			got = append(got, fmt.Sprintf("%s/%d", u.key, u.sub))
			if u.sub < 0 && !bytes.Equal(u.data, c.data) || u.sub >= 0 && string(u.data) != "data of "+u.key {
				t.Errorf("%s: %s has %q", c.name, u.key, u.data)
			}
		}
		if text := strings.Join(got, " "); text != c.want || warned != c.warned {
			t.Errorf("%s: %s, warned %v, want %s, %v", c.name, text, warned, c.want, c.warned)
		}
	}
}

func aggregateOf(keys ...string) []byte {
	var body []byte
	for _, k := range keys {
		body = protowire.AppendString(protowire.AppendTag(body, 1, protowire.BytesType), k)
	}
	for i, k := range keys {
		m := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(i))
		m = protowire.AppendString(protowire.AppendTag(m, 3, protowire.BytesType), "data of "+k)
		body = protowire.AppendBytes(protowire.AppendTag(body, 3, protowire.BytesType), m)
	}
	sum := md5.Sum(body)
	return append(append([]byte{0xF3, 0x89, 0x9A, 0xC2}, body...), sum[:]...)
}
