package wire

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
)

// gzipped says that a body is compressed: SDKs do so with the requests of some
// operations (PutMetricData) from some 10 KiB on. Other codings that clients name
// ("amz-1.0") say nothing about the bytes.
func gzipped(h http.Header) bool {
	values := h["Content-Encoding"]
	if len(values) == 0 {
		return false
	}
	last := values[len(values)-1]
	last = last[strings.LastIndexByte(last, ',')+1:]
	return strings.EqualFold(strings.TrimSpace(last), "gzip")
}

// inflate puts in place of a compressed body what it stands for. What is signed
// is the compressed one, so nothing is decompressed before it is verified. Memory
// is reserved as it grows, and it may grow as large as any body: a small one that
// stands for a large one holds no more than that one would.
func (x *exchange) inflate() error {
	if !gzipped(x.r.Header) {
		return nil
	}
	bad := serialization("The request body is not gzip, as its Content-Encoding says.")
	z, err := gzip.NewReader(bytes.NewReader(*x.body))
	if err != nil {
		return bad
	}
	room := min(max(4*int64(len(*x.body)), 1<<smallestBuffer), bodyBytesMax)
	if err := x.reserve(room); err != nil {
		return err
	}
	plain := getBuffer(int(room))
	defer func() { putBuffer(plain) }()
	for err == nil {
		if int64(len(*plain)) == room { // there may be more than was reserved
			larger := min(4*room, bodyBytesMax+1)
			if larger == room {
				return errTooLarge
			}
			if err := x.reserve(larger - room); err != nil {
				return err
			}
			room = larger
			grown := getBuffer(int(room))
			*grown = append(*grown, *plain...)
			putBuffer(plain)
			plain = grown
		}
		b := *plain
		var n int
		n, err = z.Read(b[len(b):room])
		*plain = b[:len(b)+n]
	}
	switch {
	case err != io.EOF:
		return bad
	case len(*plain) > bodyBytesMax:
		return errTooLarge
	}
	x.body, plain = plain, x.body
	return nil
}
