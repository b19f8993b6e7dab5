package pattern

import (
	"strconv"
	"strings"
)

// A value is what a selector found in a message.
type value struct {
	kind valueKind
	text string  // of a text, a number and a boolean
	num  float64 // of a number, or of a text that is one where fields are compared
}

type valueKind uint8

const (
	missing valueKind = iota
	null
	text
	number
	boolean
	composite // an object or an array
)

// A condition is a tree of comparisons over what a lookup finds.
type condition interface {
	holds(lookup func(*selector) value) bool
	selectors(add func(*selector))
}

// A selector says where in a message a value is.
type selector struct {
	name string // as it is written
	path []step // in JSON
	id   int    // likewise; which of the pattern's it is
}

// A step of a path goes into an object by name or into an array by index.
type step struct {
	name  string
	index int // -1: by name
}

type both struct{ a, b condition }
type either struct{ a, b condition }

func (c both) holds(l func(*selector) value) bool   { return c.a.holds(l) && c.b.holds(l) }
func (c either) holds(l func(*selector) value) bool { return c.a.holds(l) || c.b.holds(l) }

func (c both) selectors(add func(*selector))   { c.a.selectors(add); c.b.selectors(add) }
func (c either) selectors(add func(*selector)) { c.a.selectors(add); c.b.selectors(add) }

// A comparison compares what a selector finds with something.
type comparison struct {
	selector
	op     string // =, !=, <, <=, >, >=, and null, true, false, not exists
	text   string
	num    float64
	isNum  bool
	prefix bool // an asterisk stands before the text
	suffix bool // and behind
	regex  *regex
}

func (c *comparison) selectors(add func(*selector)) { add(&c.selector) }

func (c *comparison) holds(lookup func(*selector) value) bool {
	v := lookup(&c.selector)
	switch c.op {
	case "null":
		return v.kind == null
	case "true", "false":
		return v.kind == boolean && v.text == c.op
	case "not exists":
		return v.kind == missing
	}
	switch v.kind {
	case missing, null, composite:
		return false
	}
	switch c.op {
	case "=":
		return c.equals(v)
	case "!=":
		return !c.equals(v)
	}
	if v.kind != number || !c.isNum {
		return false
	}
	switch c.op {
	case "<":
		return v.num < c.num
	case "<=":
		return v.num <= c.num
	case ">":
		return v.num > c.num
	}
	return v.num >= c.num
}

func (c *comparison) equals(v value) bool {
	switch {
	case c.regex != nil:
		return c.regex.match([]byte(v.text))
	case c.isNum && v.kind == number:
		return v.num == c.num
	case c.prefix && c.suffix:
		return strings.Contains(v.text, c.text)
	case c.prefix:
		return strings.HasSuffix(v.text, c.text)
	case c.suffix:
		return strings.HasPrefix(v.text, c.text)
	}
	return v.text == c.text
}

// A parser reads conditions: || binds less than &&, and parentheses most.
type parser struct {
	lexer
	regexes *int
	depth   int
	read    func(p *parser) (selector, error) // reads a selector
	ends    string                            // characters that end an unquoted text, beside spaces
}

// depthMax bounds parentheses in parentheses.
const depthMax = 64

func (p *parser) condition() (condition, error) {
	c, err := p.conjunction()
	for err == nil && p.take("||") {
		var d condition
		d, err = p.conjunction()
		c = either{c, d}
	}
	return c, err
}

func (p *parser) conjunction() (condition, error) {
	c, err := p.primary()
	for err == nil && p.take("&&") {
		var d condition
		d, err = p.primary()
		c = both{c, d}
	}
	return c, err
}

func (p *parser) primary() (condition, error) {
	if p.take("(") {
		if p.depth++; p.depth > depthMax {
			return nil, wrong("more than %d parentheses in each other", depthMax)
		}
		c, err := p.condition()
		if err == nil && !p.take(")") {
			err = wrong("a parenthesis is not closed")
		}
		p.depth--
		return c, err
	}
	s, err := p.read(p)
	if err != nil {
		return nil, err
	}
	return p.comparison(s)
}

var operators = []string{"!=", "<=", ">=", "=", "<", ">"}

func (p *parser) comparison(s selector) (condition, error) {
	c := &comparison{selector: s}
	switch {
	case p.word("IS"):
		for _, what := range []string{"NULL", "TRUE", "FALSE"} {
			if p.word(what) {
				c.op = strings.ToLower(what)
				return c, nil
			}
		}
		return nil, wrong("IS is followed by NULL, TRUE or FALSE, not by %s", p.near())
	case p.word("NOT"):
		if !p.word("EXISTS") {
			return nil, wrong("NOT is followed by EXISTS, not by %s", p.near())
		}
		c.op = "not exists"
		return c, nil
	}
	for _, op := range operators {
		if p.take(op) {
			c.op = op
			break
		}
	}
	if c.op == "" {
		return nil, wrong("an operator is missing before %s", p.near())
	}
	return c, p.operand(c)
}

// operand reads what is compared with.
func (p *parser) operand(c *comparison) (err error) {
	p.space()
	switch {
	case strings.HasPrefix(p.rest, "%"):
		if c.op != "=" && c.op != "!=" {
			return wrong("a regular expression cannot be compared by %s", c.op)
		}
		c.regex, err = p.regex(p.regexes)
		return err
	case strings.HasPrefix(p.rest, `"`):
		if c.text, err = p.quoted(); err != nil {
			return err
		}
	default:
		word := p.bare()
		if word == "" {
			return wrong("a value is missing before %s", p.near())
		}
		if c.op == "=" && len(word) > 1 && word[0] == '!' {
			c.op, word = "!=", word[1:]
		}
		if f, ok := parseNumber(word); ok {
			c.text, c.num, c.isNum = word, f, true
			return nil
		}
		c.text = word
	}
	if c.op != "=" && c.op != "!=" {
		return wrong("%s compares numbers, and %q is none", c.op, c.text)
	}
	if c.text == "*" {
		c.text, c.prefix, c.suffix = "", true, true
		return nil
	}
	c.text, c.prefix = strings.CutPrefix(c.text, "*")
	c.text, c.suffix = strings.CutSuffix(c.text, "*")
	return nil
}

// bare takes a text without quotation marks.
func (p *parser) bare() string {
	n := 0
	for n < len(p.rest) && !strings.ContainsRune(" \t\r\n()"+p.ends, rune(p.rest[n])) &&
		!strings.HasPrefix(p.rest[n:], "&&") && !strings.HasPrefix(p.rest[n:], "||") {
		n++
	}
	word := p.rest[:n]
	p.rest = p.rest[n:]
	return word
}

// near is where in the pattern something is wrong.
func (p *parser) near() string {
	p.space()
	if p.rest == "" {
		return "its end"
	}
	return strconv.Quote(p.rest[:min(len(p.rest), 20)])
}

// parseNumber reads an integer or a decimal, with or without an exponent.
func parseNumber(s string) (float64, bool) {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune("0123456789+-.eE", r) }) {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}
