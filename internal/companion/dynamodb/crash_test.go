package dynamodb_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/companion/dynamodb"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/vfs"
)

// A register is what a client does with one item: a lease whose owner is a number.
type register struct {
	kind     string // get, create, swap, swapOld, add, delete
	key      int
	old, new int
}

const absent = math.MinInt

// outcome is what the client was told; unknown if it was told nothing.
type outcome struct {
	unknown bool
	refused bool // the condition did not hold
	value   int  // read, or after an add
}

// leases is the model: one item, whose state is its number. A write that was not
// answered may be done at any later moment, or never (at the end of time).
var leases = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[int][]porcupine.Operation{}
		for _, op := range history {
			k := op.Input.(register).key
			byKey[k] = append(byKey[k], op)
		}
		var parts [][]porcupine.Operation
		for _, ops := range byKey {
			parts = append(parts, ops)
		}
		return parts
	},
	Init: func() any { return absent },
	Step: func(state, input, output any) (bool, any) {
		have, in, out := state.(int), input.(register), output.(outcome)
		next, refused, value := have, false, have
		switch in.kind {
		case "create":
			if refused = have != absent; !refused {
				next = in.new
			}
		case "swap", "swapOld":
			if refused = have != in.old; !refused {
				next = in.new
			}
		case "add":
			if have == absent {
				next = in.new
			} else {
				next = have + in.new
			}
			value = next
		case "delete":
			if refused = have != in.old; !refused {
				next = absent
			}
		}
		if out.unknown {
			return true, next
		}
		if out.refused != refused {
			return false, next
		}
		if (in.kind == "get" || in.kind == "add") && out.value != value {
			return false, next
		}
		return true, next
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
	DescribeState:     func(state any) string { return fmt.Sprint(state) },
}

// request is the operation and input for what a client does.
func (r register) request() (operation, input string) {
	key := fmt.Sprintf(`"TableName": "leases", "Key": {"leaseKey": {"S": "k%d"}}`, r.key)
	switch r.kind {
	case "get":
		return "GetItem", "{" + key + "}"
	case "create":
		return "PutItem", fmt.Sprintf(`{"TableName": "leases", "Item": {"leaseKey": {"S": "k%d"}, "v": {"N": "%d"}}, "ConditionExpression": "attribute_not_exists(leaseKey)"}`, r.key, r.new)
	case "swap":
		return "UpdateItem", fmt.Sprintf(`{%s, "UpdateExpression": "SET v = :new", "ConditionExpression": "v = :old", "ExpressionAttributeValues": {":old": {"N": "%d"}, ":new": {"N": "%d"}}}`, key, r.old, r.new)
	case "swapOld":
		return "UpdateItem", fmt.Sprintf(`{%s, "AttributeUpdates": {"v": {"Value": {"N": "%d"}}}, "Expected": {"v": {"Value": {"N": "%d"}}}}`, key, r.new, r.old)
	case "add":
		return "UpdateItem", fmt.Sprintf(`{%s, "UpdateExpression": "ADD v :new", "ExpressionAttributeValues": {":new": {"N": "%d"}}, "ReturnValues": "UPDATED_NEW"}`, key, r.new)
	}
	return "DeleteItem", fmt.Sprintf(`{%s, "ConditionExpression": "v = :old", "ExpressionAttributeValues": {":old": {"N": "%d"}}}`, key, r.old)
}

func (r register) outcome(t *testing.T, answer string) outcome {
	var body struct {
		Item, Attributes map[string]struct{ N string }
	}
	switch {
	case strings.HasPrefix(answer, "ConditionalCheckFailedException"):
		return outcome{refused: true}
	case !strings.HasPrefix(answer, "{"):
		if strings.Contains(answer, "Validation") {
			t.Errorf("%+v: %s", r, answer)
		}
		return outcome{unknown: true}
	}
	if err := json.Unmarshal([]byte(answer), &body); err != nil {
		t.Errorf("%s: %v", answer, err)
	}
	for _, attributes := range []map[string]struct{ N string }{body.Item, body.Attributes} {
		if v, ok := attributes["v"]; ok {
			n, _ := strconv.Atoi(v.N)
			return outcome{value: n}
		}
	}
	return outcome{value: absent}
}

// A disk is what the tables are on, and its power can be cut.
type disk struct {
	t     *testing.T
	fs    *vfs.Crash
	every int64 // bytes between snapshots
	log   *shardlog.Disk
	ts    *tables
}

