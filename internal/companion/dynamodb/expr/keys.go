package expr

import (
	"slices"
	"strings"

	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// A KeyCondition is a condition on one attribute of a key. Its Op is a
// comparator, BETWEEN (two values) or begins_with.
type KeyCondition struct {
	Attribute string
	Op        string
	Values    []item.Value
}

// Match says whether a value meets the condition.
func (c KeyCondition) Match(v item.Value) bool {
	switch c.Op {
	case "BETWEEN":
		return compare(">=", v, c.Values[0]) && compare("<=", v, c.Values[1])
	case "begins_with":
		return v.Type == c.Values[0].Type && strings.HasPrefix(v.Text, c.Values[0].Text)
	}
	return compare(c.Op, v, c.Values[0])
}

// KeyConditions parses a KeyConditionExpression: one or two conditions joined by AND.
func (p *Params) KeyConditions(text string) ([]KeyCondition, error) {
	root, err := p.parseCondition(text)
	if err != nil {
		return nil, inExpression("KeyConditionExpression", err)
	}
	list, err := keyConditions(root, nil)
	if err == nil && len(list) > 2 {
		err = invalid("Conditions can be of length 1 or 2 only")
	}
	return list, err
}

// keyConditions appends the conditions below n to list.
func keyConditions(n *node, list []KeyCondition) ([]KeyCondition, error) {
	if n.op == opAnd {
		list, err := keyConditions(n.args[0], list)
		if err != nil {
			return nil, err
		}
		return keyConditions(n.args[1], list)
	}
	c, err := keyCondition(n)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(list, func(other KeyCondition) bool { return other.Attribute == c.Attribute }) {
		return nil, invalid("KeyConditionExpressions must only contain one condition per key")
	}
	return append(list, c), nil
}

func keyCondition(n *node) (c KeyCondition, err error) {
	switch {
	case n.op == opOr:
		return c, badKeyOperator("OR")
	case n.op == opNot:
		return c, badKeyOperator("NOT")
	case n.op == opIn, n.op == opCompare && n.text == "<>", n.op == opCall && n.text != "begins_with":
		return c, badKeyOperator(n.text)
	}
	c.Op = n.text
	named := -1 // the operand that is a path
	for i, a := range n.args {
		switch {
		case a.op == opCall:
			return c, invalid("KeyConditionExpressions cannot contain nested operations")
		case a.op != opPath:
			c.Values = append(c.Values, a.value)
		case named >= 0:
			return c, invalid("Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition")
		case len(a.path) > 1:
			return c, invalid("KeyConditionExpressions cannot have conditions on nested attributes")
		default:
			named, c.Attribute = i, a.path[0].Name
		}
	}
	switch {
	case named != 0 && n.op != opCompare:
		return c, invalid("Invalid condition in KeyConditionExpression: %s operator must have the key attribute as its first operand", c.Op)
	case named < 0:
		return c, invalid("Invalid condition in KeyConditionExpression: No key attribute specified")
	case named > 0: // :v = key
		c.Op = mirrored(c.Op)
	}
	return c, nil
}

func badKeyOperator(operator string) error {
	return invalid("Invalid operator used in KeyConditionExpression: %s", operator)
}

// mirrored is the comparator that means the same with its operands exchanged.
func mirrored(comparator string) string {
	return strings.NewReplacer("<", ">", ">", "<").Replace(comparator)
}
