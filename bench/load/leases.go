package main

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// leases is a row of what a worker of the Kinesis Client Library does all the time: it
// renews its leases, each by an UpdateItem that raises the lease's counter if that and
// the owner are still what the worker knows. Every writer has a lease of its own.
type leases struct {
	figure  *figure
	writers int
}

const (
	leaseTable = "bench-leases"
	// leaseTurns is after how many renewals a counter is what it was before: requests
	// are signed before the clock starts, and sent again and again.
	leaseTurns = 16
)

// onBoth runs the row on rheo and on DynamoDB Local; the others have no leases.
func (l leases) onBoth() map[kind]runFunc { return map[kind]runFunc{rheo: l.run, dynamoDBLocal: l.run} }

func (l leases) run(b *bench, k kind, dir string) ([]found, string, error) {
	s, err := b.start(k, dir)
	if err != nil {
		return nil, "", err
	}
	defer s.stop()
	if err := createLeases(s.addr, l.writers); err != nil {
		return nil, "", err
	}
	work := loop{
		addr:     s.addr,
		requests: renewals(s.addr, l.writers),
		units:    1,
		check:    renewed,
		bodyMax:  1 << 10,
		warmUp:   min(5*time.Second, b.least), // a virtual machine gets going slowly
		least:    b.least,
	}
	res, err := work.run()
	if err != nil {
		return nil, "", err
	}
	note := fmt.Sprintf("p50 %v, p99 %v, generator %.0f %% of the CPU", res.percentile(0.5), res.percentile(0.99), 100*res.cpu)
	if res.failed > 0 {
		return nil, "", fmt.Errorf("%d of %d writes failed, the first: %w", res.failed, res.requests+res.failed, res.firstErr)
	}
	return []found{{figure: l.figure, value: res.perSecond}}, note, nil
}

// createLeases makes the lease table as the library does, and a lease for each writer.
func createLeases(addr string, writers int) error {
	err := dynamoDB.call(addr, "CreateTable", map[string]any{"TableName": leaseTable, "BillingMode": "PAY_PER_REQUEST",
		"AttributeDefinitions": []any{map[string]any{"AttributeName": "leaseKey", "AttributeType": "S"}},
		"KeySchema":            []any{map[string]any{"AttributeName": "leaseKey", "KeyType": "HASH"}}}, nil)
	if err != nil {
		return err
	}
	for range 600 {
		var d struct{ Table struct{ TableStatus string } }
		if err := dynamoDB.call(addr, "DescribeTable", map[string]any{"TableName": leaseTable}, &d); err != nil {
			return err
		}
		if d.Table.TableStatus == "ACTIVE" {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	for i := range writers {
		s := func(v string) map[string]string { return map[string]string{"S": v} }
		n := func(v string) map[string]string { return map[string]string{"N": v} }
		if err := dynamoDB.call(addr, "PutItem", map[string]any{"TableName": leaseTable, "Item": map[string]any{
			"leaseKey": s(leaseKey(i)), "leaseOwner": s("worker-1"), "leaseCounter": n("0"), "checkpoint": s("TRIM_HORIZON"),
			"checkpointSubSequenceNumber": n("0"), "ownerSwitchesSinceCheckpoint": n("0"),
			"startingHashKey": s("0"), "endingHashKey": s("340282366920938463463374607431768211455")}}, nil); err != nil {
			return err
		}
	}
	return nil
}

func leaseKey(i int) string { return fmt.Sprintf("shardId-%012d", i) }

// renewals signs the renewals of each writer's lease, in turn.
func renewals(addr string, writers int) [][][]byte {
	all := make([][][]byte, writers)
	now := time.Now()
	for i := range all {
		for turn := range leaseTurns {
			body := fmt.Appendf(nil, `{"TableName":%q,"Key":{"leaseKey":{"S":%q}},`+
				`"AttributeUpdates":{"leaseCounter":{"Value":{"N":"%d"},"Action":"PUT"}},`+
				`"Expected":{"leaseCounter":{"Value":{"N":"%d"},"Exists":true},"leaseOwner":{"Value":{"S":"worker-1"},"Exists":true}},`+
				`"ReturnValues":"ALL_NEW","ReturnValuesOnConditionCheckFailure":"ALL_OLD"}`,
				leaseTable, leaseKey(i), (turn+1)%leaseTurns, turn)
			all[i] = append(all[i], dynamoDB.request(addr, "UpdateItem", body, now))
		}
	}
	return all
}

var errNotRenewed = errors.New("the answer has no lease")

func renewed(rsp response) error {
	if !bytes.Contains(rsp.head, []byte(`"leaseCounter"`)) {
		return fmt.Errorf("%w: %.200s", errNotRenewed, rsp.head)
	}
	return nil
}