func (d *disk) start() {
	var err error
	if d.log, err = shardlog.Open(shardlog.Config{FS: d.fs, Dir: "log", JournalFileBytes: 1 << 20, MemoryBytes: 4 << 20, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		d.t.Fatal(err)
	}
	blobs, err := blob.OpenDir(d.fs, "blobs")
	if err != nil {
		d.t.Fatal(err)
	}
	d.ts = &tables{t: d.t, cfg: dynamodb.Config{Log: d.log, Blobs: blobs, SnapshotEvery: d.every}}
	d.ts.start()
}

func (d *disk) stop() {
	d.ts.Close()
	d.log.Close()
}

// TestLinearizable has clients compare and swap a few items while the power is cut
// at random moments: what they saw is what one client after another could have
// seen, cuts or not. What was answered was durable, and what was not answered was
// done once or not at all.
func TestLinearizable(t *testing.T) { rounds(t, 1, linearizable) }

// rounds runs a test with a seed, or with as many others as DYNAMODB_ROUNDS says.
func rounds(t *testing.T, seed uint64, test func(*testing.T, uint64)) {
	n, err := strconv.Atoi(os.Getenv("DYNAMODB_ROUNDS"))
	if err != nil {
		test(t, seed)
		return
	}
	for i := range n {
		seed := uint64(time.Now().UnixNano()) + uint64(i)
		if !t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { test(t, seed) }) {
			return
		}
	}
}

// powerCuts is how often the power is cut in a round: histories stay short enough
// to be checked.
const powerCuts = 12

func linearizable(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	d := &disk{t: t, fs: vfs.NewCrash(seed), every: 4000}
	d.start()
	defer func() { d.stop() }()
	d.ts.call("CreateTable", `{"TableName": "leases", "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}, {"AttributeName": "v", "AttributeType": "N"}],
		"KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}], "BillingMode": "PAY_PER_REQUEST",
		"GlobalSecondaryIndexes": [{"IndexName": "byV", "KeySchema": [{"AttributeName": "v", "KeyType": "HASH"}], "Projection": {"ProjectionType": "ALL"}}]}`)

	const clients, keys = 4, 3
	began := time.Now()
	var clock atomic.Int64 // orders events that have the same time
	now := func() int64 { return time.Since(began).Nanoseconds()<<10 | clock.Add(1)&1023 }
	var mu sync.Mutex
	var history []porcupine.Operation // mu
	for cycle := range powerCuts {
		ctx, cancel := context.WithCancel(t.Context())
		var g sync.WaitGroup
		for client := range clients {
			r := rand.New(rand.NewPCG(seed, uint64(cycle*clients+client)))
			g.Go(func() {
				seen := map[int]int{}
				for ctx.Err() == nil {
					in := register{kind: []string{"get", "create", "swap", "swapOld", "add", "delete"}[r.IntN(6)], key: r.IntN(keys), new: r.IntN(5)}
					in.old = max(seen[in.key], 0) // there is no such value as absent
					callCtx, done := ctx, context.CancelFunc(func() {})
					if r.IntN(8) == 0 { // the caller goes away
						callCtx, done = context.WithTimeout(ctx, time.Duration(r.IntN(300))*time.Microsecond)
					}
					called := now()
					operation, input := in.request()
					out := in.outcome(t, d.ts.do(callCtx, operation, input))
					done()
					returned := now()
					if out.unknown {
						if in.kind == "get" {
							continue
						}
						returned = math.MaxInt64
					} else if in.kind == "get" || in.kind == "add" {
						seen[in.key] = out.value
					}
					mu.Lock()
					history = append(history, porcupine.Operation{ClientId: client, Input: in, Call: called, Output: out, Return: returned})
					mu.Unlock()
				}
			})
		}
		time.Sleep(time.Duration(2000+rnd.IntN(6000)) * time.Microsecond)
		if rnd.IntN(4) == 0 { // a clean stop
			cancel()
			g.Wait()
			d.stop()
		} else {
			next := d.fs.Crash()
			cancel()
			g.Wait()
			d.stop()
			d.fs = next
		}
		d.start()
		d.checkIndex(keys)
	}
	unknown := 0
	for _, op := range history {
		if op.Output.(outcome).unknown {
			unknown++
		}
	}
	t.Logf("%d operations, %d of them without an answer", len(history), unknown)
	if len(history) < powerCuts*clients {
		t.Errorf("only %d operations were made", len(history))
	}
	switch result, info := porcupine.CheckOperationsVerbose(leases, history, time.Minute); result {
	case porcupine.Illegal:
		file := filepath.Join(os.TempDir(), "dynamodb-history.html")
		porcupine.VisualizePath(leases, info, file)
		t.Errorf("the history is not linearizable; see %s", file)
	case porcupine.Unknown:
		t.Error("the history could not be checked in a minute")
	}
}

// checkIndex: the index has what the table has.
func (d *disk) checkIndex(keys int) {
	d.t.Helper()
	for k := range keys {
		out := register{kind: "get", key: k}.outcome(d.t, d.ts.call("GetItem", fmt.Sprintf(`{"TableName": "leases", "Key": {"leaseKey": {"S": "k%d"}}}`, k)))
		if out.value == absent {
			continue
		}
		found := d.ts.call("Query", fmt.Sprintf(`{"TableName": "leases", "IndexName": "byV", "KeyConditionExpression": "v = :v", "ExpressionAttributeValues": {":v": {"N": "%d"}}}`, out.value))
		if !strings.Contains(found, fmt.Sprintf(`"k%d"`, k)) {
			d.t.Errorf("k%d is %d, and the index has %s", k, out.value, found)
		}
	}
}

