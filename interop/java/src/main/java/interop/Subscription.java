package interop;

import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.model.ShardIteratorType;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardEvent;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardResponseHandler;

/** One SubscribeToShard from TRIM_HORIZON on. */
final class Subscription implements AutoCloseable {
    private final BlockingQueue<SubscribeToShardEvent> events = new LinkedBlockingQueue<>();
    private final CompletableFuture<Void> ended;

    Subscription(KinesisAsyncClient client, String consumerArn, String shard) {
        SubscribeToShardResponseHandler handler = SubscribeToShardResponseHandler.builder()
                .subscriber(event -> {
                    if (event instanceof SubscribeToShardEvent records) {
                        events.add(records);
                    }
                }).build();
        ended = client.subscribeToShard(r -> r.consumerARN(consumerArn).shardId(shard)
                .startingPosition(p -> p.type(ShardIteratorType.TRIM_HORIZON)), handler);
    }

    /** The next event, null at the end. */
    SubscribeToShardEvent next() throws InterruptedException {
        for (int i = 0; i < 600; i++) {
            SubscribeToShardEvent event = events.poll(100, TimeUnit.MILLISECONDS);
            if (event != null) {
                return event;
            }
            if (ended.isDone() && events.isEmpty()) {
                await();
                return null;
            }
        }
        throw new Mismatch("no event within a minute");
    }

    /** Waits for the end, and throws the SDK's exception if there is one. */
    void await() {
        try {
            ended.join();
        } catch (CompletionException e) {
            throw e.getCause() instanceof RuntimeException cause ? cause : e;
        }
    }

    @Override
    public void close() {
        ended.cancel(true);
    }
}
