package dynamodb

import (
	"context"
	"time"

	api "github.com/rheostream/rheo/internal/api/dynamodb"
)

// DescribeTable tells about a table: its sizes are those of this moment.
func (s *Service) DescribeTable(ctx context.Context, in *api.DescribeTableInput) (*api.DescribeTableOutput, error) {
	name, key, err := tableName(ctx, in.TableName)
	if err != nil {
		return nil, err
	}
	t, ok := s.machine.view().tables.Get(key)
	if !ok {
		return nil, noTableNamed(name)
	}
	return &api.DescribeTableOutput{Table: s.describe(t)}, nil
}

func timeOf(ms int64) *time.Time { return new(time.UnixMilli(ms).UTC()) }

// describe is a table as the API has it. Its items may be nil: a new table.
func (s *Service) describe(t *table) *api.TableDescription {
	doc := &t.doc
	d := &api.TableDescription{
		TableName: &doc.Name, TableArn: new(doc.arn()), TableId: &doc.ID, TableStatus: s.status(doc), CreationDateTime: timeOf(doc.Created),
		KeySchema: schemaOf(doc.Key), TableSizeBytes: &t.bytes, ItemCount: new(int64(0)),
		ProvisionedThroughput:     throughputOf(doc.Throughput),
		DeletionProtectionEnabled: &doc.DeletionProtection,
	}
	if t.items != nil {
		d.ItemCount = new(int64(t.items.Len()))
	}
	for _, name := range sortedKeys(doc.Types) {
		d.AttributeDefinitions = append(d.AttributeDefinitions, api.AttributeDefinition{AttributeName: &name, AttributeType: api.ScalarAttributeType(doc.Types[name])})
	}
	if doc.OnDemand {
		d.BillingModeSummary = &api.BillingModeSummary{BillingMode: api.BillingModePayPerRequest, LastUpdateToPayPerRequestDateTime: timeOf(doc.OnDemandSince)}
	} else if doc.OnDemandSince > 0 { // it was once
		d.BillingModeSummary = &api.BillingModeSummary{BillingMode: api.BillingModeProvisioned, LastUpdateToPayPerRequestDateTime: timeOf(doc.OnDemandSince)}
	}
	if doc.Class != "" {
		d.TableClassSummary = &api.TableClassSummary{TableClass: api.TableClass(doc.Class)}
	}
	for i := range doc.Indexes {
		x := &doc.Indexes[i]
		count, bytes := new(int64(0)), new(int64(0))
		if t.items != nil {
			count, bytes = new(int64(t.indexes[i].entries.Len())), &t.indexes[i].bytes
		}
		projection := &api.Projection{ProjectionType: api.ProjectionType(x.Projection), NonKeyAttributes: x.Include}
		arn := new(doc.arn() + "/index/" + x.Name)
		if x.Local {
			d.LocalSecondaryIndexes = append(d.LocalSecondaryIndexes, api.LocalSecondaryIndexDescription{
				IndexName: &x.Name, KeySchema: schemaOf(x.Key), Projection: projection, IndexSizeBytes: bytes, ItemCount: count, IndexArn: arn})
			continue
		}
		d.GlobalSecondaryIndexes = append(d.GlobalSecondaryIndexes, api.GlobalSecondaryIndexDescription{
			IndexName: &x.Name, KeySchema: schemaOf(x.Key), Projection: projection, IndexSizeBytes: bytes, ItemCount: count, IndexArn: arn,
			IndexStatus: s.indexStatus(doc, x), ProvisionedThroughput: throughputOf(x.Throughput)})
	}
	return d
}

func schemaOf(k keySchema) []api.KeySchemaElement {
	list := []api.KeySchemaElement{{AttributeName: &k.Hash, KeyType: api.KeyTypeHash}}
	if k.Range != "" {
		list = append(list, api.KeySchemaElement{AttributeName: &k.Range, KeyType: api.KeyTypeRange})
	}
	return list
}

func throughputOf(t throughput) *api.ProvisionedThroughputDescription {
	return &api.ProvisionedThroughputDescription{NumberOfDecreasesToday: new(int64(0)), ReadCapacityUnits: &t.Read, WriteCapacityUnits: &t.Write}
}
