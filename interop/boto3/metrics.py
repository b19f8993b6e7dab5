"""The step "metrics" of ../README.md in boto3: CloudWatch and STS."""

import sys
from datetime import datetime, timedelta, timezone

import boto3

NAMESPACE = "interop-boto3"


def equal(what, got, want):
    if got != want:
        sys.exit(f"MISMATCH {what} is {str(got)[:1000]}, want {str(want)[:1000]}")


def put(client, now):
    dimensions = [{"Name": "ShardId", "Value": "shardId-000000000000"}, {"Name": "Operation", "Value": "ProcessTask"}]
    client.put_metric_data(Namespace=NAMESPACE, MetricData=[
        {"MetricName": "Time", "Dimensions": dimensions, "Timestamp": now, "Unit": "Milliseconds",
         "StatisticValues": {"SampleCount": 4, "Sum": 100, "Minimum": 10, "Maximum": 60}},
        {"MetricName": "Time", "Dimensions": dimensions, "Timestamp": now, "Unit": "Milliseconds", "Value": 20},
        {"MetricName": "Fine", "Timestamp": now, "Value": 7, "StorageResolution": 1}])
    client.put_metric_data(Namespace=NAMESPACE, MetricData=[
        {"MetricName": f"many-{i:03}", "Timestamp": now, "Values": [1, 2, 3, 4], "Counts": [97, 1, 1, 1]} for i in range(700)])


def read(client, now):
    between = {"StartTime": now - timedelta(minutes=20), "EndTime": now + timedelta(minutes=1)}
    out = client.get_metric_statistics(
        Namespace=NAMESPACE, MetricName="Time", Period=60, Statistics=["Average", "SampleCount", "Maximum"], **between,
        Dimensions=[{"Name": "Operation", "Value": "ProcessTask"}, {"Name": "ShardId", "Value": "shardId-000000000000"}])
    equal("datapoints", out["Datapoints"], [{"Timestamp": now, "SampleCount": 5.0, "Average": 24.0, "Maximum": 60.0, "Unit": "Milliseconds"}])
    out = client.get_metric_statistics(Namespace=NAMESPACE, MetricName="Fine", Period=1, ExtendedStatistics=["p50"], **between)
    equal("data of a second", out["Datapoints"], [{"Timestamp": now, "Unit": "None", "ExtendedStatistics": {"p50": 7.0}}])
    got = {}
    pages = client.get_paginator("get_metric_data").paginate(
        MaxDatapoints=1, ScanBy="TimestampAscending", **between,
        MetricDataQueries=[{"Id": i, "MetricStat": {"Metric": {"Namespace": NAMESPACE, "MetricName": name}, "Period": 60, "Stat": stat}}
                           for i, name, stat in [("p97", "many-001", "p97"), ("p99", "many-699", "p99"), ("sum", "many-350", "Sum")]])
    for page in pages:
        for r in page["MetricDataResults"]:
            got.setdefault(r["Id"], []).extend(zip(r["Timestamps"], r["Values"]))
    equal("statistics of metrics that were put compressed", got, {"p97": [(now, 1.0)], "p99": [(now, 3.0)], "sum": [(now, 106.0)]})
    pages = client.get_paginator("list_metrics").paginate(Namespace=NAMESPACE, RecentlyActive="PT3H")
    equal("metrics that are listed", sum(len(p["Metrics"]) for p in pages), 702)
    found = client.list_metrics(Namespace=NAMESPACE, Dimensions=[{"Name": "Operation"}])["Metrics"]
    equal("metrics with a dimension", [m["MetricName"] for m in found], ["Time"])


def refuse(client):
    try:
        client.put_metric_data(Namespace="AWS/Kinesis", MetricData=[{"MetricName": "m", "Value": 1}])
        sys.exit("MISMATCH metrics were put into AWS/Kinesis")
    except client.exceptions.InvalidParameterValueException as e:
        equal("the message", e.response["Error"]["Message"], "The value AWS/ for parameter Namespace is invalid.")


def metrics():
    now = datetime.now(timezone.utc).replace(second=0, microsecond=0)
    client = boto3.client("cloudwatch")
    put(client, now)
    read(client, now)
    refuse(client)
    who = boto3.client("sts").get_caller_identity()
    equal("ARN of the caller", who["Arn"], f"arn:aws:iam::{who['Account']}:root")
    print("metrics: put, and compressed; statistics, percentiles, pages; who am I")
