package dynamodb

import (
	"context"
	"slices"

	api "github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/companion/dynamodb/expr"
	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

const (
	batchGetMax   = 100
	batchBytesMax = 16 << 20
)

// BatchGetItem reads items of several tables, all as of one moment. What would
// make the answer larger than 16 MiB comes back as UnprocessedKeys.
func (s *Service) BatchGetItem(ctx context.Context, in *api.BatchGetItemInput) (*api.BatchGetItemOutput, error) {
	out := &api.BatchGetItemOutput{Responses: map[string][]map[string]api.AttributeValue{}, UnprocessedKeys: map[string]api.KeysAndAttributes{}}
	count := 0
	for _, ka := range in.RequestItems {
		count += len(ka.Keys)
	}
	if count > batchGetMax {
		return nil, validation("Too many items requested for the BatchGetItem call")
	}
	st, size := s.machine.view(), 0
	a := s.newAnswer()
	defer a.sent(ctx)
	for _, given := range sortedKeys(in.RequestItems) {
		ka := in.RequestItems[given]
		name, key, err := tableName(ctx, &given)
		if err != nil {
			return nil, err
		}
		projection, err := readProjection(ka.AttributesToGet, ka.ProjectionExpression, ka.ExpressionAttributeNames)
		if err != nil {
			return nil, err
		}
		t, err := s.usable(st, key)
		if err != nil {
			return nil, err
		}
		units, err := t.batchGet(out, given, &ka, projection, &size, a)
		if err != nil {
			return nil, err
		}
		if c := consumed(in.ReturnConsumedCapacity, name, units, "", false); c != nil {
			out.ConsumedCapacity = append(out.ConsumedCapacity, *c)
		}
	}
	return out, nil
}

func (t *table) batchGet(out *api.BatchGetItemOutput, given string, ka *api.KeysAndAttributes, projection *expr.Projection, size *int, a *answer) (units float64, err error) {
	keys := make([]item.Item, len(ka.Keys))
	seen := make([]string, 0, len(ka.Keys))
	for i := range ka.Keys {
		if keys[i], err = readItem(ka.Keys[i]); err != nil {
			return 0, err
		}
		key, err := t.doc.readKey(keys[i])
		if err != nil {
			return 0, err
		}
		if slices.Contains(seen, key) {
			return 0, validation("Provided list of item keys contains duplicates")
		}
		seen = append(seen, key)
	}
	if err := t.doc.checkScalars(projection.Nested()); err != nil {
		return 0, err
	}
	list := []map[string]api.AttributeValue{}
	for i, key := range seen {
		r, found := t.items.Get(key)
		var it, shown item.Item
		room := true
		if found {
			if it, room, err = a.decode(r.stored); err != nil {
				return 0, err
			}
			shown = projection.Of(it)
		}
		if !room || *size > 0 && *size+it.Size() > batchBytesMax || !a.take(shown) {
			rest := *ka
			rest.Keys = ka.Keys[i:]
			out.UnprocessedKeys[given] = rest
			break
		}
		*size += it.Size()
		units += readUnits(it.Size(), ka.ConsistentRead)
		if it != nil {
			list = append(list, shown.API())
		}
	}
	out.Responses[given] = list
	return units, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
