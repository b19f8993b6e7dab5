package s3

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/rheostream/rheo/internal/statelog"
)

var (
	errNewer   = statelog.ErrNewer
	errDamaged = errors.New("damaged: its bytes are not those that were written")
)

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// A textReader takes what was written as uvarints and texts apart. Once it has
// failed it returns zeros.
type textReader struct {
	rest   string
	failed bool
}

func (r *textReader) fail() { r.rest, r.failed = "", true }

func (r *textReader) byte() byte {
	if r.rest == "" {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *textReader) uvarint() uint64 {
	var x uint64
	for shift := 0; shift < 64; shift += 7 {
		b := r.byte()
		x |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return x
		}
	}
	r.fail()
	return 0
}

func (r *textReader) int64() int64 { return int64(r.uvarint()) }

// count reads a number of things, none of which is less than a byte.
func (r *textReader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return 0
	}
	return int(n)
}

// text aliases what is read.
func (r *textReader) text() string { return r.take(r.count()) }

func (r *textReader) take(n int) string {
	if n > len(r.rest) {
		r.fail()
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

// own is a text that does not keep what it was read from.
func (r *textReader) own() string { return strings.Clone(r.text()) }
