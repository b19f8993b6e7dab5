package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"net/http"
	"reflect"
	"unicode/utf8"

	"github.com/rheostream/rheo/internal/api"
)

// CBOR is AWS CBOR 1.1: JSON 1.1 with CBOR in place of JSON. Java SDKs speak it
// to Kinesis. Unlike in RFC 8949 a time (tag 1) is a whole number of milliseconds.
type CBOR struct{}

const cborType = "application/x-amz-cbor-1.1"

// Decode implements [Codec]. No body and null are no structure, as in [JSON].
func (CBOR) Decode(op *api.Op, _ *http.Request, body []byte, in any) error {
	if fastDecodeCBOR(body, in) {
		return nil
	}
	if len(body) == 0 && len(op.Input.Members) > 0 || len(body) == 1 && (body[0] == cborNull || body[0] == cborUndef) {
		return serialization("")
	}
	return decodeCBOR(op.Input, body, reflect.ValueOf(in).Elem(), true)
}

// Encode implements [Codec].
func (c CBOR) Encode(dst []byte, op *api.Op, out any) (Answer, error) {
	a := Answer{Status: op.Status, Header: header(cborType)}
	v := reflect.ValueOf(out).Elem()
	if a.Events = events(op, v); a.Events != nil {
		a.Header = header(eventStreamType)
		return a, nil
	}
	a.Body = c.appendValue(dst, op.Output, v)
	return a, nil
}

// EncodeError implements [Codec].
func (CBOR) EncodeError(dst []byte, op *api.Op, e *api.Error, _ string) Answer {
	shape, status, message := errorFacts(op, e)
	a := Answer{Status: status, Header: header(cborType)}
	a.Status = queryError(a.Header, op, shape, e, status)
	a.Body = appendCBORError(dst, shape, e, message, true)
	return a
}

func (CBOR) appendValue(dst []byte, s *api.Shape, v reflect.Value) []byte {
	if v.CanAddr() {
		if dst, ok := fastEncodeCBOR(dst, v.Addr().Interface()); ok {
			return dst
		}
	}
	return appendCBOR(dst, s, v, true)
}

func (CBOR) contentType() string { return cborType }

// The major types.
const (
	cborUint byte = iota
	cborNegative
	cborBytes
	cborText
	cborArray
	cborMap
	cborTag
	cborSimple
)

const (
	cborFalse = 0xf4
	cborTrue  = 0xf5
	cborNull  = 0xf6
	cborUndef = 0xf7
	cborBreak = 0xff

	cborIndefinite = math.MaxUint64 // what head returns for a length that follows item by item
)

var errCBOR = errors.New("malformed CBOR")

// A cborReader reads values by their shapes. It is a reader of its own and not
// a library's because blobs are not copied, times are AWS's, and unknown members
// are passed over without being made.
type cborReader struct {
	b      []byte // what is left
	millis bool   // tag 1 counts milliseconds
	bounds
}

func decodeCBOR(s *api.Shape, body []byte, v reflect.Value, millis bool) error {
	if len(body) == 0 {
		return nil
	}
	r := &cborReader{b: body, millis: millis}
	err := r.value(s, v)
	if err == nil && len(r.b) == 0 {
		return nil
	}
	var e *api.Error
	if errors.As(err, &e) {
		return e
	}
	return serialization("")
}

// head reads the start of an item: its major type and argument. For a simple
// value or float it returns the initial byte's low bits in arg and leaves what
// follows to float.
func (r *cborReader) head() (major byte, arg uint64, err error) {
	if len(r.b) == 0 {
		return 0, 0, errCBOR
	}
	major, low := r.b[0]>>5, r.b[0]&31
	r.b = r.b[1:]
	if major == cborSimple {
		return major, uint64(low), nil
	}
	switch {
	case low < 24:
		return major, uint64(low), nil
	case low == 31 && (major == cborBytes || major == cborText || major == cborArray || major == cborMap):
		return major, cborIndefinite, nil
	case low > 27:
		return 0, 0, errCBOR
	}
	n := 1 << (low - 24)
	if len(r.b) < n {
		return 0, 0, errCBOR
	}
	for _, c := range r.b[:n] {
		arg = arg<<8 | uint64(c)
	}
	r.b = r.b[n:]
	if arg == cborIndefinite && major >= cborBytes && major != cborTag {
		return 0, 0, errCBOR // no such length
	}
	return major, arg, nil
}

