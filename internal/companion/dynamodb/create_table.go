package dynamodb

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/dynamodb"
)

// Bounds of tables, as DynamoDB has them.
const (
	tablesMax        = 2500 // of an account in a region
	localIndexesMax  = 5
	globalIndexesMax = 20
	includeMax       = 100 // attributes that all indexes together include
	unitsMax         = 1_000_000_000_000
)

// CreateTable makes an empty table.
func (s *Service) CreateTable(ctx context.Context, in *api.CreateTableInput) (*api.CreateTableOutput, error) {
	name, key, err := tableName(ctx, in.TableName)
	if err != nil {
		return nil, err
	}
	doc, err := readTable(in)
	if err != nil {
		return nil, err
	}
	caller := rheo.CallerFrom(ctx)
	doc.ID, doc.Account, doc.Region, doc.Name = newID(), caller.Account, caller.Region, name
	err = s.decide(ctx, []string{key}, func(st *state) (txn, error) {
		if _, exists := st.tables.Get(key); exists {
			return nil, inUse("Table already exists: %s", name)
		}
		if st.countTables(caller.Account, caller.Region) >= tablesMax {
			return nil, limitExceeded("Subscriber limit exceeded: There is a limit of %d tables per subscriber", tablesMax)
		}
		doc.Created = s.now().UnixMilli()
		for i := range doc.Indexes {
			doc.Indexes[i].Created = doc.Created
		}
		if doc.OnDemand {
			doc.OnDemandSince = doc.Created
		}
		return txn{{kind: putTable, table: key, doc: doc, costs: tableCost}}, nil
	})
	if err != nil {
		return nil, err
	}
	d := s.describe(&table{doc: doc})
	d.TableStatus = api.TableStatusCreating // it was, a moment ago
	for i := range d.GlobalSecondaryIndexes {
		d.GlobalSecondaryIndexes[i].IndexStatus = api.IndexStatusCreating
	}
	return &api.CreateTableOutput{TableDescription: d}, nil
}

func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// countTables counts the tables of an account in a region.
func (st *state) countTables(account, region string) int {
	n, prefix := 0, tableKey(account, region, "")
	st.tables.Ascend(prefix, func(key string, _ *table) bool {
		if !strings.HasPrefix(key, prefix) {
			return false
		}
		n++
		return true
	})
	return n
}

// readTable reads and checks the definition of a table.
func readTable(in *api.CreateTableInput) (doc tableDoc, err error) {
	switch {
	case in.StreamSpecification != nil && in.StreamSpecification.StreamEnabled != nil && *in.StreamSpecification.StreamEnabled:
		return doc, unsupported("Streams are")
	case in.SSESpecification != nil && in.SSESpecification.Enabled != nil && *in.SSESpecification.Enabled:
		return doc, unsupported("Keys of a table's own are")
	case in.ResourcePolicy != nil:
		return doc, unsupported("Resource policies are")
	case in.GlobalTableSourceArn != nil:
		return doc, unsupported("Global tables are")
	case in.VectorIndexes != nil:
		return doc, unsupported("Vector indexes are")
	}
	if err := doc.readBilling(in.BillingMode, in.ProvisionedThroughput); err != nil {
		return doc, err
	}
	doc.Class = string(in.TableClass)
	doc.DeletionProtection = in.DeletionProtectionEnabled != nil && *in.DeletionProtectionEnabled
	if doc.Tags, err = mergeTags(nil, in.Tags); err != nil {
		return doc, err
	}
	if err := doc.readAttributes(in.AttributeDefinitions); err != nil {
		return doc, err
	}
	if doc.Key, err = doc.readSchema(in.KeySchema); err != nil {
		return doc, err
	}
	if in.LocalSecondaryIndexes == nil && in.GlobalSecondaryIndexes == nil && len(doc.Types) != len(in.KeySchema) {
		return doc, validation(badValues + "Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions")
	}
	if err := doc.readLocalIndexes(in.LocalSecondaryIndexes); err != nil {
		return doc, err
	}
	if in.GlobalSecondaryIndexes != nil && len(in.GlobalSecondaryIndexes) == 0 {
		return doc, validation(badValues + "List of GlobalSecondaryIndexes is empty")
	}
	for i := range in.GlobalSecondaryIndexes {
		x := &in.GlobalSecondaryIndexes[i]
		if err := doc.addGlobalIndex(*x.IndexName, x.KeySchema, x.Projection, x.ProvisionedThroughput); err != nil {
			return doc, err
		}
	}
	return doc, doc.checkIndexes()
}

