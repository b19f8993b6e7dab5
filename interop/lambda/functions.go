package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/rheostream/rheo/interop/daemon"
)

type clients struct {
	kinesis *kinesis.Client
	lambda  *lambda.Client
	logs    *cloudwatchlogs.Client
	s3      *s3.Client
}

func newClients(url string) clients {
	cfg := aws.Config{Region: daemon.Region, BaseEndpoint: &url,
		Credentials: credentials.NewStaticCredentialsProvider(daemon.AccessKey, daemon.SecretKey, "")}
	return clients{kinesis.NewFromConfig(cfg), lambda.NewFromConfig(cfg), cloudwatchlogs.NewFromConfig(cfg),
		s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })}
}

// A function is one of the three, with its mapping and what it told so far.
type function struct {
	name, runtime, handler string
	factor                 int
	sources                []source
	partial                bool // it answers with batchItemFailures

	mapping string // UUID
	told    []invocation
	last    *string // sequence number of what was read last
}

const seenShard = "shardId-000000000000"

// seen is the stream that the function tells by.
func seen(f *function) string { return "seen-" + f.name }

// functions are made for the Node.js and the Python that are on the path.
func (c config) functions() ([]*function, error) {
	node, err := exec.Command("node", "-p", "'nodejs' + process.versions.node.split('.')[0] + '.x'").Output()
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	python, err := exec.Command("python3", "-c", "import sys; print('python%d.%d' % sys.version_info[:2])").Output()
	if err != nil {
		return nil, fmt.Errorf("python3: %w", err)
	}
	return []*function{
		{name: "go", runtime: "provided.al2023", handler: "bootstrap", factor: 2, sources: []source{{from: c.bootstrap, to: "bootstrap"}}},
		{name: "node", runtime: strings.TrimSpace(string(node)), handler: "index.handler", factor: 1, partial: true,
			sources: []source{{from: "handlers/index.mjs", to: "index.mjs"}, {from: c.modules, to: "node_modules"}}},
		{name: "python", runtime: strings.TrimSpace(string(python)), handler: "app.handler", factor: 1,
			sources: []source{{from: "handlers/app.py", to: "app.py"}, {from: c.boto, keep: botoOfStreams}}},
	}, nil
}

// createFunctions makes them, what they tell by, and their mappings, and waits until
// these are enabled.
func (h *host) createFunctions(ctx context.Context) ([]*function, error) {
	functions, err := h.config.functions()
	if err != nil {
		return nil, err
	}
	if _, err := h.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		return nil, err
	}
	for _, f := range functions {
		if err := h.createStream(ctx, seen(f), 1); err != nil {
			return nil, err
		}
		zip, err := pack(f.sources...)
		if err != nil {
			return nil, err
		}
		if _, err := h.lambda.CreateFunction(ctx, &lambda.CreateFunctionInput{
			FunctionName: &f.name, Role: aws.String("arn:aws:iam::" + daemon.Account + ":role/consumer"),
			Runtime: types.Runtime(f.runtime), Handler: &f.handler, Timeout: aws.Int32(30), MemorySize: aws.Int32(256),
			Environment: &types.Environment{Variables: map[string]string{"SEEN": seen(f)}},
			Code:        &types.FunctionCode{ZipFile: zip},
		}); err != nil {
			return nil, fmt.Errorf("create %s with %d bytes: %w", f.name, len(zip), err)
		}
		in := &lambda.CreateEventSourceMappingInput{
			FunctionName: &f.name, EventSourceArn: aws.String("arn:aws:kinesis:" + daemon.Region + ":" + daemon.Account + ":stream/" + stream),
			StartingPosition: types.EventSourcePositionTrimHorizon, BatchSize: aws.Int32(batchMax), ParallelizationFactor: aws.Int32(int32(f.factor)),
			MaximumRetryAttempts: aws.Int32(retries), BisectBatchOnFunctionError: aws.Bool(true),
			DestinationConfig: &types.DestinationConfig{OnFailure: &types.OnFailure{Destination: aws.String("arn:aws:s3:::" + bucket)}},
		}
		if f.partial {
			in.FunctionResponseTypes = []types.FunctionResponseType{types.FunctionResponseTypeReportBatchItemFailures}
		}
		out, err := h.lambda.CreateEventSourceMapping(ctx, in)
		if err != nil {
			return nil, err
		}
		f.mapping = *out.UUID
	}
	for _, f := range functions {
		if err := h.await(ctx, "the mapping of "+f.name+" is enabled", func() (bool, error) {
			out, err := h.lambda.GetEventSourceMapping(ctx, &lambda.GetEventSourceMappingInput{UUID: &f.mapping})
			return err == nil && *out.State == "Enabled", err
		}); err != nil {
			return nil, err
		}
	}
	return functions, nil
}

