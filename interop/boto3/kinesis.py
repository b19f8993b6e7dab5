"""The script of ../README.md in boto3, configured by the environment only."""

import hashlib
import os
import sys
import threading
import time
from datetime import datetime, timezone

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from metrics import metrics
from tables import tables

STREAM = "interop-boto3"
SHARDS = ["shardId-000000000000", "shardId-000000000001"]
MAX_HASH = str(2**128 - 1)
READ_PAUSE = 0.21  # GetRecords may be called five times a second for a shard

kinesis = boto3.client("kinesis")
records = {shard: [] for shard in SHARDS}  # (sequence number, key, data), in order of their numbers


def equal(what, got, want):
    if got != want:
        sys.exit(f"MISMATCH {what} is {str(got)[:1000]}, want {str(want)[:1000]}")


def refused(what, exception, message, call, **request):
    """Demands that the call raises the client's own exception, with message in it."""
    try:
        call(**request)
    except exception as e:
        if message not in str(e):
            sys.exit(f"MISMATCH {what} was refused with {e}, want {message}")
        return e
    except ClientError as e:
        sys.exit(f"MISMATCH {what} was refused with {type(e)} {e}, want {exception}")
    sys.exit(f"MISMATCH {what} was not refused")


def await_active(stream):
    while True:
        summary = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
        if summary["StreamStatus"] == "ACTIVE":
            return summary
        time.sleep(0.1)


def create():
    kinesis.create_stream(StreamName=STREAM, ShardCount=2, Tags={"purpose": "interop"})
    kinesis.get_waiter("stream_exists").wait(StreamName=STREAM, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    equal("open shards", await_active(STREAM)["OpenShardCount"], 2)
    equal("tags", kinesis.list_tags_for_stream(StreamName=STREAM)["Tags"], [{"Key": "purpose", "Value": "interop"}])
    start = 0
    shards = list(kinesis.get_paginator("list_shards").paginate(StreamName=STREAM).build_full_result()["Shards"])
    equal("shards", [s["ShardId"] for s in shards], SHARDS)
    for shard in shards:
        equal("start of a hash range", int(shard["HashKeyRange"]["StartingHashKey"]), start)
        start = int(shard["HashKeyRange"]["EndingHashKey"]) + 1
    equal("end of the last hash range", start, 2**128)
    print("create: 2 shards, tagged, hash ranges without a hole")


def shard_for(key):
    return SHARDS[hashlib.md5(key.encode()).digest()[0] >> 7]


def remember(shard, key, data, sequence):
    equal("digits of a sequence number", len(sequence), 56)
    records[shard].append((sequence, key, data))


def put_one(key, data, shard, **more):
    out = kinesis.put_record(StreamName=STREAM, PartitionKey=key, Data=data, **more)
    equal(f"shard of {key}", out["ShardId"], shard)
    remember(shard, key, data, out["SequenceNumber"])
    return out["SequenceNumber"]


def put_many(batch):
    entries = [{"PartitionKey": f"k{i}", "Data": f"{batch} {i}".encode()} for i in range(20)]
    out = kinesis.put_records(StreamName=STREAM, Records=entries)
    equal("failed records", out["FailedRecordCount"], 0)
    equal("results of PutRecords", len(out["Records"]), len(entries))
    for entry, result in zip(entries, out["Records"]):
        equal("shard of " + entry["PartitionKey"], result["ShardId"], shard_for(entry["PartitionKey"]))
        remember(result["ShardId"], entry["PartitionKey"], entry["Data"], result["SequenceNumber"])


def put():
    put_one("every byte", bytes(range(256)), shard_for("every byte"))
    put_one("to the first", b"a", SHARDS[0], ExplicitHashKey="0")
    put_one("to the last", b"b", SHARDS[1], ExplicitHashKey=MAX_HASH)
    put_many("first")
    # botocore sends timestamps in whole seconds: the second batch has seconds of its own.
    now = time.time()
    time.sleep(1.02 - now % 1)
    put_many("second")
    last = ""
    for i in range(3):
        more = {"SequenceNumberForOrdering": last} if last else {}
        sequence = put_one("ordered", f"ordered {i}".encode(), shard_for("ordered"), **more)
        if sequence <= last:
            sys.exit(f"MISMATCH sequence number {sequence} does not follow {last}")
        last = sequence
    for shard in SHARDS:
        records[shard].sort()
    print("put: PutRecord, PutRecords, ExplicitHashKey, SequenceNumberForOrdering")
    return datetime.fromtimestamp(int(now) + 1, timezone.utc)


def as_tuples(got):
    for r in got:
        age = time.time() - r["ApproximateArrivalTimestamp"].timestamp()
        if not -1 < age < 300:
            sys.exit(f"MISMATCH ApproximateArrivalTimestamp is {r['ApproximateArrivalTimestamp']}")
    return [(r["SequenceNumber"], r["PartitionKey"], r["Data"]) for r in got]


def iterator(stream, shard, kind, **more):
    return kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType=kind, **more)["ShardIterator"]


