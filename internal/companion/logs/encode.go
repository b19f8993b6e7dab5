package logs

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/rheostream/rheo/internal/statelog"
)

var (
	errNewer   = statelog.ErrNewer
	errDamaged = errors.New("damaged: its bytes are not those that were written")

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// appendText appends a text as it stands in the log and in blobs: len uvarint | bytes.
func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// A reader takes apart what was written as bytes, varints and texts. Once it has
// failed it returns zeros. What it returns aliases what it reads.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) fail() { r.rest, r.failed = nil, true }

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) uint32() uint32 {
	if len(r.rest) < 4 {
		r.fail()
		return 0
	}
	x := binary.LittleEndian.Uint32(r.rest)
	r.rest = r.rest[4:]
	return x
}

func (r *reader) uvarint() uint64 {
	x, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return x
}

func (r *reader) varint() int64 {
	x, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return x
}

// count reads a number of things, none of which is less than a byte.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) bytes() []byte {
	n := r.count()
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) text() string { return string(r.bytes()) }

func (r *reader) uint64() uint64 {
	if len(r.rest) < 8 {
		r.fail()
		return 0
	}
	x := binary.LittleEndian.Uint64(r.rest)
	r.rest = r.rest[8:]
	return x
}
