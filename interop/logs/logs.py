"""CloudWatch Logs in boto3 and in the AWS CLI v2, whose path is the argument: what is put is read,
by pages, by `aws logs tail` and by a subscription filter into a stream, once and in order."""

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time

import boto3

AWS = sys.argv[1]
GROUP = "/interop/logs"
logs = boto3.client("logs")
kinesis = boto3.client("kinesis")


def equal(what, got, want):
    if got != want:
        if isinstance(got, list) and isinstance(want, list):
            for i, (a, b) in enumerate(zip(got, want)):
                if a != b:
                    sys.exit(f"MISMATCH {what}: {len(got)} of {len(want)}, the first that differ at {i} are {a!r}, want {b!r}")
        sys.exit(f"MISMATCH {what} is {str(got)[:1000]}, want {str(want)[:1000]}")


def refused(code, message, call, **args):
    try:
        call(**args)
    except logs.exceptions.ClientError as e:
        equal("the code", e.response["Error"]["Code"], code)
        if not e.response["Error"]["Message"].startswith(message):
            sys.exit(f"MISMATCH the message is {e.response['Error']['Message']}, want {message}")
        return
    sys.exit(f"MISMATCH {call} with {args} was not refused")


def now():
    return int(time.time() * 1000)


def put(stream, lines, at=None):
    at = at or now()
    out = logs.put_log_events(logGroupName=GROUP, logStreamName=stream,
                              logEvents=[{"timestamp": at + i, "message": line} for i, line in enumerate(lines)])
    if "rejectedLogEventsInfo" in out:
        sys.exit(f"MISMATCH events were rejected: {out}")


def groups():
    logs.create_log_group(logGroupName=GROUP, tags={"team": "interop"})
    refused("ResourceAlreadyExistsException", "The specified log group already exists", logs.create_log_group, logGroupName=GROUP)
    refused("InvalidParameterException", "1 validation error detected: Value 'no spaces' at 'logGroupName' failed to satisfy constraint: ",
            logs.create_log_group, logGroupName="no spaces")
    refused("ResourceNotFoundException", "The specified log group does not exist.", logs.put_log_events, logGroupName="missing", logStreamName="s",
            logEvents=[{"timestamp": now(), "message": "x"}])
    logs.put_retention_policy(logGroupName=GROUP, retentionInDays=30)
    for i in range(60):
        logs.create_log_stream(logGroupName=GROUP, logStreamName=f"stream-{i:02}")
    group = logs.describe_log_groups(logGroupNamePrefix="/interop/")["logGroups"][0]
    equal("the retention", group["retentionInDays"], 30)
    pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=GROUP)
    equal("streams", [s["logStreamName"] for p in pages for s in p["logStreams"]], [f"stream-{i:02}" for i in range(60)])
    equal("tags", logs.list_tags_for_resource(resourceArn=group["logGroupArn"])["tags"], {"team": "interop"})
    print("groups: created, described, tagged, refused; 60 streams by pages")


def read():
    start = now() - 3_600_000
    want = {s: [f"{s} line {i} " + "x" * 200 for i in range(6000)] for s in ("stream-01", "stream-02")}
    for i in range(0, 6000, 2000):
        for j, (s, lines) in enumerate(want.items()):
            put(s, lines[i:i + 2000], start + 100 * i + 5_000 * j)
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, startTime=start)
    got, last = {s: [] for s in want}, 0
    for page in pages:
        for e in page["events"]:
            got[e["logStreamName"]].append(e["message"])
            if e["timestamp"] < last:
                sys.exit(f"MISMATCH {e} comes behind {last}")
            last = e["timestamp"]
    for s in want:
        equal(f"what is read of {s} by pages", got[s], want[s])
    args = {"logGroupName": GROUP, "logStreamName": "stream-01", "startFromHead": True}
    got = []
    while True:
        out = logs.get_log_events(**args)
        got += [e["message"] for e in out["events"]]
        if out["nextForwardToken"] == args.get("nextToken"):
            break
        args["nextToken"] = out["nextForwardToken"]
    equal("what is read of a stream", got, want["stream-01"])
    out = logs.get_log_events(logGroupName=GROUP, logStreamName="stream-01", limit=10)
    equal("the latest events", [e["message"] for e in out["events"]], want["stream-01"][-10:])
    put("stream-03", ['{"level": "error", "ms": 1200}', '{"level": "info", "ms": 3}', "GET / 404"])
    for pattern, lines in {'{ $.level = "err*" && $.ms > 1000 }': 1, "[method, path, status=4*]": 1, "?GET ?info": 2, "-level": 1}.items():
        found = logs.filter_log_events(logGroupName=GROUP, logStreamNames=["stream-03"], filterPattern=pattern)["events"]
        equal(f"what {pattern} finds", len(found), lines)
    refused("InvalidParameterException", "Invalid character(s) in term '/x'", logs.filter_log_events, logGroupName=GROUP, filterPattern="/x")
    print("read: 12,000 events of two streams by pages, by tokens, from the end; four patterns")


