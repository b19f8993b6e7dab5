package dynamodb

import (
	"context"
	"slices"

	api "github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// UpdateTable makes or deletes a global index, or changes settings. A new index
// is filled by the command that makes it: it is whole once it is there.
func (s *Service) UpdateTable(ctx context.Context, in *api.UpdateTableInput) (*api.UpdateTableOutput, error) {
	switch {
	case in.StreamSpecification != nil && in.StreamSpecification.StreamEnabled != nil && *in.StreamSpecification.StreamEnabled:
		return nil, unsupported("Streams are")
	case in.SSESpecification != nil && in.SSESpecification.Enabled != nil && *in.SSESpecification.Enabled:
		return nil, unsupported("Keys of a table's own are")
	case in.ReplicaUpdates != nil || in.GlobalTableWitnessUpdates != nil || in.MultiRegionConsistency != "":
		return nil, unsupported("Global tables are")
	case in.VectorIndexUpdates != nil:
		return nil, unsupported("Vector indexes are")
	case in.BillingMode == "" && in.ProvisionedThroughput == nil && len(in.GlobalSecondaryIndexUpdates) == 0 && in.TableClass == "" &&
		in.DeletionProtectionEnabled == nil && in.OnDemandThroughput == nil && in.WarmThroughput == nil:
		return nil, validation("At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required")
	}
	if err := checkIndexUpdates(in.GlobalSecondaryIndexUpdates); err != nil {
		return nil, err
	}
	var changed *table
	err := s.changeTable(ctx, in.TableName, func(t *table, doc *tableDoc) (costs int64, err error) {
		if status := s.status(&t.doc); status != api.TableStatusActive {
			what := "updated"
			if status == api.TableStatusCreating {
				what = "created"
			}
			return 0, inUse("Attempt to change a resource which is still in use: Table is being %s: %s", what, doc.Name)
		}
		if err := doc.update(in, s.now().UnixMilli()); err != nil {
			return 0, err
		}
		doc.Ready = s.now().Add(s.transition).UnixMilli()
		if costs, err = newEntriesCost(t, doc); err != nil {
			return 0, err
		}
		changed = &table{doc: *doc, bytes: t.bytes}
		return costs, nil
	})
	if err != nil {
		return nil, err
	}
	return &api.UpdateTableOutput{TableDescription: s.describeUpdate(changed, in)}, nil
}

// newEntriesCost is what the entries of those indexes take that a new definition
// of a table has and the old one has not.
func newEntriesCost(t *table, doc *tableDoc) (costs int64, err error) {
	for i := range doc.Indexes {
		x := &doc.Indexes[i]
		if old := t.doc.index(x.Name); old != nil && old.Created == x.Created {
			continue
		}
		t.items.Scan(func(key string, r row) bool {
			var it item.Item
			if it, err = item.Pick(r.stored, x.Key.names()); err == nil {
				costs += doc.entryCost(x, key, it)
			}
			return err == nil
		})
	}
	return costs, err
}

// describeUpdate is a table as it was a moment ago, while it was being updated.
// Clients look in it for the index that they have just made.
func (s *Service) describeUpdate(t *table, in *api.UpdateTableInput) *api.TableDescription {
	if now, ok := s.machine.view().tables.Get(t.doc.key()); ok && now.doc.ID == t.doc.ID {
		t = now
	}
	d := s.describe(t)
	d.TableStatus = api.TableStatusUpdating
	for i := range d.GlobalSecondaryIndexes {
		x := &d.GlobalSecondaryIndexes[i]
		for _, u := range in.GlobalSecondaryIndexUpdates {
			if u.Create != nil && *u.Create.IndexName == *x.IndexName {
				x.IndexStatus = api.IndexStatusCreating
			}
			if u.Update != nil && *u.Update.IndexName == *x.IndexName {
				x.IndexStatus = api.IndexStatusUpdating
			}
		}
	}
	return d
}

// checkIndexUpdates: each says one thing about one index, and one at most makes
// or deletes an index.
func checkIndexUpdates(list []api.GlobalSecondaryIndexUpdate) error {
	var all []string
	made := 0
	for _, u := range list {
		var names []string
		if u.Create != nil {
			names = append(names, *u.Create.IndexName)
		}
		if u.Delete != nil {
			names = append(names, *u.Delete.IndexName)
		}
		made += len(names)
		if u.Update != nil {
			names = append(names, *u.Update.IndexName)
		}
		if len(names) != 1 {
			return validation(badValues + "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, GlobalSecondaryIndexUpdate.Delete must not be null")
		}
		if slices.Contains(all, names[0]) {
			return validation(badValues+"Only one global secondary index update per index is allowed simultaneously. Index: %s", names[0])
		}
		all = append(all, names[0])
	}
	if made > 1 {
		return limitExceeded("Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table")
	}
	return nil
}

// update changes a definition as a request says.
func (d *tableDoc) update(in *api.UpdateTableInput, now int64) error {
	if in.BillingMode != "" || in.ProvisionedThroughput != nil {
		mode := in.BillingMode
		if mode == "" {
			mode = api.BillingModeProvisioned
			if d.OnDemand {
				mode = api.BillingModePayPerRequest
			}
		}
		was, had := d.OnDemand, d.Throughput
		if err := d.readBilling(mode, in.ProvisionedThroughput); err != nil {
			return err
		}
		alone := in.BillingMode == "" && len(in.GlobalSecondaryIndexUpdates) == 0 && in.TableClass == "" && in.DeletionProtectionEnabled == nil
		if alone && d.Throughput == had {
			return validation("The provisioned throughput for the table will not change. The requested value equals the current value. Current ReadCapacityUnits provisioned for the table: %d. Requested ReadCapacityUnits: %[1]d. Current WriteCapacityUnits provisioned for the table: %d. Requested WriteCapacityUnits: %[2]d. Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits.",
				had.Read, had.Write)
		}
		if d.OnDemand && !was {
			d.OnDemandSince = now
			for i := range d.Indexes {
				d.Indexes[i].Throughput = throughput{}
			}
		}
	}
	if in.TableClass != "" {
		d.Class = string(in.TableClass)
	}
	if in.DeletionProtectionEnabled != nil {
		d.DeletionProtection = *in.DeletionProtectionEnabled
	}
	if err := d.readAttributes(in.AttributeDefinitions); err != nil {
		return err
	}
	for _, u := range in.GlobalSecondaryIndexUpdates {
		if err := d.updateIndex(u, now); err != nil {
			return err
		}
	}
	d.forgetTypes()
	return d.checkIndexes()
}

func (d *tableDoc) updateIndex(u api.GlobalSecondaryIndexUpdate, now int64) error {
	global := func(name *string) *indexDoc {
		if x := d.index(*name); x != nil && !x.Local {
			return x
		}
		return nil
	}
	switch {
	case u.Create != nil:
		if d.index(*u.Create.IndexName) != nil {
			return validation("Attempting to create an index which already exists")
		}
		if err := d.addGlobalIndex(*u.Create.IndexName, u.Create.KeySchema, u.Create.Projection, u.Create.ProvisionedThroughput); err != nil {
			return err
		}
		d.Indexes[len(d.Indexes)-1].Created = now
	case u.Delete != nil:
		if global(u.Delete.IndexName) == nil {
			return noTable()
		}
		d.Indexes = slices.DeleteFunc(d.Indexes, func(x indexDoc) bool { return x.Name == *u.Delete.IndexName })
	case u.Update.ProvisionedThroughput != nil:
		x := global(u.Update.IndexName)
		if x == nil {
			return noTable()
		}
		if d.OnDemand {
			return validation(badValues+"ProvisionedThroughput should not be specified for index: %s when BillingMode is PAY_PER_REQUEST", x.Name)
		}
		var err error
		x.Throughput, err = readThroughput(u.Update.ProvisionedThroughput)
		return err
	}
	return nil
}

// forgetTypes drops the types of attributes that are in no key any more.
func (d *tableDoc) forgetTypes() {
	used := d.Key.names()
	for i := range d.Indexes {
		used = append(used, d.Indexes[i].Key.names()...)
	}
	for name := range d.Types {
		if !slices.Contains(used, name) {
			delete(d.Types, name)
		}
	}
}

// changeTable makes a change of a table's definition. change gets the table as
// it is, and a copy of its definition to change; it returns how much more memory
// that will take.
func (s *Service) changeTable(ctx context.Context, given *string, change func(t *table, doc *tableDoc) (costs int64, err error)) error {
	name, key, err := tableName(ctx, given)
	if err != nil {
		return err
	}
	return s.decide(ctx, []string{key}, func(st *state) (txn, error) {
		t, ok := st.tables.Get(key)
		if !ok {
			return nil, noTableNamed(name)
		}
		doc := t.doc.clone()
		costs, err := change(t, &doc)
		if err != nil {
			return nil, err
		}
		return txn{{kind: putTable, table: key, version: t.version, doc: doc, costs: costs}}, nil
	})
}
