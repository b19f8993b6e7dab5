package wire

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/rheostream/rheo/internal/api"
)

// RESTJSON is AWS REST-JSON: the operation is a method and a path; members stand
// in the path, the query, headers and a JSON body, or one member is the body.
type RESTJSON struct{}

const restJSONType = "application/json"

// MatchURI matches an escaped path against an operation's URI (of which a query
// is left out), and returns the values of its labels, unescaped. A label {name+}
// takes the rest of the path.
func MatchURI(uri, path string) (labels map[string]string, ok bool) {
	uri, _, _ = strings.Cut(uri, "?")
	labels = map[string]string{}
	for uri != "" {
		var want, have string
		want, uri = segment(uri)
		name, isLabel := strings.CutPrefix(want, "{")
		if !isLabel {
			have, path = segment(path)
			if plain, err := url.PathUnescape(have); err != nil || plain != want {
				return nil, false
			}
			continue
		}
		name = strings.TrimSuffix(name, "}")
		if greedy, is := strings.CutSuffix(name, "+"); is {
			name = greedy
			// What stands behind the label in the URI stands at the end of the path.
			have, path = strings.TrimPrefix(path, "/"), ""
			if uri != "" {
				n := strings.Count(uri, "/")
				cut := len(have)
				for ; n > 0; n-- {
					if cut = strings.LastIndexByte(have[:max(cut, 0)], '/'); cut < 0 {
						return nil, false
					}
				}
				have, path = have[:cut], have[cut:]
			}
		} else {
			have, path = segment(path)
		}
		value, err := url.PathUnescape(have)
		if err != nil || value == "" {
			return nil, false
		}
		labels[name] = value
	}
	return labels, path == "" || path == "/"
}

// segment cuts the first segment off a path.
func segment(path string) (first, rest string) {
	path = strings.TrimPrefix(path, "/")
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}

// Decode implements [Codec]. A streaming payload is left to the caller's body.
func (RESTJSON) Decode(op *api.Op, r *http.Request, body []byte, in any) error {
	v := reflect.ValueOf(in).Elem()
	s := op.Input
	if s.Payload > 0 {
		if err := decodePayload(s.Members[s.Payload-1].Shape, v.Field(s.Payload-1), body); err != nil {
			return err
		}
	} else if hasBody(s) {
		if err := decodeJSON(s, body, v); err != nil {
			return err
		}
	}
	labels, ok := MatchURI(op.URI, r.URL.EscapedPath())
	if !ok {
		return serialization("The request's path does not match the operation")
	}
	query, err := url.ParseQuery(strings.ReplaceAll(r.URL.RawQuery, ";", "%3B"))
	if err != nil {
		return serialization("The request's query can not be parsed")
	}
	for i := range s.Members {
		m, f := &s.Members[i], v.Field(i)
		if m.Location == api.Body {
			continue
		}
		f.SetZero() // a body must not set what stands elsewhere
		switch m.Location {
		case api.URI:
			if text, ok := labels[m.Wire]; ok {
				err = setText(m.Shape, f, text)
			}
		case api.QueryString:
			err = setQuery(m, f, query)
		case api.Header:
			if values, ok := r.Header[http.CanonicalHeaderKey(m.Wire)]; ok {
				err = setHeader(m, f, strings.Join(values, ", "))
			}
		case api.Headers:
			err = setHeaders(m, f, r.Header)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func hasBody(s *api.Shape) bool {
	for i := range s.Members {
		if s.Members[i].Location == api.Body {
			return true
		}
	}
	return false
}

func decodePayload(s *api.Shape, f reflect.Value, body []byte) error {
	switch {
	case s.Streaming:
		f.Set(reflect.ValueOf(bytes.NewReader(body)))
	case s.Kind == api.Blob:
		if len(body) > 0 {
			f.SetBytes(body)
		}
	case s.Kind == api.String:
		if len(body) > 0 {
			settle(f).SetString(string(body))
		}
	default:
		return decodeJSON(s, body, f)
	}
	return nil
}

// setQuery sets a member from the parameters that have its name. A map takes all.
func setQuery(m *api.Member, f reflect.Value, query url.Values) error {
	switch m.Shape.Kind {
	case api.Map:
		for name, values := range query {
			if f.IsNil() {
				f.Set(reflect.MakeMap(f.Type()))
			}
			elem := reflect.New(f.Type().Elem()).Elem()
			if m.Shape.Elem.Kind == api.List {
				if err := setTexts(m.Shape.Elem, elem, values); err != nil {
					return err
				}
			} else if err := setText(m.Shape.Elem, elem, values[0]); err != nil {
				return err
			}
			f.SetMapIndex(reflect.ValueOf(name).Convert(f.Type().Key()), elem)
		}
		return nil
	case api.List:
		return setTexts(m.Shape, f, query[m.Wire])
	}
	if values := query[m.Wire]; len(values) > 0 {
		return setText(m.Shape, f, values[0])
	}
	return nil
}

func setTexts(list *api.Shape, f reflect.Value, values []string) error {
	for _, text := range values {
		if f.IsNil() {
			f.Set(reflect.MakeSlice(f.Type(), 0, len(values)))
		}
		if err := setText(list.Elem, grow(f), text); err != nil {
			return err
		}
	}
	return nil
}

func setHeader(m *api.Member, f reflect.Value, value string) error {
	if m.Shape.Kind == api.List {
		f.Set(reflect.MakeSlice(f.Type(), 0, 0))
		return setTexts(m.Shape, f, splitHeader(m.Shape.Elem, value))
	}
	return setText(m.Shape, f, value)
}

func setHeaders(m *api.Member, f reflect.Value, h http.Header) error {
	for name, values := range h {
		if len(name) <= len(m.Wire) || !strings.EqualFold(name[:len(m.Wire)], m.Wire) {
			continue
		}
		if f.IsNil() {
			f.Set(reflect.MakeMap(f.Type()))
		}
		elem := reflect.New(f.Type().Elem()).Elem()
		if err := setText(m.Shape.Elem, elem, strings.Join(values, ", ")); err != nil {
			return err
		}
		key := strings.ToLower(name[len(m.Wire):])
		f.SetMapIndex(reflect.ValueOf(key).Convert(f.Type().Key()), elem)
	}
	return nil
}

// splitHeader takes a header's list apart: by commas outside of quotes, and for
// dates, which have a comma of their own, by every second.
func splitHeader(elem *api.Shape, value string) []string {
	var list []string
	var item strings.Builder
	quoted, commas := false, 0
	flush := func() {
		list = append(list, strings.TrimSpace(item.String()))
		item.Reset()
		commas = 0
	}
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\' && i+1 < len(value):
			i++
			item.WriteByte(value[i])
		case c == ',' && !quoted:
			commas++
			if elem.Kind == api.Timestamp && commas == 1 && strings.TrimLeft(item.String(), " 0123456789.-:TZ") != "" {
				item.WriteByte(c)
				continue
			}
			flush()
		default:
			item.WriteByte(c)
		}
	}
	if item.Len() > 0 || len(list) > 0 {
		flush()
	}
	return list
}

// Encode implements [Codec].
func (c RESTJSON) Encode(dst []byte, op *api.Op, out any) (Answer, error) {
	a := Answer{Status: op.Status, Header: http.Header{}}
	v := reflect.ValueOf(out).Elem()
	s := op.Output
	for i := range s.Members {
		m, f := &s.Members[i], v.Field(i)
		if f.Kind() == reflect.Pointer && f.IsNil() {
			continue
		}
		if m.Location == api.StatusCode {
			a.Status = int(indirect(f).Int())
		} else {
			putHeader(a.Header, m, f)
		}
	}
	if a.Events = events(op, v); a.Events != nil {
		a.Header.Set("Content-Type", eventStreamType)
		return a, nil
	}
	if s.Payload == 0 {
		a.Header.Set("Content-Type", restJSONType)
		a.Body = appendBody(dst, s, v)
		return a, nil
	}
	m, f := &s.Members[s.Payload-1], v.Field(s.Payload-1)
	usual := restJSONType
	switch {
	case f.Kind() == reflect.Pointer && f.IsNil(), f.Kind() == reflect.Interface && f.IsNil():
		return a, nil
	case m.Shape.Streaming:
		usual = "application/octet-stream"
		a.Stream = f.Interface().(io.Reader)
	case m.Shape.Kind == api.Blob:
		if usual = "application/octet-stream"; op.Service.Name == "lambda" { // what functions answer is JSON
			usual = restJSONType
		}
		a.Body = append(dst, f.Bytes()...)
	case m.Shape.Kind == api.String:
		usual = "text/plain"
		a.Body = append(dst, indirect(f).String()...)
	default:
		a.Body = appendJSON(dst, m, m.Shape, f)
	}
	if a.Header.Get("Content-Type") == "" {
		a.Header.Set("Content-Type", usual)
	}
	return a, nil
}

// appendBody writes the members of an output whose place is the body.
func appendBody(dst []byte, s *api.Shape, v reflect.Value) []byte {
	dst = append(dst, '{')
	for i := range s.Members {
		m := &s.Members[i]
		if m.Location != api.Body || absent(m, v.Field(i)) {
			continue
		}
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, m.Wire), ':')
		dst = appendJSON(dst, m, m.Shape, v.Field(i))
	}
	return append(dst, '}')
}

