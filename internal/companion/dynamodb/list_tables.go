package dynamodb

import (
	"context"
	"strings"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/dynamodb"
)

const listTablesMax = 100

// ListTables lists the caller's tables in the order of their names.
func (s *Service) ListTables(ctx context.Context, in *api.ListTablesInput) (*api.ListTablesOutput, error) {
	limit := listTablesMax
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	caller := rheo.CallerFrom(ctx)
	prefix := tableKey(caller.Account, caller.Region, "")
	from := prefix
	if in.ExclusiveStartTableName != nil {
		from = prefix + *in.ExclusiveStartTableName + "\x00"
	}
	out := &api.ListTablesOutput{TableNames: []string{}}
	s.machine.view().tables.Ascend(from, func(key string, t *table) bool {
		if !strings.HasPrefix(key, prefix) {
			return false
		}
		if len(out.TableNames) == limit {
			out.LastEvaluatedTableName = &out.TableNames[limit-1]
			return false
		}
		out.TableNames = append(out.TableNames, t.doc.Name)
		return true
	})
	return out, nil
}
