package pattern

import (
	"bytes"
	"encoding/json"
	"iter"
	"unsafe"
)

// value is a value of an event. text is a string's characters or a number as it is
// written; raw is the JSON of an object or array. The zero value is absent.
type value struct {
	kind valueKind
	text string
	raw  []byte
}

type valueKind uint8

const (
	isAbsent valueKind = iota
	isString
	isNumber
	isTrue
	isFalse
	isNull
	isObject
	isArray
)

func text(s string) value { return value{kind: isString, text: s} }

// The functions below walk JSON that json.Valid has passed. They stay within
// raw whatever it is.

// parse looks at the value that is raw, without spaces around it.
func parse(raw []byte) value {
	if len(raw) == 0 {
		return value{}
	}
	switch raw[0] {
	case '{':
		return value{kind: isObject, raw: raw}
	case '[':
		return value{kind: isArray, raw: raw}
	case '"':
		return value{kind: isString, text: unquote(raw)}
	case 't':
		return value{kind: isTrue}
	case 'f':
		return value{kind: isFalse}
	case 'n':
		return value{kind: isNull}
	}
	return value{kind: isNumber, text: viewString(raw)}
}

// unquote gives the characters of a string in quotes; they alias it if there are no escapes.
func unquote(raw []byte) string {
	if len(raw) < 2 {
		return ""
	}
	if bytes.IndexByte(raw, '\\') >= 0 {
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return ""
		}
		return s
	}
	return viewString(raw[1 : len(raw)-1])
}

// viewString is good as long as raw is not written to: while a record is matched.
func viewString(raw []byte) string { return unsafe.String(unsafe.SliceData(raw), len(raw)) }

func skipSpace(raw []byte, i int) int {
	for i < len(raw) && (raw[i] == ' ' || raw[i] == '\t' || raw[i] == '\n' || raw[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the place after the string whose opening quote is at i.
func skipString(raw []byte, i int) int {
	from := i + 1
	for at := from; at <= len(raw); {
		n := bytes.IndexByte(raw[at:], '"')
		if n < 0 {
			break
		}
		at += n
		escapes := 0
		for escapes < at-from && raw[at-1-escapes] == '\\' {
			escapes++
		}
		if at++; escapes%2 == 0 {
			return at
		}
	}
	return len(raw)
}

// skipValue returns the place after the value that begins at i.
func skipValue(raw []byte, i int) int {
	depth := 0
	for i < len(raw) {
		switch raw[i] {
		case '"':
			i = skipString(raw, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
			i++
			continue
		default: // a number or a word, whose end is what follows it
			for i < len(raw) && !endsWord(raw[i]) {
				i++
			}
		}
		if depth <= 0 {
			return i
		}
	}
	return len(raw)
}

func endsWord(c byte) bool {
	switch c {
	case ',', ':', '}', ']', ' ', '\t', '\n', '\r', '"', '{', '[':
		return true
	}
	return false
}

// lookUp finds the members of the object raw that fields name. Of members of the same name the last counts.
func lookUp(raw []byte, fields []field, found *[fieldsMax][]byte) {
	i := skipSpace(raw, 1)
	for i < len(raw) && raw[i] == '"' {
		end := skipString(raw, i)
		name := unquote(raw[i:end])
		i = skipSpace(raw, end)
		i = skipSpace(raw, i+1) // the colon
		if i >= len(raw) {
			return
		}
		end = skipValue(raw, i)
		for f := range fields {
			if fields[f].name == name {
				found[f] = raw[i:end]
			}
		}
		i = skipSpace(raw, end)
		i = skipSpace(raw, i+1) // the comma
	}
}

// elements are the elements of the array raw.
func elements(raw []byte) iter.Seq[value] {
	return func(yield func(value) bool) {
		i := skipSpace(raw, 1)
		for i < len(raw) && raw[i] != ']' {
			end := skipValue(raw, i)
			if end <= i || !yield(parse(raw[i:end])) {
				return
			}
			i = skipSpace(raw, end)
			i = skipSpace(raw, i+1) // the comma
		}
	}
}
