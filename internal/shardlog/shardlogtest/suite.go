// Package shardlogtest is the contract of shardlog.Log as a test. Every
// implementation runs it.
package shardlogtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/shardlog"
)

// Fixture opens logs for the suite. Each call of Open is a new, empty log.
type Fixture struct {
	Open func(t *testing.T) shardlog.Log
	// Reopen closes a log and opens what it left; nil if the log keeps nothing.
	Reopen func(t *testing.T, l shardlog.Log) shardlog.Log
	// Advance moves the log's clock on; nil if that cannot be had: then what
	// depends on it is skipped.
	Advance func(d time.Duration)
}

// Run runs the suite.
func Run(t *testing.T, f Fixture) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, f Fixture)
	}{
		{"Shards", testShards},
		{"RoundTrip", testRoundTrip},
		{"ReadLimits", testReadLimits},
		{"ManyShardsInOneAppend", testManyShards},
		{"OrderUnderConcurrency", testConcurrency},
		{"Seal", testSeal},
		{"Find", testFind},
		{"Wait", testWait},
		{"Trim", testTrim},
		{"Retention", testRetention},
		{"Delete", testDelete},
		{"TooLarge", testTooLarge},
		{"Close", testClose},
		{"Reopen", testReopen},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, f) })
	}
}

var bg = context.Background()

func create(t *testing.T, l shardlog.Log, id string) shardlog.Shard {
	t.Helper()
	s, err := l.Create(bg, shardlog.ID(id), shardlog.Options{})
	if err != nil {
		t.Fatalf("Create(%q): %v", id, err)
	}
	return s
}

// put appends one record per data and returns their offsets.
func put(t *testing.T, l shardlog.Log, s shardlog.Shard, data ...string) (at []shardlog.Offset) {
	t.Helper()
	p := shardlog.Put{Shard: s}
	for _, d := range data {
		p.Records = append(p.Records, shardlog.Record{PartitionKey: []byte("k"), Data: []byte(d)})
	}
	puts := []shardlog.Put{p}
	l.Append(bg, puts)
	if puts[0].Err != nil {
		t.Fatalf("Append: %v", puts[0].Err)
	}
	for _, r := range puts[0].Records {
		at = append(at, r.Offset)
	}
	return at
}

// all reads a shard from an offset to what is there now.
func all(t *testing.T, s shardlog.Shard, from shardlog.Offset) (data []string, b shardlog.Batch) {
	t.Helper()
	last := from
	for {
		if err := s.Read(bg, from, 3, 1<<20, &b); err != nil {
			t.Fatalf("Read(%d): %v", from, err)
		}
		for _, r := range b.Records {
			if r.Offset < last {
				t.Fatalf("offset %d after %d", r.Offset, last)
			}
			last = r.Offset + 1
			data = append(data, string(r.Data))
		}
		if b.NextArrival == 0 {
			return data, b
		}
		if b.Next <= from {
			t.Fatalf("Read(%d) goes on at %d, though more is there", from, b.Next)
		}
		from = b.Next
	}
}

func want(t *testing.T, s shardlog.Shard, from shardlog.Offset, data ...string) {
	t.Helper()
	if got, _ := all(t, s, from); !slices.Equal(got, data) {
		t.Fatalf("from %d: got %q, want %q", from, got, data)
	}
}

func open(t *testing.T, f Fixture) shardlog.Log {
	l := f.Open(t)
	t.Cleanup(func() { l.Close() })
	return l
}

