package dynamodb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/companion/dynamodb"
	"github.com/rheostream/rheo/internal/metrics"
	"github.com/rheostream/rheo/internal/shardlog"
)

const createLeases = `{"TableName": "leases", "BillingMode": "PAY_PER_REQUEST", "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
	"KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}]}`

// want calls an operation that must answer so, or fail with an error that begins so.
func (ts *tables) want(operation, input, want string) {
	ts.t.Helper()
	got := ts.do(ts.t.Context(), operation, input)
	if got != want && !(want != "" && !strings.HasPrefix(want, "{") && strings.HasPrefix(got, want)) {
		ts.t.Errorf("%s %.200s:\n%.500s, want\n%s", operation, input, got, want)
	}
}

// TestBudget: when the tables' memory is used up, what needs more is refused;
// reads, deletes and writes that need no more go on, and what was deleted is free again.
func TestBudget(t *testing.T) {
	ts := newTables(t, func(c *dynamodb.Config) { c.MemoryBytes = 64 << 10 })
	ts.call("CreateTable", createLeases)
	put := func(i int) string {
		return ts.do(t.Context(), "PutItem", fmt.Sprintf(`{"TableName": "leases", "Item": {"k": {"S": "k%d"}, "v": {"S": "%s"}}}`, i, strings.Repeat("x", 1000)))
	}
	n := 0
	for ; n < 100; n++ {
		if out := put(n); out != "{}" {
			if !strings.HasPrefix(out, "LimitExceededException: The memory for tables of one account, 49152 bytes, is used up.") {
				t.Fatal(out)
			}
			break
		}
	}
	if n < 30 || n > 60 {
		t.Errorf("%d items of some 1,150 bytes went into three quarters of 64 KiB beside a table's 8", n)
	}
	ts.want("PutItem", `{"TableName": "leases", "Item": {"k": {"S": "k0"}, "v": {"S": "short"}}}`, "{}")
	ts.want("UpdateItem", `{"TableName": "leases", "Key": {"k": {"S": "k0"}}, "UpdateExpression": "SET v = :v", "ExpressionAttributeValues": {":v": {"S": "other"}}}`, "{}")
	ts.want("CreateTable", strings.Replace(createLeases, "leases", "more", 1), "LimitExceededException: The memory for tables")
	for i := range 12 {
		ts.want("DeleteItem", fmt.Sprintf(`{"TableName": "leases", "Key": {"k": {"S": "k%d"}}}`, i), "{}")
	}
	for i := range 10 {
		if out := put(i); out != "{}" {
			t.Errorf("after deletes, item %d: %s", i, out)
		}
	}
	ts.restart() // it fits again
	ts.want("DescribeTable", `{"TableName": "nosuch"}`, "ResourceNotFoundException")
	ts.call("DeleteTable", `{"TableName": "leases"}`)
	ts.call("CreateTable", createLeases)
	for i := range n {
		if out := put(i); out != "{}" {
			t.Fatalf("in a new table, item %d: %s", i, out)
		}
	}
}

// TestShareOfAnAccount: one account cannot take the memory that others need to go on.
func TestShareOfAnAccount(t *testing.T) {
	ts := newTables(t, func(c *dynamodb.Config) { c.MemoryBytes = 64 << 10 })
	other := &api.Caller{Account: "210987654321", Region: "us-east-1", Host: "localhost:4566"}
	put := func(c *api.Caller, i int) string {
		return ts.doAs(t.Context(), c, "PutItem", fmt.Sprintf(`{"TableName": "leases", "Item": {"k": {"S": "k%d"}, "v": {"S": "%s"}}}`, i, strings.Repeat("x", 1000)))
	}
	fill := func(c *api.Caller) (n int, refused string) {
		for refused = put(c, n); refused == "{}"; refused = put(c, n) {
			n++
		}
		return n, refused
	}
	ts.call("CreateTable", createLeases)
	n, refused := fill(caller)
	if !strings.HasPrefix(refused, "LimitExceededException: The memory for tables of one account, 49152 bytes") {
		t.Fatal(refused)
	}
	ts.restart() // it is counted alike
	if got := put(caller, n); got != refused {
		t.Errorf("after a start: %s", got)
	}
	if out := ts.doAs(t.Context(), other, "CreateTable", createLeases); strings.Contains(out, "Exception") {
		t.Errorf("the other account: %s", out)
	}
	n, refused = fill(other)
	if n < 3 || !strings.HasPrefix(refused, "LimitExceededException: The memory for tables, 65536 bytes") {
		t.Errorf("%d items of the other account, then %s", n, refused)
	}
	ts.call("DeleteTable", `{"TableName": "leases"}`)
	if m, refused := fill(other); m < 30 || !strings.HasPrefix(refused, "LimitExceededException: The memory for tables of one account") {
		t.Errorf("%d items of the other account when it is alone, then %s", m, refused)
	}
}

