package expr

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// An op is what a node does.
type op uint8

const (
	opPath  op = iota // the attribute at path
	opValue           // a value of the request
	opCall            // the function text
	opPlus
	opMinus

	opCompare // text is the comparator
	opBetween
	opIn
	opAnd
	opOr
	opNot
)

// A node is a piece of an expression: an operand, or a condition of operands.
type node struct {
	op     op
	text   string // as it stands in the expression: function, comparator, placeholder
	path   Path
	value  item.Value
	args   []*node
	parens int // around it
}

func (n *node) isOperand() bool { return n.op <= opMinus }

// A parser reads tokens from left to right.
type parser struct {
	text   string
	tokens []token
	at     int
	ops    int // operators and functions so far
}

func newParser(text string) (*parser, error) {
	tokens, err := lex(text)
	return &parser{text: text, tokens: tokens}, err
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) take() token {
	t := p.tokens[p.at]
	if t.kind != eof {
		p.at++
	}
	return t
}

// accept takes the next token if it is the sign s.
func (p *parser) accept(s string) bool {
	if p.peek().is(s) {
		p.at++
		return true
	}
	return false
}

func (p *parser) expect(s string) error {
	if !p.accept(s) {
		return p.syntax()
	}
	return nil
}

// keyword takes the next token if it is the word, in any case.
func (p *parser) keyword(w string) bool {
	if t := p.peek(); t.kind == word && strings.EqualFold(t.text, w) {
		p.at++
		return true
	}
	return false
}

// syntax says that the next token is not what could come here.
func (p *parser) syntax() error {
	t := p.peek()
	from, to := t.start, t.end
	if p.at > 0 {
		from = p.tokens[p.at-1].start
	}
	if p.at+1 < len(p.tokens) {
		to = p.tokens[p.at+1].end
	}
	return fmt.Errorf("Syntax error; token: \"%s\", near: \"%s\"", t.text, strings.TrimSpace(p.text[from:to]))
}

func (p *parser) operator() error {
	if p.ops++; p.ops > operatorsMax {
		return fmt.Errorf("The expression contains too many operators; operator count: %d", p.ops)
	}
	return nil
}

// condition reads conditions joined by OR, the weakest.
func (p *parser) condition() (*node, error) {
	return p.joined("OR", opOr, func() (*node, error) {
		return p.joined("AND", opAnd, p.negation)
	})
}

func (p *parser) joined(keyword string, o op, part func() (*node, error)) (*node, error) {
	left, err := part()
	if err != nil {
		return nil, err
	}
	for p.keyword(keyword) {
		if err := p.operator(); err != nil {
			return nil, err
		}
		if !isCondition(left) {
			p.at--
			return nil, p.syntax()
		}
		right, err := part()
		if err != nil {
			return nil, err
		}
		if !isCondition(right) {
			return nil, p.syntax()
		}
		left = &node{op: o, args: []*node{left, right}}
	}
	return left, nil
}

// isCondition: a function may be one; whether it is, is checked later.
func isCondition(n *node) bool { return !n.isOperand() || n.op == opCall }

func (p *parser) negation() (*node, error) {
	if !p.keyword("NOT") {
		return p.comparison()
	}
	if err := p.operator(); err != nil {
		return nil, err
	}
	n, err := p.negation()
	if err != nil {
		return nil, err
	}
	if !isCondition(n) {
		return nil, p.syntax()
	}
	return &node{op: opNot, args: []*node{n}}, nil
}

