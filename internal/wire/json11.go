package wire

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rheostream/rheo/internal/api"
)

// JSON is AWS JSON 1.0 and 1.1: the operation's name is in a header, input and
// output are the body. Timestamps are seconds with a fraction, blobs base64.
type JSON struct {
	Version string // "1.0" or "1.1"
}

// Decode implements [Codec]. No body and null are no structure, and AWS takes no
// less than {}; but for an operation without input SDKs send nothing.
func (c JSON) Decode(op *api.Op, _ *http.Request, body []byte, in any) error {
	if fastDecodeJSON(body, in) {
		return nil
	}
	if t := bytes.TrimSpace(body); string(t) == "null" || len(t) == 0 && len(op.Input.Members) > 0 {
		return serialization("")
	}
	return decodeJSON(op.Input, body, reflect.ValueOf(in).Elem())
}

// Encode implements [Codec].
func (c JSON) Encode(dst []byte, op *api.Op, out any) (Answer, error) {
	a := Answer{Status: op.Status, Header: header(c.contentType())}
	v := reflect.ValueOf(out).Elem()
	if a.Events = events(op, v); a.Events != nil {
		a.Header = header(eventStreamType)
		return a, nil
	}
	a.Body = c.appendValue(dst, op.Output, v)
	return a, nil
}

// EncodeError implements [Codec].
func (c JSON) EncodeError(dst []byte, op *api.Op, e *api.Error, _ string) Answer {
	shape, status, message := errorFacts(op, e)
	a := Answer{Status: status, Header: header(c.contentType())}
	a.Status = queryError(a.Header, op, shape, e, status)
	dst = append(dst, `{"__type":`...)
	dst = appendQuoted(dst, e.Code)
	a.Body = append(appendErrorMembers(dst, shape, e, message), '}')
	return a
}

// appendErrorMembers writes the message and the further members, each after a
// comma if something stands before it.
func appendErrorMembers(dst []byte, shape *api.Shape, e *api.Error, message string) []byte {
	name := func(wire string) {
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, wire), ':')
	}
	if e.Message != "" {
		name(message)
		dst = appendQuoted(dst, e.Message)
	}
	extra(shape, e, func(m *api.Member, v reflect.Value) {
		if m.Location == api.Body {
			name(m.Wire)
			dst = appendJSON(dst, m, m.Shape, v)
		}
	})
	return dst
}

func (c JSON) appendValue(dst []byte, s *api.Shape, v reflect.Value) []byte {
	if v.CanAddr() {
		if dst, ok := fastEncodeJSON(dst, v.Addr().Interface()); ok {
			return dst
		}
	}
	return appendJSON(dst, nil, s, v)
}

func (c JSON) contentType() string { return "application/x-amz-json-" + c.Version }

// A jsonReader reads values by their shapes. Names may be doubled (the last one
// counts), as AWS has it. Text must be Unicode: what is not UTF-8, or half a pair
// of surrogates, could only be stored as something else than what was sent.
type jsonReader struct {
	*jsontext.Decoder
	bounds
}

func decodeJSON(s *api.Shape, body []byte, v reflect.Value) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	r := &jsonReader{Decoder: jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true))}
	err := r.value(s, v)
	if err == nil {
		if _, err = r.ReadToken(); err == io.EOF {
			return nil
		}
	}
	var e *api.Error
	if errors.As(err, &e) {
		return e
	}
	return serialization("") // malformed: AWS says no more
}