func testShards(t *testing.T, f Fixture) {
	l := open(t, f)
	for _, id := range []string{"b", "a", "c"} {
		if s := create(t, l, id); s.ID() != shardlog.ID(id) {
			t.Errorf("made %q, got %q", id, s.ID())
		}
	}
	if _, err := l.Create(bg, "a", shardlog.Options{}); !errors.Is(err, shardlog.ErrExists) {
		t.Errorf("second Create: %v", err)
	}
	if _, err := l.Shard("d"); !errors.Is(err, shardlog.ErrNotFound) {
		t.Errorf("Shard of none: %v", err)
	}
	for _, bad := range []string{"", strings.Repeat("x", 256)} {
		if _, err := l.Create(bg, shardlog.ID(bad), shardlog.Options{}); err == nil {
			t.Errorf("Create with an id of %d bytes succeeds", len(bad))
		}
	}
	var ids []string
	for _, s := range l.Shards() {
		ids = append(ids, string(s.ID()))
	}
	if !slices.Equal(ids, []string{"a", "b", "c"}) {
		t.Errorf("Shards: %q", ids)
	}
	s, err := l.Shard("a")
	if err != nil {
		t.Fatal(err)
	}
	if i := s.Info(); i.LastArrival != 0 || i.Sealed || i.First > i.Next {
		t.Errorf("Info of an empty shard: %+v", i)
	}
	var b shardlog.Batch
	if err := s.Read(bg, 0, 10, 1000, &b); err != nil || len(b.Records) != 0 || b.NextArrival != 0 || b.End {
		t.Errorf("Read of an empty shard: %+v, %v", b, err)
	}
}

func testRoundTrip(t *testing.T, f Fixture) {
	l := open(t, f)
	s := create(t, l, "s")
	before := l.Now().UnixMilli()
	in := []shardlog.Record{
		{PartitionKey: []byte("key"), Data: []byte("data")},
		{},
		{PartitionKey: []byte{}, Data: make([]byte, 100_000)},
		{Encrypted: true, KeyEpoch: 7, Nonce: [12]byte{1, 2, 3}, PartitionKey: []byte("sealed"), Data: []byte{0, 1}},
		{Producer: &shardlog.ProducerMark{ID: [16]byte{9}, Epoch: 1 << 40, Index: 5}, PartitionKey: []byte("p"), Data: []byte("q")},
		{Encrypted: true, Producer: &shardlog.ProducerMark{Index: 6}, PartitionKey: []byte("both"), Data: []byte("r")},
	}
	puts := []shardlog.Put{{Shard: s, Records: slices.Clone(in)}}
	l.Append(bg, puts)
	if puts[0].Err != nil {
		t.Fatal(puts[0].Err)
	}
	in[0].Data[0] = 'X' // the log has copied it
	in[0].Data[0] = 'd'
	var b shardlog.Batch
	if err := s.Read(bg, 0, 100, 1<<20, &b); err != nil {
		t.Fatal(err)
	}
	if len(b.Records) != len(in) {
		t.Fatalf("%d records of %d", len(b.Records), len(in))
	}
	last := shardlog.Offset(0)
	for i, r := range b.Records {
		w := puts[0].Records[i]
		if r.Offset != w.Offset || r.Arrival != w.Arrival || r.Offset <= last || r.Arrival < before || r.Arrival > l.Now().UnixMilli() {
			t.Errorf("record %d: offset %d arrival %d, told %d and %d", i, r.Offset, r.Arrival, w.Offset, w.Arrival)
		}
		last = r.Offset
		if string(r.Data) != string(in[i].Data) || string(r.PartitionKey) != string(in[i].PartitionKey) ||
			r.Encrypted != in[i].Encrypted || r.Nonce != in[i].Nonce || r.KeyEpoch != in[i].KeyEpoch {
			t.Errorf("record %d differs", i)
		}
		if (r.Producer == nil) != (in[i].Producer == nil) || r.Producer != nil && *r.Producer != *in[i].Producer {
			t.Errorf("record %d: mark %v", i, r.Producer)
		}
	}
	if i := s.Info(); i.Next != last+1 || i.LastArrival != b.Records[len(in)-1].Arrival || i.Bytes < 100_000 {
		t.Errorf("Info: %+v after offset %d", i, last)
	}
	puts = []shardlog.Put{{Shard: s}}
	if l.Append(bg, puts); puts[0].Err != nil {
		t.Errorf("a Put without records: %v", puts[0].Err)
	}
}

