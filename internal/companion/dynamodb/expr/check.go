package expr

import (
	"errors"
	"fmt"
	"slices"

	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// operandsOf is how many operands each function of conditions takes.
var operandsOf = map[string]int{
	"attribute_exists": 1, "attribute_not_exists": 1, "attribute_type": 2, "begins_with": 2, "contains": 2, "size": 1,
}

// checkCondition finds what is wrong with a condition without an item, in the
// order in which DynamoDB tells of several mistakes, and resolves placeholders.
func (p *Params) checkCondition(root *node) error {
	return firstError(
		func() error { return root.walk(checkParens) },
		func() error {
			return root.walk(func(n *node) error {
				if _, known := operandsOf[n.text]; n.op != opCall || known {
					return nil
				}
				if isUpdateFunction(n.text) {
					return fmt.Errorf("The function is not allowed in a condition expression; function: %s", n.text)
				}
				return fmt.Errorf("Invalid function name; function: %s", n.text)
			})
		},
		func() error { return root.checkUse(true) },
		func() error { return root.walk(checkReserved) },
		func() error { return root.walk(p.resolve) },
		func() error { return root.walk(checkOperands) },
	)
}

func firstError(checks ...func() error) error {
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func checkParens(n *node) error {
	if n.parens > 1 {
		return errors.New("The expression has redundant parentheses;")
	}
	return nil
}

func checkReserved(n *node) error {
	if word, is := n.path.reservedIn(); is {
		return errReserved(word)
	}
	return nil
}

// checkUse: size is an operand and no condition; the other functions are conditions.
func (n *node) checkUse(asCondition bool) error {
	if n.op == opCall && asCondition == (n.text == "size") {
		return fmt.Errorf("The function is not allowed to be used this way in an expression; function: %s", n.text)
	}
	below := n.op == opAnd || n.op == opOr || n.op == opNot
	for _, a := range n.args {
		if err := a.checkUse(below); err != nil {
			return err
		}
	}
	return nil
}

// resolve puts names and values in the place of a node's placeholders.
func (p *Params) resolve(n *node) (err error) {
	switch n.op {
	case opPath:
		n.path, err = n.path.resolve(p)
	case opValue:
		n.value, err = p.value(n.text)
	}
	return err
}

// literal is the type of a value of the request; none for other operands.
func (n *node) literal() item.Type {
	if n.op == opValue {
		return n.value.Type
	}
	return item.None
}

// result is what an operand will be, as far as is known: size gives a number.
func (n *node) result() item.Type {
	if n.op == opCall && n.text == "size" {
		return item.N
	}
	return n.literal()
}

func wrongType(function string, t item.Type) error {
	return fmt.Errorf("Incorrect operand type for operator or function; operator or function: %s, operand type: %s", function, t)
}

// checkOperands checks one comparison or function.
func checkOperands(n *node) error {
	switch n.op {
	case opCompare:
		if err := checkDistinct(n); err != nil {
			return err
		}
		if n.text != "=" && n.text != "<>" {
			return checkScalar(n)
		}
	case opIn:
		return checkDistinct(n)
	case opBetween:
		if err := checkDistinct(n); err != nil {
			return err
		}
		if err := checkBetween(n.args[1], n.args[2]); err != nil {
			return err
		}
		return checkScalar(n)
	case opCall:
		return checkFunction(n)
	}
	return nil
}

// checkScalar: what is ordered is a string, a number or binary.
func checkScalar(n *node) error {
	for _, a := range n.args {
		if t := a.literal(); t != item.None && t != item.S && t != item.N && t != item.B {
			return wrongType(n.text, t)
		}
	}
	return nil
}

func checkDistinct(n *node) error {
	first := n.args[0]
	for _, a := range n.args[1:] {
		if first.op == opPath && a.op == opPath && slices.Equal(first.path, a.path) {
			return fmt.Errorf("The first operand must be distinct from the remaining operands for this operator or function; operator: %s, first operand: %s", n.text, first.path)
		}
	}
	return nil
}

func checkBetween(low, high *node) error {
	if low.op != opValue || high.op != opValue {
		return nil
	}
	bounds := fmt.Sprintf("lower bound operand: AttributeValue: %s, upper bound operand: AttributeValue: %s", low.value.Echo(), high.value.Echo())
	if low.value.Type != high.value.Type {
		return errors.New("The BETWEEN operator requires same data type for lower and upper bounds; " + bounds)
	}
	order, _ := item.Compare(low.value, high.value)
	if order > 0 {
		return errors.New("The BETWEEN operator requires upper bound to be greater than or equal to lower bound; " + bounds)
	}
	return nil
}

func checkFunction(n *node) error {
	if len(n.args) != operandsOf[n.text] {
		return wrongCount(n)
	}
	first := n.args[0]
	switch n.text {
	case "attribute_exists", "attribute_not_exists":
		if first.op != opPath {
			return pathRequired(n.text)
		}
		return nil
	case "size":
		if t := first.result(); t == item.N || t == item.BOOL || t == item.NULL {
			return wrongType(n.text, t)
		}
		return nil
	}
	if err := checkDistinct(n); err != nil {
		return err
	}
	switch n.text {
	case "begins_with":
		for _, a := range n.args {
			if t := a.result(); t != item.None && t != item.S && t != item.B {
				return wrongType(n.text, t)
			}
		}
	case "attribute_type":
		switch t := n.args[1].result(); {
		case t == item.None:
			return errors.New("Incorrect operand type for operator or function; operator or function: attribute_type, operand type: {NS,SS,L,BS,N,M,B,BOOL,NULL,S}")
		case t != item.S:
			return wrongType(n.text, t)
		}
		if name := n.args[1].value.Text; item.ParseType(name) == item.None {
			return fmt.Errorf("Invalid attribute type name found; type: %s, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}", name)
		}
	}
	return nil
}

func wrongCount(n *node) error {
	return fmt.Errorf("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", n.text, len(n.args))
}

func pathRequired(function string) error {
	return fmt.Errorf("Operator or function requires a document path; operator or function: %s", function)
}
