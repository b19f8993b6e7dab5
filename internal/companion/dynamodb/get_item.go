package dynamodb

import (
	"context"

	api "github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/companion/dynamodb/expr"
	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// GetItem reads an item. The answer has no Item if there is none.
func (s *Service) GetItem(ctx context.Context, in *api.GetItemInput) (*api.GetItemOutput, error) {
	name, key, err := tableName(ctx, in.TableName)
	if err != nil {
		return nil, err
	}
	projection, err := readProjection(in.AttributesToGet, in.ProjectionExpression, in.ExpressionAttributeNames)
	if err != nil {
		return nil, err
	}
	k, err := readItem(in.Key)
	if err != nil {
		return nil, err
	}
	t, err := s.usable(s.machine.view(), key)
	if err != nil {
		return nil, err
	}
	a := s.newAnswer()
	defer a.sent(ctx)
	it, err := t.read(k, a)
	if err == nil {
		err = t.doc.checkScalars(projection.Nested())
	}
	if err != nil {
		return nil, err
	}
	out := &api.GetItemOutput{ConsumedCapacity: consumed(in.ReturnConsumedCapacity, name, readUnits(it.Size(), in.ConsistentRead), "", false)}
	if it != nil {
		shown := projection.Of(it)
		if !a.take(shown) {
			return nil, errNoRoom()
		}
		out.Item = shown.API()
	}
	return out, nil
}

// read is the item with a request's key; nil if there is none.
func (t *table) read(k item.Item, a *answer) (item.Item, error) {
	key, err := t.doc.readKey(k)
	if err != nil {
		return nil, err
	}
	it, _, err := t.get(key, a)
	return it, err
}

// readProjection reads what a request that reads items wants of them.
func readProjection(attributes []string, expression *string, names map[string]string) (*expr.Projection, error) {
	if err := oneDialect([]parameter{{"AttributesToGet", attributes != nil}},
		[]parameter{{"ProjectionExpression", expression != nil}}, names, nil); err != nil {
		return nil, err
	}
	if expression == nil {
		return expr.ProjectAttributes(attributes)
	}
	p, err := expr.NewParams(names, nil)
	if err != nil {
		return nil, err
	}
	projection, err := p.Projection(*expression)
	if err == nil {
		err = p.Unused()
	}
	return projection, err
}