def read(batch2):
    for shard, hash_key in zip(SHARDS, ["0", MAX_HASH]):
        want = records[shard]
        second = next(i for i, r in enumerate(want) if r[2].startswith(b"second"))
        latest = iterator(STREAM, shard, "LATEST")
        for kind, more, expected in [
            ("TRIM_HORIZON", {}, want),
            ("AT_SEQUENCE_NUMBER", {"StartingSequenceNumber": want[3][0]}, want[3:]),
            ("AFTER_SEQUENCE_NUMBER", {"StartingSequenceNumber": want[3][0]}, want[4:]),
            ("AT_TIMESTAMP", {"Timestamp": batch2}, want[second:]),
        ]:
            out = kinesis.get_records(ShardIterator=iterator(STREAM, shard, kind, **more))
            equal(kind, as_tuples(out["Records"]), expected)
            equal("MillisBehindLatest at the tip", out["MillisBehindLatest"], 0)
            time.sleep(READ_PAUSE)

        put_one("late", b"late", shard, ExplicitHashKey=hash_key)
        equal("LATEST", as_tuples(kinesis.get_records(ShardIterator=latest)["Records"]), want[-1:])
        paged, position = [], iterator(STREAM, shard, "TRIM_HORIZON")
        while len(paged) < len(want):
            time.sleep(READ_PAUSE)
            out = kinesis.get_records(ShardIterator=position, Limit=7)
            if not 0 < len(out["Records"]) <= 7:
                sys.exit(f"MISMATCH Limit 7 gave {len(out['Records'])} records")
            paged += as_tuples(out["Records"])
            position = out["NextShardIterator"]
        equal("pages of 7", paged, want)
    print("read: TRIM_HORIZON, AT_SEQUENCE_NUMBER, AFTER_SEQUENCE_NUMBER, AT_TIMESTAMP, LATEST, Limit")


def register_consumer(stream, name):
    arn = await_active(stream)["StreamARN"]
    consumer = kinesis.register_stream_consumer(StreamARN=arn, ConsumerName=name)["Consumer"]["ConsumerARN"]
    while kinesis.describe_stream_consumer(ConsumerARN=consumer)["ConsumerDescription"]["ConsumerStatus"] != "ACTIVE":
        time.sleep(0.1)
    return consumer