// putHeader writes a member whose place is a header.
func putHeader(h http.Header, m *api.Member, f reflect.Value) {
	switch m.Location {
	case api.Header:
		if m.Shape.Kind != api.List {
			if f.Kind() == reflect.String && f.Len() == 0 {
				return
			}
			h.Set(m.Wire, headerText(text(m.Shape, f, timeFormat(m, m.Shape, api.RFC822))))
			return
		}
		list := make([]string, f.Len())
		for i := range list {
			list[i] = text(m.Shape.Elem, f.Index(i), timeFormat(m, m.Shape.Elem, api.RFC822))
			if m.Shape.Elem.Kind == api.String && strings.ContainsAny(list[i], `",`) {
				list[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(list[i]) + `"`
			}
		}
		if len(list) > 0 {
			h.Set(m.Wire, headerText(strings.Join(list, ", ")))
		}
	case api.Headers:
		for _, key := range sortedKeys(f) {
			h.Set(m.Wire+key.String(), headerText(text(m.Shape.Elem, f.MapIndex(key), api.RFC822)))
		}
	}
}

// headerText keeps a value from ending its header.
func headerText(s string) string {
	return strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ").Replace(s)
}

// EncodeError implements [Codec].
func (RESTJSON) EncodeError(dst []byte, op *api.Op, e *api.Error, _ string) Answer {
	shape, status, message := errorFacts(op, e)
	a := Answer{Status: status, Header: header(restJSONType)}
	a.Header.Set("X-Amzn-ErrorType", e.Code)
	extra(shape, e, func(m *api.Member, v reflect.Value) { putHeader(a.Header, m, v) })
	a.Body = append(appendErrorMembers(append(dst, '{'), shape, e, message), '}')
	return a
}

func (RESTJSON) appendValue(dst []byte, s *api.Shape, v reflect.Value) []byte {
	return appendJSON(dst, nil, s, v)
}

func (RESTJSON) contentType() string { return restJSONType }
