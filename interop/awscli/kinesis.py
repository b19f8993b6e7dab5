"""The script of ../README.md in the AWS CLI v1, whose path is the argument. The CLI has no SubscribeToShard."""

import base64
import hashlib
import json
import subprocess
import sys
import tempfile
import threading
import time

AWS = sys.argv[1]
STREAM = "interop-awscli"
SHARDS = ["shardId-000000000000", "shardId-000000000001"]
MAX_HASH = str(2**128 - 1)

records = {shard: [] for shard in SHARDS}  # (sequence number, key, data), in order of their numbers


def run(command, **options):
    argv = [AWS, "--output", "json", "kinesis"] + command.split()
    for name, value in options.items():
        argv += ["--" + name.replace("_", "-"), value if isinstance(value, str) else json.dumps(value)]
    return subprocess.run(argv, capture_output=True, text=True)


def aws(command, **options):
    done = run(command, **options)
    if done.returncode != 0:
        sys.exit(f"MISMATCH aws kinesis {command} failed: {done.stderr}")
    return json.loads(done.stdout) if done.stdout.strip() else {}


def refused(code, operation, message, command, **options):
    done = run(command, **options)
    want = f"An error occurred ({code}) when calling the {operation} operation: {message}"
    if done.returncode == 0 or want not in done.stderr:
        sys.exit(f"MISMATCH {command} ended with {done.returncode} and {done.stderr}\nwant {want}")


def equal(what, got, want):
    if got != want:
        sys.exit(f"MISMATCH {what} is {str(got)[:1000]}, want {str(want)[:1000]}")


def await_active(stream):
    while True:
        summary = aws("describe-stream-summary", stream_name=stream)["StreamDescriptionSummary"]
        if summary["StreamStatus"] == "ACTIVE":
            return summary


def create():
    aws("create-stream --shard-count 2 --tags purpose=interop", stream_name=STREAM)
    aws("wait stream-exists", stream_name=STREAM)
    equal("open shards", await_active(STREAM)["OpenShardCount"], 2)
    start = 0
    for shard, want in zip(aws("list-shards", stream_name=STREAM)["Shards"], SHARDS):
        equal("shard id", shard["ShardId"], want)
        equal("start of a hash range", int(shard["HashKeyRange"]["StartingHashKey"]), start)
        start = int(shard["HashKeyRange"]["EndingHashKey"]) + 1
    equal("end of the last hash range", start, 2**128)
    print("create: 2 shards, hash ranges without a hole")


def shard_for(key):
    return SHARDS[hashlib.md5(key.encode()).digest()[0] >> 7]


def remember(shard, key, data, sequence):
    equal("digits of a sequence number", len(sequence), 56)
    records[shard].append((sequence, key, data))


def put_one(key, data, shard, **more):
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        out = aws("put-record", stream_name=STREAM, partition_key=key, data="fileb://" + file.name, **more)
    equal(f"shard of {key}", out["ShardId"], shard)
    remember(shard, key, data, out["SequenceNumber"])
    return out["SequenceNumber"]


def put_many(batch):
    # The CLI v1 takes Data as text and encodes it.
    entries = [{"PartitionKey": f"k{i}", "Data": f"{batch} {i}"} for i in range(20)]
    out = aws("put-records", stream_name=STREAM, records=entries)
    equal("failed records", out["FailedRecordCount"], 0)
    equal("results of PutRecords", len(out["Records"]), len(entries))
    for entry, result in zip(entries, out["Records"]):
        equal("shard of " + entry["PartitionKey"], result["ShardId"], shard_for(entry["PartitionKey"]))
        remember(result["ShardId"], entry["PartitionKey"], entry["Data"].encode(), result["SequenceNumber"])


