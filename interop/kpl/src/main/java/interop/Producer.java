package interop;

import com.google.common.util.concurrent.FutureCallback;
import com.google.common.util.concurrent.Futures;
import com.google.common.util.concurrent.MoreExecutors;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicLongArray;
import software.amazon.kinesis.producer.Attempt;
import software.amazon.kinesis.producer.KinesisProducer;
import software.amazon.kinesis.producer.KinesisProducerConfiguration;
import software.amazon.kinesis.producer.UserRecordFailedException;
import software.amazon.kinesis.producer.UserRecordResult;

/**
 * Puts user records by the Kinesis Producer Library, over TLS as it always does, with the library's defaults but for
 * what an endpoint of one's own takes. Arguments are name=value:
 *
 * <pre>
 * stream, host, port
 * ca     file of the certificate authority to trust
 * keys   number of partition keys, kpl-0 and so on, which take turns
 * count  user records in all; without it, as many as fit until standard input ends
 * rate   user records a second; without it, as fast as they are taken
 * size   bytes of each, at least; by default as long as what they must say
 * </pre>
 *
 * The data of a record is key/number and padding, numbers of a key are 0, 1, 2. At the end a line "acked key number" for each key
 * says how many were acknowledged; when any failed, the exit status is 1.
 */
public final class Producer {
    private static final int OUTSTANDING_MOST = 20_000;
    private static final int FAILURES_SHOWN = 20;

    public static void main(String[] args) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (String arg : args) {
            String[] nameAndValue = arg.split("=", 2);
            options.put(nameAndValue[0], nameAndValue[1]);
        }
        int keys = Integer.parseInt(options.get("keys"));
        long count = Long.parseLong(options.getOrDefault("count", Long.toString(Long.MAX_VALUE)));
        long rate = Long.parseLong(options.getOrDefault("rate", "0"));
        int size = Integer.parseInt(options.getOrDefault("size", "0"));

        KinesisProducer producer = new KinesisProducer(configuration(options));
        AtomicLongArray acked = new AtomicLongArray(keys);
        AtomicInteger failed = new AtomicInteger();
        AtomicLong answered = new AtomicLong();
        AtomicBoolean over = new AtomicBoolean();
        if (!options.containsKey("count")) {
            Thread watcher = new Thread(() -> {
                try {
                    while (System.in.read() >= 0) {
                        // whatever is written, only the end counts
                    }
                } catch (IOException e) {
                    e.printStackTrace();
                }
                over.set(true);
            });
            watcher.setDaemon(true);
            watcher.start();
        }
        long start = System.nanoTime();
        long i = 0;
        for (; i < count && !over.get(); i++) {
            while (producer.getOutstandingRecordsCount() > OUTSTANDING_MOST
                    || rate > 0 && i > (System.nanoTime() - start) / 1e9 * rate) {
                Thread.sleep(1);
            }
            int key = (int) (i % keys);
            String data = "kpl-" + key + "/" + i / keys + "/";
            data += "0".repeat(Math.max(20, size - data.length()));
            Futures.addCallback(
                    producer.addUserRecord(options.get("stream"), "kpl-" + key, ByteBuffer.wrap(data.getBytes(StandardCharsets.US_ASCII))),
                    new FutureCallback<UserRecordResult>() {
                        @Override
                        public void onSuccess(UserRecordResult result) {
                            acked.incrementAndGet(key);
                            answered.incrementAndGet();
                        }

                        @Override
                        public void onFailure(Throwable t) {
                            if (failed.incrementAndGet() <= FAILURES_SHOWN) {
                                System.out.println("failed kpl-" + key + ": " + reason(t));
                            }
                            answered.incrementAndGet();
                        }
                    },
                    MoreExecutors.directExecutor());
        }
        producer.flushSync();
        while (answered.get() < i) {
            Thread.sleep(1); // the last callbacks are on their way
        }
        producer.destroy();
        for (int key = 0; key < keys; key++) {
            System.out.println("acked kpl-" + key + " " + acked.get(key));
        }
        System.out.println("failed " + failed.get());
        System.out.flush();
        System.exit(failed.get() == 0 ? 0 : 1);
    }

    private static KinesisProducerConfiguration configuration(Map<String, String> options) {
        int port = Integer.parseInt(options.get("port"));
        return new KinesisProducerConfiguration()
                .setRegion(System.getenv("AWS_REGION"))
                .setKinesisEndpoint(options.get("host"))
                .setKinesisPort(port)
                .setCloudwatchEndpoint(options.get("host"))
                .setCloudwatchPort(port)
                .setCaCertFile(options.get("ca"))
                // A run takes less than the minute between two uploads.
                .setMetricsUploadDelay(5_000)
                // A busy machine is no reason to give a record up.
                .setRecordTtl(300_000);
    }

    private static String reason(Throwable t) {
        if (t instanceof UserRecordFailedException failure) {
            StringBuilder attempts = new StringBuilder();
            for (Attempt a : failure.getResult().getAttempts()) {
                attempts.append(a.getErrorCode()).append(' ').append(a.getErrorMessage()).append("; ");
            }
            return attempts.toString();
        }
        return t.toString();
    }
}
