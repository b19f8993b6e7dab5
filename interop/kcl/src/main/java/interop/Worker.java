package interop;

import java.lang.reflect.Method;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
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
 * A worker of a Kinesis Client Library application with the library's defaults, metrics included, but for what
 * INTEROP_SETTINGS names. It is configured by the environment: endpoint, region and credentials as for any SDK, the rest
 * as in ../../../../../workers/main.go. The argument is how it reads: fanout or polling.
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
        for (String setting : System.getenv("INTEROP_SETTINGS").split(" ")) {
            if (!setting.isEmpty()) {
                set(leases, setting);
            }
        }
        Scheduler scheduler = new Scheduler(configs.checkpointConfig(), configs.coordinatorConfig(), leases,
                configs.lifecycleConfig(), configs.metricsConfig(), configs.processorConfig(), retrieval);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(scheduler)));
        scheduler.run();
    }

    private static void stop(Scheduler scheduler) {
        // Version 2 waits for the processors of finished shards too, whose leases it keeps for minutes, and which have
        // nothing more to say (Scheduler.createWorkerShutdownCallable). The others have been told by then.
        boolean waitsForFinished = System.getenv("INTEROP_LIBRARY").equals("2");
        try {
            scheduler.startGracefulShutdown().get(waitsForFinished ? 20 : 60, TimeUnit.SECONDS);
        } catch (TimeoutException e) {
            if (!waitsForFinished) {
                e.printStackTrace();
                Runtime.getRuntime().halt(1);
            }
        } catch (Exception e) {
            e.printStackTrace();
            Runtime.getRuntime().halt(1);
        }
    }

    /**
     * Applies name=value, a setting of the management of leases or of their assignment. By reflection, because the same
     * source is compiled against version 2, which does not have all of them.
     */
    private static void set(LeaseManagementConfig leases, String setting) throws ReflectiveOperationException {
        String name = setting.substring(0, setting.indexOf('='));
        String value = setting.substring(name.length() + 1);
        if (!set((Object) leases, name, value)
                && !set(LeaseManagementConfig.class.getMethod("workerUtilizationAwareAssignmentConfig").invoke(leases), name, value)) {
            throw new IllegalArgumentException("the library has no setting " + name);
        }
    }

    private static boolean set(Object config, String name, String value) throws ReflectiveOperationException {
        for (Method setter : config.getClass().getMethods()) {
            if (setter.getName().equals(name) && setter.getParameterCount() == 1) {
                boolean truth = setter.getParameterTypes()[0] == boolean.class;
                setter.invoke(config, truth ? (Object) Boolean.valueOf(value) : (Object) Long.valueOf(value));
                return true;
            }
        }
        return false;
    }
}
