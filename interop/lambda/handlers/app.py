"""The consumer of ../bootstrap in Python: a poison record is an exception."""
import base64
import json
import os
import time

import boto3

kinesis = boto3.client("kinesis")


def handler(event, context):
    handled, failed = [], ""
    for r in event["Records"]:
        k = r["kinesis"]
        data = base64.b64decode(k["data"]).decode()
        if data == "poison":
            handled, failed = [], k["sequenceNumber"]
            break
        handled.append({"seq": k["sequenceNumber"], "key": k["partitionKey"], "data": data})
    told = {"request": context.aws_request_id, "handled": handled, "failed": failed}
    print("told", context.aws_request_id, len(handled), "of", len(event["Records"]))
    kinesis.put_record(StreamName=os.environ["SEEN"], PartitionKey="k", Data=json.dumps(told))
    time.sleep(0.15)  # work, as in ../bootstrap
    if failed:
        raise ValueError("poison")
