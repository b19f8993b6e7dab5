// The consumer of ../bootstrap in Node.js: it answers with the record that it could
// not handle, which is the poison, or a "late" one that is younger than a second.
// What is before that record counts as handled.
import { KinesisClient, PutRecordCommand } from "@aws-sdk/client-kinesis";

const kinesis = new KinesisClient({});

export async function handler(event, context) {
  const handled = [];
  let failed = "";
  for (const r of event.Records) {
    const data = Buffer.from(r.kinesis.data, "base64").toString();
    const age = Date.now() / 1000 - r.kinesis.approximateArrivalTimestamp;
    if (data === "poison" || (data.startsWith("late") && age < 1)) {
      failed = r.kinesis.sequenceNumber;
      break;
    }
    handled.push({ seq: r.kinesis.sequenceNumber, key: r.kinesis.partitionKey, data });
  }
  console.log("told", context.awsRequestId, handled.length, "of", event.Records.length);
  const told = JSON.stringify({ request: context.awsRequestId, handled, failed });
  await kinesis.send(new PutRecordCommand({ StreamName: process.env.SEEN, PartitionKey: "k", Data: Buffer.from(told) }));
  await new Promise((done) => setTimeout(done, 150)); // work, as in ../bootstrap
  return { batchItemFailures: failed ? [{ itemIdentifier: failed }] : [] };
}