func testReadLimits(t *testing.T, f Fixture) {
	l := open(t, f)
	var data []string
	for i := range 10 {
		data = append(data, strings.Repeat(fmt.Sprint(i), 99)) // 100 bytes with the key
	}
	t.Run("SinglePuts", func(t *testing.T) {
		s := create(t, l, "single")
		var at []shardlog.Offset
		for _, d := range data {
			at = append(at, put(t, l, s, d)...)
		}
		readLimits(t, s, at)
	})
	t.Run("OnePut", func(t *testing.T) {
		s := create(t, l, "one")
		readLimits(t, s, put(t, l, s, data...))
	})
}

func readLimits(t *testing.T, s shardlog.Shard, at []shardlog.Offset) {
	var b shardlog.Batch
	for _, c := range []struct {
		from                shardlog.Offset
		records, bytes, got int
		more                bool
	}{
		{0, 3, 1 << 20, 3, true},
		{at[0], 10, 1 << 20, 10, false},
		{at[0], 11, 1 << 20, 10, false},
		{at[9], 5, 1 << 20, 1, false},
		{at[9] + 1, 5, 1 << 20, 0, false},
		{at[9] + 100, 5, 1 << 20, 0, false},
		{at[2], 100, 350, 3, true},
		{at[2], 100, 300, 3, true},
		{at[2], 100, 299, 2, true},
		{at[2], 100, 10, 1, true},
		{at[2], 0, 0, 1, true},
	} {
		if err := s.Read(bg, c.from, c.records, c.bytes, &b); err != nil {
			t.Fatal(err)
		}
		if len(b.Records) != c.got || (b.NextArrival != 0) != c.more || b.Next < c.from {
			t.Errorf("Read(%d, %d, %d): %d records, next %d, next arrival %d; want %d, more %v",
				c.from, c.records, c.bytes, len(b.Records), b.Next, b.NextArrival, c.got, c.more)
		}
	}
	ctx, cancel := context.WithCancel(bg)
	cancel()
	if err := s.Read(ctx, 0, 1, 1, &b); !errors.Is(err, context.Canceled) {
		t.Errorf("Read with a context that has ended: %v", err)
	}
}

func testManyShards(t *testing.T, f Fixture) {
	l := open(t, f)
	var puts []shardlog.Put
	for i := range 50 {
		s := create(t, l, fmt.Sprintf("s%02d", i))
		puts = append(puts, shardlog.Put{Shard: s, Records: []shardlog.Record{{Data: fmt.Append(nil, i)}}})
	}
	other := f.Open(t)
	defer other.Close()
	puts = append(puts, shardlog.Put{Shard: create(t, other, "alien"), Records: []shardlog.Record{{}}})
	sealed := create(t, l, "sealed")
	if _, err := l.Seal(bg, sealed); err != nil {
		t.Fatal(err)
	}
	puts = append(puts, shardlog.Put{Shard: sealed, Records: []shardlog.Record{{}}})
	l.Append(bg, puts)
	for i := range 50 {
		if puts[i].Err != nil {
			t.Fatal(puts[i].Err)
		}
		want(t, puts[i].Shard, 0, fmt.Sprint(i))
	}
	if !errors.Is(puts[50].Err, shardlog.ErrNotFound) || !errors.Is(puts[51].Err, shardlog.ErrSealed) {
		t.Errorf("another log's shard: %v; a sealed one: %v", puts[50].Err, puts[51].Err)
	}
}

