"""The step "tables" of ../README.md in boto3: leases and checkpoints in DynamoDB."""

import sys
from decimal import Decimal

import boto3
from boto3.dynamodb.conditions import Attr, Key

TABLE = "interop-boto3-leases"


def equal(what, got, want):
    if got != want:
        sys.exit(f"MISMATCH {what} is {str(got)[:1000]}, want {str(want)[:1000]}")


def lease(i):
    return {"stream": f"s{i % 3}", "shard": i, "owner": f"w{i % 2}", "counter": Decimal("12345678901234567890123456789012345678"),
            "raw": b"\x00\x01", "parents": {"a", "b"}, "state": {"history": [1, "x", None, True]}}


def make():
    db = boto3.resource("dynamodb")
    table = db.create_table(
        TableName=TABLE, BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "stream", "AttributeType": "S"}, {"AttributeName": "shard", "AttributeType": "N"},
                              {"AttributeName": "owner", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "stream", "KeyType": "HASH"}, {"AttributeName": "shard", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[{"IndexName": "byOwner", "KeySchema": [{"AttributeName": "owner", "KeyType": "HASH"}],
                                 "Projection": {"ProjectionType": "ALL"}}])
    table.wait_until_exists()
    with table.batch_writer() as batch:
        for i in range(60):
            batch.put_item(Item=lease(i))
    return table


def read(table):
    found = table.query(KeyConditionExpression=Key("stream").eq("s1") & Key("shard").between(10, 40), ScanIndexForward=False)["Items"]
    equal("leases of a range, last first", [int(x["shard"]) for x in found], [i for i in range(40, 9, -1) if i % 3 == 1])
    equal("a lease as it was written", found[0], lease(40))
    found = table.query(IndexName="byOwner", KeyConditionExpression=Key("owner").eq("w1"), FilterExpression=Attr("shard").lt(30))
    equal("leases of a worker", (found["Count"], found["ScannedCount"]), (15, 30))
    seen = []
    for segment in range(4):
        start = {}
        while True:
            page = table.scan(Segment=segment, TotalSegments=4, Limit=7, **start)
            seen += [int(x["shard"]) for x in page["Items"]]
            if "LastEvaluatedKey" not in page:
                break
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    equal("leases in all segments", sorted(seen), list(range(60)))


def write(table):
    exceptions = table.meta.client.exceptions
    out = table.update_item(
        Key={"stream": "s0", "shard": 0}, ReturnValues="ALL_NEW",
        UpdateExpression="SET #s.history[1] = :x, renewals = if_not_exists(renewals, :zero) + :one REMOVE #r ADD parents :p",
        ExpressionAttributeNames={"#s": "state", "#r": "raw"},
        ExpressionAttributeValues={":x": "y", ":zero": 0, ":one": 1, ":p": {"c"}})["Attributes"]
    want = lease(0) | {"state": {"history": [1, "y", None, True]}, "renewals": 1, "parents": {"a", "b", "c"}}
    del want["raw"]
    equal("a lease after an update", out, want)
    try:
        table.put_item(Item={"stream": "s0", "shard": 0}, ConditionExpression="attribute_not_exists(#s)",
                       ExpressionAttributeNames={"#s": "stream"}, ReturnValuesOnConditionCheckFailure="ALL_OLD")
        sys.exit("MISMATCH a lease was made twice")
    except exceptions.ConditionalCheckFailedException as e:
        equal("the item in the exception", e.response["Item"]["renewals"], {"N": "1"})
    client = boto3.client("dynamodb")
    key = {"stream": {"S": "s0"}, "shard": {"N": "0"}}
    client.update_item(TableName=TABLE, Key=key, AttributeUpdates={"renewals": {"Action": "ADD", "Value": {"N": "1"}}},
                       Expected={"renewals": {"Value": {"N": "1.0"}}, "missing": {"Exists": False}})
    try:
        client.transact_write_items(TransactItems=[
            {"Delete": {"TableName": TABLE, "Key": key}},
            {"ConditionCheck": {"TableName": TABLE, "Key": {"stream": {"S": "s1"}, "shard": {"N": "1"}},
                                "ConditionExpression": "renewals > :n", "ExpressionAttributeValues": {":n": {"N": "0"}}}}])
        sys.exit("MISMATCH a transaction was done in spite of its check")
    except exceptions.TransactionCanceledException as e:
        equal("reasons", [r["Code"] for r in e.response["CancellationReasons"]], ["None", "ConditionalCheckFailed"])
    equal("renewals at last", client.get_item(TableName=TABLE, Key=key, ConsistentRead=True)["Item"]["renewals"], {"N": "2"})


def tables():
    table = make()
    read(table)
    write(table)
    table.delete()
    table.wait_until_not_exists()
    print("tables: batches, ranges, an index, segments, updates, conditions, a transaction")
