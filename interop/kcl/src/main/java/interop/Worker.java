package interop;

import java.lang.reflect.Method;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.common.KinesisClientUtil;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.leases.LeaseManagementConfig;
import software.amazon.kinesis.processor.SingleStreamTracker;
import software.amazon.kinesis.retrieval.RetrievalConfig;
import software.amazon.kinesis.retrieval.polling.PollingConfig;

/**
 * A worker of a Kinesis Client Library application with the library's defaults, metrics included, configured by the
 * environment: endpoint, region and credentials as for any SDK, the rest as in ../../../../../workers/main.go. The
 * argument is how it reads: fanout or polling.
 */
public final class Worker {
    public static void main(String[] args) throws Exception {
        String stream = System.getenv("INTEROP_STREAM");
        Journal journal = new Journal(Path.of(System.getenv("INTEROP_EVENTS")));
        KinesisAsyncClient kinesis = KinesisClientUtil.createKinesisAsyncClient(KinesisAsyncClient.builder());
        ConfigsBuilder configs = new ConfigsBuilder(
                new SingleStreamTracker(stream,
                        InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON)),
                System.getenv("INTEROP_APPLICATION"), kinesis, DynamoDbAsyncClient.create(), CloudWatchAsyncClient.create(),
                System.getenv("INTEROP_WORKER"), () -> new Processor(journal));
        RetrievalConfig retrieval = configs.retrievalConfig();
        if (args[0].equals("polling")) {
            retrieval.retrievalSpecificConfig(new PollingConfig(stream, kinesis));
        }
        LeaseManagementConfig leases = configs.leaseManagementConfig();
        balanceByThroughput(leases);
        Scheduler scheduler = new Scheduler(configs.checkpointConfig(), configs.coordinatorConfig(), leases,
                configs.lifecycleConfig(), configs.metricsConfig(), configs.processorConfig(), retrieval);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                scheduler.startGracefulShutdown().get(60, TimeUnit.SECONDS);
            } catch (Exception e) {
                e.printStackTrace();
                Runtime.getRuntime().halt(1);
            }
        }));
        scheduler.run();
    }

    /**
     * Version 3 balances by the processors' load, which is the same for workers on one machine: all leases would stay
     * with the first. By reflection, because the same source is compiled against version 2, which has no such choice.
     */
    private static void balanceByThroughput(LeaseManagementConfig leases) throws ReflectiveOperationException {
        Method assignment;
        try {
            assignment = LeaseManagementConfig.class.getMethod("workerUtilizationAwareAssignmentConfig");
        } catch (NoSuchMethodException e) {
            return;
        }
        Object config = assignment.invoke(leases);
        config.getClass().getMethod("disableWorkerMetrics", boolean.class).invoke(config, true);
    }
}