def fan_out():
    consumer, shard = register_consumer(STREAM, "reader"), SHARDS[0]
    start = {"Type": "TRIM_HORIZON"}
    events = kinesis.subscribe_to_shard(ConsumerARN=consumer, ShardId=shard, StartingPosition=start)["EventStream"]
    got, pushed = [], False
    for event in events:
        event = event["SubscribeToShardEvent"]
        if not event["ContinuationSequenceNumber"]:
            sys.exit("MISMATCH an event has no ContinuationSequenceNumber")
        got += as_tuples(event["Records"])
        if len(got) >= len(records[shard]):
            if pushed:
                break
            put_one("pushed", b"pushed", shard, ExplicitHashKey="0")
            pushed = True
    equal("SubscribeToShard", got, records[shard])
    refused("a second subscription at once", kinesis.exceptions.ResourceInUseException,
            "Another active subscription exists for this consumer",
            kinesis.subscribe_to_shard, ConsumerARN=consumer, ShardId=shard, StartingPosition=start)
    events.close()
    print("fan-out: over HTTP/1.1: records so far, a record put meanwhile, second subscription refused")


class Reader:
    """Reads a stream from its first shard through all children, each once its parents are read."""

    def __init__(self, stream):
        self.stream = stream
        self.open = {SHARDS[0]: iterator(stream, SHARDS[0], "TRIM_HORIZON")}
        self.ended, self.seen = set(), []

    def step(self):
        for shard, position in list(self.open.items()):
            out = kinesis.get_records(ShardIterator=position)
            self.seen += [(r["PartitionKey"], r["Data"]) for r in out["Records"]]
            children = out.get("ChildShards") or []
            if out.get("NextShardIterator"):
                equal("ChildShards of an open shard", children, [])
                self.open[shard] = out["NextShardIterator"]
                continue
            if not children:
                sys.exit(f"MISMATCH {shard} ended without ChildShards")
            del self.open[shard]
            self.ended.add(shard)
            for child in children:
                if shard not in child["ParentShards"] or "StartingHashKey" not in child["HashKeyRange"]:
                    sys.exit(f"MISMATCH child of {shard} is {child}")
                if self.ended.issuperset(child["ParentShards"]):
                    self.open[child["ShardId"]] = iterator(self.stream, child["ShardId"], "TRIM_HORIZON")


def reshard():
    stream = STREAM + "-reshard"
    kinesis.create_stream(StreamName=stream, ShardCount=1)
    await_active(stream)
    stop, acked = threading.Event(), []

    def write():
        while not stop.wait(0.005):
            key, data = f"key{len(acked) % 7}", b"%06d" % len(acked)
            kinesis.put_record(StreamName=stream, PartitionKey=key, Data=data)
            acked.append((key, data))

    writer = threading.Thread(target=write)
    writer.start()
    reader = Reader(stream)

    def read_a_while():
        for _ in range(2):
            reader.step()
            time.sleep(READ_PAUSE)

    try:
        read_a_while()
        kinesis.split_shard(StreamName=stream, ShardToSplit=SHARDS[0], NewStartingHashKey=str(2**127))
        equal("open shards after the split", await_active(stream)["OpenShardCount"], 2)
        read_a_while()
        kinesis.merge_shards(StreamName=stream, ShardToMerge="shardId-000000000001", AdjacentShardToMerge="shardId-000000000002")
        equal("open shards after the merge", await_active(stream)["OpenShardCount"], 1)
        read_a_while()
    finally:
        stop.set()
        writer.join()
    deadline = time.time() + 30
    while len(reader.seen) < len(acked) and time.time() < deadline:
        time.sleep(READ_PAUSE)
        reader.step()
    for key in {key for key, _ in acked}:
        equal(f"what the reader saw of {key}", [d for k, d in reader.seen if k == key], [d for k, d in acked if k == key])
    equal("records seen", len(reader.seen), len(acked))
    equal("shards read to their end", len(reader.ended), 3)

    shards = {s["ShardId"]: s for s in kinesis.list_shards(StreamName=stream)["Shards"]}
    equal("shards in all", len(shards), 4)
    merged = shards["shardId-000000000003"]
    equal("parents of the merged shard", (merged["ParentShardId"], merged["AdjacentParentShardId"]),
          ("shardId-000000000001", "shardId-000000000002"))
    equal("closed shards", sum("EndingSequenceNumber" in s["SequenceNumberRange"] for s in shards.values()), 3)

    consumer = register_consumer(stream, "late")
    events = kinesis.subscribe_to_shard(ConsumerARN=consumer, ShardId=SHARDS[0], StartingPosition={"Type": "TRIM_HORIZON"})["EventStream"]
    last = [event["SubscribeToShardEvent"] for event in events][-1]
    equal("children in the last event", len(last.get("ChildShards", [])), 2)
    equal("ContinuationSequenceNumber of the last event", last.get("ContinuationSequenceNumber"), None)
    kinesis.delete_stream(StreamName=stream, EnforceConsumerDeletion=True)
    print(f"reshard: split and merge below a reader, {len(acked)} records each seen once and in order; "
          "a closed shard's subscription ends with its children")


