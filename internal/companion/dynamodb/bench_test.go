package dynamodb_test

import (
	"fmt"
	"math"
	"sync/atomic"
	"testing"

	"github.com/rheostream/rheo/internal/companion/dynamodb"
)

// plenty is a Memory that has always more, and counts as the real one does.
type plenty struct{ used atomic.Int64 }

func (p *plenty) Reserve(n int64) bool { return p.used.Add(n) < math.MaxInt64 }
func (p *plenty) Release(n int64)      { p.used.Add(-n) }

const leaseItem = `"leaseCounter": {"N": "7"}, "leaseOwner": {"S": "worker-1"}, "checkpoint": {"S": "49590338271490256608559692538361571095921575989136588898"},
	"checkpointSubSequenceNumber": {"N": "0"}, "ownerSwitchesSinceCheckpoint": {"N": "0"}, "parentShardId": {"SS": ["shardId-000000000000"]},
	"startingHashKey": {"S": "0"}, "endingHashKey": {"S": "340282366920938463463374607431768211455"}`

func benchTables(b *testing.B) *tables {
	ts := newTables(b, func(c *dynamodb.Config) { c.Answers = new(plenty) })
	ts.call("CreateTable", createLeases)
	for i := range 100 {
		ts.call("PutItem", fmt.Sprintf(`{"TableName": "leases", "Item": {"k": {"S": "k%d"}, %s}}`, i, leaseItem))
	}
	return ts
}

// BenchmarkRenew is a lease's renewal, as the KCL makes it, on a log in memory.
func BenchmarkRenew(b *testing.B) {
	ts := benchTables(b)
	b.ReportAllocs()
	for b.Loop() {
		ts.call("UpdateItem", `{"TableName": "leases", "Key": {"k": {"S": "k7"}}, "UpdateExpression": "SET leaseOwner = :o", "ConditionExpression": "leaseCounter = :c",
			"ExpressionAttributeValues": {":o": {"S": "worker-2"}, ":c": {"N": "7"}}}`)
	}
}

// BenchmarkScanLeases is a page of 100 leases.
func BenchmarkScanLeases(b *testing.B) {
	ts := benchTables(b)
	b.ReportAllocs()
	for b.Loop() {
		ts.call("Scan", `{"TableName": "leases"}`)
	}
}
