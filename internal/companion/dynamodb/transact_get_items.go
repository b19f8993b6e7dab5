package dynamodb

import (
	"context"

	api "github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// TransactGetItems reads up to 100 items as of one moment.
func (s *Service) TransactGetItems(ctx context.Context, in *api.TransactGetItemsInput) (*api.TransactGetItemsOutput, error) {
	if len(in.TransactItems) > transactMax {
		return nil, validation("Member must have length less than or equal to %d", transactMax)
	}
	out := &api.TransactGetItemsOutput{Responses: []api.ItemResponse{}}
	a := s.newAnswer()
	defer a.sent(ctx)
	st, seen := s.machine.view(), make(map[string]bool)
	units, size := make(map[string]float64), 0
	for i := range in.TransactItems {
		get := in.TransactItems[i].Get
		name, it, err := s.transactGet(ctx, st, get, seen, a)
		if err != nil {
			return nil, err
		}
		if size += it.Size(); size > transactBytesMax {
			return nil, tooLargeTransaction()
		}
		units[name] += 2 * readUnits(it.Size(), new(true))
		projection, err := readProjection(nil, get.ProjectionExpression, get.ExpressionAttributeNames)
		if err != nil {
			return nil, err
		}
		var r api.ItemResponse
		if it != nil {
			shown := projection.Of(it)
			if !a.take(shown) {
				return nil, errNoRoom()
			}
			r.Item = shown.API()
		}
		out.Responses = append(out.Responses, r)
	}
	for _, name := range sortedKeys(units) {
		if c := consumed(in.ReturnConsumedCapacity, name, units[name], "", false); c != nil {
			out.ConsumedCapacity = append(out.ConsumedCapacity, *c)
		}
	}
	return out, nil
}

func (s *Service) transactGet(ctx context.Context, st *state, get *api.Get, seen map[string]bool, a *answer) (name string, it item.Item, err error) {
	name, table, err := tableName(ctx, get.TableName)
	if err != nil {
		return "", nil, err
	}
	k, err := readItem(get.Key)
	if err != nil {
		return "", nil, err
	}
	t, err := s.usable(st, table)
	if err != nil {
		return "", nil, err
	}
	key, err := t.doc.readKey(k)
	if err != nil {
		return "", nil, err
	}
	if seen[table+"\x00"+key] {
		return "", nil, validation("Transaction request cannot include multiple operations on one item")
	}
	seen[table+"\x00"+key] = true
	it, _, err = t.get(key, a)
	return name, it, err
}
