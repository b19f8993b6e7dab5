package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// tables does with DynamoDB what consumers of a stream do: leases and checkpoints
// by conditional writes. The SDK checks the checksum of every answer.
func tables(ctx context.Context, cfg aws.Config) {
	db := dynamodb.NewFromConfig(cfg)
	const name = "interop-go-leases"
	_, err := db.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: aws.String(name), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("leaseKey"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("leaseOwner"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("leaseKey"), KeyType: types.KeyTypeHash}},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{IndexName: aws.String("byOwner"),
			KeySchema:  []types.KeySchemaElement{{AttributeName: aws.String("leaseOwner"), KeyType: types.KeyTypeHash}, {AttributeName: aws.String("leaseKey"), KeyType: types.KeyTypeRange}},
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly}}},
	})
	if err != nil {
		fail("CreateTable: %v", err)
	}
	if err := dynamodb.NewTableExistsWaiter(db).Wait(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(name)}, time.Minute); err != nil {
		fail("waiting for the table: %v", err)
	}
	key := func(i int) map[string]types.AttributeValue {
		return map[string]types.AttributeValue{"leaseKey": &types.AttributeValueMemberS{Value: fmt.Sprintf("shardId-%012d", i)}}
	}
	const leases = 30
	for i := range leases {
		lease := key(i)
		lease["leaseCounter"] = &types.AttributeValueMemberN{Value: "0"}
		if _, err := db.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(name), Item: lease,
			Expected: map[string]types.ExpectedAttributeValue{"leaseKey": {Exists: aws.Bool(false)}}}); err != nil {
			fail("PutItem: %v", err)
		}
		out, err := db.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: aws.String(name), Key: key(i), ReturnValues: types.ReturnValueAllNew,
			UpdateExpression: aws.String("SET leaseOwner = :me ADD leaseCounter :1"), ConditionExpression: aws.String("attribute_not_exists(leaseOwner) AND leaseCounter = :0"),
			ExpressionAttributeValues: map[string]types.AttributeValue{":me": &types.AttributeValueMemberS{Value: fmt.Sprint("w", i%2)},
				":0": &types.AttributeValueMemberN{Value: "0"}, ":1": &types.AttributeValueMemberN{Value: "1"}}})
		if err != nil {
			fail("UpdateItem: %v", err)
		}
		equal("counter of a lease that was taken", out.Attributes["leaseCounter"].(*types.AttributeValueMemberN).Value, "1")
	}
	_, err = db.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: aws.String(name), Key: key(0),
		AttributeUpdates:                    map[string]types.AttributeValueUpdate{"leaseOwner": {Action: types.AttributeActionPut, Value: &types.AttributeValueMemberS{Value: "thief"}}},
		Expected:                            map[string]types.ExpectedAttributeValue{"leaseCounter": {Value: &types.AttributeValueMemberN{Value: "0"}}},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	var failed *types.ConditionalCheckFailedException
	if !errors.As(err, &failed) {
		fail("a lease was taken twice: %v", err)
	}
	equal("owner in the exception", failed.Item["leaseOwner"].(*types.AttributeValueMemberS).Value, "w0")

	var mine []string
	pages := dynamodb.NewQueryPaginator(db, &dynamodb.QueryInput{TableName: aws.String(name), IndexName: aws.String("byOwner"), Limit: aws.Int32(4),
		KeyConditionExpression: aws.String("leaseOwner = :w"), ExpressionAttributeValues: map[string]types.AttributeValue{":w": &types.AttributeValueMemberS{Value: "w1"}}})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			fail("Query: %v", err)
		}
		for _, it := range page.Items {
			mine = append(mine, it["leaseKey"].(*types.AttributeValueMemberS).Value)
		}
	}
	equal("leases of a worker", len(mine), leases/2)
	equal("leases of a worker in order", slices.IsSorted(mine), true)

	var total int32
	for segment := range int32(3) {
		scan, err := db.Scan(ctx, &dynamodb.ScanInput{TableName: aws.String(name), Segment: aws.Int32(segment), TotalSegments: aws.Int32(3), Select: types.SelectCount})
		if err != nil {
			fail("Scan: %v", err)
		}
		total += scan.Count
	}
	equal("leases in all segments", total, int32(leases))

	_, err = db.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Delete: &types.Delete{TableName: aws.String(name), Key: key(1)}},
		{ConditionCheck: &types.ConditionCheck{TableName: aws.String(name), Key: key(2), ConditionExpression: aws.String("attribute_not_exists(leaseKey)")}}}})
	var cancelled *types.TransactionCanceledException
	if !errors.As(err, &cancelled) {
		fail("a transaction was done in spite of its check: %v", err)
	}
	equal("reasons of a cancelled transaction", len(cancelled.CancellationReasons), 2)
	equal("reason of a cancelled transaction", aws.ToString(cancelled.CancellationReasons[1].Code), "ConditionalCheckFailed")

	if _, err := db.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: aws.String(name)}); err != nil {
		fail("DeleteTable: %v", err)
	}
	if err := dynamodb.NewTableNotExistsWaiter(db).Wait(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(name)}, time.Minute); err != nil {
		fail("waiting for the table to go: %v", err)
	}
	fmt.Println("tables: leases by conditions, an index, segments, a transaction")
}
