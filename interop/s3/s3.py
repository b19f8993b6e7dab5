"""The part of boto3 in main.go: objects, listings, conditions, presigned URLs."""

import hashlib
import io
import os
import ssl
import sys
import urllib.error
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.client import Config
from botocore.exceptions import ClientError

BUCKET = "interop-boto3"
s3 = boto3.client("s3", config=Config(signature_version="s3v4", s3={"addressing_style": "path"}))


def equal(what, got, want):
    if got != want:
        sys.exit(f"MISMATCH {what} is {str(got)[:1000]}, want {str(want)[:1000]}")
    print(f"{what}: {str(got)[:80]}")


def refused(what, want, call, **arguments):
    try:
        call(**arguments)
    except ClientError as e:
        equal(what, e.response["Error"]["Code"], want)
        return
    sys.exit(f"MISMATCH {what} was not refused")


def fetch(url, data=None):
    context = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"]) if url.startswith("https:") else None
    request = urllib.request.Request(url, data=data, method="PUT" if data else "GET")
    try:
        with urllib.request.urlopen(request, context=context) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()


def objects():
    s3.create_bucket(Bucket=BUCKET)
    for key in ["a", "a/b", "a//b", "../up", "/lead", "trail/", "ü €", "%2e%2e", "plus+and&amp;", "x" * 1024]:
        put = s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode(), Metadata={"is": "plain"}, ContentType="text/plain")
        equal(f"ETag of {key[:20]!r}", put["ETag"], '"' + hashlib.md5(key.encode()).hexdigest() + '"')
        got = s3.get_object(Bucket=BUCKET, Key=key, ChecksumMode="ENABLED")
        equal("what it holds", (got["Body"].read(), got["Metadata"], got["ContentType"]), (key.encode(), {"is": "plain"}, "text/plain"))
    listed = [o["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 3}) for o in page["Contents"]]
    equal("keys, in order of their bytes", listed, sorted(listed, key=str.encode))
    equal("how many", len(listed), 10)
    page = s3.list_objects_v2(Bucket=BUCKET, Delimiter="/")
    equal("prefixes", [p["Prefix"] for p in page["CommonPrefixes"]], ["../", "/", "a/", "trail/"])
    equal("a range", s3.get_object(Bucket=BUCKET, Key="plus+and&amp;", Range="bytes=5-7")["Body"].read(), b"and")
    refused("a range past the end", "InvalidRange", s3.get_object, Bucket=BUCKET, Key="a", Range="bytes=5-")


def transfers():
    data = os.urandom(12 << 20)
    s3.upload_fileobj(io.BytesIO(data), BUCKET, "large", Config=TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20))
    sums = b"".join(hashlib.md5(data[i:i + (5 << 20)]).digest() for i in range(0, len(data), 5 << 20))
    equal("ETag of an upload", s3.head_object(Bucket=BUCKET, Key="large")["ETag"], '"' + hashlib.md5(sums).hexdigest() + '-3"')
    got = io.BytesIO()
    s3.download_fileobj(BUCKET, "large", got)
    equal("the bytes come back", got.getvalue() == data, True)
    s3.copy({"Bucket": BUCKET, "Key": "large"}, BUCKET, "copied", Config=TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=6 << 20))
    equal("a copy in parts", s3.get_object(Bucket=BUCKET, Key="copied")["Body"].read() == data, True)
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="order")["UploadId"]
    tags = [s3.upload_part(Bucket=BUCKET, Key="order", UploadId=upload, PartNumber=n, Body=b"small")["ETag"] for n in (1, 2)]
    parts = [{"PartNumber": n, "ETag": tag} for n, tag in zip((1, 2), tags)]
    complete = {"Bucket": BUCKET, "Key": "order", "UploadId": upload}
    refused("parts out of order", "InvalidPartOrder", s3.complete_multipart_upload, MultipartUpload={"Parts": parts[::-1]}, **complete)
    refused("small parts", "EntityTooSmall", s3.complete_multipart_upload, MultipartUpload={"Parts": parts}, **complete)
    s3.abort_multipart_upload(**complete)
    refused("an upload that was given up", "NoSuchUpload", s3.list_parts, **complete)


def conditions():
    tag = s3.put_object(Bucket=BUCKET, Key="once", Body=b"1", IfNoneMatch="*")["ETag"]
    refused("If-None-Match", "PreconditionFailed", s3.put_object, Bucket=BUCKET, Key="once", Body=b"2", IfNoneMatch="*")
    refused("If-Match", "PreconditionFailed", s3.put_object, Bucket=BUCKET, Key="once", Body=b"2", IfMatch='"another"')
    s3.put_object(Bucket=BUCKET, Key="once", Body=b"2", IfMatch=tag)
    refused("not modified", "304", s3.get_object, Bucket=BUCKET, Key="once", IfNoneMatch=s3.head_object(Bucket=BUCKET, Key="once")["ETag"])
    for algorithm in ("CRC32", "SHA1", "SHA256"):
        name = "Checksum" + algorithm
        put = s3.put_object(Bucket=BUCKET, Key="summed", Body=b"hello", ChecksumAlgorithm=algorithm)
        equal(name, s3.get_object(Bucket=BUCKET, Key="summed", ChecksumMode="ENABLED")[name], put[name])
    refused("a wrong checksum", "BadDigest", s3.put_object, Bucket=BUCKET, Key="summed", Body=b"hello", ChecksumSHA256="A" * 43 + "=")
    refused("what is not served", "NotImplemented", s3.put_bucket_policy, Bucket=BUCKET, Policy="{}")


def presigned():
    put = s3.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "by url"}, ExpiresIn=60)
    equal("put by URL", fetch(put, b"by url")[0], 200)
    get = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "by url"}, ExpiresIn=60)
    equal("get by URL", fetch(get), (200, b"by url"))
    equal("another object by that URL", fetch(get.replace("by%20url", "once"))[0], 403)
    equal("without one", fetch(get.split("?")[0])[0], 403)


objects()
transfers()
conditions()
presigned()
keys = [o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
equal("deleted", len(s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": k} for k in keys]})["Deleted"]), len(keys))
s3.delete_bucket(Bucket=BUCKET)
