package interop;

import java.nio.charset.StandardCharsets;
import java.util.concurrent.atomic.AtomicInteger;
import software.amazon.kinesis.exceptions.InvalidStateException;
import software.amazon.kinesis.exceptions.KinesisClientLibDependencyException;
import software.amazon.kinesis.exceptions.ShutdownException;
import software.amazon.kinesis.exceptions.ThrottlingException;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ProcessRecordsInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.processor.RecordProcessorCheckpointer;
import software.amazon.kinesis.processor.ShardRecordProcessor;
import software.amazon.kinesis.retrieval.KinesisClientRecord;

/** Writes down each record, and checkpoints once a second, so that a kill has something to repeat. */
final class Processor implements ShardRecordProcessor {
    private static final AtomicInteger sessions = new AtomicInteger();
    private static final long CHECKPOINT_EVERY_NANOS = 1_000_000_000L;

    private final Journal journal;
    private final String session = Integer.toString(sessions.incrementAndGet());
    private String last = ""; // sequence and subsequence number of the newest record
    private long checkpointed = System.nanoTime();

    Processor(Journal journal) {
        this.journal = journal;
    }

    @Override
    public void initialize(InitializationInput input) {
        journal.write(Journal.event(session, "start " + input.shardId()));
    }

    @Override
    public void processRecords(ProcessRecordsInput input) {
        StringBuilder events = new StringBuilder();
        for (KinesisClientRecord r : input.records()) {
            last = r.sequenceNumber() + " " + r.subSequenceNumber();
            events.append(Journal.event(session, "record " + last + " " + r.partitionKey() + " "
                    + StandardCharsets.UTF_8.decode(r.data().duplicate())));
        }
        journal.write(events.toString());
        if (System.nanoTime() - checkpointed > CHECKPOINT_EVERY_NANOS) {
            checkpoint(input.checkpointer());
        }
    }

    @Override
    public void leaseLost(LeaseLostInput input) {
        journal.write(Journal.event(session, "lost"));
    }

    @Override
    public void shardEnded(ShardEndedInput input) {
        journal.write(Journal.event(session, "ended"));
        checkpoint(input.checkpointer());
    }

    @Override
    public void shutdownRequested(ShutdownRequestedInput input) {
        checkpoint(input.checkpointer());
        journal.write(Journal.event(session, "stopping"));
    }

    private void checkpoint(RecordProcessorCheckpointer checkpointer) {
        try {
            checkpointer.checkpoint();
        } catch (ShutdownException e) {
            return; // the lease is another's by now
        } catch (InvalidStateException | ThrottlingException | KinesisClientLibDependencyException e) {
            throw new IllegalStateException("cannot checkpoint", e);
        }
        checkpointed = System.nanoTime();
        if (!last.isEmpty()) {
            journal.write(Journal.event(session, "checkpoint " + last));
        }
    }
}
