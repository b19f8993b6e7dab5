package dynamodb

import (
	"context"
	"slices"

	api "github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/companion/dynamodb/expr"
	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// Query reads the items of one partition of a table or an index, in the order of
// their sort keys, a page at a time.
func (s *Service) Query(ctx context.Context, in *api.QueryInput) (*api.QueryOutput, error) {
	name, key, err := tableName(ctx, in.TableName)
	if err != nil {
		return nil, err
	}
	q := reading{index: in.IndexName, selects: in.Select, limit: in.Limit, start: in.ExclusiveStartKey, consistent: in.ConsistentRead,
		backward: in.ScanIndexForward != nil && !*in.ScanIndexForward}
	conditions, err := q.readQuery(in)
	if err != nil {
		return nil, err
	}
	t, err := s.usable(s.machine.view(), key)
	if err != nil {
		return nil, err
	}
	if err := s.choose(&q, t); err != nil {
		return nil, err
	}
	if q.within, err = t.doc.partitionRange(q.key, conditions); err != nil {
		return nil, err
	}
	for _, attribute := range q.filter.Attributes() {
		if q.key.has(attribute) {
			kind := "Filter Expression"
			if in.QueryFilter != nil {
				kind = "QueryFilter"
			}
			return nil, validation("%s can only contain non-primary key attributes: Primary key attribute: %s", kind, attribute)
		}
	}
	if err := q.startAt(func(start item.Item) error { return outside(q.key, conditions, start) }); err != nil {
		return nil, err
	}
	a := s.newAnswer()
	defer a.sent(ctx)
	page, err := q.read(ctx, a)
	if err != nil {
		return nil, err
	}
	return &api.QueryOutput{Items: page.items, Count: &page.count, ScannedCount: &page.scanned, LastEvaluatedKey: page.last,
		ConsumedCapacity: consumed(in.ReturnConsumedCapacity, name, readUnits(page.bytes, in.ConsistentRead), q.indexName(), q.local)}, nil
}

// readQuery reads what a Query says in either dialect.
func (q *reading) readQuery(in *api.QueryInput) ([]expr.KeyCondition, error) {
	// Conditions on the key may be in the old dialect when the rest is not.
	old := []parameter{{"AttributesToGet", in.AttributesToGet != nil}, {"QueryFilter", in.QueryFilter != nil},
		{"ConditionalOperator", in.ConditionalOperator != ""}, {"KeyConditions", in.KeyConditions != nil && in.KeyConditionExpression != nil}}
	expressions := []parameter{{"ProjectionExpression", in.ProjectionExpression != nil}, {"FilterExpression", in.FilterExpression != nil},
		{"KeyConditionExpression", in.KeyConditionExpression != nil}}
	if err := oneDialect(old, expressions, in.ExpressionAttributeNames, in.ExpressionAttributeValues); err != nil {
		return nil, err
	}
	p, err := expr.NewParams(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	if err != nil {
		return nil, err
	}
	if in.KeyConditionExpression == nil && in.KeyConditions == nil {
		return nil, validation("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	}
	if err := q.readFilter(p, in.FilterExpression, in.QueryFilter, in.ConditionalOperator); err != nil {
		return nil, err
	}
	if err := q.readProjection(p, in.AttributesToGet, in.ProjectionExpression); err != nil {
		return nil, err
	}
	if in.KeyConditionExpression == nil {
		if err := p.Unused(); err != nil {
			return nil, err
		}
		return expr.LegacyKeyConditions(in.KeyConditions)
	}
	conditions, err := p.KeyConditions(*in.KeyConditionExpression)
	if err == nil {
		err = p.Unused()
	}
	return conditions, err
}

// outside says why a query cannot go on behind a key that does not meet its conditions.
func outside(k keySchema, conditions []expr.KeyCondition, start item.Item) error {
	for _, c := range conditions {
		if c.Attribute != k.Range {
			continue
		}
		if !c.Match(start[k.Range]) {
			return validation("The provided starting key does not match the range key predicate")
		}
		return validation("The query can return at most one row and cannot be restarted")
	}
	return validation("The provided starting key is outside query boundaries based on provided conditions")
}

func (q *reading) readFilter(p *expr.Params, expression *string, filter map[string]api.Condition, operator api.ConditionalOperator) (err error) {
	if expression != nil {
		q.filter, err = p.Condition("FilterExpression", *expression)
	} else {
		q.filter, err = expr.Filter(filter, operator)
	}
	return err
}

// readProjection reads what is wanted of each item, and checks it against Select.
func (q *reading) readProjection(p *expr.Params, attributes []string, expression *string) (err error) {
	what := ""
	if expression != nil {
		what = "ProjectionExpression"
		q.projection, err = p.Projection(*expression)
	} else if attributes != nil {
		what = "AttributesToGet"
		q.projection, err = expr.ProjectAttributes(attributes)
	}
	if err != nil {
		return err
	}
	switch q.selects {
	case api.SelectSpecificAttributes:
		if what == "" {
			return validation("Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES")
		}
	case api.SelectCount:
		if what != "" {
			return validation("Cannot specify the %s when choosing to get only the Count", what)
		}
	case api.SelectAllAttributes, api.SelectAllProjectedAttributes:
		if what != "" {
			return validation("Cannot specify the %s when choosing to get %s", what, q.selects)
		}
	}
	if q.selects == api.SelectAllProjectedAttributes && q.index == nil {
		return validation("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")
	}
	return nil
}

// partitionRange are the keys that meet the conditions of a Query.
func (d *tableDoc) partitionRange(k keySchema, conditions []expr.KeyCondition) (r keyRange, err error) {
	find := func(name string) *expr.KeyCondition {
		i := slices.IndexFunc(conditions, func(c expr.KeyCondition) bool { return c.Attribute == name && name != "" })
		if i < 0 {
			return nil
		}
		return &conditions[i]
	}
	hash, sort := find(k.Hash), find(k.Range)
	switch {
	case hash == nil:
		return r, validation("Query condition missed key schema element: %s", k.Hash)
	case len(conditions) == 2 && k.Range == "":
		return r, validation("Query key condition not supported")
	case len(conditions) == 2 && sort == nil:
		return r, validation("Query condition missed key schema element: %s", k.Range)
	case hash.Op != "=":
		return r, validation("Query key condition not supported")
	}
	for _, c := range conditions {
		for _, v := range c.Values {
			if v.Type.String() != d.Types[c.Attribute] {
				return r, validation(badValues + "Condition parameter type does not match schema type")
			}
			if err := checkKeyValue(c.Attribute, v, c.Attribute == k.Hash); err != nil && (c.Op != "begins_with" || v.Text != "") {
				return r, err
			}
		}
	}
	prefix := partition(hash.Values[0])
	whole := keyRange{string(prefix), after(string(prefix))}
	if sort == nil {
		return whole, nil
	}
	bound := func(i int) string { return string(item.AppendKey(slices.Clone(prefix), sort.Values[i])) }
	switch sort.Op {
	case "=":
		return keyRange{bound(0), after(bound(0))}, nil
	case "<":
		return keyRange{whole.from, bound(0)}, nil
	case "<=":
		return keyRange{whole.from, after(bound(0))}, nil
	case ">":
		return keyRange{after(bound(0)), whole.to}, nil
	case ">=":
		return keyRange{bound(0), whole.to}, nil
	case "BETWEEN":
		return keyRange{bound(0), after(bound(1))}, nil
	}
	if sort.Values[0].Type == item.N {
		return r, validation("Invalid KeyConditionExpression: Incorrect operand type for operator or function; operator or function: begins_with, operand type: N")
	}
	begin := string(item.AppendKeyPrefix(slices.Clone(prefix), sort.Values[0]))
	return keyRange{begin, after(begin)}, nil
}