// TestDeletesWithToken: what only deletes is taken when the memory is used up, with
// a token too; what deletes nothing is not, for its token is one more thing to keep.
func TestDeletesWithToken(t *testing.T) {
	ts := newTables(t, func(c *dynamodb.Config) { c.MemoryBytes = 64 << 10 })
	ts.call("CreateTable", createLeases)
	ts.call("CreateTable", strings.Replace(createLeases, "leases", "small", 1))
	for i := range 50 {
		ts.call("PutItem", fmt.Sprintf(`{"TableName": "small", "Item": {"k": {"S": "k%d"}}}`, i))
	}
	full := func() {
		for _, size := range []int{1000, 10} {
			for i := 0; ; i++ {
				if out := ts.do(t.Context(), "PutItem", fmt.Sprintf(`{"TableName": "leases", "Item": {"k": {"S": "%d/%d"}, "v": {"S": "%s"}}}`, size, i, strings.Repeat("x", size))); out != "{}" {
					break
				}
			}
		}
	}
	full()
	transact := func(token, table, key, more string) string {
		return fmt.Sprintf(`{"ClientRequestToken": %q, "TransactItems": [{"Delete": {"TableName": %q, "Key": {"k": {"S": %q}}}}%s]}`, token, table, key, more)
	}
	const refused = "LimitExceededException: The memory for tables"
	ts.want("TransactWriteItems", transact("t1", "small", "nosuch", ""), refused)
	ts.want("TransactWriteItems", transact("t2", "small", "k1", `, {"Put": {"TableName": "small", "Item": {"k": {"S": "new"}, "v": {"S": "`+strings.Repeat("x", 500)+`"}}}}`), refused)
	for i := range 50 { // each frees less than its token takes
		out := ts.do(t.Context(), "TransactWriteItems", transact(fmt.Sprint("d", i), "small", fmt.Sprint("k", i), ""))
		if out != "{}" {
			t.Fatal(out)
		}
	}
	ts.want("TransactWriteItems", transact("d0", "small", "k0", ""), "{}") // it was done
	ts.want("Scan", `{"TableName": "small", "Select": "COUNT"}`, `{"Count":0,"ScannedCount":0}`)
}

// TestExpire: items go when their time is over, but not those that have none, or
// one that is no time.
func TestExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTables(t, nil)
		ts.call("CreateTable", createLeases)
		soon, late := time.Now().Add(30*time.Second).Unix(), time.Now().Add(time.Hour).Unix()
		for k, ttl := range map[string]string{
			"soon": fmt.Sprintf(`{"N": "%d"}`, soon), "soon.5": fmt.Sprintf(`{"N": "%d.5"}`, soon), "late": fmt.Sprintf(`{"N": "%d"}`, late),
			"string": fmt.Sprintf(`{"S": "%d"}`, soon), "long ago": `{"N": "17"}`, "none": `{"NULL": true}`,
		} {
			ts.call("PutItem", fmt.Sprintf(`{"TableName": "leases", "Item": {"k": {"S": %q}, "ttl": %s}}`, k, ttl))
		}
		time.Sleep(2 * time.Minute)
		ts.want("Scan", `{"TableName": "leases", "Select": "COUNT"}`, `{"Count":6,"ScannedCount":6}`)
		ts.call("UpdateTimeToLive", `{"TableName": "leases", "TimeToLiveSpecification": {"Enabled": true, "AttributeName": "ttl"}}`)
		time.Sleep(2 * time.Minute)
		ts.want("Scan", `{"TableName": "leases", "Select": "COUNT"}`, `{"Count":4,"ScannedCount":4}`)
		ts.want("GetItem", `{"TableName": "leases", "Key": {"k": {"S": "soon"}}}`, `{}`)
		time.Sleep(time.Hour)
		ts.want("Scan", `{"TableName": "leases", "Select": "COUNT"}`, `{"Count":3,"ScannedCount":3}`)
		ts.Close()
	})
}