// value reads one value into v, which is a field, an element or a structure.
func (r *jsonReader) value(s *api.Shape, v reflect.Value) error {
	kind := r.PeekKind()
	if kind == 'n' {
		if v.Kind() != reflect.Struct { // an absent member, also if it came before
			v.SetZero()
		}
		return r.SkipValue()
	}
	if s.Kind == api.Document {
		return r.document(v)
	}
	switch kind {
	case '{':
		if err := r.enter(); err != nil {
			return err
		}
		defer r.leave()
		switch s.Kind {
		case api.Structure, api.Union:
			return r.structure(s, settle(v))
		case api.Map:
			return r.mapping(s, v)
		}
		return serialization("Start of structure or map found where not expected.")
	case '[':
		if s.Kind != api.List {
			return serialization("Start of list found where not expected")
		}
		if err := r.enter(); err != nil {
			return err
		}
		defer r.leave()
		return r.list(s, v)
	case '"', '0', 't', 'f':
		if kind == '"' && s.Kind == api.Blob {
			return r.blob(v)
		}
		t, err := r.ReadToken()
		if err != nil {
			return err
		}
		return r.scalar(s, v, kind, t)
	}
	_, err := r.ReadToken() // tells what is wrong
	return err
}

func (r *jsonReader) structure(s *api.Shape, v reflect.Value) error {
	if _, err := r.ReadToken(); err != nil {
		return err
	}
	for r.PeekKind() != '}' {
		t, err := r.ReadToken()
		if err != nil {
			return err
		}
		if i := s.Member(t.String()); i >= 0 && s.Members[i].Shape.Kind != api.EventStream {
			err = r.value(s.Members[i].Shape, v.Field(i))
		} else {
			err = r.skip()
		}
		if err != nil {
			return err
		}
	}
	_, err := r.ReadToken()
	return err
}