// read takes in what the function told since.
func (h *host) read(ctx context.Context, f *function) error {
	in := &kinesis.GetShardIteratorInput{StreamName: aws.String(seen(f)), ShardId: aws.String(seenShard),
		ShardIteratorType: kinesistypes.ShardIteratorTypeTrimHorizon}
	if f.last != nil {
		in.ShardIteratorType, in.StartingSequenceNumber = kinesistypes.ShardIteratorTypeAfterSequenceNumber, f.last
	}
	start, err := h.kinesis.GetShardIterator(ctx, in)
	if err != nil {
		return err
	}
	for iterator := start.ShardIterator; ; {
		out, err := h.kinesis.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator})
		if err != nil {
			return err
		}
		for _, r := range out.Records {
			inv := invocation{at: *r.ApproximateArrivalTimestamp}
			if err := json.Unmarshal(r.Data, &inv); err != nil {
				return fmt.Errorf("%s told %.100q: %w", f.name, r.Data, err)
			}
			f.told, f.last = append(f.told, inv), r.SequenceNumber
		}
		if len(out.Records) == 0 && aws.ToInt64(out.MillisBehindLatest) == 0 {
			return nil
		}
		iterator = out.NextShardIterator
	}
}

// contented says whether the last thing that the mapping did went well.
func (h *host) contented(ctx context.Context, f *function) (bool, error) {
	out, err := h.lambda.GetEventSourceMapping(ctx, &lambda.GetEventSourceMappingInput{UUID: &f.mapping})
	return err == nil && aws.ToString(out.LastProcessingResult) == "OK", err
}

// failures reads what the mapping gave up: in each object there must be the poison, and
// nothing else.
func (h *host) failures(ctx context.Context, f *function) (objects int, err error) {
	list, err := h.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String(bucket), Prefix: aws.String("aws/lambda/" + f.mapping + "/")})
	if err != nil {
		return 0, err
	}
	for _, o := range list.Contents {
		got, err := h.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: o.Key})
		if err != nil {
			return 0, err
		}
		text, err := io.ReadAll(got.Body)
		got.Body.Close()
		if err != nil {
			return 0, err
		}
		var failure struct {
			RequestContext   struct{ Condition, FunctionArn string }
			KinesisBatchInfo struct{ BatchSize int }
			Payload          string
		}
		if err := json.Unmarshal(text, &failure); err != nil {
			return 0, fmt.Errorf("%s is %.500s: %w", *o.Key, text, err)
		}
		var event struct {
			Records []struct {
				Kinesis struct{ Data, PartitionKey string }
			}
		}
		err = json.Unmarshal([]byte(failure.Payload), &event)
		if err != nil || failure.RequestContext.Condition != "RetryAttemptsExhausted" || !strings.HasSuffix(failure.RequestContext.FunctionArn, ":"+f.name) ||
			failure.KinesisBatchInfo.BatchSize != 1 || len(event.Records) != 1 ||
			event.Records[0].Kinesis.Data != base64.StdEncoding.EncodeToString([]byte(poison)) || event.Records[0].Kinesis.PartitionKey != "key-3" {
			return 0, fmt.Errorf("%s is %.1000s, want the poison alone (%v)", *o.Key, text, err)
		}
	}
	return len(list.Contents), nil
}

// logged counts the lines of the function's invocations in CloudWatch Logs. One that is
// not there was lost only if it was written just before the server was killed; any
// other is missing.
func (h *host) logged(ctx context.Context, f *function) (lines, lost int, missing, err error) {
	group, found := "/aws/lambda/"+f.name, map[string]bool{}
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(h.logs, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group, FilterPattern: aws.String("told")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return 0, 0, nil, err
		}
		for _, e := range page.Events {
			if _, said, ok := strings.Cut(*e.Message, "told "); ok {
				request, _, _ := strings.Cut(said, " ")
				found[request] = true
			}
		}
	}
	killed := h.outages[len(h.outages)-1].from
	for _, inv := range f.told {
		switch {
		case found[inv.Request]:
			lines++
		case inv.at.After(killed.Add(-2*time.Second)) && !inv.at.After(killed.Add(time.Second)):
			lost++
		default:
			missing = fmt.Errorf("no line in the log of invocation %s at %s", inv.Request, inv.at)
		}
	}
	return lines, lost, missing, nil
}