// TestTransition: a table is not there for items while it is being made, nor an
// index for queries.
func TestTransition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTables(t, func(c *dynamodb.Config) { c.Transition = 5 * time.Second })
		ts.call("CreateTable", createLeases)
		put := `{"TableName": "leases", "Item": {"k": {"S": "a"}, "v": {"S": "x"}}}`
		query := `{"TableName": "leases", "IndexName": "byV", "KeyConditionExpression": "v = :v", "ExpressionAttributeValues": {":v": {"S": "x"}}, "Select": "COUNT"}`
		update := `{"TableName": "leases", "AttributeDefinitions": [{"AttributeName": "v", "AttributeType": "S"}], "GlobalSecondaryIndexUpdates": [{"Create": {"IndexName": "byV",
			"Projection": {"ProjectionType": "ALL"}, "KeySchema": [{"AttributeName": "v", "KeyType": "HASH"}]}}]}`
		ts.want("PutItem", put, "ResourceNotFoundException: Requested resource not found")
		ts.want("DeleteTable", `{"TableName": "leases"}`, "ResourceInUseException: Attempt to change a resource which is still in use: Table is being created: leases")
		ts.want("UpdateTable", update, "ResourceInUseException: Attempt to change a resource which is still in use: Table is being created: leases")
		status := func(want string) {
			t.Helper()
			if d := ts.call("DescribeTable", `{"TableName": "leases"}`); !strings.Contains(d, want) {
				t.Errorf("%s, want %s", d, want)
			}
		}
		status(`"TableStatus":"CREATING"`)
		time.Sleep(5 * time.Second)
		status(`"TableStatus":"ACTIVE"`)
		ts.want("PutItem", put, "{}")
		ts.call("UpdateTable", update)
		status(`"TableStatus":"UPDATING"`)
		status(`"IndexStatus":"CREATING"`)
		ts.want("Query", query, "ValidationException: Cannot read from backfilling global secondary index: byV")
		ts.want("PutItem", put, "{}")
		time.Sleep(5 * time.Second)
		status(`"IndexStatus":"ACTIVE"`)
		ts.want("Query", query, `{"Count":1,"ScannedCount":1}`)
		ts.Close()
	})
}

// TestTokens: a transaction with a token is done once, for ten minutes.
func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTables(t, nil)
		ts.call("CreateTable", createLeases)
		add := `{"ClientRequestToken": "t1", "TransactItems": [{"Update": {"TableName": "leases", "Key": {"k": {"S": "a"}}, "UpdateExpression": "ADD v :1", "ExpressionAttributeValues": {":1": {"N": "1"}}}}]}`
		get := `{"TableName": "leases", "Key": {"k": {"S": "a"}}, "ProjectionExpression": "v"}`
		var g sync.WaitGroup
		for range 4 {
			g.Go(func() { ts.want("TransactWriteItems", add, "{}") })
		}
		g.Wait()
		ts.want("GetItem", get, `{"Item":{"v":{"N":"1"}}}`)
		ts.restart()
		time.Sleep(9 * time.Minute)
		ts.want("TransactWriteItems", add, "{}")
		ts.want("GetItem", get, `{"Item":{"v":{"N":"1"}}}`)
		time.Sleep(2 * time.Minute)
		ts.want("TransactWriteItems", add, "{}")
		ts.want("GetItem", get, `{"Item":{"v":{"N":"2"}}}`)
		ts.Close()
	})
}

