package catalog

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/vfs"
)

// benchState is what 20,000 streams of four shards amount to: 100,000 documents
// of the sizes that Data Streams writes.
func benchState() *State {
	s := newState()
	shard := json.RawMessage(`{"Index":3,"Created":1764081000000,"Start":"255211775190703847597530955573826158592","End":"340282366920938463463374607431768211455","State":"OPEN"}`)
	stream := json.RawMessage(`{"ID":"0123456789abcdef","Account":"123456789012","Region":"eu-central-1","Name":"` + strings.Repeat("n", 20) + `","Created":1764081000000,"Status":"ACTIVE","Mode":"PROVISIONED","RetentionHours":24,"MaxRecordKiB":1024,"InitialShards":4,"NextShard":4}`)
	for i := range 20_000 {
		t := Txn{Write: map[string]json.RawMessage{fmt.Sprintf("kinesis/stream/123456789012/eu-central-1/stream-%d", i): stream}}
		for j := range 4 {
			t.Write[fmt.Sprintf("kinesis/shard/%016x/%010d", i*7919, j)] = shard
		}
		b, _ := command{txn: t}.encode()
		cmd, err := parseCommand(b) // with documents of its own, as in a running process
		if err != nil {
			panic(err)
		}
		s.Apply(uint64(i+1), cmd.txn)
	}
	return s
}

func BenchmarkScanPageOf100(b *testing.B) {
	s := benchState()
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for range s.scan("kinesis/stream/123456789012/eu-central-1/", "kinesis/stream/123456789012/eu-central-1/stream-5") {
			if n++; n == 100 {
				break
			}
		}
	}
}

func BenchmarkListOfFour(b *testing.B) {
	s := benchState()
	b.ReportAllocs()
	for b.Loop() {
		s.list(fmt.Sprintf("kinesis/shard/%016x/", 7919*100))
	}
}

func BenchmarkGet(b *testing.B) {
	s := benchState()
	key := fmt.Sprintf("kinesis/shard/%016x/%010d", 7919*100, 2)
	b.ReportAllocs()
	for b.Loop() {
		s.docs.Get(key)
	}
}

// BenchmarkApply is one command of one document, and the copy that readers get.
func BenchmarkApply(b *testing.B) {
	s := benchState()
	var shown *State
	offset := s.offset
	b.ReportAllocs()
	for b.Loop() {
		offset++
		s.Apply(offset, write(fmt.Sprintf("kinesis/shard/%016x/%010d", int(offset%20_000)*7919, 2), "a document"))
		shown = s.copy()
	}
	runtime.KeepAlive(shown)
}

// BenchmarkCommit is a whole commit but for the disk, one at a time.
func BenchmarkCommit(b *testing.B) {
	fs := vfs.NewCrash(1)
	log, err := shardlog.Open(shardlog.Config{FS: fs, Dir: "log", JournalFileBytes: 8 << 20, MemoryBytes: 16 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	blobs, err := blob.OpenDir(fs, "blobs")
	if err != nil {
		b.Fatal(err)
	}
	c, err := Open(b.Context(), Config{Log: log, Blobs: blobs})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for b.Loop() {
		if err := c.Commit(b.Context(), write("a", "document")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSnapshot(b *testing.B) {
	s := benchState()
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			b.SetBytes(int64(len(s.encode())))
		}
	})
	snap := s.encode()
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(snap)))
		for b.Loop() {
			if _, err := decodeState(snap); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkMemory reports the heap of 100,000 documents.
func BenchmarkMemory(b *testing.B) {
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	measure := func(name string, get func() *State) {
		b.Run(name, func(b *testing.B) {
			before := heap()
			s := get()
			n := float64(s.docs.Len())
			b.ReportMetric((heap()-before)/n, "B/document")
			b.ReportMetric(float64(len(s.encode()))/n, "snapshot-B/document")
			b.ReportMetric(0, "ns/op")
		})
	}
	measure("from commands", benchState)
	snap := benchState().encode()
	measure("from a snapshot", func() *State {
		s, err := decodeState([]byte(string(snap)))
		if err != nil {
			b.Fatal(err)
		}
		return s
	})
}