// testConcurrency has writers and readers at work at once: each writer's records
// stay in its order, offsets strictly increase, and nobody sees a record that is not there later.
func testConcurrency(t *testing.T, f Fixture) {
	l := open(t, f)
	const writers, rounds = 8, 40
	shards := []shardlog.Shard{create(t, l, "a"), create(t, l, "b")}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range rounds {
				puts := make([]shardlog.Put, len(shards))
				for k, s := range shards {
					puts[k] = shardlog.Put{Shard: s, Records: []shardlog.Record{
						{Data: fmt.Appendf(nil, "%d %d", w, 2*i)}, {Data: fmt.Appendf(nil, "%d %d", w, 2*i+1)},
					}}
				}
				l.Append(bg, puts)
				for _, p := range puts {
					if p.Err != nil {
						t.Error(p.Err)
						return
					}
				}
			}
		})
	}
	for _, s := range shards {
		wg.Go(func() {
			var b shardlog.Batch
			var next [writers]int
			last, from := shardlog.Offset(0), shardlog.Offset(0)
			for n := 0; n < 2*writers*rounds; {
				if err := s.Wait(bg, from); err != nil {
					t.Error(err)
					return
				}
				if err := s.Read(bg, from, 7, 1000, &b); err != nil {
					t.Error(err)
					return
				}
				if len(b.Records) == 0 {
					t.Errorf("Wait(%d) returned, and nothing is there", from)
					return
				}
				for _, r := range b.Records {
					var w, i int
					fmt.Sscan(string(r.Data), &w, &i)
					if r.Offset <= last || next[w] != i {
						t.Errorf("offset %d after %d: writer %d's %d, expected %d", r.Offset, last, w, i, next[w])
						return
					}
					next[w], last = i+1, r.Offset
					n++
				}
				from = b.Next
			}
		})
	}
	wg.Wait()
}

func testSeal(t *testing.T, f Fixture) {
	l := open(t, f)
	s := create(t, l, "s")
	at := put(t, l, s, "a", "b")
	end, err := l.Seal(bg, s)
	if err != nil || end <= at[1] {
		t.Fatalf("Seal: %d, %v after offset %d", end, err, at[1])
	}
	if again, err := l.Seal(bg, s); err != nil || again != end {
		t.Errorf("sealing again: %d, %v; was %d", again, err, end)
	}
	puts := []shardlog.Put{{Shard: s, Records: []shardlog.Record{{}}}}
	if l.Append(bg, puts); !errors.Is(puts[0].Err, shardlog.ErrSealed) {
		t.Errorf("Append after Seal: %v", puts[0].Err)
	}
	if i := s.Info(); !i.Sealed || i.End != end {
		t.Errorf("Info: %+v", i)
	}
	for _, c := range []struct {
		from shardlog.Offset
		max  int
		end  bool
	}{{0, 10, true}, {0, 1, false}, {at[1], 1, true}, {end, 1, true}, {end + 1, 1, true}} {
		var b shardlog.Batch
		if err := s.Read(bg, c.from, c.max, 1000, &b); err != nil {
			t.Fatal(err)
		}
		// A Read may stop before it has seen the end; the next one then says it.
		if !b.End && c.end && b.NextArrival == 0 {
			if err := s.Read(bg, b.Next, 1, 1000, &b); err != nil || len(b.Records) != 0 {
				t.Fatalf("%d records after the last, %v", len(b.Records), err)
			}
		}
		if b.End != c.end {
			t.Errorf("Read(%d, %d): end is %v", c.from, c.max, b.End)
		}
	}
	want(t, s, 0, "a", "b")
	if err := s.Wait(bg, end+1); err != nil {
		t.Errorf("Wait on a sealed shard: %v", err)
	}
	empty := create(t, l, "empty")
	if _, err := l.Seal(bg, empty); err != nil {
		t.Fatal(err)
	}
	want(t, empty, 0)
	if at, err := empty.Find(bg, 0); err != nil || at != empty.Info().Next {
		t.Errorf("Find in an empty sealed shard: %d, %v; next is %d", at, err, empty.Info().Next)
	}
}

func testFind(t *testing.T, f Fixture) {
	l := open(t, f)
	s := create(t, l, "s")
	if at, err := s.Find(bg, 0); err != nil || at != s.Info().Next {
		t.Errorf("Find in an empty shard: %d, %v", at, err)
	}
	for i := range 30 {
		if f.Advance != nil && i%3 == 0 {
			f.Advance(10 * time.Millisecond)
		}
		put(t, l, s, fmt.Sprint(i))
	}
	var b shardlog.Batch
	if err := s.Read(bg, 0, 100, 1<<20, &b); err != nil {
		t.Fatal(err)
	}
	first := b.Records[0].Arrival
	last := b.Records[len(b.Records)-1].Arrival
	for ms := first - 1; ms <= last+1; ms++ {
		expect := s.Info().Next
		for _, r := range b.Records {
			if r.Arrival >= ms {
				expect = r.Offset
				break
			}
		}
		if at, err := s.Find(bg, ms); err != nil || at != expect {
			t.Errorf("Find(first+%d): %d, %v; want %d", ms-first, at, err, expect)
		}
	}
}

