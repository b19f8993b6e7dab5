package dynamodb

import (
	"context"

	api "github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/companion/dynamodb/expr"
)

// PutItem stores an item, in the place of one with the same key.
func (s *Service) PutItem(ctx context.Context, in *api.PutItemInput) (*api.PutItemOutput, error) {
	name, w, err := readPut(ctx, in)
	if err != nil {
		return nil, err
	}
	out, err := s.writeItem(ctx, w)
	if err != nil {
		return nil, err
	}
	answer := &api.PutItemOutput{
		ConsumedCapacity:      consumed(in.ReturnConsumedCapacity, name, writeUnits(out.oldBytes, out.newBytes), "", false),
		ItemCollectionMetrics: collection(in.ReturnItemCollectionMetrics, out.table, out.new),
	}
	if out.shown != nil {
		answer.Attributes = out.shown.API()
	}
	return answer, nil
}

func readPut(ctx context.Context, in *api.PutItemInput) (name string, w *itemWrite, err error) {
	name, key, err := tableName(ctx, in.TableName)
	if err != nil {
		return "", nil, err
	}
	if in.ReturnValues != "" && in.ReturnValues != api.ReturnValueNone && in.ReturnValues != api.ReturnValueAllOld {
		return "", nil, validation("ReturnValues can only be ALL_OLD or NONE")
	}
	w = &itemWrite{table: key, kind: putItem, returns: in.ReturnValues}
	old := []parameter{{"Expected", in.Expected != nil}, {"ConditionalOperator", in.ConditionalOperator != ""}}
	if err := oneDialect(old, []parameter{{"ConditionExpression", in.ConditionExpression != nil}},
		in.ExpressionAttributeNames, in.ExpressionAttributeValues); err != nil {
		return "", nil, err
	}
	if w.item, err = readItem(in.Item); err != nil {
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
	if err == nil {
		err = checkSize(w.item)
	}
	return name, w, err
}
