package expr

import (
	"slices"
	"strings"

	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// A Condition is something that an item meets or does not. A nil Condition is
// met by all.
type Condition struct{ root *node }

// Condition parses a condition; kind is the name of the parameter that it came
// in, "ConditionExpression" or "FilterExpression".
func (p *Params) Condition(kind, text string) (*Condition, error) {
	root, err := p.parseCondition(text)
	if err != nil {
		return nil, inExpression(kind, err)
	}
	return &Condition{root}, nil
}

func (p *Params) parseCondition(text string) (*node, error) {
	ps, err := newParser(text)
	if err != nil {
		return nil, err
	}
	root, err := ps.condition()
	if err == nil {
		err = ps.end()
	}
	if err == nil && !isCondition(root) {
		err = ps.syntax()
	}
	if err == nil {
		err = p.checkCondition(root)
	}
	return root, err
}

// Match says whether an item, or nil for none, meets the condition.
func (c *Condition) Match(it item.Item) bool { return c == nil || c.root.match(it) }

// Attributes are the top-level attributes that the condition is about, sorted.
func (c *Condition) Attributes() []string {
	if c == nil {
		return nil
	}
	var names []string
	c.root.walk(func(n *node) error {
		if n.op == opPath {
			names = append(names, n.path[0].Name)
		}
		return nil
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// Nested are the top-level attributes that the condition looks into.
func (c *Condition) Nested() []string {
	if c == nil {
		return nil
	}
	var paths []Path
	c.root.walk(func(n *node) error {
		if n.op == opPath {
			paths = append(paths, n.path)
		}
		return nil
	})
	return nested(paths)
}

// nested are the attributes of the paths that lead on from them.
func nested(paths []Path) []string {
	var names []string
	for _, p := range paths {
		if len(p) > 1 {
			names = append(names, p[0].Name)
		}
	}
	return names
}

// walk visits the nodes below n and then n, and stops at the first error.
func (n *node) walk(visit func(*node) error) error {
	for _, a := range n.args {
		if err := a.walk(visit); err != nil {
			return err
		}
	}
	return visit(n)
}

// match evaluates a condition. What is compared with nothing, or with a value of
// another type, compares as false, and as true only with <>.
func (n *node) match(it item.Item) bool {
	switch n.op {
	case opAnd:
		return n.args[0].match(it) && n.args[1].match(it)
	case opOr:
		return n.args[0].match(it) || n.args[1].match(it)
	case opNot:
		return !n.args[0].match(it)
	case opCompare:
		return compare(n.text, n.args[0].eval(it), n.args[1].eval(it))
	case opBetween:
		v := n.args[0].eval(it)
		return compare(">=", v, n.args[1].eval(it)) && compare("<=", v, n.args[2].eval(it))
	case opIn:
		v := n.args[0].eval(it)
		return slices.ContainsFunc(n.args[1:], func(a *node) bool { return compare("=", v, a.eval(it)) })
	case opCall:
		return n.call(it)
	}
	return false
}

func compare(comparator string, a, b item.Value) bool {
	if a.Type == item.None || b.Type == item.None {
		return comparator == "<>"
	}
	switch comparator {
	case "=":
		return item.Equal(a, b)
	case "<>":
		return !item.Equal(a, b)
	}
	order, ok := item.Compare(a, b)
	if !ok {
		return false
	}
	switch comparator {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

// call evaluates a function that is a condition.
func (n *node) call(it item.Item) bool {
	v := n.args[0].eval(it)
	switch n.text {
	case "attribute_exists":
		return v.Type != item.None
	case "attribute_not_exists":
		return v.Type == item.None
	}
	arg := n.args[1].eval(it)
	switch n.text {
	case "attribute_type":
		return v.Type != item.None && v.Type.String() == arg.Text
	case "begins_with":
		return v.Type == arg.Type && (v.Type == item.S || v.Type == item.B) && strings.HasPrefix(v.Text, arg.Text)
	case "contains":
		return v.Contains(arg)
	}
	return false
}

// eval is an operand's value; of no type if it has none.
func (n *node) eval(it item.Item) item.Value {
	switch n.op {
	case opPath:
		return n.path.get(it)
	case opValue:
		return n.value
	case opCall: // size, the only function that is an operand here
		if length, ok := n.args[0].eval(it).Length(); ok {
			return item.Value{Type: item.N, Num: item.Int(int64(length))}
		}
	}
	return item.Value{}
}
