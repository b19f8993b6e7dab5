package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestBase64IsTheStandardLibrarys(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{})
	for n := range 300 {
		data := make([]byte, n)
		rng.Read(data)
		text := appendEncode([]byte("before "), data)
		if want := "before " + base64.StdEncoding.EncodeToString(data); string(text) != want {
			t.Fatalf("%d bytes: encoded %q, want %q", n, text, want)
		}
		text = text[len("before "):]
		back := make([]byte, n+3)
		got, err := decode(back, text)
		if err != nil || !bytes.Equal(back[:got], data) {
			t.Fatalf("%d bytes: decoded %x (%v), want %x", n, back[:got], err, data)
		}
		if n > 0 {
			text[rng.Uint64()%uint64(n)] = '!'
			if _, err := decode(back, text); err == nil {
				t.Fatalf("%q was decoded", text)
			}
		}
	}
}

// TestPutIsInTheJournal asks for what the yardstick has to be honest about:
// every acknowledged record is on the disk, whole, once in the journal and,
// with twice, once in its shard's file after the checkpoint.
func TestPutIsInTheJournal(t *testing.T) {
	dir := t.TempDir()
	second, err := newSecond(dir, 3)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{shards: make([]shard, 3), second: second}
	if s.journal, err = openJournal(dir, 4<<20, second); err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	defer h.Close()
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for n := range 20 {
				var records []string
				for r := range 5 {
					data := strings.Repeat("x", r) + fmt.Sprintf("<%d.%d.%d>", c, n, r)
					records = append(records, fmt.Sprintf(`{"Data":%q,"PartitionKey":"key %d %d"}`, base64.StdEncoding.EncodeToString([]byte(data)), n, r))
				}
				body := post(t, h.URL, "PutRecords", `{"Records":[`+strings.Join(records, ",")+`],"StreamName":"s"}`)
				var out struct {
					Records []struct{ SequenceNumber, ShardId string }
				}
				if err := json.Unmarshal(body, &out); err != nil || len(out.Records) != 5 || len(out.Records[0].SequenceNumber) != 56 {
					t.Errorf("answer %s (%v)", body, err)
				}
			}
		})
	}
	wg.Wait()
	if err := second.checkpoint(); err != nil {
		t.Fatal(err)
	}
	journal, err := os.ReadFile(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	var files []byte
	for i := range 3 {
		f, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("shard-%d", i)))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f...)
	}
	for c := range 8 {
		for n := range 20 {
			for r := range 5 {
				record := fmt.Appendf(nil, "<%d.%d.%d>", c, n, r)
				if bytes.Count(journal, record) != 1 || bytes.Count(files, record) != 1 {
					t.Fatalf("%s is %d times in the journal and %d times in the shards' files", record, bytes.Count(journal, record), bytes.Count(files, record))
				}
			}
		}
	}
}

func TestGetFromMemoryAndFile(t *testing.T) {
	for _, fromFile := range []bool{false, true} {
		g, err := newGets(t.TempDir(), 2, 25_000, 100, fromFile)
		if err != nil {
			t.Fatal(err)
		}
		h := httptest.NewServer(&server{gets: g})
		defer h.Close()
		it, total := "1/0", 0
		for calls := 0; ; calls++ {
			var out struct {
				NextShardIterator string
				Records           []struct {
					SequenceNumber, PartitionKey string
					Data                         []byte
				}
			}
			if err := json.Unmarshal(post(t, h.URL, "GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, it)), &out); err != nil {
				t.Fatal(err)
			}
			if len(out.Records) == 0 {
				break
			}
			for _, r := range out.Records {
				if len(r.Data) != 100 || r.PartitionKey != "key-0000000000000001" {
					t.Fatalf("record %+v", r)
				}
			}
			total, it = total+len(out.Records), out.NextShardIterator
		}
		if total != 25_000 {
			t.Errorf("from file %v: %d records", fromFile, total)
		}
	}
}

func post(t *testing.T, url, op, body string) []byte {
	req, err := http.NewRequest("POST", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", targetPrefix+op)
	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()
	out, err := io.ReadAll(rsp.Body)
	if err != nil || rsp.StatusCode != 200 {
		t.Errorf("status %d: %s (%v)", rsp.StatusCode, out, err)
	}
	return out
}

func BenchmarkBase64(b *testing.B) {
	data := make([]byte, 1024)
	rand.NewChaCha8([32]byte{}).Read(data)
	text := base64.StdEncoding.AppendEncode(nil, data)
	out := make([]byte, 2048)
	run := func(name string, fn func()) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(1024)
			for b.Loop() {
				fn()
			}
		})
	}
	run("decode", func() { decode(out, text) })
	run("decode std", func() { base64.StdEncoding.Decode(out, text) })
	run("encode", func() { appendEncode(out[:0], data) })
	run("encode std", func() { base64.StdEncoding.AppendEncode(out[:0], data) })
}
