package pattern

import (
	"bytes"
	"strconv"
	"strings"
)

// fields looks at messages as fields between spaces: what stands in brackets or in
// double quotes is one. Without an ellipsis a message has just as many.
type fields struct {
	list     []field
	ellipsis int // index in list before which fields may be that are not named; -1: none
}

type field struct {
	name      string    // may be empty
	condition condition // nil: none
}

func parseFields(text string, regexes *int) (*fields, error) {
	f := &fields{ellipsis: -1}
	p := &parser{lexer: lexer{text[1:]}, regexes: regexes, ends: ",]"}
	for {
		p.space()
		switch {
		case p.take("...") || p.take("…"):
			if f.ellipsis >= 0 {
				return nil, wrong("there can be one ellipsis")
			}
			f.ellipsis = len(f.list)
		default:
			fd, err := readField(p)
			if err != nil {
				return nil, err
			}
			f.list = append(f.list, fd)
		}
		if p.take(",") {
			continue
		}
		if !p.take("]") {
			return nil, wrong("a comma or ] is missing before %s", p.near())
		}
		break
	}
	if p.space(); p.rest != "" {
		return nil, wrong("%s is behind its end", p.near())
	}
	return f, nil
}

// readField reads a name, and conditions on it: status = 4* && status != 404.
func readField(p *parser) (fd field, err error) {
	name := func() string {
		p.space()
		n := 0
		for n < len(p.rest) && (isWord(rune(p.rest[n])) || strings.IndexByte("-.$", p.rest[n]) >= 0) {
			n++
		}
		s := p.rest[:n]
		p.rest = p.rest[n:]
		return s
	}
	p.read = func(p *parser) (selector, error) {
		n := name()
		switch {
		case n == "":
			n = fd.name
		case fd.name == "":
			fd.name = n
		case n != fd.name:
			return selector{}, wrong("a condition on %s where %s is", n, fd.name)
		}
		return selector{name: n}, nil
	}
	p.space()
	if !strings.HasPrefix(p.rest, "(") {
		fd.name = name()
		p.space()
		if strings.HasPrefix(p.rest, ",") || strings.HasPrefix(p.rest, "]") {
			return fd, nil
		}
		first, err := p.comparison(selector{name: fd.name})
		if err != nil {
			return fd, err
		}
		// What follows binds as if the first had been read in its place.
		fd.condition, err = p.following(first)
		return fd, err
	}
	fd.condition, err = p.condition()
	return fd, err
}

// following reads the rest of a condition whose first comparison has been read.
func (p *parser) following(first condition) (condition, error) {
	c := first
	var err error
	for err == nil && p.take("&&") {
		var d condition
		d, err = p.primary()
		c = both{c, d}
	}
	for err == nil && p.take("||") {
		var d condition
		d, err = p.conjunction()
		c = either{c, d}
	}
	return c, err
}

// split takes a message apart, into words behind out.
func split(out [][]byte, message []byte) [][]byte {
	rest := message
	for {
		rest = bytes.TrimLeft(rest, " \t\r\n")
		if len(rest) == 0 {
			return out
		}
		end := -1
		switch rest[0] {
		case '[':
			end = bytes.IndexByte(rest, ']')
		case '"':
			end = bytes.IndexByte(rest[1:], '"') + 1
		}
		if end > 0 {
			out = append(out, rest[1:end])
			rest = rest[end+1:]
			continue
		}
		if end = bytes.IndexFunc(rest, isSpace); end < 0 {
			end = len(rest)
		}
		out = append(out, rest[:end])
		rest = rest[end:]
	}
}

func isSpace(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' }

// place is which of n fields of a message the pattern's field i is; skip is how
// many of them the ellipsis stands for.
func (f *fields) place(i, skip int) int {
	if f.ellipsis >= 0 && i >= f.ellipsis {
		return i + skip
	}
	return i
}

func (f *fields) check(words [][]byte) (skip int, ok bool) {
	skip = len(words) - len(f.list)
	if skip < 0 || skip > 0 && f.ellipsis < 0 {
		return 0, false
	}
	for i := range f.list {
		c := f.list[i].condition
		if c == nil {
			continue
		}
		word := string(words[f.place(i, skip)])
		v := value{kind: text, text: word}
		if n, ok := parseNumber(word); ok {
			v.kind, v.num = number, n
		}
		if !c.holds(func(*selector) value { return v }) {
			return 0, false
		}
	}
	return skip, true
}

func (f *fields) match(message []byte) bool {
	var few [32][]byte
	_, ok := f.check(split(few[:0], message))
	return ok
}

func (f *fields) extract(message []byte) (map[string]string, bool) {
	words := split(nil, message)
	skip, ok := f.check(words)
	if !ok {
		return nil, false
	}
	values := make(map[string]string, len(words))
	for i, word := range words {
		values["$"+strconv.Itoa(i+1)] = string(word)
	}
	for i := range f.list {
		if name := f.list[i].name; name != "" {
			at := f.place(i, skip)
			delete(values, "$"+strconv.Itoa(at+1))
			values["$"+strings.TrimPrefix(name, "$")] = string(words[at])
		}
	}
	return values, true
}