// value reads one item into v, which is a field, an element or a structure.
func (r *cborReader) value(s *api.Shape, v reflect.Value) error {
	if s.Kind == api.Document {
		return serialization("Documents are not supported in CBOR")
	}
	tag := uint64(0)
	for {
		if len(r.b) == 0 {
			return errCBOR
		}
		if c := r.b[0]; c == cborNull || c == cborUndef {
			r.b = r.b[1:]
			if v.Kind() != reflect.Struct {
				v.SetZero()
			}
			return nil
		}
		major, arg, err := r.head()
		if err != nil {
			return err
		}
		switch major {
		case cborTag:
			if err := r.enter(); err != nil { // tags on tags nest, too
				return err
			}
			defer r.leave()
			tag = arg
			continue
		case cborMap:
			if err := r.enter(); err != nil {
				return err
			}
			defer r.leave()
			switch s.Kind {
			case api.Structure, api.Union:
				return r.structure(s, settle(v), arg)
			case api.Map:
				return r.mapping(s, v, arg)
			}
			return serialization("Start of structure or map found where not expected.")
		case cborArray:
			if s.Kind != api.List {
				return serialization("Start of list found where not expected")
			}
			if err := r.enter(); err != nil {
				return err
			}
			defer r.leave()
			return r.list(s, v, arg)
		}
		return r.scalar(s, v, major, arg, tag)
	}
}

// more says whether a container goes on, and counts its item.
func (r *cborReader) more(left *uint64) (bool, error) {
	if *left == cborIndefinite {
		if len(r.b) == 0 {
			return false, errCBOR
		}
		if r.b[0] == cborBreak {
			r.b = r.b[1:]
			return false, nil
		}
		return true, nil
	}
	if *left == 0 {
		return false, nil
	}
	*left--
	return true, nil
}

func (r *cborReader) structure(s *api.Shape, v reflect.Value, n uint64) error {
	for {
		more, err := r.more(&n)
		if err != nil || !more {
			return err
		}
		name, err := r.name()
		if err != nil {
			return err
		}
		if i := s.Member(string(name)); i >= 0 && s.Members[i].Shape.Kind != api.EventStream {
			err = r.value(s.Members[i].Shape, v.Field(i))
		} else if utf8.Valid(name) {
			err = r.skip()
		} else {
			err = errCBOR
		}
		if err != nil {
			return err
		}
	}
}

func (r *cborReader) list(s *api.Shape, v reflect.Value, n uint64) error {
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	for {
		more, err := r.more(&n)
		if err != nil || !more {
			return err
		}
		if full(s, v.Len()) {
			if err := r.skip(); err != nil {
				return err
			}
			continue
		}
		if err := r.element(); err != nil {
			return err
		}
		if err := r.value(s.Elem, grow(v)); err != nil {
			return err
		}
	}
}

func (r *cborReader) mapping(s *api.Shape, v reflect.Value, n uint64) error {
	v.Set(reflect.MakeMap(v.Type()))
	for {
		more, err := r.more(&n)
		if err != nil || !more {
			return err
		}
		if err := r.element(); err != nil {
			return err
		}
		name, err := r.name()
		if err != nil {
			return err
		}
		if !utf8.Valid(name) {
			return errCBOR
		}
		key := reflect.ValueOf(string(name)).Convert(v.Type().Key())
		null := len(r.b) > 0 && (r.b[0] == cborNull || r.b[0] == cborUndef)
		elem := reflect.New(v.Type().Elem()).Elem()
		if err := r.value(s.Elem, elem); err != nil {
			return err
		}
		if !null && !full(s, v.Len()) {
			v.SetMapIndex(key, elem)
		}
	}
}

// name reads a key of a map. Whether it is UTF-8 is for the caller to see, where
// it is not the name of a member.
func (r *cborReader) name() ([]byte, error) {
	major, n, err := r.head()
	if err != nil {
		return nil, err
	}
	if major != cborText {
		return nil, errCBOR
	}
	return r.bytes(major, n)
}

// bytes reads the content of a string of either kind. It is not copied unless
// it comes in chunks.
func (r *cborReader) bytes(major byte, n uint64) ([]byte, error) {
	if n != cborIndefinite {
		if uint64(len(r.b)) < n {
			return nil, errCBOR
		}
		b := r.b[:n:n]
		r.b = r.b[n:]
		return b, nil
	}
	all := []byte{}
	for {
		if len(r.b) > 0 && r.b[0] == cborBreak {
			r.b = r.b[1:]
			return all, nil
		}
		m, n, err := r.head()
		if err != nil || m != major || n == cborIndefinite {
			return nil, errCBOR
		}
		chunk, err := r.bytes(m, n)
		if err != nil {
			return nil, err
		}
		all = append(all, chunk...)
	}
}

