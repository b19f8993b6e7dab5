package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A lease is a shard's item in the application's table.
type lease struct{ shard, owner, checkpoint string }

// finished says that the shard was read to its end; nobody needs its lease.
func (l lease) finished() bool { return l.checkpoint == "SHARD_END" }

// leases reads the lease table, and who holds the lock of the leader. Version 3 of the
// client library keeps that in the lease table since 3.5, before in a table of its own;
// version 2 has none.
func (r *run) leases(ctx context.Context) (leases []lease, leader string, err error) {
	for _, table := range []string{r.application, r.application + "-CoordinatorState"} {
		pages := dynamodb.NewScanPaginator(r.dynamodb, &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if missing := (*types.ResourceNotFoundException)(nil); errors.As(err, &missing) {
				break
			} else if err != nil {
				return nil, "", fmt.Errorf("cannot read table %s: %w", table, err)
			}
			for _, item := range page.Items {
				if owner := text(item["ownerName"]); owner != "" {
					leader = owner
				}
				if key := text(item["leaseKey"]); strings.HasPrefix(key, "shardId-") {
					leases = append(leases, lease{shard: key, owner: text(item["leaseOwner"]), checkpoint: text(item["checkpoint"])})
				}
			}
		}
	}
	return leases, leader, nil
}

// begun says whether a second worker of the application may start. Version 3.5.1 does not survive two first
// workers at the same moment: both create the same item, on condition that it does not exist. The one that is
// refused takes itself for initialized (MigrationStateMachineImpl.initialize), and gives up after twenty tries to go on
// from there.
func (r *run) begun(ctx context.Context) (bool, error) {
	if r.library.version == 2 {
		return true, nil
	}
	out, err := r.dynamodb.GetItem(ctx, &dynamodb.GetItemInput{TableName: &r.application, ConsistentRead: aws.Bool(true),
		Key: map[string]types.AttributeValue{"leaseKey": &types.AttributeValueMemberS{Value: "Migration3.0"}}})
	if missing := (*types.ResourceNotFoundException)(nil); errors.As(err, &missing) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("cannot read table %s: %w", r.application, err)
	}
	return len(out.Item) > 0, nil
}

func text(value types.AttributeValue) string {
	if s, ok := value.(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

// held counts the leases of each worker that are still needed.
func held(leases []lease) map[string]int {
	of := map[string]int{}
	for _, l := range leases {
		if l.owner != "" && !l.finished() {
			of[l.owner]++
		}
	}
	return of
}
