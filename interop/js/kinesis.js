// The script of ../README.md in the AWS SDK for JavaScript v3, configured by the environment only.

import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import * as sdk from "@aws-sdk/client-kinesis";

const stream = "interop-js";
const shardIds = ["shardId-000000000000", "shardId-000000000001"];
const maxHash = (2n ** 128n - 1n).toString();
const readPause = 210; // ms: GetRecords may be called five times a second for a shard

const client = new sdk.KinesisClient();
const bodies = new Set(); // what answers are read from: tells HTTP/1.1 from HTTP/2
client.middlewareStack.add(
  (next) => async (args) => {
    const out = await next(args);
    bodies.add(out.response.body.constructor.name);
    return out;
  },
  { step: "deserialize", priority: "low" },
);
const records = new Map(shardIds.map((id) => [id, []])); // {sequence, key, data}, in order of their numbers

const call = (Command, input) => client.send(new sdk[Command + "Command"](input));

function mismatch(text) {
  throw new Error("MISMATCH " + text);
}

function equal(what, got, want) {
  if (!isDeepStrictEqual(got, want)) {
    mismatch(`${what} is ${JSON.stringify(got)?.slice(0, 1000)}, want ${JSON.stringify(want)?.slice(0, 1000)}`);
  }
}

// refused demands that the call is rejected with the SDK's own exception and says message.
async function refused(what, Exception, message, promise) {
  try {
    await promise;
  } catch (e) {
    if (!(e instanceof Exception) || !e.message.includes(message)) {
      mismatch(`${what} was refused with ${e.constructor.name} ${e}, want ${Exception.name} ${message}`);
    }
    return e;
  }
  mismatch(`${what} was not refused`);
}

async function awaitActive(name) {
  for (;;) {
    const { StreamDescriptionSummary: s } = await call("DescribeStreamSummary", { StreamName: name });
    if (s.StreamStatus === "ACTIVE") return s;
    await sleep(100);
  }
}

async function create() {
  await call("CreateStream", { StreamName: stream, ShardCount: 2, Tags: { purpose: "interop" } });
  await sdk.waitUntilStreamExists({ client, maxWaitTime: 60, minDelay: 1 }, { StreamName: stream });
  equal("open shards", (await awaitActive(stream)).OpenShardCount, 2);
  equal("tags", (await call("ListTagsForStream", { StreamName: stream })).Tags, [{ Key: "purpose", Value: "interop" }]);
  const { Shards } = await call("ListShards", { StreamName: stream });
  equal("shards", Shards.map((s) => s.ShardId), shardIds);
  let start = 0n;
  for (const s of Shards) {
    equal("start of a hash range", s.HashKeyRange.StartingHashKey, start.toString());
    start = BigInt(s.HashKeyRange.EndingHashKey) + 1n;
  }
  equal("end of the last hash range", start, 2n ** 128n);
  console.log("create: 2 shards, tagged, hash ranges without a hole");
}

const shardFor = (key) => shardIds[createHash("md5").update(key).digest()[0] >> 7];
const bytes = (text) => new Uint8Array(Buffer.from(text, "latin1"));
const text = (data) => Buffer.from(data).toString("latin1");

function remember(shard, key, data, sequence) {
  equal("digits of a sequence number", sequence.length, 56);
  records.get(shard).push({ sequence, key, data });
}

async function putOne(key, data, shard, more = {}) {
  const out = await call("PutRecord", { StreamName: stream, PartitionKey: key, Data: bytes(data), ...more });
  equal("shard of " + key, out.ShardId, shard);
  remember(shard, key, data, out.SequenceNumber);
  return out.SequenceNumber;
}

async function putMany(batch) {
  const entries = Array.from({ length: 20 }, (_, i) => ({ PartitionKey: "k" + i, Data: bytes(`${batch} ${i}`) }));
  const out = await call("PutRecords", { StreamName: stream, Records: entries });
  equal("failed records", out.FailedRecordCount, 0);
  equal("results of PutRecords", out.Records.length, entries.length);
  entries.forEach((entry, i) => {
    equal("shard of " + entry.PartitionKey, out.Records[i].ShardId, shardFor(entry.PartitionKey));
    remember(out.Records[i].ShardId, entry.PartitionKey, text(entry.Data), out.Records[i].SequenceNumber);
  });
}

