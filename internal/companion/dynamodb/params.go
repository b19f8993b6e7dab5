package dynamodb

import (
	"strings"

	api "github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/companion/dynamodb/expr"
)

// A parameter is one of a request's, with whether it was given.
type parameter struct {
	name  string
	given bool
}

// oneDialect says that a request is all in expressions or all in what was before them.
func oneDialect(old, expressions []parameter, names map[string]string, values map[string]api.AttributeValue) error {
	given := func(list []parameter) (out []string) {
		for _, p := range list {
			if p.given {
				out = append(out, p.name)
			}
		}
		return out
	}
	o, e := given(old), given(expressions)
	if len(o) > 0 && len(e) > 0 {
		return validation("Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {%s} Expression parameters: {%s}",
			strings.Join(o, ", "), strings.Join(e, ", "))
	}
	if names != nil && len(e) == 0 {
		return validation("ExpressionAttributeNames can only be specified when using expressions")
	}
	if values == nil {
		return nil
	}
	var takers []string // expressions that could have values
	for _, x := range expressions {
		if x.name == "ProjectionExpression" {
			continue
		}
		if x.given {
			return nil
		}
		takers = append(takers, x.name)
	}
	is := "is"
	if len(takers) > 1 {
		is = "are"
	}
	return validation("ExpressionAttributeValues can only be specified when using expressions: %s %s null", strings.Join(takers, " and "), is)
}

// A writeCondition is what must hold for an item to be written.
type writeCondition struct {
	condition *expr.Condition
	show      bool // the item, if it does not hold
}

// conditionOf reads the condition of a write in either dialect.
func conditionOf(p *expr.Params, expression *string, expected map[string]api.ExpectedAttributeValue,
	operator api.ConditionalOperator, onFailure api.ReturnValuesOnConditionCheckFailure) (w writeCondition, err error) {
	w.show = onFailure == api.ReturnValuesOnConditionCheckFailureAllOld
	if expression != nil {
		w.condition, err = p.Condition("ConditionExpression", *expression)
		return w, err
	}
	w.condition, err = expr.Expected(expected, operator)
	return w, err
}
