package cloudwatch

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"math/bits"
)

// How things stand in the log and in blobs:
//
//	text     len uvarint | bytes
//	float    its bits, those of the mantissa first, as uvarint: small integers are short
//	summary  form u8 | fields of the form
//	  1 single  count float | value float
//	  2 opaque  count | sum | min | max
//	  3 values  count | sum | min | max | number uvarint | number x (value | its count)
const (
	formSingle = 1 + iota
	formOpaque
	formValues
)

var (
	errDamaged = errors.New("damaged: its bytes are not those that were written")

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendFloat(dst []byte, f float64) []byte {
	return binary.AppendUvarint(dst, bits.ReverseBytes64(math.Float64bits(f)))
}

func appendSummary(dst []byte, s *summary) []byte {
	if s.isSingle() {
		return appendFloat(appendFloat(append(dst, formSingle), s.count), s.min)
	}
	form := byte(formValues)
	if s.opaque {
		form = formOpaque
	}
	dst = append(dst, form)
	for _, f := range []float64{s.count, s.sum, s.min, s.max} {
		dst = appendFloat(dst, f)
	}
	if s.opaque {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.values)))
	for _, x := range s.values {
		dst = appendFloat(appendFloat(dst, x.v), x.n)
	}
	return dst
}

// A reader takes apart what was written so. Once it has failed it returns zeros.
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

// bytes reads a text. It aliases what is read.
func (r *reader) bytes() []byte {
	n := r.count()
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) text() string { return string(r.bytes()) }

func (r *reader) float() float64 {
	return math.Float64frombits(bits.ReverseBytes64(r.uvarint()))
}

func (r *reader) summary() (s summary) {
	switch form := r.byte(); form {
	case formSingle:
		s.count, s.min = r.float(), r.float()
		s.max, s.sum = s.min, s.min*s.count
	case formOpaque, formValues:
		s.count, s.sum, s.min, s.max = r.float(), r.float(), r.float(), r.float()
		if s.opaque = form == formOpaque; s.opaque {
			break
		}
		n := r.count()
		if n > valuesMax || n == 0 {
			r.fail()
			break
		}
		s.values = make([]value, n)
		for i := range s.values {
			s.values[i] = value{r.float(), r.float()}
		}
	default:
		r.fail()
	}
	return s
}
