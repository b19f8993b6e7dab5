package auth

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"
)

// FuzzS3Body feeds any bytes as chunks: nothing is yielded beyond what was announced,
// the end comes only with the announced length and trailer, and, signed, with nothing
// but the example's own bytes.
func FuzzS3Body(f *testing.F) {
	a64, a1 := strings.Repeat("a", 64<<10), strings.Repeat("a", 1<<10)
	f.Add([]byte(chunk(a64, trailOne)+chunk(a1, trailTwo)+chunk("", trailLast)+trailSum+"\r\nx-amz-trailer-signature:"+trailOfSum+"\r\n\r\n"), true)
	f.Add([]byte("5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:AAAAAA==\r\n\r\n"), false)
	f.Add([]byte("0\r\n\r\n"), false)
	f.Fuzz(func(t *testing.T, wire []byte, signed bool) {
		v, err := New(Config{Keys: []Key{s3Key}, Now: func() time.Time { return s3Time }})
		if err != nil {
			t.Fatal(err)
		}
		p := &Payload{kind: payloadUnsignedChunks, decoded: 5, trailing: true, announced: "x-amz-checksum-crc32c"}
		want := 5
		if signed {
			r := chunked(true, "")
			c, parseErr := Parse(r)
			if _, p, err = v.VerifyS3(&c, parseErr, r, false); err != nil {
				t.Fatal(err)
			}
			want = 66560
		}
		body := p.Body(bytes.NewReader(wire))
		got, err := io.ReadAll(body)
		if len(got) > want {
			t.Fatalf("%d bytes came of %d", len(got), want)
		}
		if err != nil {
			return
		}
		if len(got) != want || body.Trailer("x-amz-checksum-crc32c") == "" {
			t.Fatalf("the end came after %d bytes, with the trailer %q", len(got), body.Trailer("x-amz-checksum-crc32c"))
		}
		if signed && string(got) != a64+a1 {
			t.Fatal("other bytes came than were signed")
		}
	})
}
