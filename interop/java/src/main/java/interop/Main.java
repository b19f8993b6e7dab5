package interop;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import software.amazon.awssdk.core.client.config.ClientOverrideConfiguration;
import software.amazon.awssdk.core.interceptor.Context;
import software.amazon.awssdk.core.interceptor.ExecutionAttributes;
import software.amazon.awssdk.core.interceptor.ExecutionInterceptor;
import software.amazon.awssdk.core.interceptor.SdkExecutionAttribute;
import software.amazon.awssdk.http.Protocol;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.retries.DefaultRetryStrategy;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClientBuilder;
import software.amazon.awssdk.services.kinesis.KinesisClient;

/**
 * The script of ../README.md in the AWS SDK for Java v2, configured by the environment only. The argument is the client:
 * sync, async, or async-assume (HTTP/2 over TLS without negotiation, in an SDK that would negotiate).
 */
public final class Main {
    public static void main(String[] args) throws Exception {
        Formats formats = new Formats();
        ClientOverrideConfiguration noted = ClientOverrideConfiguration.builder().addExecutionInterceptor(formats).build();
        ClientOverrideConfiguration once = noted.copy(c -> c.retryStrategy(DefaultRetryStrategy.doNotRetry()));
        KinesisAsyncClient async = null;
        KinesisClient client;
        KinesisClient impatient;
        if (args[0].equals("sync")) {
            client = KinesisClient.builder().overrideConfiguration(noted).build();
            impatient = KinesisClient.builder().overrideConfiguration(once).build();
        } else {
            boolean assume = args[0].equals("async-assume");
            async = asynchronous(assume).overrideConfiguration(noted).build();
            client = blocking(async);
            impatient = blocking(asynchronous(assume).overrideConfiguration(once).build());
        }
        try {
            new Script(client, impatient, async).run();
            if (!formats.seen.equals(Set.of("application/x-amz-cbor-1.1"))) {
                throw new Mismatch("formats were " + formats.seen);
            }
            System.out.println("all in CBOR");
        } catch (Mismatch e) {
            System.out.println("MISMATCH " + e.getMessage());
            System.exit(1);
        } catch (Exception e) {
            e.printStackTrace(System.out);
            System.exit(1);
        }
        System.exit(0); // not waiting for idle connections
    }

    /** By reflection, because the same source is compiled against an SDK that has no such choice. */
    private static KinesisAsyncClientBuilder asynchronous(boolean assumeHttp2) throws ReflectiveOperationException {
        if (!assumeHttp2) {
            return KinesisAsyncClient.builder();
        }
        Class<?> negotiation = Class.forName("software.amazon.awssdk.http.ProtocolNegotiation");
        NettyNioAsyncHttpClient.Builder http = NettyNioAsyncHttpClient.builder().protocol(Protocol.HTTP2);
        NettyNioAsyncHttpClient.Builder.class.getMethod("protocolNegotiation", negotiation)
                .invoke(http, negotiation.getField("ASSUME_PROTOCOL").get(null));
        return KinesisAsyncClient.builder().httpClientBuilder(http);
    }

    /** The asynchronous client, each call awaited: the two interfaces have the same methods. */
    private static KinesisClient blocking(KinesisAsyncClient async) {
        return (KinesisClient) Proxy.newProxyInstance(Main.class.getClassLoader(), new Class<?>[] {KinesisClient.class},
                (proxy, method, args) -> {
                    try {
                        Object out = KinesisAsyncClient.class.getMethod(method.getName(), method.getParameterTypes()).invoke(async, args);
                        return out instanceof CompletableFuture<?> future ? future.join() : out;
                    } catch (CompletionException | InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
    }

    /** Notes in what format requests went out and answers came. SubscribeToShard is left out: the SDK has it in JSON. */
    private static final class Formats implements ExecutionInterceptor {
        final Set<String> seen = ConcurrentHashMap.newKeySet();

        @Override
        public void beforeUnmarshalling(Context.BeforeUnmarshalling context, ExecutionAttributes attributes) {
            if (attributes.getAttribute(SdkExecutionAttribute.OPERATION_NAME).equals("SubscribeToShard")) {
                return;
            }
            String request = context.httpRequest().firstMatchingHeader("Content-Type").orElse("nothing");
            context.httpResponse().firstMatchingHeader("Content-Type")
                    .ifPresent(type -> seen.add(type.equals(request) ? type : request + " answered by " + type));
        }
    }
}