func testWait(t *testing.T, f Fixture) {
	l := open(t, f)
	s := create(t, l, "s")
	at := put(t, l, s, "a")
	if err := s.Wait(bg, at[0]); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(bg)
	done := make(chan error)
	go func() { done <- s.Wait(ctx, at[0]+1) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Wait with a context that ends: %v", err)
	}
	for range 5 {
		next := s.Info().Next
		go func() { done <- s.Wait(bg, next) }()
		put(t, l, s, "b")
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	next := s.Info().Next
	go func() { done <- s.Wait(bg, next) }()
	if _, err := l.Seal(bg, s); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Wait while the shard is sealed: %v", err)
	}
	s = create(t, l, "t")
	go func() { done <- s.Wait(bg, 1) }()
	if err := l.Delete(bg, s); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, shardlog.ErrNotFound) {
		t.Errorf("Wait while the shard is deleted: %v", err)
	}
}

func testTrim(t *testing.T, f Fixture) {
	l := open(t, f)
	s := create(t, l, "s")
	at := put(t, l, s, "a", "b", "c")
	for _, before := range []shardlog.Offset{0, at[0], at[1]} {
		if err := l.Trim(bg, s, before); err != nil {
			t.Fatal(err)
		}
	}
	want(t, s, 0, "b", "c")
	if at2, err := s.Find(bg, 0); err != nil || at2 != at[1] {
		t.Errorf("Find: %d, %v", at2, err)
	}
	if i := s.Info(); i.First > at[1] {
		t.Errorf("First %d, offset %d is visible", i.First, at[1])
	}
	if err := l.Trim(bg, s, at[0]); err != nil {
		t.Fatal(err)
	}
	want(t, s, 0, "b", "c") // not back
	if err := l.Trim(bg, s, at[2]+1000); err != nil {
		t.Fatal(err)
	}
	want(t, s, 0)
	put(t, l, s, "d")
	want(t, s, 0, "d")
}