def errors():
    refused("a missing stream", kinesis.exceptions.ResourceNotFoundException,
            "Stream interop-missing under account 000000000000 not found.",
            kinesis.describe_stream_summary, StreamName="interop-missing")
    refused("a stream's second creation", kinesis.exceptions.ResourceInUseException,
            f"Stream {STREAM} under account 000000000000 already exists.",
            kinesis.create_stream, StreamName=STREAM, ShardCount=1)
    refused("a forged iterator", kinesis.exceptions.InvalidArgumentException, "Invalid ShardIterator.",
            kinesis.get_records, ShardIterator="AAAA")
    refused("a missing shard", kinesis.exceptions.ResourceNotFoundException, "shardId-000000000099",
            kinesis.get_shard_iterator, StreamName=STREAM, ShardId="shardId-000000000099", ShardIteratorType="LATEST")
    e = refused("a wrong name", ClientError, "1 validation error detected: Value 'no spaces' at 'streamName' failed to satisfy constraint: ",
                kinesis.create_stream, StreamName="no spaces", ShardCount=1)
    equal("code of a wrong name", e.response["Error"]["Code"], "ValidationException")

    once = boto3.client("kinesis", config=Config(retries={"total_max_attempts": 1}))
    big = {"PartitionKey": "big", "ExplicitHashKey": "0", "Data": bytes(900_000)}

    def flood():
        for _ in range(20):
            once.put_record(StreamName=STREAM, **big)

    refused("too much for a shard", once.exceptions.ProvisionedThroughputExceededException,
            f"Rate exceeded for shard shardId-000000000000 in stream {STREAM} under account 000000000000.", flood)
    time.sleep(2)  # the shard's capacity is back
    out = once.put_records(StreamName=STREAM, Records=[big] * 5)
    codes = [r.get("ErrorCode") for r in out["Records"]]
    equal("errors of records", {c for c in codes if c}, {"ProvisionedThroughputExceededException"})
    equal("FailedRecordCount", out["FailedRecordCount"], sum(c is not None for c in codes))
    if out["FailedRecordCount"] == 5:
        sys.exit("MISMATCH all large records were refused")
    print("errors: ResourceNotFound, ResourceInUse, InvalidArgument, Validation, ProvisionedThroughputExceeded")


def delete():
    refused("deletion with a consumer", kinesis.exceptions.ResourceInUseException, "", kinesis.delete_stream, StreamName=STREAM)
    arn = await_active(STREAM)["StreamARN"]
    kinesis.deregister_stream_consumer(StreamARN=arn, ConsumerName="reader")
    while kinesis.list_stream_consumers(StreamARN=arn)["Consumers"]:
        time.sleep(0.1)
    kinesis.delete_stream(StreamName=STREAM)
    kinesis.get_waiter("stream_not_exists").wait(StreamName=STREAM, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    print("delete: refused with a consumer, then gone")


print("boto3", boto3.__version__, "at", os.environ["AWS_ENDPOINT_URL"])
create()
read(put())
fan_out()
reshard()
errors()
delete()
tables()
metrics()
