package wire

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
)

func compress(body string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, body)
	z.Close()
	return b.Bytes()
}

// TestGzip is rule T12: a compressed body is taken for what it stands for, whose
// size is bounded as that of any body; what holds memory gives it back.
func TestGzip(t *testing.T) {
	long := strings.Replace(putBody, "aGVsbG8=", strings.Repeat("aGVs", 100_000), 1)
	for _, tt := range []struct {
		name, encoding string
		body           []byte
		status         int
		want           string // in the answer
	}{
		{"plain", "", []byte(putBody), 200, "SequenceNumber"},
		{"gzip", "gzip", compress(putBody), 200, "SequenceNumber"},
		{"in two members", "gzip", append(compress(putBody[:20]), compress(putBody[20:])...), 200, "SequenceNumber"},
		{"of several codings the last", "amz-1.0, GZIP", compress(putBody), 200, "SequenceNumber"},
		{"one that says nothing of the bytes", "amz-1.0", []byte(putBody), 200, "SequenceNumber"},
		{"much longer than what was sent", "gzip", compress(long), 200, "SequenceNumber"},
		{"not gzip", "gzip", []byte(putBody), 400, "SerializationException"},
		{"cut off", "gzip", compress(long)[:200], 400, "SerializationException"},
		{"nothing", "gzip", nil, 400, "SerializationException"},
		{"as large as may be", "gzip", compress(putBody + strings.Repeat(" ", bodyBytesMax-len(putBody))), 200, "SequenceNumber"},
		{"a byte more", "gzip", compress(putBody + strings.Repeat(" ", bodyBytesMax-len(putBody)+1)), 413, "RequestEntityTooLarge"},
		{"a bomb", "gzip", compress(strings.Repeat("0", 4*bodyBytesMax)), 413, "RequestEntityTooLarge"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, _ := testHandler(t, func(c *HandlerConfig) { c.Memory = NewBudget(64 << 20) })
			r := request("http://localhost:4566/", "PutRecord", string(tt.body))
			if tt.encoding != "" {
				r.Header.Set("Content-Encoding", tt.encoding)
			}
			resp := do(h, r)
			if body := readAll(t, resp); resp.StatusCode != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("%d %.300s, want %d %s", resp.StatusCode, body, tt.status, tt.want)
			}
			if used := h.Memory.Used(); used != 0 {
				t.Errorf("%d bytes are held when nothing is served", used)
			}
		})
	}
	t.Run("no memory", func(t *testing.T) {
		h, _ := testHandler(t, func(c *HandlerConfig) { c.Memory = NewBudget(1 << 20) })
		r := request("http://localhost:4566/", "PutRecord", string(compress(strings.Repeat(" ", 2<<20))))
		r.Header.Set("Content-Encoding", "gzip")
		resp := do(h, r)
		if resp.StatusCode != http.StatusServiceUnavailable || h.Memory.Used() != 0 {
			t.Errorf("%d, %d bytes are held", resp.StatusCode, h.Memory.Used())
		}
	})
}
