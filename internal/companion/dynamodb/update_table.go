package dynamodb

import (
	"context"
	"slices"

	api "github.com/rheostream/rheo/internal/api/dynamodb"
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
		for range len(doc.Indexes) - len(t.doc.Indexes) {
			t.items.Scan(func(key string, _ row) bool {
				costs += int64(2*len(key) + entryCost)
				return true
			})
		}
		changed = &table{doc: *doc, bytes: t.bytes}
		return costs, nil
	})
	if err != nil {
		return nil, err
	}
	return &api.UpdateTableOutput{TableDescription: s.describeUpdate(changed, in)}, nil
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

func checkIndexUpdates(list []api.GlobalSecondaryIndexUpdate) error {
	var names []string
	made := 0
	for _, u := range list {
		given := 0
		for _, name := range [...]*string{nameOfCreate(u.Create), nameOfUpdate(u.Update), nameOfDelete(u.Delete)} {
			if name == nil {
				continue
			}
			given++
			if slices.Contains(names, *name) {
				return validation(badValues+"Only one global secondary index update per index is allowed simultaneously. Index: %s", *name)
			}
			names = append(names, *name)
		}
		if given != 1 {
			return validation(badValues + "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, GlobalSecondaryIndexUpdate.Delete must not be null")
		}
		if u.Update == nil {
			made++
		}
	}
	if made > 1 {
		return limitExceeded("Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table")
	}
	return nil
}

func nameOfCreate(a *api.CreateGlobalSecondaryIndexAction) *string {
	if a == nil {
		return nil
	}
	return a.IndexName
}

func nameOfUpdate(a *api.UpdateGlobalSecondaryIndexAction) *string {
	if a == nil {
		return nil
	}
	return a.IndexName
}

func nameOfDelete(a *api.DeleteGlobalSecondaryIndexAction) *string {
	if a == nil {
		return nil
	}
	return a.IndexName
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
		was := d.OnDemand
		if err := d.readBilling(mode, in.ProvisionedThroughput); err != nil {
			return err
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
		switch {
		case u.Create != nil:
			if d.index(*u.Create.IndexName) != nil {
				return validation("Attempting to create an index which already exists")
			}
			if err := d.addGlobalIndex(*u.Create.IndexName, u.Create.KeySchema, u.Create.Projection, u.Create.ProvisionedThroughput); err != nil {
				return err
			}
			d.Indexes[len(d.Indexes)-1].Created = now
		default:
			name := nameOfUpdate(u.Update)
			if name == nil {
				name = nameOfDelete(u.Delete)
			}
			x := d.index(*name)
			if x == nil || x.Local {
				return noIndex()
			}
			if u.Delete != nil {
				d.Indexes = slices.DeleteFunc(d.Indexes, func(x indexDoc) bool { return x.Name == *name })
				continue
			}
			if u.Update.ProvisionedThroughput == nil {
				continue
			}
			if d.OnDemand {
				return validation(badValues+"ProvisionedThroughput should not be specified for index: %s when BillingMode is PAY_PER_REQUEST", *name)
			}
			var err error
			if x.Throughput, err = readThroughput(u.Update.ProvisionedThroughput); err != nil {
				return err
			}
		}
	}
	d.forgetTypes()
	return d.checkIndexes()
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
