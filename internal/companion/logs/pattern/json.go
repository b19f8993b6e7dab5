package pattern

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// A document pattern looks at messages that are a JSON object or array.
type document struct{ condition }

func parseJSON(text string, regexes *int) (*document, error) {
	p := &parser{lexer: lexer{text[1:]}, regexes: regexes, read: readPath, ends: "}"}
	c, err := p.condition()
	if err != nil {
		return nil, err
	}
	if !p.take("}") {
		return nil, wrong("} is missing before %s", p.near())
	}
	if p.space(); p.rest != "" {
		return nil, wrong("%s is behind its end", p.near())
	}
	return &document{c}, nil
}

// readPath reads a selector: $.name, $.name[0].other, $["any name"].
func readPath(p *parser) (selector, error) {
	p.space()
	from := p.rest
	if !p.take("$") {
		return selector{}, wrong("a selector begins with $, not with %s", p.near())
	}
	var s selector
	for {
		switch {
		case strings.HasPrefix(p.rest, "."):
			p.rest = p.rest[1:]
			n := 0
			for n < len(p.rest) && (isWord(rune(p.rest[n])) || p.rest[n] == '-' || p.rest[n] >= 0x80) {
				n++
			}
			if n == 0 && strings.HasPrefix(p.rest, "[") {
				continue // $.["name"]
			}
			if n == 0 {
				return s, wrong("a property's name is missing before %s", p.near())
			}
			s.path = append(s.path, step{p.rest[:n], -1})
			p.rest = p.rest[n:]
		case strings.HasPrefix(p.rest, "["):
			p.rest = p.rest[1:]
			st, err := readElement(p)
			if err != nil {
				return s, err
			}
			s.path = append(s.path, st)
		default:
			s.name = from[:len(from)-len(p.rest)]
			return s, nil
		}
	}
}

// readElement reads what stands in brackets, with the closing one.
func readElement(p *parser) (st step, err error) {
	switch {
	case strings.HasPrefix(p.rest, `"`):
		st.index = -1
		if st.name, err = p.quoted(); err != nil {
			return st, err
		}
	case strings.HasPrefix(p.rest, "'"):
		p.rest = p.rest[1:]
		st = step{p.until("'"), -1}
		p.take("'")
	default:
		digits := p.until("]")
		if st.index, err = strconv.Atoi(strings.TrimSpace(digits)); err != nil || st.index < 0 {
			return st, wrong("%q is no index of an array", digits)
		}
	}
	if !p.take("]") {
		return st, wrong("] is missing before %s", p.near())
	}
	return st, nil
}

func parseDocument(message []byte) (any, bool) {
	message = bytes.TrimSpace(message)
	if len(message) == 0 || message[0] != '{' && message[0] != '[' {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(message))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil, false
	}
	return v, d.InputOffset() == int64(len(message))
}

// lookup finds a value in a document.
func lookup(doc any, s selector) value {
	for _, st := range s.path {
		ok := false
		if st.index < 0 {
			var object map[string]any
			if object, ok = doc.(map[string]any); ok {
				doc, ok = object[st.name]
			}
		} else {
			var array []any
			if array, ok = doc.([]any); ok {
				if ok = st.index < len(array); ok {
					doc = array[st.index]
				}
			}
		}
		if !ok {
			return value{}
		}
	}
	switch v := doc.(type) {
	case nil:
		return value{kind: null, text: "null"}
	case bool:
		return value{kind: boolean, text: strconv.FormatBool(v)}
	case string:
		return value{kind: text, text: v}
	case json.Number:
		f, _ := v.Float64()
		return value{kind: number, text: v.String(), num: f}
	}
	return value{kind: composite}
}

func (d *document) match(message []byte) bool {
	doc, ok := parseDocument(message)
	return ok && d.holds(func(s selector) value { return lookup(doc, s) })
}

func (d *document) extract(message []byte) (map[string]string, bool) {
	doc, ok := parseDocument(message)
	if !ok || !d.holds(func(s selector) value { return lookup(doc, s) }) {
		return nil, false
	}
	values := map[string]string{}
	d.selectors(func(s selector) {
		switch v := lookup(doc, s); v.kind {
		case text, number, boolean, null:
			values[s.name] = v.text
		}
	})
	return values, true
}