def put():
    put_one("every-byte", bytes(range(256)), shard_for("every-byte"))
    put_one("to-the-first", b"a", SHARDS[0], explicit_hash_key="0")
    put_one("to-the-last", b"b", SHARDS[1], explicit_hash_key=MAX_HASH)
    put_many("first")
    # The CLI sends timestamps in whole seconds: the second batch has seconds of its own.
    now = time.time()
    time.sleep(1.02 - now % 1)
    put_many("second")
    first = put_one("ordered", b"ordered 0", shard_for("ordered"))
    second = put_one("ordered", b"ordered 1", shard_for("ordered"), sequence_number_for_ordering=first)
    if second <= first:
        sys.exit(f"MISMATCH sequence number {second} does not follow {first}")
    for shard in SHARDS:
        records[shard].sort()
    print("put: put-record, put-records, --explicit-hash-key, --sequence-number-for-ordering")
    return str(int(now) + 1)


def as_tuples(got):
    return [(r["SequenceNumber"], r["PartitionKey"], base64.b64decode(r["Data"])) for r in got]


def iterator(stream, shard, kind, **more):
    return aws("get-shard-iterator", stream_name=stream, shard_id=shard, shard_iterator_type=kind, **more)["ShardIterator"]


def read(batch2):
    shard = SHARDS[0]
    want = records[shard]
    second = next(i for i, r in enumerate(want) if r[2].startswith(b"second"))
    latest = iterator(STREAM, shard, "LATEST")
    for kind, more, expected in [
        ("TRIM_HORIZON", {}, want),
        ("AT_SEQUENCE_NUMBER", {"starting_sequence_number": want[3][0]}, want[3:]),
        ("AFTER_SEQUENCE_NUMBER", {"starting_sequence_number": want[3][0]}, want[4:]),
        ("AT_TIMESTAMP", {"timestamp": batch2}, want[second:]),
    ]:
        out = aws("get-records", shard_iterator=iterator(STREAM, shard, kind, **more))
        equal(kind, as_tuples(out["Records"]), expected)
        equal("MillisBehindLatest at the tip", out["MillisBehindLatest"], 0)
    put_one("late", b"late", shard, explicit_hash_key="0")
    equal("LATEST", as_tuples(aws("get-records", shard_iterator=latest)["Records"]), want[-1:])
    out = aws("get-records --limit 7", shard_iterator=iterator(STREAM, shard, "TRIM_HORIZON"))
    rest = aws("get-records", shard_iterator=out["NextShardIterator"])
    equal("a page of 7", as_tuples(out["Records"]), want[:7])
    equal("the page after it", as_tuples(rest["Records"]), want[7:])
    print("read: TRIM_HORIZON, AT_SEQUENCE_NUMBER, AFTER_SEQUENCE_NUMBER, AT_TIMESTAMP, LATEST, --limit")


def consumer():
    arn = await_active(STREAM)["StreamARN"]
    out = aws("register-stream-consumer --consumer-name reader", stream_arn=arn)["Consumer"]["ConsumerARN"]
    while aws("describe-stream-consumer", consumer_arn=out)["ConsumerDescription"]["ConsumerStatus"] != "ACTIVE":
        pass
    equal("consumers", [c["ConsumerName"] for c in aws("list-stream-consumers", stream_arn=arn)["Consumers"]], ["reader"])
    print("consumers: registered, described, listed")
    return arn


def drain(stream, shard):
    """Reads a shard to its end, or as far as it goes; gives the records and the children."""
    position, got = iterator(stream, shard, "TRIM_HORIZON"), []
    while True:
        out = aws("get-records", shard_iterator=position)
        got += [(r["PartitionKey"], base64.b64decode(r["Data"]).decode()) for r in out["Records"]]
        children, position = out.get("ChildShards", []), out.get("NextShardIterator")
        if not position:
            return got, children
        equal("ChildShards of an open shard", children, [])
        if not out["Records"]:
            return got, []


