package expr

import (
	"strings"

	"github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// The dialect from before expressions. A condition is one comparison of a
// top-level attribute, whose name is taken as it is; a map of them is joined by
// the ConditionalOperator.

const badValues = "One or more parameter values were invalid: "

// Expected reads the conditions of a write; nil if there are none.
func Expected(expected map[string]dynamodb.ExpectedAttributeValue, operator dynamodb.ConditionalOperator) (*Condition, error) {
	if err := checkOperator(operator, len(expected)); err != nil || expected == nil {
		return nil, err
	}
	var list []*node
	for _, name := range sorted(expected) {
		n, err := expectation(name, expected[name])
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return join(list, operator), nil
}

// checkOperator: an operator needs conditions that it joins.
func checkOperator(operator dynamodb.ConditionalOperator, conditions int) error {
	switch {
	case operator == "":
		return nil
	case conditions == 0:
		return invalid("ConditionalOperator cannot be used without Filter or Expected")
	case conditions == 1:
		return invalid("ConditionalOperator can only be used when Filter or Expected has two or more elements")
	}
	return nil
}

func join(list []*node, operator dynamodb.ConditionalOperator) *Condition {
	if len(list) == 0 {
		return nil
	}
	o := opAnd
	if operator == dynamodb.ConditionalOperatorOr {
		o = opOr
	}
	root := list[0]
	for _, n := range list[1:] {
		root = &node{op: o, args: []*node{root, n}}
	}
	return &Condition{root}
}

func expectation(name string, e dynamodb.ExpectedAttributeValue) (*node, error) {
	if e.Value != nil && e.AttributeValueList != nil {
		return nil, invalid(badValues+"Value and AttributeValueList cannot be used together for Attribute: %s", name)
	}
	if op := e.ComparisonOperator; op != "" {
		switch {
		case e.Exists != nil:
			return nil, invalid(badValues+"Exists and ComparisonOperator cannot be used together for Attribute: %s", name)
		case op != dynamodb.ComparisonOperatorNull && op != dynamodb.ComparisonOperatorNotNull && e.Value == nil && e.AttributeValueList == nil:
			return nil, invalid(badValues+"Value or AttributeValueList must be used with ComparisonOperator: %s for Attribute: %s", op, name)
		}
		values := e.AttributeValueList
		if e.Value != nil {
			values = []dynamodb.AttributeValue{*e.Value}
		}
		return comparison(name, op, values)
	}
	exists := e.Exists == nil || *e.Exists
	switch {
	case e.AttributeValueList != nil:
		return nil, invalid(badValues+"AttributeValueList can only be used with a ComparisonOperator for Attribute: %s", name)
	case exists && e.Value == nil && e.Exists == nil:
		return nil, invalid(badValues+"Value must be provided when Exists is null for Attribute: %s", name)
	case exists && e.Value == nil:
		return nil, invalid(badValues+"Value must be provided when Exists is true for Attribute: %s", name)
	case !exists && e.Value != nil:
		return nil, invalid(badValues+"Value cannot be used when Exists is false for Attribute: %s", name)
	case !exists:
		return comparison(name, dynamodb.ComparisonOperatorNull, nil)
	}
	return comparison(name, dynamodb.ComparisonOperatorEq, []dynamodb.AttributeValue{*e.Value})
}

// Filter reads QueryFilter or ScanFilter; nil if there is none.
func Filter(filter map[string]dynamodb.Condition, operator dynamodb.ConditionalOperator) (*Condition, error) {
	if err := checkOperator(operator, len(filter)); err != nil || filter == nil {
		return nil, err
	}
	var list []*node
	for _, name := range sorted(filter) {
		c := filter[name]
		n, err := comparison(name, c.ComparisonOperator, c.AttributeValueList)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return join(list, operator), nil
}

// An operatorRow says what a comparison operator means and takes.
type operatorRow struct {
	op       op
	text     string // comparator or function
	negate   bool
	min, max int // values
	types    string
}

const scalars = " S N B "

var operators = map[dynamodb.ComparisonOperator]operatorRow{
	dynamodb.ComparisonOperatorEq:          {op: opCompare, text: "=", min: 1, max: 1},
	dynamodb.ComparisonOperatorNe:          {op: opCompare, text: "<>", min: 1, max: 1},
	dynamodb.ComparisonOperatorLe:          {op: opCompare, text: "<=", min: 1, max: 1, types: scalars},
	dynamodb.ComparisonOperatorLt:          {op: opCompare, text: "<", min: 1, max: 1, types: scalars},
	dynamodb.ComparisonOperatorGe:          {op: opCompare, text: ">=", min: 1, max: 1, types: scalars},
	dynamodb.ComparisonOperatorGt:          {op: opCompare, text: ">", min: 1, max: 1, types: scalars},
	dynamodb.ComparisonOperatorNotNull:     {op: opCall, text: "attribute_exists"},
	dynamodb.ComparisonOperatorNull:        {op: opCall, text: "attribute_not_exists"},
	dynamodb.ComparisonOperatorContains:    {op: opCall, text: "contains", min: 1, max: 1, types: scalars},
	dynamodb.ComparisonOperatorNotContains: {op: opCall, text: "contains", negate: true, min: 1, max: 1, types: scalars},
	dynamodb.ComparisonOperatorBeginsWith:  {op: opCall, text: "begins_with", min: 1, max: 1, types: " S B "},
	dynamodb.ComparisonOperatorIn:          {op: opIn, text: "IN", min: 1, max: operandsMax, types: scalars},
	dynamodb.ComparisonOperatorBetween:     {op: opBetween, text: "BETWEEN", min: 2, max: 2, types: scalars},
}

// comparisonValues reads and checks the values of a comparison.
func comparisonValues(operator dynamodb.ComparisonOperator, values []dynamodb.AttributeValue) (operatorRow, []item.Value, error) {
	row, known := operators[operator]
	if !known {
		return row, nil, invalid(badValues+"Unknown ComparisonOperator: %s", operator)
	}
	var list []item.Value
	for i := range values {
		v, err := item.FromAPI(&values[i])
		if err != nil {
			return row, nil, invalid("%s", err)
		}
		list = append(list, v)
	}
	if len(list) < row.min || len(list) > row.max {
		return row, nil, invalid(badValues+"Invalid number of argument(s) for the %s ComparisonOperator", operator)
	}
	for i, v := range list {
		if row.types != "" && !strings.Contains(row.types, " "+v.Type.String()+" ") {
			return row, nil, invalid(badValues+"ComparisonOperator %s is not valid for %s AttributeValue type", operator, v.Type)
		}
		if i > 0 && v.Type != list[0].Type {
			return row, nil, invalid(badValues + "AttributeValues inside AttributeValueList must be of same type")
		}
	}
	if row.op == opBetween {
		if order, _ := item.Compare(list[0], list[1]); order > 0 {
			return row, nil, invalid("The BETWEEN condition was provided a range where the lower bound is greater than the upper bound")
		}
	}
	return row, list, nil
}

func comparison(name string, operator dynamodb.ComparisonOperator, values []dynamodb.AttributeValue) (*node, error) {
	if name == "" {
		return nil, invalid(badValues + "Attribute name must not be empty")
	}
	row, list, err := comparisonValues(operator, values)
	if err != nil {
		return nil, err
	}
	n := &node{op: row.op, text: row.text, args: []*node{{op: opPath, path: Attribute(name)}}}
	for _, v := range list {
		n.args = append(n.args, &node{op: opValue, value: v})
	}
	if row.negate { // NOT_CONTAINS, which does not hold either for what is missing
		exists := &node{op: opCall, text: "attribute_exists", args: n.args[:1]}
		n = &node{op: opAnd, args: []*node{exists, {op: opNot, args: []*node{n}}}}
	}
	return n, nil
}

// LegacyKeyConditions reads KeyConditions.
func LegacyKeyConditions(conditions map[string]dynamodb.Condition) ([]KeyCondition, error) {
	var list []KeyCondition
	for _, name := range sorted(conditions) {
		c := conditions[name]
		row, values, err := comparisonValues(c.ComparisonOperator, c.AttributeValueList)
		if err != nil {
			return nil, err
		}
		switch c.ComparisonOperator {
		case dynamodb.ComparisonOperatorEq, dynamodb.ComparisonOperatorLe, dynamodb.ComparisonOperatorLt, dynamodb.ComparisonOperatorGe,
			dynamodb.ComparisonOperatorGt, dynamodb.ComparisonOperatorBeginsWith, dynamodb.ComparisonOperatorBetween:
		default:
			return nil, invalid("Attempted conditional constraint is not an indexable operation")
		}
		list = append(list, KeyCondition{Attribute: name, Op: row.text, Values: values})
	}
	if len(list) < 1 || len(list) > 2 {
		return nil, invalid("Conditions can be of length 1 or 2 only")
	}
	return list, nil
}

// AttributeUpdates reads the updates from before expressions; nil if there are none.
func AttributeUpdates(updates map[string]dynamodb.AttributeValueUpdate) (*Update, error) {
	if updates == nil {
		return nil, nil
	}
	u := &Update{legacy: true}
	for _, name := range sorted(updates) {
		a, err := attributeUpdate(name, updates[name])
		if err != nil {
			return nil, err
		}
		u.actions = append(u.actions, a)
	}
	return u, nil
}

func attributeUpdate(name string, in dynamodb.AttributeValueUpdate) (action, error) {
	a := action{path: Attribute(name)}
	if name == "" {
		return a, invalid(badValues + "Attribute name must not be empty")
	}
	if in.Value == nil {
		if in.Action != dynamodb.AttributeActionDelete {
			return a, invalid(badValues + "Only DELETE action is allowed when no attribute value is specified")
		}
		a.verb = verbRemove
		return a, nil
	}
	v, err := item.FromAPI(in.Value)
	if err != nil {
		return a, invalid("%s", err)
	}
	a.arg = &node{op: opValue, value: v}
	switch in.Action {
	case dynamodb.AttributeActionAdd:
		a.verb = verbAdd
		if v.Type != item.N && v.Type != item.L && !v.Type.IsSet() {
			return a, invalid(badValues+"ADD action is not supported for the type %s", v.Type)
		}
	case dynamodb.AttributeActionDelete:
		a.verb = verbDelete
		if !v.Type.IsSet() {
			return a, invalid(badValues+"DELETE action with value is not supported for the type %s", v.Type)
		}
	}
	return a, nil
}
