package expr

import (
	"errors"
	"fmt"
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

// KeyConditions parses a KeyConditionExpression: one or two conditions joined by AND.
func (p *Params) KeyConditions(text string) ([]KeyCondition, error) {
	root, err := p.parseCondition(text)
	var list []KeyCondition
	if err == nil {
		list, err = keyConditions(root, nil)
	}
	if err != nil {
		const kind = "KeyConditionExpression"
		if errors.Is(err, errTwoPerKey) {
			return nil, invalid("%s", err)
		}
		return nil, inExpression(kind, err)
	}
	return list, nil
}

var errTwoPerKey = errors.New("KeyConditionExpressions must only contain one condition per key")

// keyConditions appends the conditions below n to list.
func keyConditions(n *node, list []KeyCondition) ([]KeyCondition, error) {
	switch n.op {
	case opAnd:
		list, err := keyConditions(n.args[0], list)
		if err != nil {
			return nil, err
		}
		return keyConditions(n.args[1], list)
	case opOr, opNot, opIn:
		return nil, fmt.Errorf("Invalid operator used in KeyConditionExpression: %s", map[op]string{opOr: "OR", opNot: "NOT", opIn: "IN"}[n.op])
	case opCompare:
		if n.text == "<>" {
			return nil, errors.New("Invalid operator used in KeyConditionExpression: <>")
		}
	case opCall:
		if n.text != "begins_with" {
			return nil, fmt.Errorf("Invalid operator used in KeyConditionExpression: %s", n.text)
		}
	}
	c := KeyCondition{Op: n.text}
	args := n.args
	if n.op == opCompare && args[0].op != opPath { // :v = key
		args = []*node{args[1], args[0]}
		c.Op = mirrored(c.Op)
	}
	if args[0].op != opPath {
		return nil, errors.New("KeyConditionExpressions must have a key attribute as an operand of each condition")
	}
	if len(args[0].path) > 1 {
		return nil, errors.New("KeyConditionExpressions cannot have conditions on nested attributes")
	}
	c.Attribute = args[0].path[0].Name
	for _, a := range args[1:] {
		if a.op != opValue {
			return nil, fmt.Errorf("Invalid condition in KeyConditionExpression: %s operator must have the key attribute as its first operand and values as its other ones", c.Op)
		}
		c.Values = append(c.Values, a.value)
	}
	for _, other := range list {
		if other.Attribute == c.Attribute {
			return nil, errTwoPerKey
		}
	}
	return append(list, c), nil
}

// mirrored is the comparator that means the same with its operands exchanged.
func mirrored(comparator string) string {
	return strings.NewReplacer("<", ">", ">", "<").Replace(comparator)
}
