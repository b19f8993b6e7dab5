package bench;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.util.List;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.common.KinesisClientUtil;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ProcessRecordsInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.processor.ShardRecordProcessor;
import software.amazon.kinesis.processor.SingleStreamTracker;
import software.amazon.kinesis.retrieval.KinesisClientRecord;

/**
 * An application of the Kinesis Client Library with the library's defaults, fan-out and metrics included, that notes
 * when records are handed to it. Arguments are the stream and how many records it will get. It prints "started shard"
 * for each shard that it begins and, once it has all records, for each the number that its data begins with and the
 * microseconds since 1970 of its arrival. It ends then, or when standard input does.
 */
public final class Consumer {
    private static final Object lock = new Object();
    private static int[] numbers; // guarded by lock, as are the next two
    private static long[] arrivals;
    private static int have;

    public static void main(String[] args) throws Exception {
        String stream = args[0];
        numbers = new int[Integer.parseInt(args[1])];
        arrivals = new long[numbers.length];
        Thread parent = new Thread(Consumer::endWithParent);
        parent.setDaemon(true);
        parent.start();
        KinesisAsyncClient kinesis = KinesisClientUtil.createKinesisAsyncClient(KinesisAsyncClient.builder());
        ConfigsBuilder configs = new ConfigsBuilder(
                new SingleStreamTracker(stream,
                        InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON)),
                "bench-kcl", kinesis, DynamoDbAsyncClient.create(), CloudWatchAsyncClient.create(), "worker", Processor::new);
        new Scheduler(configs.checkpointConfig(), configs.coordinatorConfig(),
                // The library sleeps for so long once it has created its leases, a minute by default.
                configs.leaseManagementConfig().shardSyncIntervalMillis(1000),
                configs.lifecycleConfig(), configs.metricsConfig(), configs.processorConfig(), configs.retrievalConfig()).run();
    }

    private static void endWithParent() {
        try {
            while (System.in.read() >= 0) {
                // nothing is said there
            }
        } catch (IOException e) {
            e.printStackTrace();
        }
        Runtime.getRuntime().halt(1);
    }

    private static void arrived(List<KinesisClientRecord> records, long micros) {
        synchronized (lock) {
            for (KinesisClientRecord r : records) {
                if (have == numbers.length) {
                    System.err.println("more records came than were announced");
                    Runtime.getRuntime().halt(1);
                }
                ByteBuffer data = r.data();
                numbers[have] = data.getInt(data.position());
                arrivals[have++] = micros;
            }
            if (have == numbers.length) {
                print();
                Runtime.getRuntime().halt(0);
            }
        }
    }

    private static void print() {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < have; i++) {
            text.append(numbers[i]).append(' ').append(arrivals[i]).append('\n');
        }
        PrintStream out = System.out;
        out.print(text);
        out.flush();
    }

    private static final class Processor implements ShardRecordProcessor {
        @Override
        public void initialize(InitializationInput input) {
            System.out.println("started " + input.shardId());
        }

        @Override
        public void processRecords(ProcessRecordsInput input) {
            Instant now = Instant.now();
            arrived(input.records(), now.getEpochSecond() * 1_000_000 + now.getNano() / 1_000);
        }

        @Override
        public void leaseLost(LeaseLostInput input) {
            System.err.println("a lease was lost");
            Runtime.getRuntime().halt(1);
        }

        @Override
        public void shardEnded(ShardEndedInput input) {
            System.err.println("a shard ended");
            Runtime.getRuntime().halt(1);
        }

        @Override
        public void shutdownRequested(ShutdownRequestedInput input) {}
    }
}
