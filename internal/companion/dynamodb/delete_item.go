package dynamodb

import (
	"context"

	api "github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/companion/dynamodb/expr"
)

// DeleteItem deletes an item; that there is none is no error.
func (s *Service) DeleteItem(ctx context.Context, in *api.DeleteItemInput) (*api.DeleteItemOutput, error) {
	name, w, err := readDelete(ctx, in)
	if err != nil {
		return nil, err
	}
	out, err := s.writeItem(ctx, w)
	if err != nil {
		return nil, err
	}
	answer := &api.DeleteItemOutput{
		ConsumedCapacity:      consumed(in.ReturnConsumedCapacity, name, writeUnits(out.oldBytes, 0), "", false),
		ItemCollectionMetrics: collection(in.ReturnItemCollectionMetrics, out.table, w.key),
	}
	if out.shown != nil {
		answer.Attributes = out.shown.API()
	}
	return answer, nil
}

func readDelete(ctx context.Context, in *api.DeleteItemInput) (name string, w *itemWrite, err error) {
	name, key, err := tableName(ctx, in.TableName)
	if err != nil {
		return "", nil, err
	}
	if in.ReturnValues != "" && in.ReturnValues != api.ReturnValueNone && in.ReturnValues != api.ReturnValueAllOld {
		return "", nil, validation("ReturnValues can only be ALL_OLD or NONE")
	}
	w = &itemWrite{table: key, kind: deleteItem, returns: in.ReturnValues}
	old := []parameter{{"Expected", in.Expected != nil}, {"ConditionalOperator", in.ConditionalOperator != ""}}
	if err := oneDialect(old, []parameter{{"ConditionExpression", in.ConditionExpression != nil}},
		in.ExpressionAttributeNames, in.ExpressionAttributeValues); err != nil {
		return "", nil, err
	}
	if w.key, err = readItem(in.Key); err != nil {
		return "", nil, err
	}
	p, err := expr.NewParams(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	if err != nil {
		return "", nil, err
	}
	w.writeCondition, err = conditionOf(p, in.ConditionExpression, in.Expected, in.ConditionalOperator, in.ReturnValuesOnConditionCheckFailure)
	if err == nil {
		err = p.Unused()
	}
	return name, w, err
}