// comparison reads a comparison, or what it would compare, if no comparator
// follows: a function, a condition in parentheses, or an operand, which its
// caller will not take for a condition.
func (p *parser) comparison() (*node, error) {
	left, err := p.primary(p.condition)
	if err != nil || !left.isOperand() {
		return left, err
	}
	t := p.peek()
	switch {
	case t.kind == sign && isComparator(t.text):
		p.take()
		right, err := p.operand()
		if err != nil {
			return nil, err
		}
		return &node{op: opCompare, text: t.text, args: []*node{left, right}}, p.operator()
	case p.keyword("BETWEEN"):
		low, err := p.operand()
		if err != nil {
			return nil, err
		}
		if !p.keyword("AND") {
			return nil, p.syntax()
		}
		high, err := p.operand()
		if err != nil {
			return nil, err
		}
		return &node{op: opBetween, text: "BETWEEN", args: []*node{left, low, high}}, p.operator()
	case p.keyword("IN"):
		if err := p.expect("("); err != nil {
			return nil, err
		}
		list, err := p.list(p.operand)
		if err != nil {
			return nil, err
		}
		if len(list) > operandsMax {
			return nil, fmt.Errorf("Invalid number of operands for operator or function; operator or function: IN, number of operands: %d", len(list))
		}
		return &node{op: opIn, text: "IN", args: append([]*node{left}, list...)}, p.operator()
	}
	return left, nil
}

func isComparator(s string) bool {
	switch s {
	case "=", "<>", "<", "<=", ">", ">=":
		return true
	}
	return false
}

// list reads what is parted by commas, up to the closing parenthesis.
func (p *parser) list(part func() (*node, error)) ([]*node, error) {
	var list []*node
	for {
		n, err := part()
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		if p.accept(")") {
			return list, nil
		}
		if err := p.expect(","); err != nil {
			return nil, err
		}
	}
}

// operand reads a path, a value or a function.
func (p *parser) operand() (*node, error) {
	n, err := p.primary(p.operand)
	if err == nil && !n.isOperand() {
		return nil, p.syntax()
	}
	return n, err
}

// primary reads the smallest pieces; in parentheses stands what inner reads.
func (p *parser) primary(inner func() (*node, error)) (*node, error) {
	t := p.peek()
	switch {
	case p.accept("("):
		n, err := inner()
		if err != nil {
			return nil, err
		}
		n.parens++
		return n, p.expect(")")
	case t.kind == value:
		p.take()
		return &node{op: opValue, text: t.text}, nil
	case t.kind == word && p.tokens[p.at+1].is("("):
		if isKeyword(t.text) {
			return nil, p.syntax()
		}
		p.take()
		p.take()
		args, err := p.list(p.operand)
		if err != nil {
			return nil, err
		}
		return &node{op: opCall, text: t.text, args: args}, p.operator()
	}
	path, err := p.path()
	return &node{op: opPath, path: path}, err
}

// isKeyword says that a word has a meaning of its own, which it has in all expressions.
func isKeyword(w string) bool {
	switch strings.ToUpper(w) {
	case "AND", "OR", "NOT", "BETWEEN", "IN", "SET", "REMOVE", "ADD", "DELETE":
		return true
	}
	return false
}

// path reads a document path. Its names are as they stand in the expression.
func (p *parser) path() (Path, error) {
	element := func() (Step, error) {
		t := p.peek()
		if t.kind != word && t.kind != name || t.kind == word && isKeyword(t.text) {
			return Step{}, p.syntax()
		}
		p.take()
		return Step{Name: t.text}, nil
	}
	s, err := element()
	if err != nil {
		return nil, err
	}
	path := Path{s}
	for {
		switch {
		case p.accept("."):
			s, err := element()
			if err != nil {
				return nil, err
			}
			path = append(path, s)
		case p.accept("["):
			t := p.peek()
			i, err := strconv.ParseInt(t.text, 10, 32)
			if t.kind != number || err != nil {
				return nil, p.syntax()
			}
			p.take()
			path = append(path, Step{Index: int(i), IsIndex: true})
			if err := p.expect("]"); err != nil {
				return nil, err
			}
		default:
			return path, nil
		}
	}
}

// end says that nothing may follow.
func (p *parser) end() error {
	if p.peek().kind != eof {
		return p.syntax()
	}
	return nil
}
