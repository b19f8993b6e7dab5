package dynamodb

import (
	api "github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// Capacity units are counted as DynamoDB counts them, for those who ask, and
// limit nobody.

func writeUnits(oldBytes, newBytes int) float64 {
	size := max(oldBytes, newBytes, 1)
	return float64((size + 1023) / 1024)
}

func readUnits(size int, consistent *bool) float64 {
	units := float64(max((size+4095)/4096, 1))
	if consistent == nil || !*consistent {
		units /= 2
	}
	return units
}

// consumed is the ConsumedCapacity of an answer; nil if it was not asked for.
func consumed(asked api.ReturnConsumedCapacity, tableName string, units float64, indexName string, local bool) *api.ConsumedCapacity {
	if asked != api.ReturnConsumedCapacityTotal && asked != api.ReturnConsumedCapacityIndexes {
		return nil
	}
	c := &api.ConsumedCapacity{TableName: &tableName, CapacityUnits: &units}
	if asked == api.ReturnConsumedCapacityIndexes {
		one := map[string]api.Capacity{indexName: {CapacityUnits: &units}}
		switch {
		case indexName == "":
			c.Table = &api.Capacity{CapacityUnits: &units}
		case local:
			c.Table, c.LocalSecondaryIndexes = &api.Capacity{CapacityUnits: new(0.0)}, one
		default:
			c.Table, c.GlobalSecondaryIndexes = &api.Capacity{CapacityUnits: new(0.0)}, one
		}
	}
	return c
}

// collection is the ItemCollectionMetrics of a write; nil if they were not asked
// for or the table has no local index.
func collection(asked api.ReturnItemCollectionMetrics, t *table, it item.Item) *api.ItemCollectionMetrics {
	if asked != api.ReturnItemCollectionMetricsSize {
		return nil
	}
	for i := range t.doc.Indexes {
		if t.doc.Indexes[i].Local {
			hash := t.doc.Key.Hash
			// Of all tables together there is less than a GB.
			return &api.ItemCollectionMetrics{ItemCollectionKey: map[string]api.AttributeValue{hash: it[hash].API()}, SizeEstimateRangeGB: []float64{0, 1}}
		}
	}
	return nil
}