// float reads what follows the head of a simple value: a float, or nothing.
func (r *cborReader) float(low uint64) (f float64, ok bool, err error) {
	n := 0
	switch low {
	case 24: // a simple value of a byte
		if len(r.b) < 1 || r.b[0] < 32 {
			return 0, false, errCBOR
		}
		r.b = r.b[1:]
		return 0, false, nil
	case 25, 26, 27:
		n = 2 << (low - 25)
	case 28, 29, 30, 31:
		return 0, false, errCBOR
	default:
		return 0, false, nil
	}
	if len(r.b) < n {
		return 0, false, errCBOR
	}
	switch n {
	case 2:
		f = half(binary.BigEndian.Uint16(r.b))
	case 4:
		f = float64(math.Float32frombits(binary.BigEndian.Uint32(r.b)))
	case 8:
		f = math.Float64frombits(binary.BigEndian.Uint64(r.b))
	}
	r.b = r.b[n:]
	return f, true, nil
}

// half is the value of a float of 16 bits.
func half(h uint16) float64 {
	sign, exp, frac := 1.0, int(h>>10&31), float64(h&1023)
	if h>>15 != 0 {
		sign = -1
	}
	switch exp {
	case 0:
		return sign * math.Ldexp(frac, -24)
	case 31:
		if frac != 0 {
			return math.NaN()
		}
		return sign * math.Inf(1)
	}
	return sign * math.Ldexp(1024+frac, exp-25)
}

// scalar reads the rest of an item that is no container into v.
func (r *cborReader) scalar(s *api.Shape, v reflect.Value, major byte, arg, tag uint64) error {
	var content []byte
	var f float64
	isFloat := false
	var err error
	switch major {
	case cborBytes, cborText:
		content, err = r.bytes(major, arg)
	case cborSimple:
		f, isFloat, err = r.float(arg)
	}
	if err != nil {
		return err
	}
	bad := func() error {
		return serialization("%s can not be converted to %s", cborName(major, arg, isFloat), typeName(s))
	}
	isInt := major == cborUint || major == cborNegative
	if isInt {
		f = float64(arg)
		if major == cborNegative {
			f = -1 - f
		}
	}
	switch s.Kind {
	case api.List:
		return serialization("Expected list or null")
	case api.Map:
		return serialization("Expected map or null")
	case api.Structure, api.Union:
		return serialization("Expected null")
	case api.Blob:
		if major != cborBytes {
			return bad()
		}
		if content == nil {
			content = []byte{}
		}
		v.SetBytes(content)
	case api.String:
		if major != cborText || !utf8.Valid(content) {
			return bad()
		}
		settle(v).SetString(string(content))
	case api.Boolean:
		if major != cborSimple || arg != 20 && arg != 21 {
			return bad()
		}
		settle(v).SetBool(arg == 21)
	case api.Integer, api.Long:
		var n int64
		switch {
		case major == cborUint && arg <= math.MaxInt64:
			n = int64(arg)
		case major == cborNegative && arg <= math.MaxInt64:
			n = -1 - int64(arg)
		case isFloat && f == math.Trunc(f) && math.Abs(f) < 1<<63:
			n = int64(f)
		default:
			return bad()
		}
		if v = settle(v); v.OverflowInt(n) {
			return bad()
		}
		v.SetInt(n)
	case api.Float, api.Double:
		if !isInt && !isFloat {
			return bad()
		}
		settle(v).SetFloat(f)
	case api.Timestamp:
		read := secondsTime
		if r.millis {
			read = millisTime
		}
		t, ok := read(f)
		if !isInt && !isFloat || tag > 1 || !ok {
			return bad()
		}
		settle(v).Set(reflect.ValueOf(t))
	}
	return nil
}

func cborName(major byte, arg uint64, isFloat bool) string {
	switch {
	case major == cborText:
		return "STRING_VALUE"
	case major == cborBytes:
		return "BLOB_VALUE"
	case major == cborSimple && arg == 20:
		return "FALSE_VALUE"
	case major == cborSimple && arg == 21:
		return "TRUE_VALUE"
	case major == cborSimple && !isFloat:
		return "UNKNOWN_VALUE"
	}
	return "NUMBER_VALUE"
}

// skip passes over an item of any kind.
func (r *cborReader) skip() error {
	if err := r.enter(); err != nil {
		return err
	}
	defer r.leave()
	major, arg, err := r.head()
	if err != nil {
		return err
	}
	switch major {
	case cborBytes, cborText:
		b, err := r.bytes(major, arg)
		if err == nil && major == cborText && !utf8.Valid(b) {
			err = errCBOR
		}
		return err
	case cborArray, cborMap:
		for {
			more, err := r.more(&arg)
			if err != nil || !more {
				return err
			}
			if err := r.skip(); err != nil {
				return err
			}
			if major == cborMap {
				if err := r.skip(); err != nil {
					return err
				}
			}
		}
	case cborTag:
		return r.skip()
	case cborSimple:
		_, _, err := r.float(arg)
		return err
	}
	return nil
}
