package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestConnReadsWhatServersSend(t *testing.T) {
	long := strings.Repeat("0123456789", 20_000)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch string(body) {
		case "length":
			w.Write([]byte("short"))
		case "chunked":
			w.Write([]byte(long[:100_000]))
			w.(http.Flusher).Flush()
			w.Write([]byte(long[100_000:]))
		case "error":
			http.Error(w, "no", http.StatusBadRequest)
		}
	}))
	defer h.Close()
	addr := strings.TrimPrefix(h.URL, "http://")
	c, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	tests := []struct {
		body   string
		status int
		length int64
		head   string
	}{
		{"length", 200, 5, "short"},
		{"chunked", 200, 200_000, long[:50]},
		{"error", 400, 3, "no\n"},
		{"length", 200, 5, "short"},
	}
	for _, test := range tests {
		rsp, err := c.do(request(addr, "X", []byte(test.body), time.Now()), make([]byte, 50))
		if err != nil || rsp.status != test.status || rsp.length != test.length || string(rsp.head) != test.head {
			t.Errorf("%s: status %d, length %d, head %q (%v)", test.body, rsp.status, rsp.length, rsp.head, err)
		}
	}
}

func TestChunkReader(t *testing.T) {
	client, server := net.Pipe()
	go func() {
		io.WriteString(server, "3\r\nabc\r\n8\r\ndefghijk\r\n0\r\n\r\n")
	}()
	c := &conn{client, bufio.NewReader(client)}
	got, err := io.ReadAll(&chunkReader{c: c})
	if err != nil || string(got) != "abcdefghijk" {
		t.Errorf("read %q (%v)", got, err)
	}
}

func TestReadEvent(t *testing.T) {
	event := func(headers, payload string) []byte {
		b := binary.BigEndian.AppendUint32(nil, uint32(16+len(headers)+len(payload)))
		b = binary.BigEndian.AppendUint32(b, uint32(len(headers)))
		b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
		b = append(append(b, headers...), payload...)
		return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	}
	stream := append(event("h", "first"), event("", "")...)
	r := bufio.NewReader(bytes.NewReader(append(stream, event(":exception-type", "gone")...)))
	for _, want := range []string{"first", ""} {
		if got, err := readEvent(r, nil); err != nil || string(got) != want {
			t.Errorf("payload %q, want %q (%v)", got, want, err)
		}
	}
	if _, err := readEvent(r, nil); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("an exception gave %v", err)
	}
	bad := event("h", "x")
	bad[1]++
	if _, err := readEvent(bufio.NewReader(bytes.NewReader(bad)), nil); err == nil {
		t.Error("a damaged prelude was read")
	}
}

// The result is a claim, so what makes it is tested: ratios, goals, absent values.
func TestResults(t *testing.T) {
	r := results{}
	for _, v := range []float64{90, 100, 200} {
		r.add(figurePutSmall.name, limit, v)
	}
	for _, v := range []float64{60, 50, 10} {
		r.add(figurePutSmall.name, rheo, v)
	}
	if ratio, ok := r.ratio(figurePutSmall); !ok || ratio != 0.5 || !r.met(figurePutSmall) {
		t.Errorf("ratio of a rate %v (%v)", ratio, ok)
	}
	r.add(figurePutSmall.name, kinesalite, 3)
	if r.met(figurePutSmall) {
		t.Error("50 counted as 20 times 3")
	}
	r.add(figurePutOneP99.name, limit, 2)
	r.add(figurePutOneP99.name, rheo, 8)
	if ratio, _ := r.ratio(figurePutOneP99); ratio != 0.25 || r.met(figurePutOneP99) {
		t.Errorf("ratio of a latency %v", ratio)
	}
	r.add(figureGetTail.name, limit, 5)
	if _, ok := r.ratio(figureGetTail); ok || r.met(figureGetTail) {
		t.Error("a ratio without a value")
	}
	var out strings.Builder
	r.print(&out, nil, []string{"a row: why"})
	for _, want := range []string{"100 (90 to 200)", "50 (10 to 60)", "MISSED", "n/a", "failed: a row: why"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if got := format(1234567); got != "1,234,567" {
		t.Errorf("format: %s", got)
	}
}