func (d *tableDoc) readBilling(mode api.BillingMode, p *api.ProvisionedThroughput) error {
	d.OnDemand = mode == api.BillingModePayPerRequest
	switch {
	case d.OnDemand && p != nil:
		return validation(badValues + "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
	case d.OnDemand:
		d.Throughput = throughput{}
		return nil
	case p == nil:
		return validation(badValues + "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
	}
	var err error
	d.Throughput, err = readThroughput(p)
	return err
}

func readThroughput(p *api.ProvisionedThroughput) (throughput, error) {
	t := throughput{*p.ReadCapacityUnits, *p.WriteCapacityUnits}
	for _, u := range [...]struct {
		name  string
		units int64
	}{{"ReadCapacityUnits", t.Read}, {"WriteCapacityUnits", t.Write}} {
		if u.units > unitsMax {
			return t, validation("Given value %d for %s is out of bounds", u.units, u.name)
		}
	}
	return t, nil
}

// readAttributes adds the types of key attributes.
func (d *tableDoc) readAttributes(list []api.AttributeDefinition) error {
	if d.Types == nil {
		d.Types = make(map[string]string)
	}
	given := make(map[string]bool)
	for _, a := range list {
		name, t := *a.AttributeName, string(a.AttributeType)
		if given[name] {
			return validation(badValues+"Duplicate AttributeName in AttributeDefinitions: %s", name)
		}
		given[name] = true
		if before, known := d.Types[name]; known && before != t {
			return validation(badValues+"Attributes cannot be redefined. Please check that your attribute has the same type as previously defined. Existing schema: Schema:[SchemaElement: key{%s:%s}] New schema: Schema:[SchemaElement: key{%[1]s:%[3]s}]", name, before, t)
		}
		d.Types[name] = t
	}
	return nil
}

// readSchema reads the key of a table or an index.
func (d *tableDoc) readSchema(list []api.KeySchemaElement) (k keySchema, err error) {
	if len(list) == 0 || len(list) > 2 { // the model lets a table go without
		return k, validation("1 validation error detected: Value null at 'keySchema' failed to satisfy constraint: Member must not be null")
	}
	k.Hash = *list[0].AttributeName
	if len(list) == 2 {
		k.Range = *list[1].AttributeName
	}
	for _, name := range k.names() {
		if _, known := d.Types[name]; !known {
			return k, validation(badValues+"Some index key attributes are not defined in AttributeDefinitions. Keys: [%s], AttributeDefinitions: [%s]",
				strings.Join(k.names(), ", "), strings.Join(sortedKeys(d.Types), ", "))
		}
	}
	switch {
	case k.Hash == k.Range:
		return k, validation("Both the Hash Key and the Range Key element in the KeySchema have the same name")
	case list[0].KeyType != api.KeyTypeHash:
		return k, validation("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
	case len(list) == 2 && list[1].KeyType != api.KeyTypeRange:
		return k, validation("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")
	}
	return k, nil
}

func (d *tableDoc) readLocalIndexes(list []api.LocalSecondaryIndex) error {
	switch {
	case list == nil:
		return nil
	case len(list) == 0:
		return validation(badValues + "List of LocalSecondaryIndexes is empty")
	case d.Key.Range == "":
		return validation(badValues + "Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex")
	case len(list) > localIndexesMax:
		return validation(badValues+"Number of LocalSecondaryIndexes exceeds per-table limit of %d", localIndexesMax)
	}
	for i := range list {
		x := indexDoc{Name: *list[i].IndexName, Local: true}
		var err error
		if x.Key, err = d.readSchema(list[i].KeySchema); err != nil {
			return err
		}
		switch {
		case x.Key.Range == "":
			return validation(badValues+"Index KeySchema does not have a range key for index: %s", x.Name)
		case x.Key.Hash != d.Key.Hash:
			return validation(badValues+"Index KeySchema does not have the same leading hash key as table KeySchema for index: %s. index hash key: %s, table hash key: %s",
				x.Name, x.Key.Hash, d.Key.Hash)
		}
		if err := d.addIndex(x, list[i].Projection); err != nil {
			return err
		}
	}
	return nil
}

func (d *tableDoc) addGlobalIndex(name string, schema []api.KeySchemaElement, projection *api.Projection, p *api.ProvisionedThroughput) error {
	x := indexDoc{Name: name}
	var err error
	if x.Key, err = d.readSchema(schema); err != nil {
		return err
	}
	switch {
	case d.OnDemand && p != nil:
		return validation(badValues+"ProvisionedThroughput should not be specified for index: %s when BillingMode is PAY_PER_REQUEST", name)
	case !d.OnDemand && p == nil:
		return validation(badValues+"ProvisionedThroughput must be specified for index: %s", name)
	case p != nil:
		if x.Throughput, err = readThroughput(p); err != nil {
			return err
		}
	}
	return d.addIndex(x, projection)
}

func (d *tableDoc) addIndex(x indexDoc, p *api.Projection) error {
	if err := checkName(x.Name); err != nil {
		return err
	}
	x.Projection, x.Include = string(p.ProjectionType), slices.Clone(p.NonKeyAttributes)
	switch {
	case x.Projection == "":
		return validation(badValues + "Unknown ProjectionType: null")
	case len(x.Include) > 0 && p.ProjectionType != api.ProjectionTypeInclude:
		return validation(badValues+"ProjectionType is %s, but NonKeyAttributes is specified", x.Projection)
	case len(x.Include) == 0 && p.ProjectionType == api.ProjectionTypeInclude:
		return validation(badValues + "ProjectionType is INCLUDE, but NonKeyAttributes is not specified")
	case d.index(x.Name) != nil:
		return validation(badValues+"Duplicate index name: %s", x.Name)
	}
	d.Indexes = append(d.Indexes, x)
	return nil
}

// checkIndexes checks all indexes together, and that no type is defined in vain.
func (d *tableDoc) checkIndexes() error {
	global, included := 0, 0
	used := d.Key.names()
	for i := range d.Indexes {
		x := &d.Indexes[i]
		if !x.Local {
			global++
		}
		included += len(x.Include)
		used = append(used, x.Key.names()...)
	}
	switch {
	case global > globalIndexesMax:
		return validation(badValues+"GlobalSecondaryIndex count exceeds the per-table limit of %d", globalIndexesMax)
	case included > includeMax:
		return validation(badValues+"The number of attributes projected into all indexes exceeds the limit of %d", includeMax)
	}
	for _, name := range sortedKeys(d.Types) {
		if !slices.Contains(used, name) {
			return validation(badValues+"Some AttributeDefinitions are not used. AttributeDefinitions: [%s], keys used: [%s]",
				strings.Join(sortedKeys(d.Types), ", "), strings.Join(used, ", "))
		}
	}
	return nil
}
