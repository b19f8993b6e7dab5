package dynamodb

import (
	"context"

	api "github.com/rheostream/rheo/internal/api/dynamodb"
)

// DeleteTable deletes a table with its items.
func (s *Service) DeleteTable(ctx context.Context, in *api.DeleteTableInput) (*api.DeleteTableOutput, error) {
	name, key, err := tableName(ctx, in.TableName)
	if err != nil {
		return nil, err
	}
	var deleted *table
	err = s.decide(ctx, []string{key}, func(st *state) (txn, error) {
		t, ok := st.tables.Get(key)
		switch {
		case !ok:
			return nil, noTableNamed(name)
		case s.creating(&t.doc):
			return nil, inUse("Attempt to change a resource which is still in use: Table is being created: %s", name)
		case s.status(&t.doc) != api.TableStatusActive:
			return nil, inUse("Attempt to change a resource which is still in use: Table is being updated: %s", name)
		case t.doc.DeletionProtection:
			return nil, validation("Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.")
		}
		deleted = t
		return txn{{kind: dropTable, table: key, version: t.version}}, nil
	})
	if err != nil {
		return nil, err
	}
	d := s.describe(deleted)
	d.TableStatus = api.TableStatusDeleting // it was, a moment ago
	return &api.DeleteTableOutput{TableDescription: d}, nil
}