func testRetention(t *testing.T, f Fixture) {
	if f.Advance == nil {
		t.Skip("this log's clock cannot be moved")
	}
	l := open(t, f)
	s, err := l.Create(bg, "s", shardlog.Options{Retention: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	put(t, l, s, "a")
	f.Advance(40 * time.Minute)
	put(t, l, s, "b")
	want(t, s, 0, "a", "b")
	f.Advance(30 * time.Minute)
	want(t, s, 0, "b")
	set := func(d time.Duration) {
		t.Helper()
		if err := l.SetRetention(bg, s, d); err != nil {
			t.Fatal(err)
		}
		if i := s.Info(); i.Retention != d {
			t.Errorf("retention is %v, set to %v", i.Retention, d)
		}
	}
	set(2 * time.Hour) // what is out of view stays so
	want(t, s, 0, "b")
	set(0)
	want(t, s, 0, "b")
	put(t, l, s, "c")
	set(10 * time.Minute) // at once
	want(t, s, 0, "c")
	f.Advance(11 * time.Minute)
	want(t, s, 0)
	if at, err := s.Find(bg, 0); err != nil || at != s.Info().Next {
		t.Errorf("Find with all expired: %d, %v; next is %d", at, err, s.Info().Next)
	}
	if err := l.SetRetention(bg, s, -1); err == nil {
		t.Error("a negative retention is accepted")
	}
	put(t, l, s, "d")
	want(t, s, 0, "d")
}

func testDelete(t *testing.T, f Fixture) {
	l := open(t, f)
	s := create(t, l, "s")
	put(t, l, s, "a")
	if err := l.Delete(bg, s); err != nil {
		t.Fatal(err)
	}
	var b shardlog.Batch
	_, findErr := s.Find(bg, 0)
	_, sealErr := l.Seal(bg, s)
	puts := []shardlog.Put{{Shard: s, Records: []shardlog.Record{{}}}}
	l.Append(bg, puts)
	for what, err := range map[string]error{
		"Read": s.Read(bg, 0, 1, 1, &b), "Find": findErr, "Wait": s.Wait(bg, 1), "Seal": sealErr, "Append": puts[0].Err,
		"Delete": l.Delete(bg, s), "Trim": l.Trim(bg, s, 1), "SetRetention": l.SetRetention(bg, s, 0),
	} {
		if !errors.Is(err, shardlog.ErrNotFound) {
			t.Errorf("%s of a deleted shard: %v", what, err)
		}
	}
	if len(l.Shards()) != 0 {
		t.Error("a deleted shard is listed")
	}
	again := create(t, l, "s")
	want(t, again, 0)
	put(t, l, again, "b")
	want(t, again, 0, "b")
}

func testTooLarge(t *testing.T, f Fixture) {
	l := open(t, f)
	s := create(t, l, "s")
	for _, r := range []shardlog.Record{{Data: make([]byte, 11<<20)}, {PartitionKey: make([]byte, 4<<10)}} {
		puts := []shardlog.Put{{Shard: s, Records: []shardlog.Record{{Data: []byte("x")}, r}}}
		if l.Append(bg, puts); !errors.Is(puts[0].Err, shardlog.ErrTooLarge) {
			t.Errorf("a record of %d and %d bytes: %v", len(r.PartitionKey), len(r.Data), puts[0].Err)
		}
	}
	want(t, s, 0)
}

func testClose(t *testing.T, f Fixture) {
	l := f.Open(t)
	s := create(t, l, "s")
	done := make(chan error)
	go func() { done <- s.Wait(bg, 1) }()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, shardlog.ErrClosed) {
		t.Errorf("Wait while the log is closed: %v", err)
	}
	puts := []shardlog.Put{{Shard: s, Records: []shardlog.Record{{}}}}
	if l.Append(bg, puts); !errors.Is(puts[0].Err, shardlog.ErrClosed) {
		t.Errorf("Append after Close: %v", puts[0].Err)
	}
	var b shardlog.Batch
	if err := s.Read(bg, 0, 1, 1, &b); !errors.Is(err, shardlog.ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
}

func testReopen(t *testing.T, f Fixture) {
	if f.Reopen == nil {
		t.Skip("this log keeps nothing")
	}
	l := f.Open(t)
	a, err := l.Create(bg, "a", shardlog.Options{Retention: 48 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	b, c, d := create(t, l, "b"), create(t, l, "c"), create(t, l, "d")
	at := put(t, l, a, "1", "2", "3")
	put(t, l, b, "4")
	put(t, l, c, "5")
	end, err := l.Seal(bg, b)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{l.Trim(bg, a, at[1]), l.Delete(bg, c)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	infos := map[shardlog.ID]shardlog.Info{}
	for _, s := range []shardlog.Shard{a, b, d} {
		infos[s.ID()] = s.Info()
	}
	for round := range 3 {
		l = f.Reopen(t, l)
		shards := l.Shards()
		if len(shards) != 3 {
			t.Fatalf("round %d: %d shards", round, len(shards))
		}
		for _, s := range shards {
			was, is := infos[s.ID()], s.Info()
			if is.Next < was.Next || is.LastArrival != was.LastArrival || is.Sealed != was.Sealed || is.End != was.End || is.Retention != was.Retention {
				t.Errorf("round %d, %s: was %+v, is %+v", round, s.ID(), was, is)
			}
		}
		a, _ = l.Shard("a")
		b, _ = l.Shard("b")
		want(t, a, 0, "2", "3")
		want(t, b, 0, "4")
		if again, err := l.Seal(bg, b); err != nil || again != end {
			t.Errorf("sealing again: %d, %v; was %d", again, err, end)
		}
	}
	if next := put(t, l, a, "6"); next[0] <= at[2] {
		t.Errorf("offset %d after %d", next[0], at[2])
	}
	l = f.Reopen(t, l)
	a, _ = l.Shard("a")
	want(t, a, 0, "2", "3", "6")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
