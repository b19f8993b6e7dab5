package wire

import (
	"encoding/xml"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/rheostream/rheo/internal/api"
)

// Query is AWS Query: the input is a form (Action, Version, and members with
// dotted names: Tags.member.1.Key), the output XML.
type Query struct{}

const queryType = "text/xml"

// Decode implements [Codec].
func (Query) Decode(op *api.Op, r *http.Request, body []byte, in any) error {
	root, nodes := &formNode{}, 0
	var failed error
	put := func(name, text string) bool {
		if name == "" || name == "Action" || name == "Version" {
			return true
		}
		made, ok := root.put(name, text)
		switch nodes += made; {
		case !ok:
			failed = serialization("Request is nested too deeply")
		case nodes > maxElements:
			failed = serialization("Request has too many elements")
		}
		return failed == nil
	}
	for _, form := range []string{string(body), r.URL.RawQuery} { // a GET has it all in the latter
		if !formParams(form, put) {
			return api.Errorf("MalformedQueryString", "The query string contains a syntax error")
		}
		if failed != nil {
			return failed
		}
	}
	return root.structure(op.Input, reflect.ValueOf(in).Elem())
}

// A formNode is a form's parameters as the tree that their dots make of them.
type formNode struct {
	text     string
	set      bool // text was given
	children map[string]*formNode
}

// put puts a parameter into the tree. The first of a name counts. It returns how
// many nodes it made, and false if the name has too many dots.
func (n *formNode) put(name, text string) (made int, ok bool) {
	for depth := 0; ; depth++ {
		if depth > 2*maxDepth {
			return made, false
		}
		first, rest, more := strings.Cut(name, ".")
		if n.children == nil {
			n.children = map[string]*formNode{}
		}
		child := n.children[first]
		if child == nil {
			child = &formNode{}
			n.children[first] = child
			made++
		}
		if n = child; !more {
			if !n.set {
				n.text, n.set = text, true
			}
			return made, true
		}
		name = rest
	}
}

