package wire

import (
	"encoding/binary"
	"math"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/rheostream/rheo/internal/api"
)

// How values become CBOR: definite lengths, shortest heads, members in the model's
// order. millis says what tag 1 counts, as in cborReader.

// appendHead writes the start of an item in its shortest form.
func appendHead(dst []byte, major byte, n uint64) []byte {
	m := major << 5
	switch {
	case n < 24:
		return append(dst, m|byte(n))
	case n <= math.MaxUint8:
		return append(dst, m|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, m|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, m|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, m|27), n)
}

func appendCBORText(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = string([]rune(s))
	}
	return append(appendHead(dst, cborText, uint64(len(s))), s...)
}

func appendCBORInt(dst []byte, n int64) []byte {
	if n < 0 {
		return appendHead(dst, cborNegative, uint64(-1-n))
	}
	return appendHead(dst, cborUint, uint64(n))
}

func appendCBORTime(dst []byte, t time.Time, millis bool) []byte {
	dst = appendHead(dst, cborTag, 1)
	if ms := t.UnixMilli(); millis {
		return appendCBORInt(dst, ms)
	} else if ms%1000 == 0 {
		return appendCBORInt(dst, ms/1000)
	} else {
		return binary.BigEndian.AppendUint64(append(dst, 0xfb), math.Float64bits(float64(ms)/1000))
	}
}

// appendCBOR writes a value of shape s.
func appendCBOR(dst []byte, s *api.Shape, v reflect.Value, millis bool) []byte {
	v = indirect(v)
	switch s.Kind {
	case api.Structure, api.Union:
		n := uint64(0)
		writes := func(i int) bool {
			return s.Members[i].Shape.Kind != api.EventStream && !absent(&s.Members[i], v.Field(i))
		}
		for i := range s.Members {
			if writes(i) {
				n++
			}
		}
		dst = appendHead(dst, cborMap, n)
		for i := range s.Members {
			if writes(i) {
				dst = appendCBORText(dst, s.Members[i].Wire)
				dst = appendCBOR(dst, s.Members[i].Shape, v.Field(i), millis)
			}
		}
		return dst
	case api.List:
		dst = appendHead(dst, cborArray, uint64(v.Len()))
		for i := range v.Len() {
			dst = appendCBOR(dst, s.Elem, v.Index(i), millis)
		}
		return dst
	case api.Map:
		dst = appendHead(dst, cborMap, uint64(v.Len()))
		for _, key := range sortedKeys(v) {
			dst = appendCBORText(dst, key.String())
			dst = appendCBOR(dst, s.Elem, v.MapIndex(key), millis)
		}
		return dst
	case api.String:
		return appendCBORText(dst, v.String())
	case api.Integer, api.Long:
		return appendCBORInt(dst, v.Int())
	case api.Float:
		return binary.BigEndian.AppendUint32(append(dst, 0xfa), math.Float32bits(float32(v.Float())))
	case api.Double:
		return binary.BigEndian.AppendUint64(append(dst, 0xfb), math.Float64bits(v.Float()))
	case api.Boolean:
		if v.Bool() {
			return append(dst, cborTrue)
		}
		return append(dst, cborFalse)
	case api.Timestamp:
		return appendCBORTime(dst, v.Interface().(time.Time), millis)
	case api.Blob:
		return append(appendHead(dst, cborBytes, uint64(v.Len())), v.Bytes()...)
	}
	return append(dst, cborNull) // a document: no operation that speaks CBOR has one
}

func appendCBORError(dst []byte, shape *api.Shape, e *api.Error, message string, millis bool) []byte {
	n := uint64(1)
	if e.Message != "" {
		n++
	}
	extra(shape, e, func(*api.Member, reflect.Value) { n++ })
	dst = appendHead(dst, cborMap, n)
	dst = appendCBORText(appendCBORText(dst, "__type"), e.Code)
	if e.Message != "" {
		dst = appendCBORText(appendCBORText(dst, message), e.Message)
	}
	extra(shape, e, func(m *api.Member, v reflect.Value) {
		dst = appendCBOR(appendCBORText(dst, m.Wire), m.Shape, v, millis)
	})
	return dst
}