async function put() {
  await putOne("every byte", String.fromCharCode(...Array(256).keys()), shardFor("every byte"));
  await putOne("to the first", "a", shardIds[0], { ExplicitHashKey: "0" });
  await putOne("to the last", "b", shardIds[1], { ExplicitHashKey: maxHash });
  await putMany("first");
  const now = Date.now(); // the second batch has seconds of its own
  await sleep(1020 - (now % 1000));
  await putMany("second");
  let last;
  for (let i = 0; i < 3; i++) {
    const sequence = await putOne("ordered", "ordered " + i, shardFor("ordered"), last ? { SequenceNumberForOrdering: last } : {});
    if (last && sequence <= last) mismatch(`sequence number ${sequence} does not follow ${last}`);
    last = sequence;
  }
  for (const list of records.values()) list.sort((a, b) => (a.sequence < b.sequence ? -1 : 1));
  console.log("put: PutRecord, PutRecords, ExplicitHashKey, SequenceNumberForOrdering");
  return new Date(now - (now % 1000) + 1000);
}

function plain(got) {
  return got.map((r) => {
    const age = Date.now() - r.ApproximateArrivalTimestamp.getTime();
    if (!(age > -1000 && age < 300_000)) mismatch("ApproximateArrivalTimestamp is " + r.ApproximateArrivalTimestamp);
    return { sequence: r.SequenceNumber, key: r.PartitionKey, data: text(r.Data) };
  });
}

async function iterator(name, shard, kind, more = {}) {
  return (await call("GetShardIterator", { StreamName: name, ShardId: shard, ShardIteratorType: kind, ...more })).ShardIterator;
}

async function read(batch2) {
  for (const shard of shardIds) {
    const want = records.get(shard);
    const second = want.findIndex((r) => r.data.startsWith("second"));
    const latest = await iterator(stream, shard, "LATEST");
    for (const [kind, more, expected] of [
      ["TRIM_HORIZON", {}, want],
      ["AT_SEQUENCE_NUMBER", { StartingSequenceNumber: want[3].sequence }, want.slice(3)],
      ["AFTER_SEQUENCE_NUMBER", { StartingSequenceNumber: want[3].sequence }, want.slice(4)],
      ["AT_TIMESTAMP", { Timestamp: batch2 }, want.slice(second)],
    ]) {
      const out = await call("GetRecords", { ShardIterator: await iterator(stream, shard, kind, more) });
      equal(kind, plain(out.Records), expected);
      equal("MillisBehindLatest at the tip", out.MillisBehindLatest, 0);
      await sleep(readPause);
    }
    await putOne("late", "late", shard, { ExplicitHashKey: shard === shardIds[0] ? "0" : maxHash });
    equal("LATEST", plain((await call("GetRecords", { ShardIterator: latest })).Records), want.slice(-1));

    const paged = [];
    let position = await iterator(stream, shard, "TRIM_HORIZON");
    while (paged.length < want.length) {
      await sleep(readPause);
      const out = await call("GetRecords", { ShardIterator: position, Limit: 7 });
      if (out.Records.length === 0 || out.Records.length > 7) mismatch(`Limit 7 gave ${out.Records.length} records`);
      paged.push(...plain(out.Records));
      position = out.NextShardIterator;
    }
    equal("pages of 7", paged, want);
  }
  console.log("read: TRIM_HORIZON, AT_SEQUENCE_NUMBER, AFTER_SEQUENCE_NUMBER, AT_TIMESTAMP, LATEST, Limit");
}

async function registerConsumer(name, consumer) {
  const { StreamARN } = await awaitActive(name);
  const { ConsumerARN } = (await call("RegisterStreamConsumer", { StreamARN, ConsumerName: consumer })).Consumer;
  while ((await call("DescribeStreamConsumer", { ConsumerARN })).ConsumerDescription.ConsumerStatus !== "ACTIVE") await sleep(100);
  return ConsumerARN;
}

