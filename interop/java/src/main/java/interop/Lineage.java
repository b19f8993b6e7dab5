package interop;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.BooleanSupplier;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.ChildShard;
import software.amazon.awssdk.services.kinesis.model.GetRecordsResponse;
import software.amazon.awssdk.services.kinesis.model.Record;
import software.amazon.awssdk.services.kinesis.model.ShardIteratorType;

/** Reads a stream from its first shard through all children, each once its parents are read. */
final class Lineage {
    final List<Record> seen = new ArrayList<>();
    final Set<String> ended = new HashSet<>();
    private final KinesisClient client;
    private final String stream;
    private final Map<String, String> open = new TreeMap<>(); // iterators of shards

    Lineage(KinesisClient client, String stream) {
        this.client = client;
        this.stream = stream;
        start(Script.SHARDS.get(0));
    }

    private void start(String shard) {
        open.put(shard, client.getShardIterator(r -> r.streamName(stream).shardId(shard)
                .shardIteratorType(ShardIteratorType.TRIM_HORIZON)).shardIterator());
    }

    void readUntil(BooleanSupplier enough) throws InterruptedException {
        while (!enough.getAsBoolean()) {
            for (String shard : List.copyOf(open.keySet())) {
                read(shard);
            }
            Thread.sleep(Script.READ_PAUSE);
        }
    }

    private void read(String shard) {
        GetRecordsResponse out = client.getRecords(r -> r.shardIterator(open.get(shard)));
        seen.addAll(out.records());
        if (out.nextShardIterator() != null) {
            Mismatch.equal("ChildShards of an open shard", out.childShards(), List.of());
            open.put(shard, out.nextShardIterator());
            return;
        }
        if (out.childShards().isEmpty()) {
            throw new Mismatch(shard + " ended without ChildShards");
        }
        open.remove(shard);
        ended.add(shard);
        for (ChildShard child : out.childShards()) {
            if (!child.parentShards().contains(shard) || child.hashKeyRange() == null) {
                throw new Mismatch("child of " + shard + " is " + child);
            }
            if (ended.containsAll(child.parentShards())) {
                start(child.shardId());
            }
        }
    }
}
