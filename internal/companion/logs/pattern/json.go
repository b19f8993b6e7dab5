package pattern

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// A document pattern looks at messages that are a JSON object or array.
type document struct {
	condition
	list []selector // of the condition, by their ids
}

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
	doc := &document{condition: c}
	c.selectors(func(s *selector) {
		s.id = len(doc.list)
		doc.list = append(doc.list, *s)
	})
	return doc, nil
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

// A search of a document for the values of a pattern's selectors; what none of them
// leads to is passed over.
type finder struct {
	decoder   jsontext.Decoder
	message   bytes.Buffer
	selectors []selector
	values    []value // of each selector
}

var finders = sync.Pool{New: func() any { return new(finder) }}

// find gives the values of the pattern's selectors in a message, if that is an
// object or an array.
func (d *document) find(message []byte) (*finder, bool) {
	message = bytes.TrimSpace(message)
	if len(message) == 0 || message[0] != '{' && message[0] != '[' {
		return nil, false
	}
	f := finders.Get().(*finder)
	f.message = *bytes.NewBuffer(message)
	f.decoder.Reset(&f.message, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	f.selectors = d.list
	f.values = slices.Grow(f.values[:0], len(d.list))[:len(d.list)]
	clear(f.values)
	all := make([]int, len(d.list))
	for i := range all {
		all[i] = i
	}
	if f.walk(0, all) != nil {
		f.release()
		return nil, false
	}
	if _, err := f.decoder.ReadToken(); err != io.EOF {
		f.release()
		return nil, false
	}
	return f, true
}

func (f *finder) release() {
	f.message = bytes.Buffer{}
	clear(f.values)
	finders.Put(f)
}

// walk reads the next value, at a depth to which some selectors lead.
func (f *finder) walk(depth int, active []int) error {
	d := &f.decoder
	switch kind := d.PeekKind(); kind {
	case '{', '[':
		if _, err := d.ReadToken(); err != nil {
			return err
		}
		deeper := 0
		for _, i := range active {
			if f.values[i] = (value{}); len(f.selectors[i].path) == depth {
				f.values[i].kind = composite
			} else {
				deeper++
			}
		}
		next := make([]int, 0, deeper)
		for n := 0; d.PeekKind() != '}' && d.PeekKind() != ']'; n++ {
			var name []byte
			if kind == '{' {
				raw, err := d.ReadValue()
				if err != nil {
					return err
				}
				if name = raw[1 : len(raw)-1]; bytes.IndexByte(name, '\\') >= 0 {
					if name, err = jsontext.AppendUnquote(nil, raw); err != nil {
						return err
					}
				}
			}
			next = next[:0]
			for _, i := range active {
				if path := f.selectors[i].path; len(path) > depth && path[depth].leadsTo(name, n, kind == '{') {
					next = append(next, i)
				}
			}
			var err error
			if len(next) == 0 {
				err = d.SkipValue()
			} else {
				err = f.walk(depth+1, next)
			}
			if err != nil {
				return err
			}
		}
		_, err := d.ReadToken()
		return err
	default:
		t, err := d.ReadToken()
		if err != nil {
			return err
		}
		v := value{text: t.String()}
		switch kind {
		case 'n':
			v.kind = null
		case 't', 'f':
			v.kind = boolean
		case '"':
			v.kind = text
		case '0':
			v.kind = number
			v.num, _ = strconv.ParseFloat(v.text, 64)
		}
		for _, i := range active {
			if f.values[i] = (value{}); len(f.selectors[i].path) == depth {
				f.values[i] = v
			}
		}
		return nil
	}
}

func (st *step) leadsTo(name []byte, n int, inObject bool) bool {
	if inObject {
		return st.index < 0 && st.name == string(name)
	}
	return st.index == n
}

func (f *finder) lookup(s *selector) value { return f.values[s.id] }

func (d *document) match(message []byte) bool {
	f, ok := d.find(message)
	if !ok {
		return false
	}
	defer f.release()
	return d.holds(f.lookup)
}

func (d *document) extract(message []byte) (map[string]string, bool) {
	f, ok := d.find(message)
	if !ok {
		return nil, false
	}
	defer f.release()
	if !d.holds(f.lookup) {
		return nil, false
	}
	values := map[string]string{}
	for i, s := range d.list {
		switch v := f.values[i]; v.kind {
		case text, number, boolean, null:
			values[s.name] = v.text
		}
	}
	return values, true
}