def reshard():
    stream = STREAM + "-reshard"
    aws("create-stream --shard-count 1", stream_name=stream)
    await_active(stream)
    stop, acked, broken = threading.Event(), [], []

    def write():
        try:
            while not stop.is_set():
                batch = [{"PartitionKey": f"key{i}", "Data": f"{len(acked) + i:06d}"} for i in range(7)]
                equal("failed records", aws("put-records", stream_name=stream, records=batch)["FailedRecordCount"], 0)
                acked.extend((e["PartitionKey"], e["Data"]) for e in batch)
        except SystemExit as e:
            broken.append(e)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        drain(stream, SHARDS[0])
        aws("split-shard", stream_name=stream, shard_to_split=SHARDS[0], new_starting_hash_key=str(2**127))
        equal("open shards after the split", await_active(stream)["OpenShardCount"], 2)
        seen, children = drain(stream, SHARDS[0])
        equal("children of the split", [c["ShardId"] for c in children], ["shardId-000000000001", "shardId-000000000002"])
        equal("their parents", [c["ParentShards"] for c in children], [[SHARDS[0]]] * 2)
        aws("merge-shards", stream_name=stream, shard_to_merge="shardId-000000000001", adjacent_shard_to_merge="shardId-000000000002")
        equal("open shards after the merge", await_active(stream)["OpenShardCount"], 1)
    finally:
        stop.set()
        writer.join()
    if broken:
        raise broken[0]
    for parent in children:
        got, merged = drain(stream, parent["ShardId"])
        equal("children of the merge", [c["ShardId"] for c in merged], ["shardId-000000000003"])
        equal("parents of the merge", merged[0]["ParentShards"], ["shardId-000000000001", "shardId-000000000002"])
        seen += got
    seen += drain(stream, "shardId-000000000003")[0]
    for key in {key for key, _ in acked}:
        equal(f"what was read of {key}", [d for k, d in seen if k == key], [d for k, d in acked if k == key])
    aws("delete-stream", stream_name=stream)
    print(f"reshard: split and merge below a reader, {len(acked)} records each seen once and in order")


def errors():
    refused("ResourceNotFoundException", "DescribeStreamSummary", "Stream interop-missing under account 000000000000 not found.",
            "describe-stream-summary --stream-name interop-missing")
    refused("ResourceInUseException", "CreateStream", f"Stream {STREAM} under account 000000000000 already exists.",
            "create-stream --shard-count 1", stream_name=STREAM)
    refused("InvalidArgumentException", "GetRecords", "Invalid ShardIterator.", "get-records --shard-iterator AAAA")
    refused("ResourceNotFoundException", "GetShardIterator", "",
            "get-shard-iterator --shard-id shardId-000000000099 --shard-iterator-type LATEST", stream_name=STREAM)
    refused("ValidationException", "CreateStream", "1 validation error detected: Value 'no spaces' at 'streamName' failed to satisfy constraint: ",
            "create-stream --shard-count 1", stream_name="no spaces")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump([{"PartitionKey": "big", "ExplicitHashKey": "0", "Data": "x" * 900_000}] * 5, file)
        file.flush()
        out = aws("put-records", stream_name=STREAM, records="file://" + file.name)
    codes = [r.get("ErrorCode") for r in out["Records"]]
    equal("errors of records", {c for c in codes if c}, {"ProvisionedThroughputExceededException"})
    equal("FailedRecordCount", out["FailedRecordCount"], sum(c is not None for c in codes))
    print("errors: ResourceNotFound, ResourceInUse, InvalidArgument, Validation, ProvisionedThroughputExceeded of records")


def delete(arn):
    refused("ResourceInUseException", "DeleteStream", "", "delete-stream", stream_name=STREAM)
    aws("deregister-stream-consumer --consumer-name reader", stream_arn=arn)
    while aws("list-stream-consumers", stream_arn=arn)["Consumers"]:
        pass
    aws("delete-stream", stream_name=STREAM)
    aws("wait stream-not-exists", stream_name=STREAM)
    print("delete: refused with a consumer, then gone")


print(subprocess.run([AWS, "--version"], capture_output=True, text=True).stdout.strip())
create()
read(put())
arn = consumer()
reshard()
errors()
delete(arn)
