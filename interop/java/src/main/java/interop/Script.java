package interop;

import static interop.Mismatch.equal;

import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Collectors;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.*;

/** The steps, in order. Records are kept as those of the SDK, so that they are compared as clients see them. */
final class Script {
    static final List<String> SHARDS = List.of("shardId-000000000000", "shardId-000000000001");
    static final long READ_PAUSE = 210; // ms: GetRecords may be called five times a second for a shard
    private static final String STREAM = "interop-java";
    private static final String MAX_HASH = BigInteger.ONE.shiftLeft(128).subtract(BigInteger.ONE).toString();

    /** What was put, comparable with what is read. */
    record Put(String sequence, String key, SdkBytes data) {
        static Put of(software.amazon.awssdk.services.kinesis.model.Record r) {
            Duration age = Duration.between(r.approximateArrivalTimestamp(), Instant.now());
            if (age.compareTo(Duration.ofSeconds(-1)) < 0 || age.compareTo(Duration.ofMinutes(5)) > 0) {
                throw new Mismatch("ApproximateArrivalTimestamp is " + r.approximateArrivalTimestamp());
            }
            return new Put(r.sequenceNumber(), r.partitionKey(), r.data());
        }

        static List<Put> of(List<software.amazon.awssdk.services.kinesis.model.Record> records) {
            return records.stream().map(Put::of).toList();
        }
    }

    private final KinesisClient client;
    private final KinesisClient impatient; // does not retry
    private final KinesisAsyncClient async; // null: no fan-out
    private final Map<String, List<Put>> records = new TreeMap<>();
    private Instant batch2;

    Script(KinesisClient client, KinesisClient impatient, KinesisAsyncClient async) {
        this.client = client;
        this.impatient = impatient;
        this.async = async;
        SHARDS.forEach(shard -> records.put(shard, new ArrayList<>()));
    }

    void run() throws Exception {
        create();
        put();
        read();
        fanOut();
        reshard();
        errors();
        delete();
    }

    private StreamDescriptionSummary awaitActive(String stream) throws InterruptedException {
        while (true) {
            StreamDescriptionSummary summary = client.describeStreamSummary(r -> r.streamName(stream)).streamDescriptionSummary();
            if (summary.streamStatus() == StreamStatus.ACTIVE) {
                return summary;
            }
            Thread.sleep(100);
        }
    }

    private void create() throws InterruptedException {
        client.createStream(r -> r.streamName(STREAM).shardCount(2));
        equal("open shards", awaitActive(STREAM).openShardCount(), 2);
        Instant created = awaitActive(STREAM).streamCreationTimestamp();
        if (Duration.between(created, Instant.now()).abs().compareTo(Duration.ofMinutes(2)) > 0) {
            throw new Mismatch("StreamCreationTimestamp is " + created);
        }
        BigInteger start = BigInteger.ZERO;
        List<Shard> shards = client.listShards(r -> r.streamName(STREAM)).shards();
        equal("shards", shards.stream().map(Shard::shardId).toList(), SHARDS);
        for (Shard shard : shards) {
            equal("start of a hash range", shard.hashKeyRange().startingHashKey(), start.toString());
            start = new BigInteger(shard.hashKeyRange().endingHashKey()).add(BigInteger.ONE);
        }
        equal("end of the last hash range", start, BigInteger.ONE.shiftLeft(128));
        System.out.println("create: 2 shards, hash ranges without a hole");
    }

    private static String shardFor(String key) throws Exception {
        byte[] hash = MessageDigest.getInstance("MD5").digest(key.getBytes(StandardCharsets.UTF_8));
        return SHARDS.get((hash[0] & 0xff) >> 7);
    }

    private void remember(String shard, Put put) {
        equal("digits of a sequence number", put.sequence.length(), 56);
        records.get(shard).add(put);
    }

    private String putOne(String key, byte[] data, String hash, String order, String shard) {
        SdkBytes bytes = SdkBytes.fromByteArray(data);
        PutRecordResponse out = client.putRecord(r -> r.streamName(STREAM).partitionKey(key).data(bytes)
                .explicitHashKey(hash).sequenceNumberForOrdering(order));
        equal("shard of " + key, out.shardId(), shard);
        remember(shard, new Put(out.sequenceNumber(), key, bytes));
        return out.sequenceNumber();
    }

