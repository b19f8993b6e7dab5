package dynamodb_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/companion/dynamodb"
	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

const busy = "ThrottlingException: The server is answering as many bytes as it may."

// manyNulls is an item of n values that are next to nothing but in memory.
func manyNulls(k, n int) string {
	return fmt.Sprintf(`{"k": {"S": "k%d"}, "d": {"L": [%s{"NULL": true}]}}`, k, strings.Repeat(`{"NULL": true}, `, n-1))
}

// TestWorkIsBounded: the items that an operation works on are taken from the
// memory, one at a time and before they are decoded. Without room for one
// nothing is changed, and all is given back in the end.
func TestWorkIsBounded(t *testing.T) {
	const values, items = 15_000, 10
	const decoded = values * int64(item.ValueBytes)
	memory := new(room)
	ts := newTables(t, func(c *dynamodb.Config) { c.Answers = memory })
	const all = 1 << 30
	memory.left, memory.least = all, all
	ts.call("CreateTable", createLeases)
	var updates, deletes, puts, gets, keys []string
	for i := range items {
		ts.call("PutItem", `{"TableName": "leases", "Item": `+manyNulls(i, values)+`}`)
		key := fmt.Sprintf(`{"k": {"S": "k%d"}}`, i)
		keys = append(keys, key)
		updates = append(updates, `{"Update": {"TableName": "leases", "Key": `+key+`, "UpdateExpression": "SET x = :v", "ExpressionAttributeValues": {":v": {"S": "x"}}}}`)
		deletes = append(deletes, `{"Delete": {"TableName": "leases", "Key": `+key+`}}`)
		puts = append(puts, `{"PutRequest": {"Item": `+manyNulls(i, 1)+`}}`)
		gets = append(gets, `{"Get": {"TableName": "leases", "Key": `+key+`, "ProjectionExpression": "x"}}`)
	}
	list := func(of []string) string { return strings.Join(of, ", ") }
	for _, tt := range []struct {
		operation, input string
		want             string
		items            int64 // that are decoded at a time, at most
		scarce           string
	}{
		{"Scan", `{"TableName": "leases", "FilterExpression": "attribute_exists(x)"}`, `{"Items":[],"Count":0,"ScannedCount":10}`, 1, busy},
		{"Scan", `{"TableName": "leases", "Select": "COUNT"}`, `{"Count":10,"ScannedCount":10}`, 1, busy},
		{"UpdateItem", `{"TableName": "leases", "Key": {"k": {"S": "k1"}}, "UpdateExpression": "` + section("SET", "d[%d] = :v", 200) + `", "ExpressionAttributeValues": {":v": {"S": "x"}}}`, "{}", 2, busy},
		{"UpdateItem", `{"TableName": "leases", "Key": {"k": {"S": "k1"}}, "UpdateExpression": "` + section("SET", "e%d = list_append(d, d)", 150) + `"}`, "ValidationException: Item size to update has exceeded the maximum allowed size", 1, busy},
		{"DeleteItem", `{"TableName": "leases", "Key": {"k": {"S": "k1"}}, "ConditionExpression": "attribute_exists(x)"}`, "ConditionalCheckFailedException", 1, busy},
		{"BatchGetItem", `{"RequestItems": {"leases": {"Keys": [` + list(keys) + `], "ProjectionExpression": "x"}}}`, `{"Responses":{"leases":[{},{},`, 1, `{"Responses":{"leases":[]},"UnprocessedKeys":{"leases":`},
		{"TransactGetItems", `{"TransactItems": [` + list(gets) + `]}`, `{"Responses":[{"Item":{}},`, 1, busy},
		{"TransactWriteItems", `{"TransactItems": [` + list(updates) + `]}`, "{}", 1, busy},
		{"BatchWriteItem", `{"RequestItems": {"leases": [` + list(puts) + `]}}`, `{"UnprocessedItems":{}}`, 1, busy},
		{"TransactWriteItems", `{"TransactItems": [` + list(deletes) + `]}`, "{}", 0, ""},
	} {
		if tt.scarce != "" {
			memory.left = decoded / 2
			if got := ts.do(t.Context(), tt.operation, tt.input); !strings.HasPrefix(got, tt.scarce) {
				t.Errorf("%s without memory: %.200s", tt.operation, got)
			}
			if memory.left != decoded/2 {
				t.Errorf("%s without memory: %d of %d bytes are left", tt.operation, memory.left, decoded/2)
			}
		}
		memory.left, memory.least = all, all
		if got := ts.do(t.Context(), tt.operation, tt.input); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %.300s, want %s", tt.operation, got, tt.want)
		}
		const stored = items * 3 * (values + 200) // the command's copies
		if most := all - memory.least; most > tt.items*decoded+stored+20_000 || most < min(tt.items, 1)*decoded {
			t.Errorf("%s took %d bytes, want those of %d items, each %d", tt.operation, most, tt.items, decoded)
		}
		if memory.left != all {
			t.Errorf("%s has not given back %d bytes", tt.operation, all-memory.left)
		}
	}
}

// section is a section of an update with an action for every i below n.
func section(name, action string, n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = strings.ReplaceAll(action, "%d", fmt.Sprint(i))
	}
	return name + " " + strings.Join(list, ", ")
}

// TestPagesWithoutMemory: a page ends in front of the item for which there is no memory.
func TestPagesWithoutMemory(t *testing.T) {
	memory := &room{left: 1 << 30}
	ts := newTables(t, func(c *dynamodb.Config) { c.Answers = memory })
	ts.call("CreateTable", `{"TableName": "tab", "BillingMode": "PAY_PER_REQUEST", "AttributeDefinitions": [{"AttributeName": "h", "AttributeType": "S"}, {"AttributeName": "k", "AttributeType": "S"}],
		"KeySchema": [{"AttributeName": "h", "KeyType": "HASH"}, {"AttributeName": "k", "KeyType": "RANGE"}]}`)
	for i, n := range []int{1, 5000} {
		ts.call("PutItem", `{"TableName": "tab", "Item": {"h": {"S": "a"}, `+manyNulls(i, n)[1:]+`}`)
	}
	memory.left = 100_000
	const query = `{"TableName": "tab", "KeyConditionExpression": "h = :h", "FilterExpression": "attribute_exists(x)", "ExpressionAttributeValues": {":h": {"S": "a"}}%s}`
	ts.want("Query", fmt.Sprintf(query, ""), `{"Items":[],"Count":0,"ScannedCount":1,"LastEvaluatedKey":{"h":{"S":"a"},"k":{"S":"k0"}}}`)
	ts.want("Query", fmt.Sprintf(query, `, "ExclusiveStartKey": {"h": {"S": "a"}, "k": {"S": "k0"}}`), busy)
	memory.left = 1 << 30
	ts.want("Query", fmt.Sprintf(query, `, "ExclusiveStartKey": {"h": {"S": "a"}, "k": {"S": "k0"}}`), `{"Items":[],"Count":0,"ScannedCount":1}`)
}