const subscribe = (ConsumerARN, ShardId) =>
  call("SubscribeToShard", { ConsumerARN, ShardId, StartingPosition: { Type: "TRIM_HORIZON" } });

async function fanOut() {
  const shard = shardIds[0];
  const consumer = await registerConsumer(stream, "reader");
  const got = [];
  let pushed = false;
  for await (const { SubscribeToShardEvent: event } of (await subscribe(consumer, shard)).EventStream) {
    if (!event.ContinuationSequenceNumber) mismatch("an event has no ContinuationSequenceNumber");
    got.push(...plain(event.Records));
    if (got.length < records.get(shard).length) continue;
    if (pushed) break;
    await refused("a second subscription at once", sdk.ResourceInUseException,
      "Another active subscription exists for this consumer", subscribe(consumer, shard));
    await putOne("pushed", "pushed", shard, { ExplicitHashKey: "0" });
    pushed = true;
  }
  equal("SubscribeToShard", got, records.get(shard));
  console.log("fan-out: records so far, a record put meanwhile, second subscription refused");
}

// follow reads a stream from its first shard through all children, each once its parents are read, until enough() holds.
async function follow(name, seen, ended, enough) {
  const open = new Map([[shardIds[0], await iterator(name, shardIds[0], "TRIM_HORIZON")]]);
  while (!enough()) {
    for (const [shard, position] of [...open]) {
      const out = await call("GetRecords", { ShardIterator: position });
      seen.push(...plain(out.Records));
      const children = out.ChildShards ?? [];
      if (out.NextShardIterator) {
        equal("ChildShards of an open shard", children, []);
        open.set(shard, out.NextShardIterator);
        continue;
      }
      if (children.length === 0) mismatch(shard + " ended without ChildShards");
      open.delete(shard);
      ended.add(shard);
      for (const child of children) {
        if (!child.ParentShards.includes(shard) || !child.HashKeyRange) mismatch(`child of ${shard} is ${JSON.stringify(child)}`);
        if (child.ParentShards.every((p) => ended.has(p))) open.set(child.ShardId, await iterator(name, child.ShardId, "TRIM_HORIZON"));
      }
    }
    await sleep(readPause);
  }
}

async function reshard() {
  const name = stream + "-reshard";
  await call("CreateStream", { StreamName: name, ShardCount: 1 });
  await awaitActive(name);
  const acked = [];
  const seen = [];
  const ended = new Set();
  let writing = true;
  const deadline = Date.now() + 90_000;
  const writer = (async () => {
    for (; writing; await sleep(5)) {
      const record = { key: "key" + (acked.length % 7), data: String(acked.length).padStart(6, "0") };
      await call("PutRecord", { StreamName: name, PartitionKey: record.key, Data: bytes(record.data) });
      acked.push(record);
    }
  })();
  const reader = follow(name, seen, ended, () => (!writing && seen.length >= acked.length) || Date.now() > deadline);
  const resharder = (async () => {
    await sleep(400);
    await call("SplitShard", { StreamName: name, ShardToSplit: shardIds[0], NewStartingHashKey: (2n ** 127n).toString() });
    equal("open shards after the split", (await awaitActive(name)).OpenShardCount, 2);
    await sleep(400);
    await call("MergeShards", { StreamName: name, ShardToMerge: "shardId-000000000001", AdjacentShardToMerge: "shardId-000000000002" });
    equal("open shards after the merge", (await awaitActive(name)).OpenShardCount, 1);
    await sleep(400);
    writing = false;
    await writer;
  })();
  await Promise.all([writer, reader, resharder]);
  for (const key of new Set(acked.map((r) => r.key))) {
    const of = (list) => list.filter((r) => r.key === key).map((r) => r.data);
    equal("what the reader saw of " + key, of(seen), of(acked));
  }
  equal("records seen", seen.length, acked.length);
  equal("shards read to their end", ended.size, 3);

  const shards = new Map((await call("ListShards", { StreamName: name })).Shards.map((s) => [s.ShardId, s]));
  equal("shards in all", shards.size, 4);
  const merged = shards.get("shardId-000000000003");
  equal("parents of the merged shard", [merged.ParentShardId, merged.AdjacentParentShardId], ["shardId-000000000001", "shardId-000000000002"]);
  equal("closed shards", [...shards.values()].filter((s) => s.SequenceNumberRange.EndingSequenceNumber).length, 3);

  let last;
  for await (const event of (await subscribe(await registerConsumer(name, "late"), shardIds[0])).EventStream) last = event.SubscribeToShardEvent;
  equal("children in the last event", last?.ChildShards?.length, 2);
  equal("ContinuationSequenceNumber of the last event", last.ContinuationSequenceNumber, undefined);
  await call("DeleteStream", { StreamName: name, EnforceConsumerDeletion: true });
  console.log(`reshard: split and merge below a reader, ${acked.length} records each seen once and in order; a closed shard's subscription ends with its children`);
}