    private void putMany(String batch) throws Exception {
        List<PutRecordsRequestEntry> entries = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            entries.add(PutRecordsRequestEntry.builder().partitionKey("k" + i).data(SdkBytes.fromUtf8String(batch + " " + i)).build());
        }
        PutRecordsResponse out = client.putRecords(r -> r.streamName(STREAM).records(entries));
        equal("failed records", out.failedRecordCount(), 0);
        equal("results of PutRecords", out.records().size(), entries.size());
        for (int i = 0; i < entries.size(); i++) {
            PutRecordsResultEntry result = out.records().get(i);
            equal("shard of " + entries.get(i).partitionKey(), result.shardId(), shardFor(entries.get(i).partitionKey()));
            remember(result.shardId(), new Put(result.sequenceNumber(), entries.get(i).partitionKey(), entries.get(i).data()));
        }
    }

    private void put() throws Exception {
        byte[] all = new byte[256];
        for (int i = 0; i < all.length; i++) {
            all[i] = (byte) i;
        }
        putOne("every byte", all, null, null, shardFor("every byte"));
        putOne("to the first", new byte[] {'a'}, "0", null, SHARDS.get(0));
        putOne("to the last", new byte[] {'b'}, MAX_HASH, null, SHARDS.get(1));
        putMany("first");
        batch2 = Instant.now().truncatedTo(ChronoUnit.SECONDS).plusSeconds(1);
        Thread.sleep(Duration.between(Instant.now(), batch2).toMillis() + 20);
        putMany("second");
        String last = null;
        for (int i = 0; i < 3; i++) {
            String sequence = putOne("ordered", ("ordered " + i).getBytes(StandardCharsets.UTF_8), null, last, shardFor("ordered"));
            if (last != null && sequence.compareTo(last) <= 0) {
                throw new Mismatch("sequence number " + sequence + " does not follow " + last);
            }
            last = sequence;
        }
        records.values().forEach(list -> list.sort(Comparator.comparing(Put::sequence)));
        System.out.println("put: PutRecord, PutRecords, ExplicitHashKey, SequenceNumberForOrdering");
    }

    private String iterator(String shard, ShardIteratorType type, String sequence, Instant timestamp) {
        return client.getShardIterator(r -> r.streamName(STREAM).shardId(shard).shardIteratorType(type)
                .startingSequenceNumber(sequence).timestamp(timestamp)).shardIterator();
    }

    private void checkRead(String shard, ShardIteratorType type, String sequence, Instant timestamp, List<Put> want) throws InterruptedException {
        GetRecordsResponse out = client.getRecords(r -> r.shardIterator(iterator(shard, type, sequence, timestamp)));
        equal(type.toString(), Put.of(out.records()), want);
        equal("MillisBehindLatest at the tip", out.millisBehindLatest(), 0L);
        Thread.sleep(READ_PAUSE);
    }

    private void read() throws InterruptedException {
        for (String shard : SHARDS) {
            List<Put> want = records.get(shard);
            int second = 0;
            while (!want.get(second).data().asString(StandardCharsets.ISO_8859_1).startsWith("second")) {
                second++;
            }
            String latest = iterator(shard, ShardIteratorType.LATEST, null, null);
            checkRead(shard, ShardIteratorType.TRIM_HORIZON, null, null, want);
            checkRead(shard, ShardIteratorType.AT_SEQUENCE_NUMBER, want.get(3).sequence(), null, want.subList(3, want.size()));
            checkRead(shard, ShardIteratorType.AFTER_SEQUENCE_NUMBER, want.get(3).sequence(), null, want.subList(4, want.size()));
            checkRead(shard, ShardIteratorType.AT_TIMESTAMP, null, batch2, want.subList(second, want.size()));

            putOne("late", "late".getBytes(StandardCharsets.UTF_8), shard.equals(SHARDS.get(0)) ? "0" : MAX_HASH, null, shard);
            equal("LATEST", Put.of(client.getRecords(r -> r.shardIterator(latest)).records()), want.subList(want.size() - 1, want.size()));

            List<Put> paged = new ArrayList<>();
            String position = iterator(shard, ShardIteratorType.TRIM_HORIZON, null, null);
            while (paged.size() < want.size()) {
                Thread.sleep(READ_PAUSE);
                String at = position;
                GetRecordsResponse out = client.getRecords(r -> r.shardIterator(at).limit(7));
                if (out.records().isEmpty() || out.records().size() > 7) {
                    throw new Mismatch("Limit 7 gave " + out.records().size() + " records");
                }
                paged.addAll(Put.of(out.records()));
                position = out.nextShardIterator();
            }
            equal("pages of 7", paged, want);
        }
        System.out.println("read: TRIM_HORIZON, AT_SEQUENCE_NUMBER, AFTER_SEQUENCE_NUMBER, AT_TIMESTAMP, LATEST, Limit");
    }

    private String registerConsumer(String stream, String name) throws InterruptedException {
        String streamArn = awaitActive(stream).streamARN();
        String arn = client.registerStreamConsumer(r -> r.streamARN(streamArn).consumerName(name)).consumer().consumerARN();
        while (client.describeStreamConsumer(r -> r.consumerARN(arn)).consumerDescription().consumerStatus() != ConsumerStatus.ACTIVE) {
            Thread.sleep(100);
        }
        return arn;
    }

    private void fanOut() throws InterruptedException {
        String shard = SHARDS.get(0);
        String consumer = registerConsumer(STREAM, "reader");
        if (async == null) {
            System.out.println("fan-out: the sync client has none");
            return;
        }
        try (Subscription subscription = new Subscription(async, consumer, shard)) {
            List<Put> got = new ArrayList<>();
            for (int round = 0; round < 2; round++) {
                while (got.size() < records.get(shard).size()) {
                    SubscribeToShardEvent event = subscription.next();
                    if (event == null) {
                        throw new Mismatch("the subscription ended after " + got.size() + " records");
                    }
                    if (event.continuationSequenceNumber() == null) {
                        throw new Mismatch("an event has no ContinuationSequenceNumber");
                    }
                    got.addAll(Put.of(event.records()));
                }
                if (round == 0) {
                    refused("a second subscription at once", ResourceInUseException.class,
                            "Another active subscription exists for this consumer", () -> new Subscription(async, consumer, shard).await());
                    putOne("pushed", "pushed".getBytes(StandardCharsets.UTF_8), "0", null, shard);
                }
            }
            equal("SubscribeToShard", got, records.get(shard));
        }
        System.out.println("fan-out: records so far, a record put meanwhile, second subscription refused");
    }

    private void reshard() throws Exception {
        String stream = STREAM + "-reshard";
        client.createStream(r -> r.streamName(stream).shardCount(1));
        awaitActive(stream);
        AtomicBoolean writing = new AtomicBoolean(true);
        List<String> acked = Collections.synchronizedList(new ArrayList<>()); // "key data", in order within each key
        CompletableFuture<Void> writer = CompletableFuture.runAsync(() -> {
            for (int i = 0; writing.get(); i++) {
                String key = "key" + i % 7;
                String data = String.format("%06d", i);
                client.putRecord(r -> r.streamName(stream).partitionKey(key).data(SdkBytes.fromUtf8String(data)));
                acked.add(key + " " + data);
            }
        });
        CompletableFuture<Void> resharder = CompletableFuture.runAsync(() -> {
            try {
                Thread.sleep(400);
                client.splitShard(r -> r.streamName(stream).shardToSplit(SHARDS.get(0))
                        .newStartingHashKey(BigInteger.ONE.shiftLeft(127).toString()));
                equal("open shards after the split", awaitActive(stream).openShardCount(), 2);
                Thread.sleep(400);
                client.mergeShards(r -> r.streamName(stream).shardToMerge("shardId-000000000001").adjacentShardToMerge("shardId-000000000002"));
                equal("open shards after the merge", awaitActive(stream).openShardCount(), 1);
                Thread.sleep(400);
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            } finally {
                writing.set(false);
            }
        });
        Lineage reader = new Lineage(client, stream);
        Instant deadline = Instant.now().plusSeconds(90);
        reader.readUntil(() -> writer.isDone() && reader.seen.size() >= acked.size() || Instant.now().isAfter(deadline));
        resharder.join();
        writer.join();

        Map<String, List<String>> want = acked.stream().collect(Collectors.groupingBy(s -> s.split(" ")[0]));
        Map<String, List<String>> got = reader.seen.stream().map(r -> r.partitionKey() + " " + r.data().asUtf8String())
                .collect(Collectors.groupingBy(s -> s.split(" ")[0]));
        equal("what the reader saw", got, want);
        equal("shards read to their end", reader.ended.size(), 3);

        Map<String, Shard> shards = client.listShards(r -> r.streamName(stream)).shards().stream()
                .collect(Collectors.toMap(Shard::shardId, s -> s));
        equal("shards in all", shards.size(), 4);
        Shard merged = shards.get("shardId-000000000003");
        equal("parents of the merged shard", List.of(merged.parentShardId(), merged.adjacentParentShardId()),
                List.of("shardId-000000000001", "shardId-000000000002"));
        equal("closed shards", shards.values().stream().filter(s -> s.sequenceNumberRange().endingSequenceNumber() != null).count(), 3L);
        if (async != null) {
            subscribeToClosed(stream);
        }
        client.deleteStream(r -> r.streamName(stream).enforceConsumerDeletion(true));
        System.out.println("reshard: split and merge below a reader, " + acked.size() + " records each seen once and in order"
                + (async == null ? "" : "; a closed shard's subscription ends with its children"));
    }

    private void subscribeToClosed(String stream) throws InterruptedException {
        try (Subscription subscription = new Subscription(async, registerConsumer(stream, "late"), SHARDS.get(0))) {
            SubscribeToShardEvent last = null;
            for (SubscribeToShardEvent event = subscription.next(); event != null; event = subscription.next()) {
                last = event;
            }
            if (last == null || last.continuationSequenceNumber() != null) {
                throw new Mismatch("the last event of a closed shard is " + last);
            }
            equal("children in the last event", last.childShards().size(), 2);
        }
    }

    /** Demands that the call throws the SDK's own exception and says message. */
    private static <E extends KinesisException> E refused(String what, Class<E> exception, String message, Runnable call) {
        try {
            call.run();
        } catch (KinesisException e) {
            if (!exception.isInstance(e) || !e.awsErrorDetails().errorMessage().contains(message)) {
                throw new Mismatch(what + " was refused with " + e + ", want " + exception.getSimpleName() + " " + message);
            }
            return exception.cast(e);
        }
        throw new Mismatch(what + " was not refused");
    }

    private void errors() throws InterruptedException {
        refused("a missing stream", ResourceNotFoundException.class, "Stream interop-missing under account 000000000000 not found.",
                () -> client.describeStreamSummary(r -> r.streamName("interop-missing")));
        refused("a stream's second creation", ResourceInUseException.class, "Stream " + STREAM + " under account 000000000000 already exists.",
                () -> client.createStream(r -> r.streamName(STREAM).shardCount(1)));
        refused("a forged iterator", InvalidArgumentException.class, "Invalid ShardIterator.",
                () -> client.getRecords(r -> r.shardIterator("AAAA")));
        refused("a missing shard", ResourceNotFoundException.class, "shardId-000000000099",
                () -> iterator("shardId-000000000099", ShardIteratorType.LATEST, null, null));
        KinesisException wrong = refused("a wrong name", KinesisException.class,
                "1 validation error detected: Value 'no spaces' at 'streamName' failed to satisfy constraint: ",
                () -> client.createStream(r -> r.streamName("no spaces").shardCount(1)));
        equal("code of a wrong name", wrong.awsErrorDetails().errorCode(), "ValidationException");

        SdkBytes big = SdkBytes.fromByteArray(new byte[900_000]);
        List<PutRecordsRequestEntry> entries = Collections.nCopies(5,
                PutRecordsRequestEntry.builder().partitionKey("big").explicitHashKey("0").data(big).build());
        PutRecordsResponse out = client.putRecords(r -> r.streamName(STREAM).records(entries));
        Set<String> codes = out.records().stream().map(PutRecordsResultEntry::errorCode).filter(Objects::nonNull).collect(Collectors.toSet());
        equal("errors of records", codes, Set.of("ProvisionedThroughputExceededException"));
        equal("FailedRecordCount", (long) out.failedRecordCount(), out.records().stream().filter(r -> r.errorCode() != null).count());
        if (out.failedRecordCount() == 5) {
            throw new Mismatch("all large records were refused");
        }
        refused("too much for a shard", ProvisionedThroughputExceededException.class,
                "Rate exceeded for shard shardId-000000000000 in stream " + STREAM + " under account 000000000000.", () -> {
                    for (int i = 0; i < 50; i++) {
                        impatient.putRecord(r -> r.streamName(STREAM).partitionKey("big").explicitHashKey("0").data(big));
                    }
                });
        System.out.println("errors: ResourceNotFound, ResourceInUse, InvalidArgument, Validation, ProvisionedThroughputExceeded");
    }

    private void delete() throws InterruptedException {
        refused("deletion with a consumer", ResourceInUseException.class, "", () -> client.deleteStream(r -> r.streamName(STREAM)));
        String arn = awaitActive(STREAM).streamARN();
        client.deregisterStreamConsumer(r -> r.streamARN(arn).consumerName("reader"));
        while (!client.listStreamConsumers(r -> r.streamARN(arn)).consumers().isEmpty()) {
            Thread.sleep(100);
        }
        client.deleteStream(r -> r.streamName(STREAM));
        try {
            while (client.describeStreamSummary(r -> r.streamName(STREAM)).streamDescriptionSummary().streamStatus() == StreamStatus.DELETING) {
                Thread.sleep(100);
            }
            throw new Mismatch("the stream is neither there nor gone");
        } catch (ResourceNotFoundException gone) {
            System.out.println("delete: refused with a consumer, then gone");
        }
    }
}