// snapshots lists the names of the snapshots there are.
func (ts *tables) snapshots() (names []string) {
	ts.t.Helper()
	infos, err := ts.cfg.Blobs.List(ts.t.Context(), "dynamodb/", "", 100)
	if err != nil {
		ts.t.Fatal(err)
	}
	for _, i := range infos {
		names = append(names, i.Name)
	}
	return names
}

// TestSnapshots: two are kept, the log is trimmed, and a damaged one is passed over.
func TestSnapshots(t *testing.T) {
	ts := newTables(t, nil)
	ts.call("CreateTable", createLeases)
	write := func(from, to int) {
		for i := from; i < to; i++ {
			ts.call("PutItem", fmt.Sprintf(`{"TableName": "leases", "Item": {"k": {"S": "k%d"}, "v": {"S": "%s"}}}`, i, strings.Repeat("x", 1000)))
		}
	}
	const count = `{"TableName": "leases", "Select": "COUNT"}`
	for i := range 4 {
		write(i*100, i*100+100)
		ts.restart()
		ts.want("Scan", count, fmt.Sprintf(`{"Count":%d,"ScannedCount":%[1]d}`, i*100+100))
	}
	names := ts.snapshots()
	if len(names) != 2 {
		t.Fatalf("snapshots %v", names)
	}
	sh, err := ts.cfg.Log.Shard(dynamodb.ShardID)
	if err != nil || sh.Info().First < 200 {
		t.Errorf("the log still begins at %d, %v", sh.Info().First, err)
	}
	ts.Close()
	if err := ts.cfg.Blobs.Put(t.Context(), names[1], strings.NewReader("RHEODDB\x01 but then it is cut")); err != nil {
		t.Fatal(err)
	}
	ts.start()
	ts.want("Scan", count, `{"Count":400,"ScannedCount":400}`)
	write(400, 401)
	ts.restart()
	ts.want("Scan", count, `{"Count":401,"ScannedCount":401}`)

	// Without both there is no way to the first commands, and no start.
	ts.Close()
	for _, name := range ts.snapshots() {
		if err := ts.cfg.Blobs.Put(t.Context(), name, strings.NewReader("nothing")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := dynamodb.New(t.Context(), ts.cfg); err == nil || !strings.Contains(err.Error(), "what is between is missing") {
		t.Errorf("started on half of the commands: %v", err)
	}
	for _, name := range ts.snapshots() {
		if err := ts.cfg.Blobs.Put(t.Context(), name, strings.NewReader("RHEODDB\x02 whatever comes")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := dynamodb.New(t.Context(), ts.cfg); err == nil || !strings.Contains(err.Error(), "written by a newer rheo") {
		t.Errorf("started on a snapshot of a newer version: %v", err)
	}
}

// sealer is a Sealer whose key changes: each byte is turned by the epoch.
type sealer struct{ epoch uint32 }

func (s *sealer) Seal(purpose string, plain []byte) ([]byte, uint32, error) {
	return turn(append([]byte(purpose), plain...), s.epoch), s.epoch, nil
}

func (s *sealer) Open(purpose string, sealed []byte, epoch uint32) ([]byte, error) {
	b := turn(bytes.Clone(sealed), epoch)
	if !bytes.HasPrefix(b, []byte(purpose)) || epoch == 0 {
		return nil, errors.New("not sealed for this")
	}
	return b[len(purpose):], nil
}

func turn(b []byte, epoch uint32) []byte {
	for i := range b {
		b[i] ^= byte(epoch)
	}
	return b
}

// TestSealing: what is in the log and in blobs shows nothing, and stays readable
// when the key changes.
func TestSealing(t *testing.T) {
	key := &sealer{epoch: 0x55}
	ts := newTables(t, func(c *dynamodb.Config) { c.Sealer = key })
	ts.call("CreateTable", createLeases)
	ts.call("PutItem", `{"TableName": "leases", "Item": {"k": {"S": "confidential"}}}`)
	ts.restart()
	key.epoch = 0xaa
	ts.call("PutItem", `{"TableName": "leases", "Item": {"k": {"S": "confidential2"}}}`)
	sh, err := ts.cfg.Log.Shard(dynamodb.ShardID)
	if err != nil {
		t.Fatal(err)
	}
	var b shardlog.Batch
	if err := sh.Read(t.Context(), 0, 100, 1<<20, &b); err != nil || len(b.Records) != 3 {
		t.Fatalf("%d records, %v", len(b.Records), err)
	}
	for _, r := range b.Records {
		if bytes.Contains(r.Data, []byte("confidential")) || bytes.Contains(r.Data, []byte("leases")) {
			t.Errorf("the log shows %q", r.Data)
		}
	}
	ts.restart()
	for _, name := range ts.snapshots() {
		r, _, err := ts.cfg.Blobs.Get(t.Context(), name, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		var all bytes.Buffer
		all.ReadFrom(r)
		r.Close()
		if bytes.Contains(all.Bytes(), []byte("confidential")) {
			t.Errorf("%s shows %q", name, all.Bytes())
		}
	}
	ts.want("Scan", `{"TableName": "leases", "Select": "COUNT"}`, `{"Count":2,"ScannedCount":2}`)
}

// TestPages: a page ends at 1 MiB of what was read, and segments of a scan are
// all items, each once.
func TestPages(t *testing.T) {
	ts := newTables(t, nil)
	ts.call("CreateTable", createLeases)
	const items = 40
	for i := range items {
		ts.call("PutItem", fmt.Sprintf(`{"TableName": "leases", "Item": {"k": {"S": "k%d"}, "v": {"S": "%s"}}}`, i, strings.Repeat("x", 100_000)))
	}
	first := ts.call("Scan", `{"TableName": "leases", "Select": "COUNT", "FilterExpression": "attribute_not_exists(v)"}`)
	if !strings.HasPrefix(first, `{"Count":0,"ScannedCount":11,"LastEvaluatedKey":`) {
		t.Errorf("a page of items of 100 kB: %s", first)
	}
	for _, segments := range []int{1, 2, 3, 7, 1000} {
		seen := map[string]int{}
		for s := range segments {
			for start := ""; ; {
				page := ts.call("Scan", fmt.Sprintf(`{"TableName": "leases", "ProjectionExpression": "k", "Segment": %d, "TotalSegments": %d%s}`, s, segments, start))
				body, last, more := strings.Cut(page, `"LastEvaluatedKey":`)
				for part := range strings.SplitSeq(body, `{"k":{"S":"`) {
					if key, _, ok := strings.Cut(part, `"}}`); ok {
						seen[key]++
					}
				}
				if !more {
					break
				}
				start = `, "ExclusiveStartKey": ` + last[:strings.Index(last, "}}")+2]
			}
		}
		if len(seen) != items {
			t.Errorf("%d segments have %d items", segments, len(seen))
		}
		for key, n := range seen {
			if n != 1 {
				t.Errorf("of %d segments %s came %d times", segments, key, n)
			}
		}
	}
}

// TestTenants: a table is one account's in one region.
func TestTenants(t *testing.T) {
	ts := newTables(t, nil)
	ts.call("CreateTable", createLeases)
	ts.call("PutItem", `{"TableName": "leases", "Item": {"k": {"S": "mine"}}}`)
	const scan = `{"TableName": "leases", "Select": "COUNT"}`
	for _, other := range []*api.Caller{{Account: "123456789012", Region: "eu-west-1"}, {Account: "210987654321", Region: "us-east-1"}} {
		do := func(operation, input string) string { return ts.doAs(t.Context(), other, operation, input) }
		for operation, input := range map[string]string{
			"Scan": scan, "DeleteTable": `{"TableName": "leases"}`, "DescribeTable": `{"TableName": "arn:aws:dynamodb:us-east-1:123456789012:table/leases"}`,
			"PutItem":            `{"TableName": "leases", "Item": {"k": {"S": "theirs"}}}`,
			"BatchGetItem":       `{"RequestItems": {"leases": {"Keys": [{"k": {"S": "mine"}}]}}}`,
			"ListTagsOfResource": `{"ResourceArn": "arn:aws:dynamodb:us-east-1:123456789012:table/leases"}`,
		} {
			if out := do(operation, input); !strings.HasPrefix(out, "ResourceNotFoundException") {
				t.Errorf("%s of another tenant: %s", operation, out)
			}
		}
		if out := do("ListTables", `{}`); out != `{"TableNames":[]}` {
			t.Error(out)
		}
		if out := do("CreateTable", createLeases); !strings.Contains(out, `"TableArn":"arn:aws:dynamodb:`+other.Region+":"+other.Account+`:table/leases"`) {
			t.Error(out)
		}
		if out := do("Scan", scan); out != `{"Count":0,"ScannedCount":0}` {
			t.Error(out)
		}
	}
	ts.want("Scan", scan, `{"Count":1,"ScannedCount":1}`)
	ts.want("ListTables", `{}`, `{"TableNames":["leases"]}`)
}

// TestGivenUp: a call that is given up while it waits for another changes nothing
// and holds up nobody.
func TestGivenUp(t *testing.T) {
	ts := newTables(t, nil)
	ts.call("CreateTable", createLeases)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if out := ts.do(ctx, "PutItem", `{"TableName": "leases", "Item": {"k": {"S": "a"}}}`); out == "{}" {
		t.Log("it was quicker")
	}
	ts.want("PutItem", `{"TableName": "leases", "Item": {"k": {"S": "a"}}}`, "{}")
}

// room is a Memory of one goroutine.
type room struct{ left, least int64 }

func (r *room) Reserve(n int64) bool {
	if n > r.left {
		return false
	}
	r.left -= n
	r.least = min(r.least, r.left)
	return true
}

func (r *room) Release(n int64) { r.left += n }

// TestAnswersAreBounded: pages end where the memory for answers does, and go on
// from there; what cannot be answered in part is refused.
func TestAnswersAreBounded(t *testing.T) {
	const all = 30_000
	memory := &room{left: all, least: all}
	ts := newTables(t, func(c *dynamodb.Config) { c.Answers = memory })
	ts.call("CreateTable", createLeases)
	const items = 40
	keys := make([]string, items)
	for i := range items {
		keys[i] = fmt.Sprintf(`{"k": {"S": "k%d"}}`, i)
		ts.call("PutItem", fmt.Sprintf(`{"TableName": "leases", "Item": {"k": {"S": "k%d"}, "v": {"S": "%s"}}}`, i, strings.Repeat("x", 1000)))
	}
	found, pages := 0, 0
	for start := ""; ; pages++ {
		page := ts.call("Scan", `{"TableName": "leases"`+start+`}`)
		found += strings.Count(page, `"v":`)
		_, last, more := strings.Cut(page, `"LastEvaluatedKey":`)
		if !more {
			break
		}
		start = `, "ExclusiveStartKey": ` + last[:strings.Index(last, "}}")+2]
	}
	if found != items || pages < 3 || pages > 10 {
		t.Errorf("%d items on %d pages", found, pages+1)
	}
	batch := ts.call("BatchGetItem", `{"RequestItems": {"leases": {"Keys": [`+strings.Join(keys, ", ")+`]}}}`)
	if got := strings.Count(batch, `"v":`); got < 5 || got > 10 || strings.Count(batch, `{"k":{"S":"k`) != items {
		t.Errorf("a batch has %d items, and not the keys of the others: %.300s", got, batch)
	}
	if memory.left != all || memory.least > all/2 {
		t.Errorf("%d of %d bytes are left when nobody holds any, the least were %d", memory.left, all, memory.least)
	}
	memory.left = 2000
	ts.want("GetItem", `{"TableName": "leases", "Key": {"k": {"S": "k1"}}}`, "ThrottlingException: The server is answering as many bytes as it may.")
	ts.want("Scan", `{"TableName": "leases"}`, "ThrottlingException: The server is answering as many bytes as it may.")
	// What a write would show has to have room before it is made.
	ts.want("PutItem", `{"TableName": "leases", "Item": {"k": {"S": "k1"}}, "ReturnValues": "ALL_OLD"}`, busy)
	ts.want("DeleteItem", `{"TableName": "leases", "Key": {"k": {"S": "k1"}}, "ReturnValues": "ALL_OLD"}`, busy)
	ts.want("UpdateItem", `{"TableName": "leases", "Key": {"k": {"S": "k1"}}, "UpdateExpression": "REMOVE v", "ReturnValues": "UPDATED_OLD"}`, busy)
	ts.want("DeleteItem", `{"TableName": "leases", "Key": {"k": {"S": "k1"}}, "ConditionExpression": "attribute_not_exists(k)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}`, busy)
	ts.want("TransactWriteItems", `{"TransactItems": [{"Delete": {"TableName": "leases", "Key": {"k": {"S": "k1"}}, "ConditionExpression": "attribute_not_exists(k)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}}]}`, busy)
	ts.want("DeleteItem", `{"TableName": "leases", "Key": {"k": {"S": "k1"}}, "ConditionExpression": "attribute_exists(v)"}`, "{}")
	ts.want("PutItem", `{"TableName": "leases", "Item": {"k": {"S": "k1"}, "v": {"S": "short"}}}`, "{}")
	ts.want("PutItem", `{"TableName": "leases", "Item": {"k": {"S": "k1"}}, "ReturnValues": "ALL_OLD"}`, `{"Attributes":{"k":{"S":"k1"},"v":{"S":"short"}}}`)
	if memory.left != 2000 {
		t.Errorf("%d of 2000 bytes are left", memory.left)
	}
	ts.want("Scan", `{"TableName": "leases", "Select": "COUNT"}`, `{"Count":40,"ScannedCount":40}`)
	memory.left = all
}

// TestValuesOfAnItem: an item of nothing but small values would take many times its size.
func TestValuesOfAnItem(t *testing.T) {
	ts := newTables(t, nil)
	ts.call("CreateTable", createLeases)
	list := func(n int) string { return `{"L": [` + strings.Repeat(`{"NULL": true}, `, n-1) + `{"NULL": true}]}` }
	ts.want("PutItem", `{"TableName": "leases", "Item": {"k": {"S": "a"}, "l": `+list(19_998)+`}}`, "{}")
	ts.want("PutItem", `{"TableName": "leases", "Item": {"k": {"S": "a"}, "l": `+list(19_999)+`}}`, "ValidationException: The item has 20001 values")
	ts.want("UpdateItem", `{"TableName": "leases", "Key": {"k": {"S": "a"}}, "UpdateExpression": "SET l = list_append(l, :l)", "ExpressionAttributeValues": {":l": `+list(1)+`}}`,
		"ValidationException: The item has 20001 values")
}

// memoryOf is what the tables take by their own count.
func memoryOf(t testing.TB, registry *metrics.Registry) float64 {
	t.Helper()
	page := httptest.NewRecorder()
	registry.Handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	_, value, _ := strings.Cut(page.Body.String(), "\nrheo_dynamodb_memory_bytes ")
	bytes, err := strconv.ParseFloat(strings.TrimSpace(strings.SplitN(value, "\n", 2)[0]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// TestMemoryIsCountedAlike: what tables take is the same whether counted write by
// write or all at once from a snapshot, and nothing when all is gone.
func TestMemoryIsCountedAlike(t *testing.T) {
	registry := metrics.New()
	ts := newTables(t, func(c *dynamodb.Config) { c.Metrics = registry })
	empty := memoryOf(t, registry)
	ts.call("CreateTable", `{"TableName": "leases", "BillingMode": "PAY_PER_REQUEST", "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}, {"AttributeName": "g", "AttributeType": "N"}],
		"KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}], "GlobalSecondaryIndexes": [{"IndexName": "byG", "Projection": {"ProjectionType": "ALL"}, "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}]}]}`)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 300 {
		k := rng.IntN(20)
		switch rng.IntN(5) {
		case 0:
			ts.call("PutItem", fmt.Sprintf(`{"TableName": "leases", "Item": {"k": {"S": "k%d"}, "v": {"S": "%s"}}}`, k, strings.Repeat("x", rng.IntN(1000))))
		case 1:
			ts.call("UpdateItem", fmt.Sprintf(`{"TableName": "leases", "Key": {"k": {"S": "k%d"}}, "UpdateExpression": "SET g = :g", "ExpressionAttributeValues": {":g": {"N": "%de%d"}}}`, k, 1+rng.IntN(9), rng.IntN(100)))
		case 2:
			ts.call("UpdateItem", fmt.Sprintf(`{"TableName": "leases", "Key": {"k": {"S": "k%d"}}, "UpdateExpression": "REMOVE g"}`, k))
		case 3:
			ts.call("DeleteItem", fmt.Sprintf(`{"TableName": "leases", "Key": {"k": {"S": "k%d"}}}`, k))
		case 4:
			ts.call("TransactWriteItems", fmt.Sprintf(`{"ClientRequestToken": "t%d", "TransactItems": [{"Put": {"TableName": "leases", "Item": {"k": {"S": "k%d"}, "g": {"N": "7"}}}}]}`, i, k))
		}
		if i == 200 {
			ts.call("UpdateTable", `{"TableName": "leases", "GlobalSecondaryIndexUpdates": [{"Create": {"IndexName": "again", "Projection": {"ProjectionType": "ALL"}, "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}]}}]}`)
		}
		if i == 250 {
			ts.call("UpdateTable", `{"TableName": "leases", "GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "byG"}}]}`)
		}
	}
	counted := memoryOf(t, registry)
	registry = metrics.New()
	ts.cfg.Metrics = registry
	ts.restart()
	if again := memoryOf(t, registry); again != counted {
		t.Errorf("%v bytes, and %v after a start", counted, again)
	}
	ts.call("DeleteTable", `{"TableName": "leases"}`)
	const tokens = 300 / 5 * 1.5 * 256 // at most, which stay for ten minutes
	if left := memoryOf(t, registry); left < empty || left > empty+tokens {
		t.Errorf("without tables %v bytes are taken", left)
	}
}

// TestBudgetCountsIndexes: an item that gets no larger may have more entries in
// indexes, and those more bytes.
func TestBudgetCountsIndexes(t *testing.T) {
	registry := metrics.New()
	const budget = 128 << 10
	ts := newTables(t, func(c *dynamodb.Config) { c.MemoryBytes, c.Metrics = budget, registry })
	const indexes = 20
	list := make([]string, indexes)
	for i := range list {
		list[i] = fmt.Sprintf(`{"IndexName": "by%d", "Projection": {"ProjectionType": "ALL"}, "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}]}`, i)
	}
	ts.call("CreateTable", `{"TableName": "leases", "BillingMode": "PAY_PER_REQUEST", "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}, {"AttributeName": "g", "AttributeType": "S"}],
		"KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}], "GlobalSecondaryIndexes": [`+strings.Join(list, ", ")+`]}`)
	long := strings.Repeat("x", 2000)
	for i := range 10 {
		ts.call("PutItem", fmt.Sprintf(`{"TableName": "leases", "Item": {"k": {"S": "k%d"}, "z": {"S": %q}}}`, i, long))
	}
	refused := 0
	for i := range 10 {
		out := ts.do(t.Context(), "UpdateItem", fmt.Sprintf(`{"TableName": "leases", "Key": {"k": {"S": "k%d"}}, "UpdateExpression": "SET g = z REMOVE z"}`, i))
		if strings.HasPrefix(out, "LimitExceededException: The memory for tables") {
			refused++
		} else if out != "{}" {
			t.Fatal(out)
		}
	}
	if used := memoryOf(t, registry); used > budget*3/4 {
		t.Errorf("%v of %d bytes are used, %d updates were refused", used, budget, refused)
	}
	if refused == 0 || refused == 10 {
		t.Errorf("%d of 10 updates that add 40 KB of entries were refused", refused)
	}

	// An index is refused, too, that has more entries than there is room for.
	ts.call("DeleteTable", `{"TableName": "leases"}`)
	ts.call("CreateTable", createLeases)
	for i := range 40 {
		ts.call("PutItem", fmt.Sprintf(`{"TableName": "leases", "Item": {"k": {"S": "k%d"}, "g": {"S": %q}}}`, i, long))
	}
	ts.want("UpdateTable", `{"TableName": "leases", "AttributeDefinitions": [{"AttributeName": "g", "AttributeType": "S"}], "GlobalSecondaryIndexUpdates": [{"Create": {"IndexName": "byG",
		"Projection": {"ProjectionType": "ALL"}, "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}]}}]}`, "LimitExceededException: The memory for tables")
}