// TestTransactionsAreWhole: of the items that transactions write together none is
// ever without the others, wherever the power is cut, and what was answered is there.
func TestTransactionsAreWhole(t *testing.T) { rounds(t, 2, transactionsAreWhole) }

func transactionsAreWhole(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	d := &disk{t: t, fs: vfs.NewCrash(seed), every: 4000}
	d.start()
	defer func() { d.stop() }()
	for _, name := range []string{"one", "other"} {
		d.ts.call("CreateTable", strings.Replace(createLeases, "leases", name, 1))
	}
	const writers = 3
	var done, tried [writers]int
	both := func(w, n int) string {
		return fmt.Sprintf(`{"ClientRequestToken": "w%d-%d", "TransactItems": [
			{"Put": {"TableName": "one", "Item": {"k": {"S": "w%[1]d"}, "v": {"N": "%[2]d"}}, "ConditionExpression": "attribute_not_exists(k) OR v < :v", "ExpressionAttributeValues": {":v": {"N": "%[2]d"}}}},
			{"Update": {"TableName": "other", "Key": {"k": {"S": "w%[1]d"}}, "UpdateExpression": "SET v = :v", "ExpressionAttributeValues": {":v": {"N": "%[2]d"}}}},
			{"Put": {"TableName": "other", "Item": {"k": {"S": "w%[1]d-%[2]d"}}}}]}`, w, n)
	}
	for cycle := range powerCuts {
		ctx, cancel := context.WithCancel(t.Context())
		var g sync.WaitGroup
		for w := range writers {
			g.Go(func() {
				for ctx.Err() == nil {
					tried[w]++
					if out := d.ts.do(ctx, "TransactWriteItems", both(w, tried[w])); out == "{}" {
						done[w] = tried[w]
					} else if strings.Contains(out, "Exception") {
						t.Errorf("cut %d: %s", cycle+1, out)
					}
				}
			})
		}
		time.Sleep(time.Duration(1000+rnd.IntN(5000)) * time.Microsecond)
		next := d.fs.Crash()
		cancel()
		g.Wait()
		d.stop()
		d.fs = next
		d.start()
		for w := range writers {
			get := func(table string) int {
				in := register{kind: "get"}
				out := in.outcome(t, d.ts.call("GetItem", fmt.Sprintf(`{"TableName": %q, "Key": {"k": {"S": "w%d"}}}`, table, w)))
				return max(out.value, 0)
			}
			one, other := get("one"), get("other")
			if one != other || one < done[w] || one > tried[w] {
				t.Fatalf("cut %d: writer %d has %d and %d; %d was answered, %d tried", cycle+1, w, one, other, done[w], tried[w])
			}
			if one > 0 {
				if out := d.ts.call("GetItem", fmt.Sprintf(`{"TableName": "other", "Key": {"k": {"S": "w%d-%d"}}}`, w, one)); out == "{}" {
					t.Fatalf("cut %d: the third item of a transaction is missing", cycle+1)
				}
				// Done again by its token it changes nothing, and is no error.
				if out := d.ts.do(t.Context(), "TransactWriteItems", both(w, one)); out != "{}" {
					t.Fatalf("cut %d: the same again: %s", cycle+1, out)
				}
			}
		}
	}
	t.Logf("answered %v of %v", done, tried)
}

// TestFullDisk: on a full disk writes are refused, reads and deletes go on.
func TestFullDisk(t *testing.T) {
	d := &disk{t: t, fs: vfs.NewCrash(3), every: 1 << 40}
	d.fs.SetCapacity(48 << 20)
	d.start()
	defer func() { d.stop() }()
	d.ts.call("CreateTable", createLeases)
	big := strings.Repeat("x", 300<<10)
	var out string
	for i := range 400 {
		out = d.ts.do(t.Context(), "PutItem", fmt.Sprintf(`{"TableName": "leases", "Item": {"k": {"S": "k%d"}, "v": {"S": "%s"}}}`, i%50, big))
		if out != "{}" && !strings.HasPrefix(out, "ThrottlingException") {
			break
		}
	}
	if !strings.HasPrefix(out, "LimitExceededException: There is no space left on the disk") {
		t.Skipf("snapshots kept the disk from filling: %s", out)
	}
	if out := d.ts.call("GetItem", `{"TableName": "leases", "Key": {"k": {"S": "k1"}}, "ProjectionExpression": "k"}`); out != `{"Item":{"k":{"S":"k1"}}}` {
		t.Error(out)
	}
	d.ts.call("DeleteItem", `{"TableName": "leases", "Key": {"k": {"S": "k1"}}}`)
	d.ts.call("DeleteTable", `{"TableName": "leases"}`)
}