func (r *jsonReader) list(s *api.Shape, v reflect.Value) error {
	if _, err := r.ReadToken(); err != nil {
		return err
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	for r.PeekKind() != ']' {
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
	_, err := r.ReadToken()
	return err
}

func (r *jsonReader) mapping(s *api.Shape, v reflect.Value) error {
	if _, err := r.ReadToken(); err != nil {
		return err
	}
	v.Set(reflect.MakeMap(v.Type()))
	for r.PeekKind() != '}' {
		t, err := r.ReadToken()
		if err != nil {
			return err
		}
		if err := r.element(); err != nil {
			return err
		}
		key := reflect.ValueOf(t.String()).Convert(v.Type().Key())
		null := r.PeekKind() == 'n'
		elem := reflect.New(v.Type().Elem()).Elem()
		if err := r.value(s.Elem, elem); err != nil {
			return err
		}
		if !null && !full(s, v.Len()) {
			v.SetMapIndex(key, elem)
		}
	}
	_, err := r.ReadToken()
	return err
}

// skip passes over a value that nobody asked for.
func (r *jsonReader) skip() error {
	if r.StackDepth() > maxDepth {
		return serialization("Request is nested too deeply")
	}
	return r.SkipValue() // itself bounded in depth, and makes nothing
}

// blob decodes a string where it stands: it may be most of the body.
func (r *jsonReader) blob(v reflect.Value) error {
	quoted, err := r.ReadValue()
	if err != nil {
		return err
	}
	text := []byte(quoted[1 : len(quoted)-1])
	if bytes.IndexByte(text, '\\') >= 0 {
		if text, err = jsontext.AppendUnquote(nil, quoted); err != nil {
			return err
		}
	}
	b, err := decodeBase64(text)
	if err == nil {
		v.SetBytes(b)
	}
	return err
}

var tokenNames = map[jsontext.Kind]string{'"': "STRING_VALUE", '0': "NUMBER_VALUE", 't': "TRUE_VALUE", 'f': "FALSE_VALUE"}

func (r *jsonReader) scalar(s *api.Shape, v reflect.Value, kind jsontext.Kind, t jsontext.Token) error {
	bad := serialization("%s can not be converted to %s", tokenNames[kind], typeName(s))
	switch s.Kind {
	case api.List:
		return serialization("Expected list or null")
	case api.Map:
		return serialization("Expected map or null")
	case api.Structure, api.Union:
		return serialization("Expected null")
	case api.Blob:
		return bad
	case api.String:
		if kind != '"' {
			return bad
		}
		settle(v).SetString(t.String())
	case api.Boolean:
		if kind == '"' {
			return serialization("'%s' can not be converted to a Boolean", clip(t.String()))
		}
		if kind == '0' {
			return bad
		}
		settle(v).SetBool(kind == 't')
	case api.Integer, api.Long:
		n, ok := integer(kind, t.String())
		v = settle(v)
		if !ok || v.OverflowInt(n) {
			return bad
		}
		v.SetInt(n)
	case api.Float, api.Double:
		f, ok := float(kind, t.String())
		if !ok {
			return bad
		}
		settle(v).SetFloat(f)
	case api.Timestamp:
		if kind != '"' && kind != '0' {
			return bad
		}
		tm, ok := parseTime(t.String())
		if !ok {
			return bad
		}
		settle(v).Set(reflect.ValueOf(tm))
	}
	return nil
}

// integer reads a number, without its fraction if it has one.
func integer(kind jsontext.Kind, text string) (int64, bool) {
	if kind != '0' {
		return 0, false
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.Abs(f) >= 1<<63 {
		return 0, false
	}
	return int64(f), true
}

// float reads a number, or the strings for those that JSON has none for.
func float(kind jsontext.Kind, text string) (float64, bool) {
	switch {
	case kind == '0':
		f, err := strconv.ParseFloat(text, 64)
		return f, err == nil
	case kind == '"' && text == "NaN":
		return math.NaN(), true
	case kind == '"' && text == "Infinity":
		return math.Inf(1), true
	case kind == '"' && text == "-Infinity":
		return math.Inf(-1), true
	}
	return 0, false
}

// document reads a value without a model.
func (r *jsonReader) document(v reflect.Value) error {
	text, err := r.ReadValue()
	if err != nil {
		return err
	}
	var d any
	if err := json.Unmarshal(text, &d, jsontext.AllowDuplicateNames(true)); err != nil {
		return err
	}
	if d != nil {
		v.Set(reflect.ValueOf(d))
	}
	return nil
}

func appendQuoted(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s) // bad UTF-8 is replaced
	return dst
}

// appendJSON writes a value of shape s; m is the member it is of, if it is one.
func appendJSON(dst []byte, m *api.Member, s *api.Shape, v reflect.Value) []byte {
	v = indirect(v)
	switch s.Kind {
	case api.Structure, api.Union:
		dst = append(dst, '{')
		first := true
		for i := range s.Members {
			m := &s.Members[i]
			f := v.Field(i)
			if m.Shape.Kind == api.EventStream || absent(m, f) {
				continue
			}
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(appendQuoted(dst, m.Wire), ':')
			dst = appendJSON(dst, m, m.Shape, f)
		}
		return append(dst, '}')
	case api.List:
		dst = append(dst, '[')
		for i := range v.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, nil, s.Elem, v.Index(i))
		}
		return append(dst, ']')
	case api.Map:
		dst = append(dst, '{')
		for i, key := range sortedKeys(v) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendQuoted(dst, key.String()), ':')
			dst = appendJSON(dst, nil, s.Elem, v.MapIndex(key))
		}
		return append(dst, '}')
	case api.String:
		return appendQuoted(dst, v.String())
	case api.Integer, api.Long:
		return strconv.AppendInt(dst, v.Int(), 10)
	case api.Float, api.Double:
		t := formatFloat(v.Float(), v.Type().Bits())
		if c := t[len(t)-1]; c == 'N' || c == 'y' {
			return append(append(append(dst, '"'), t...), '"')
		}
		return append(dst, t...)
	case api.Boolean:
		return strconv.AppendBool(dst, v.Bool())
	case api.Timestamp:
		f := timeFormat(m, s, api.UnixTime)
		if f == api.UnixTime {
			return appendSeconds(dst, v.Interface().(time.Time))
		}
		return append(appendTime(append(dst, '"'), v.Interface().(time.Time), f), '"')
	case api.Blob:
		dst = append(dst, '"')
		dst = appendBase64(dst, v.Bytes())
		return append(dst, '"')
	case api.Document:
		b, err := json.Marshal(v.Interface(), json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
		if err != nil {
			return append(dst, "null"...)
		}
		return append(dst, b...)
	}
	return append(dst, "null"...)
}

func sortedKeys(m reflect.Value) []reflect.Value {
	keys := m.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	return keys
}
