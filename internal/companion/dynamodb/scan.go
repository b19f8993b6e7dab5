package dynamodb

import (
	"context"
	"encoding/binary"
	"slices"

	api "github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/companion/dynamodb/expr"
	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// Scan reads all items of a table or an index, or those of one of TotalSegments
// parts, a page at a time.
func (s *Service) Scan(ctx context.Context, in *api.ScanInput) (*api.ScanOutput, error) {
	name, key, err := tableName(ctx, in.TableName)
	if err != nil {
		return nil, err
	}
	q := reading{scan: true, index: in.IndexName, selects: in.Select, limit: in.Limit, start: in.ExclusiveStartKey, consistent: in.ConsistentRead}
	if err := q.readScan(in); err != nil {
		return nil, err
	}
	t, err := s.usable(s.machine.view(), key)
	if err != nil {
		return nil, err
	}
	if err := s.choose(&q, t); err != nil {
		return nil, err
	}
	if err := q.startAt(func(item.Item) error {
		return validation("The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. TotalSegments: %d Segment: %d",
			*in.TotalSegments, *in.Segment) // without them no key is outside
	}); err != nil {
		return nil, err
	}
	a := s.newAnswer()
	defer a.sent(ctx)
	page, err := q.read(ctx, a)
	if err != nil {
		return nil, err
	}
	return &api.ScanOutput{Items: page.items, Count: &page.count, ScannedCount: &page.scanned, LastEvaluatedKey: page.last,
		ConsumedCapacity: consumed(in.ReturnConsumedCapacity, name, readUnits(page.bytes, in.ConsistentRead), q.indexName(), q.local)}, nil
}

// readScan reads what a Scan says in either dialect.
func (q *reading) readScan(in *api.ScanInput) error {
	old := []parameter{{"AttributesToGet", in.AttributesToGet != nil}, {"ScanFilter", in.ScanFilter != nil},
		{"ConditionalOperator", in.ConditionalOperator != ""}}
	expressions := []parameter{{"ProjectionExpression", in.ProjectionExpression != nil}, {"FilterExpression", in.FilterExpression != nil}}
	if err := oneDialect(old, expressions, in.ExpressionAttributeNames, in.ExpressionAttributeValues); err != nil {
		return err
	}
	p, err := expr.NewParams(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	if err != nil {
		return err
	}
	if err := q.readFilter(p, in.FilterExpression, in.ScanFilter, in.ConditionalOperator); err != nil {
		return err
	}
	if err := q.readProjection(p, in.AttributesToGet, in.ProjectionExpression); err != nil {
		return err
	}
	if err := p.Unused(); err != nil {
		return err
	}
	switch {
	case in.Segment != nil && in.TotalSegments == nil:
		return validation("The TotalSegments parameter is required but was not present in the request when Segment parameter is present")
	case in.Segment == nil && in.TotalSegments != nil:
		return validation("The Segment parameter is required but was not present in the request when parameter TotalSegments is present")
	case in.Segment == nil:
		return nil
	case *in.Segment >= *in.TotalSegments:
		return validation("The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: %d is not less than TotalSegments: %d",
			*in.Segment, *in.TotalSegments)
	}
	q.within = segment(uint64(*in.Segment), uint64(*in.TotalSegments))
	return nil
}

// segment is a share of the hashes with which keys begin.
func segment(i, of uint64) keyRange {
	bound := func(i uint64) string {
		h := (i<<32 + of - 1) / of // the first hash that is in the share
		if i == 0 || h >= 1<<32 {
			return ""
		}
		return string(binary.BigEndian.AppendUint32(nil, uint32(h)))
	}
	return keyRange{bound(i), bound(i + 1)}
}

func containsSorted(names []string, name string) bool {
	_, ok := slices.BinarySearch(names, name)
	return ok
}