func (n *formNode) structure(s *api.Shape, v reflect.Value) error {
	for i := range s.Members {
		m := &s.Members[i]
		child := n.children[m.Wire]
		if child == nil {
			continue
		}
		if err := child.value(m, m.Shape, v.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

func (n *formNode) value(m *api.Member, s *api.Shape, v reflect.Value) error {
	switch s.Kind {
	case api.Structure, api.Union:
		return n.structure(s, settle(v))
	case api.List:
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		for _, item := range n.items(flattened(m, s), or(s.ElemName, "member")) {
			if full(s, v.Len()) {
				break
			}
			if err := item.value(nil, s.Elem, grow(v)); err != nil {
				return err
			}
		}
		return nil
	case api.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, item := range n.items(flattened(m, s), "entry") {
			key := item.children[or(s.KeyName, "key")]
			value := item.children[or(s.ValueName, "value")]
			if key == nil || value == nil || full(s, v.Len()) {
				continue
			}
			elem := reflect.New(v.Type().Elem()).Elem()
			if err := value.value(nil, s.Elem, elem); err != nil {
				return err
			}
			v.SetMapIndex(reflect.ValueOf(key.text).Convert(v.Type().Key()), elem)
		}
		return nil
	}
	if !n.set {
		return nil
	}
	if s.Kind == api.Document {
		return serialization("Documents are not supported in forms")
	}
	return setText(s, v, n.text)
}

// items are the elements of a list or map by their number, wherever the client
// began to count; the name above the numbers may be missing or different.
func (n *formNode) items(flat bool, name string) []*formNode {
	at := n
	if !flat {
		if at = n.children[name]; at == nil {
			at = n.children["member"]
		}
		if at == nil {
			at = n
		}
	}
	type item struct {
		number int
		node   *formNode
	}
	var items []item
	for key, node := range at.children {
		if number, err := strconv.Atoi(key); err == nil {
			items = append(items, item{number, node})
		}
	}
	slices.SortFunc(items, func(a, b item) int { return a.number - b.number })
	nodes := make([]*formNode, len(items))
	for i := range items {
		nodes[i] = items[i].node
	}
	return nodes
}

func flattened(m *api.Member, s *api.Shape) bool { return s.Flattened || m != nil && m.Flattened }

func or(name, usual string) string {
	if name != "" {
		return name
	}
	return usual
}

// Encode implements [Codec]. The answer has no request id: AWS puts it into the
// body, and who knows it adds it with [QueryRequestID].
func (c Query) Encode(dst []byte, op *api.Op, out any) (Answer, error) {
	a := Answer{Status: op.Status, Header: header(queryType)}
	dst = append(dst, "<"+op.Name+"Response"...)
	if ns := op.Service.XMLNamespace; ns != "" {
		dst = append(appendEscaped(append(dst, ` xmlns="`...), ns), '"')
	}
	dst = append(dst, "><"+op.Name+"Result>"...)
	dst = c.appendValue(dst, op.Output, reflect.ValueOf(out).Elem())
	dst = append(dst, "</"+op.Name+"Result></"+op.Name+"Response>"...)
	a.Body = dst
	return a, nil
}

// QueryRequestID puts the request id into an answer's body that [Query] made.
func QueryRequestID(body []byte, id string) []byte {
	end := strings.LastIndex(string(body), "</")
	if end < 0 {
		return body
	}
	tail := string(body[end:])
	body = append(body[:end], "<ResponseMetadata><RequestId>"...)
	body = append(appendEscaped(body, id), "</RequestId></ResponseMetadata>"...)
	return append(body, tail...)
}

// EncodeError implements [Codec].
func (Query) EncodeError(dst []byte, op *api.Op, e *api.Error, requestID string) Answer {
	shape, status, _ := errorFacts(op, e)
	code := e.Code
	if shape != nil {
		code = shape.Error.Code
	}
	dst = append(dst, "<ErrorResponse"...)
	if op != nil && op.Service.XMLNamespace != "" {
		dst = append(appendEscaped(append(dst, ` xmlns="`...), op.Service.XMLNamespace), '"')
	}
	dst = append(dst, "><Error>"...)
	dst = appendElement(dst, "Type", fault(shape, status))
	dst = appendElement(dst, "Code", code)
	if e.Message != "" {
		dst = appendElement(dst, "Message", e.Message)
	}
	extra(shape, e, func(m *api.Member, v reflect.Value) { dst = appendXML(dst, m, m.Wire, m.Shape, v) })
	dst = append(dst, "</Error>"...)
	dst = appendElement(dst, "RequestId", requestID)
	return Answer{Status: status, Header: header(queryType), Body: append(dst, "</ErrorResponse>"...)}
}

// appendValue writes the members of a structure, without an element around them.
func (Query) appendValue(dst []byte, s *api.Shape, v reflect.Value) []byte {
	for i := range s.Members {
		if m := &s.Members[i]; !absent(m, v.Field(i)) {
			dst = appendXML(dst, m, m.Wire, m.Shape, v.Field(i))
		}
	}
	return dst
}

func (Query) contentType() string { return queryType }

// appendXML writes a value as the element (or elements) of that name.
func appendXML(dst []byte, m *api.Member, name string, s *api.Shape, v reflect.Value) []byte {
	v = indirect(v)
	open, end := "<"+name+">", "</"+name+">"
	switch s.Kind {
	case api.Structure, api.Union:
		return append(Query{}.appendValue(append(dst, open...), s, v), end...)
	case api.List:
		elem := or(s.ElemName, "member")
		flat := flattened(m, s)
		if flat {
			elem = name
		} else {
			dst = append(dst, open...)
		}
		for i := range v.Len() {
			dst = appendXML(dst, nil, elem, s.Elem, v.Index(i))
		}
		if !flat {
			dst = append(dst, end...)
		}
		return dst
	case api.Map:
		entry := "entry"
		flat := flattened(m, s)
		if flat {
			entry = name
		} else {
			dst = append(dst, open...)
		}
		for _, key := range sortedKeys(v) {
			dst = append(dst, "<"+entry+">"...)
			dst = appendElement(dst, or(s.KeyName, "key"), key.String())
			dst = appendXML(dst, nil, or(s.ValueName, "value"), s.Elem, v.MapIndex(key))
			dst = append(dst, "</"+entry+">"...)
		}
		if !flat {
			dst = append(dst, end...)
		}
		return dst
	}
	return appendElement(dst, name, text(s, v, timeFormat(m, s, api.ISO8601)))
}

func appendElement(dst []byte, name, text string) []byte {
	dst = append(dst, "<"+name+">"...)
	dst = appendEscaped(dst, text)
	return append(dst, "</"+name+">"...)
}

func appendEscaped(dst []byte, s string) []byte {
	w := (*appender)(&dst)
	xml.EscapeText(w, []byte(s)) // fails only if the writer does
	return dst
}

type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}
