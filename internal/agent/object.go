package agent

import (
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// A layout is how an object is written: on one line, or as Jackson, which the Kinesis
// Agent uses, indents it.
type layout bool

const (
	compactLayout layout = false
	prettyLayout  layout = true
)

var null = jsontext.Value("null")

// An object is JSON that grows member by member, in order; a name that comes twice
// has its last value, in its first place.
type object struct {
	layout  layout
	members []member
}

func (o *object) raw(name string, v jsontext.Value) {
	for i := range o.members {
		if o.members[i].name == name {
			o.members[i].raw = v
			return
		}
	}
	o.members = append(o.members, member{name, value{raw: v}})
}

func (o *object) text(name, s string) { o.raw(name, appendText(nil, s)) }

// line is the object and a line feed.
func (o *object) line() []byte {
	return append(appendObject(nil, o.members, o.layout, 0), '\n')
}

func appendObject(dst []byte, members []member, l layout, depth int) []byte {
	if len(members) == 0 && l == prettyLayout {
		return append(dst, "{ }"...)
	}
	dst = append(dst, '{')
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = indent(dst, l, depth+1)
		dst = appendText(dst, m.name)
		if l == prettyLayout {
			dst = append(dst, " : "...)
		} else {
			dst = append(dst, ':')
		}
		dst = appendValue(dst, m.value, l, depth+1)
	}
	return append(indent(dst, l, depth), '}')
}

func indent(dst []byte, l layout, depth int) []byte {
	if l == prettyLayout {
		dst = append(dst, '\n')
		for range depth {
			dst = append(dst, "  "...)
		}
	}
	return dst
}

func appendValue(dst []byte, v value, l layout, depth int) []byte {
	switch v.raw.Kind() {
	case '"':
		if s, err := v.text(); err == nil {
			return appendText(dst, s)
		}
	case '{':
		if members, err := v.members(); err == nil {
			return appendObject(dst, members, l, depth)
		}
	case '[':
		if items, err := v.list(); err == nil {
			open, between, shut := "[", ",", "]"
			if l == prettyLayout {
				open, between, shut = "[ ", ", ", " ]"
				if len(items) == 0 {
					shut = "]"
				}
			}
			dst = append(dst, open...)
			for i, item := range items {
				if i > 0 {
					dst = append(dst, between...)
				}
				dst = appendValue(dst, item, l, depth)
			}
			return append(dst, shut...)
		}
	}
	return append(dst, v.raw...)
}

// appendText writes s as JSON with the escapes that must be, and no others.
func appendText(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= ' ' && c < utf8.RuneSelf:
			dst = append(dst, c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\b':
			dst = append(dst, '\\', 'b')
		case c == '\f':
			dst = append(dst, '\\', 'f')
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r) // U+FFFD for what is no UTF-8
			i += n - 1
		}
	}
	return append(dst, '"')
}