async function errors() {
  await refused("a missing stream", sdk.ResourceNotFoundException, "Stream interop-missing under account 000000000000 not found.",
    call("DescribeStreamSummary", { StreamName: "interop-missing" }));
  await refused("a stream's second creation", sdk.ResourceInUseException, `Stream ${stream} under account 000000000000 already exists.`,
    call("CreateStream", { StreamName: stream, ShardCount: 1 }));
  await refused("a forged iterator", sdk.InvalidArgumentException, "Invalid ShardIterator.", call("GetRecords", { ShardIterator: "AAAA" }));
  await refused("a missing shard", sdk.ResourceNotFoundException, "shardId-000000000099",
    call("GetShardIterator", { StreamName: stream, ShardId: "shardId-000000000099", ShardIteratorType: "LATEST" }));
  const e = await refused("a wrong name", sdk.KinesisServiceException,
    "1 validation error detected: Value 'no spaces' at 'streamName' failed to satisfy constraint: ",
    call("CreateStream", { StreamName: "no spaces", ShardCount: 1 }));
  equal("name of that exception", e.name, "ValidationException");

  const once = new sdk.KinesisClient({ maxAttempts: 1 });
  const big = { PartitionKey: "big", ExplicitHashKey: "0", Data: new Uint8Array(900_000) };
  const flood = async () => {
    for (let i = 0; i < 20; i++) await once.send(new sdk.PutRecordCommand({ StreamName: stream, ...big }));
  };
  await refused("too much for a shard", sdk.ProvisionedThroughputExceededException,
    `Rate exceeded for shard shardId-000000000000 in stream ${stream} under account 000000000000.`, flood());
  await sleep(2000); // the shard's capacity is back
  const out = await once.send(new sdk.PutRecordsCommand({ StreamName: stream, Records: Array(5).fill(big) }));
  const codes = out.Records.map((r) => r.ErrorCode).filter(Boolean);
  equal("errors of records", new Set(codes), new Set(["ProvisionedThroughputExceededException"]));
  equal("FailedRecordCount", out.FailedRecordCount, codes.length);
  if (codes.length === 5) mismatch("all large records were refused");
  once.destroy();
  console.log("errors: ResourceNotFound, ResourceInUse, InvalidArgument, Validation, ProvisionedThroughputExceeded");
}

async function remove() {
  await refused("deletion with a consumer", sdk.ResourceInUseException, "", call("DeleteStream", { StreamName: stream }));
  const { StreamARN } = await awaitActive(stream);
  await call("DeregisterStreamConsumer", { StreamARN, ConsumerName: "reader" });
  while ((await call("ListStreamConsumers", { StreamARN })).Consumers.length) await sleep(100);
  await call("DeleteStream", { StreamName: stream });
  await sdk.waitUntilStreamNotExists({ client, maxWaitTime: 60, minDelay: 1 }, { StreamName: stream });
  console.log("delete: refused with a consumer, then gone");
}

await create();
await read(await put());
await fanOut();
await reshard();
await errors();
await remove();
equal("what answers were read from", [...bodies], ["ClientHttp2Stream"]);
console.log("all over HTTP/2");
client.destroy();
process.exit(0); // not waiting for the connection of the subscription that was left
