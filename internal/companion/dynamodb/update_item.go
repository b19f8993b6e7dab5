package dynamodb

import (
	"context"

	api "github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/companion/dynamodb/expr"
)

// UpdateItem changes attributes of an item, and makes it if there is none.
func (s *Service) UpdateItem(ctx context.Context, in *api.UpdateItemInput) (*api.UpdateItemOutput, error) {
	name, w, err := readUpdate(ctx, in)
	if err != nil {
		return nil, err
	}
	out, err := s.writeItem(ctx, w)
	if err != nil {
		return nil, err
	}
	answer := &api.UpdateItemOutput{
		ConsumedCapacity:      consumed(in.ReturnConsumedCapacity, name, writeUnits(out.oldBytes, out.newBytes), "", false),
		ItemCollectionMetrics: collection(in.ReturnItemCollectionMetrics, out.table, w.key),
	}
	if out.shown != nil {
		answer.Attributes = out.shown.API()
	}
	return answer, nil
}

func readUpdate(ctx context.Context, in *api.UpdateItemInput) (name string, w *itemWrite, err error) {
	name, key, err := tableName(ctx, in.TableName)
	if err != nil {
		return "", nil, err
	}
	w = &itemWrite{table: key, kind: putItem, returns: in.ReturnValues}
	old := []parameter{{"AttributeUpdates", in.AttributeUpdates != nil}, {"Expected", in.Expected != nil},
		{"ConditionalOperator", in.ConditionalOperator != ""}}
	expressions := []parameter{{"UpdateExpression", in.UpdateExpression != nil}, {"ConditionExpression", in.ConditionExpression != nil}}
	if err := oneDialect(old, expressions, in.ExpressionAttributeNames, in.ExpressionAttributeValues); err != nil {
		return "", nil, err
	}
	if w.key, err = readItem(in.Key); err != nil {
		return "", nil, err
	}
	p, err := expr.NewParams(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	if err != nil {
		return "", nil, err
	}
	if in.UpdateExpression != nil {
		w.update, err = p.Update(*in.UpdateExpression)
	} else {
		w.update, err = expr.AttributeUpdates(in.AttributeUpdates)
	}
	if err != nil {
		return "", nil, err
	}
	w.writeCondition, err = conditionOf(p, in.ConditionExpression, in.Expected, in.ConditionalOperator, in.ReturnValuesOnConditionCheckFailure)
	if err == nil {
		err = p.Unused()
	}
	return name, w, err
}