def tail_command(*args):
    return [AWS, "--endpoint-url", os.environ["AWS_ENDPOINT_URL"], "logs", "tail", GROUP, "--format", "short", "--color", "off", *args]


def said(text, prefix):
    return [line.split(" ", 1)[1] for line in text.splitlines() if " " + prefix in line]


def tail():
    want = [f"tail line {i}" for i in range(500)]
    put("stream-04", want, now() - 60_000)
    done = subprocess.run(tail_command("--since", "5m", "--log-stream-names", "stream-04"), capture_output=True, text=True)
    equal("what aws logs tail says, or its error " + done.stderr, said(done.stdout, "tail line "), want)
    done = subprocess.run(tail_command("--since", "5m", "--filter-pattern", '"line 49"'), capture_output=True, text=True)
    equal("what it says with a pattern", said(done.stdout, "tail line "), [line for line in want if "line 49" in line])
    print(f"tail: {len(want)} lines once and in order")


def follow():
    """Lines are put, 50 a second, while the CLI follows: it asks every five seconds."""
    tail = subprocess.Popen(tail_command("--since", "1m", "--follow", "--filter-pattern", "follow"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines, seen = [f"follow line {i}" for i in range(600)], []
    complete = threading.Event()

    def collect():
        for line in tail.stdout:
            seen.extend(said(line, "follow line "))
            if len(seen) >= len(lines):
                complete.set()

    reader = threading.Thread(target=collect, daemon=True)
    reader.start()
    for i in range(0, len(lines), 10):
        if tail.poll() is not None:
            sys.exit(f"MISMATCH aws logs tail --follow ended: {tail.stderr.read()}")
        put("stream-05", lines[i:i + 10])
        time.sleep(0.2)
    complete.wait(30)
    time.sleep(6)  # what came twice would be here by now
    tail.send_signal(signal.SIGINT)
    tail.wait(20)
    reader.join(5)
    equal("what aws logs tail --follow says", seen, lines)
    print(f"tail --follow: {len(seen)} lines once and in order")


def subscription():
    name = "interop-logs"
    kinesis.create_stream(StreamName=name, ShardCount=2)
    kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
    arn = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]
    args = {"logGroupName": GROUP, "filterName": "to-stream", "filterPattern": "deliver -never", "roleArn": arn.split(":stream")[0].replace("kinesis", "iam") + ":role/r"}
    refused("InvalidParameterException", "Could not deliver test message to specified Kinesis stream. Check if the given kinesis stream is in ACTIVE state.",
            logs.put_subscription_filter, destinationArn=arn + "-missing", **args)
    logs.put_subscription_filter(destinationArn=arn, **args)
    streams = [f"stream-{i:02}" for i in range(10, 15)]
    want = {s: [f"deliver {s} {i}" for i in range(2000)] for s in streams}
    for i in range(0, 2000, 100):
        for s in streams:
            put(s, want[s][i:i + 100] + ["deliver never"])
    got, control, deadline = {s: [] for s in streams}, 0, time.time() + 60
    iterators = [kinesis.get_shard_iterator(StreamName=name, ShardId=s["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
                 for s in kinesis.list_shards(StreamName=name)["Shards"]]
    while sum(map(len, got.values())) < 10_000 and time.time() < deadline:
        for i, iterator in enumerate(iterators):
            out = kinesis.get_records(ShardIterator=iterator)
            iterators[i] = out["NextShardIterator"]
            for r in out["Records"]:
                m = json.loads(gzip.decompress(r["Data"]))
                if m["messageType"] == "CONTROL_MESSAGE":
                    control += 1
                    continue
                equal("the filter of a message", (m["messageType"], m["logGroup"], m["subscriptionFilters"]), ("DATA_MESSAGE", GROUP, ["to-stream"]))
                got[m["logStream"]] += [e["message"] for e in m["logEvents"]]
        time.sleep(0.25)
    equal("control messages", control, 1)
    for s in streams:
        equal(f"what the filter delivered of {s}", got[s], want[s])
    logs.delete_subscription_filter(logGroupName=GROUP, filterName="to-stream")
    kinesis.delete_stream(StreamName=name)
    print("subscription: 10,000 events of five streams came through a stream once and in order")


def delete():
    logs.delete_log_stream(logGroupName=GROUP, logStreamName="stream-04")
    equal("events of a stream that is gone", logs.filter_log_events(logGroupName=GROUP, filterPattern='"tail line"')["events"], [])
    logs.delete_log_group(logGroupName=GROUP)
    refused("ResourceNotFoundException", "The specified log group does not exist.", logs.describe_log_streams, logGroupName=GROUP)
    print("delete: a stream, then the group")


print(subprocess.run([AWS, "--version"], capture_output=True, text=True).stdout.strip(), "boto3", boto3.__version__)
groups()
read()
tail()
follow()
subscription()
delete()
