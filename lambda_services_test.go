package rheo_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/rheostream/rheo"
)

// TestLambdaAmongServices: a function is made of an object, reads a stream by a mapping,
// and writes to CloudWatch Logs; what it does not get done is an object; and a
// subscription filter of its own log calls another function.
func TestLambdaAmongServices(t *testing.T) {
	version, err := exec.Command("python3", "-c", "import sys; print('python%d.%d' % sys.version_info[:2])").Output()
	if err != nil || runtime.GOOS != "linux" {
		t.Skip("functions in Python run on Linux, with Python: ", err)
	}
	srv, err := rheo.New(rheo.Config{Dir: t.TempDir(), HTTP1Port: -1, Lambda: "local", Streams: []rheo.InitialStream{{Name: "orders", Shards: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	ctx, cfg := t.Context(), clientConfig(srv, "000000000000", "any")
	functions, logs := lambda.NewFromConfig(cfg), cloudwatchlogs.NewFromConfig(cfg)
	objects := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, bucket := range []string{"code", "failures"} {
		_, err = objects.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket})
		must(err)
	}
	_, err = objects.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("code"), Key: aws.String("app.zip"), Body: bytes.NewReader(packageOf(t, "app.py", `
import base64
def orders(event, context):
    for r in event["Records"]:
        data = base64.b64decode(r["kinesis"]["data"]).decode()
        if data == "poison":
            raise ValueError("poison")
        print("order", data)
def lines(event, context):
    print("called with", sorted(event))
`))})
	must(err)
	for _, name := range []string{"orders", "lines"} {
		_, err = functions.CreateFunction(ctx, &lambda.CreateFunctionInput{FunctionName: &name, Role: aws.String("arn:aws:iam::000000000000:role/r"),
			Runtime: types.Runtime(strings.TrimSpace(string(version))), Handler: aws.String("app." + name), Timeout: aws.Int32(30),
			Code: &types.FunctionCode{S3Bucket: aws.String("code"), S3Key: aws.String("app.zip")}})
		must(err)
	}
	const group, stream = "/aws/lambda/orders", "arn:aws:kinesis:us-east-1:000000000000:stream/orders"
	_, err = logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String(group)})
	must(err)
	_, err = logs.PutSubscriptionFilter(ctx, &cloudwatchlogs.PutSubscriptionFilterInput{LogGroupName: aws.String(group), FilterName: aws.String("f"),
		FilterPattern: aws.String(`"order good"`), DestinationArn: aws.String("arn:aws:lambda:us-east-1:000000000000:function:lines")})
	must(err)
	mapping, err := functions.CreateEventSourceMapping(ctx, &lambda.CreateEventSourceMappingInput{FunctionName: aws.String("orders"), EventSourceArn: aws.String(stream),
		StartingPosition: types.EventSourcePositionTrimHorizon, MaximumRetryAttempts: aws.Int32(1), BisectBatchOnFunctionError: aws.Bool(true),
		DestinationConfig: &types.DestinationConfig{OnFailure: &types.OnFailure{Destination: aws.String("arn:aws:s3:::failures")}}})
	must(err)
	streams := kinesis.NewFromConfig(cfg)
	for _, data := range []string{"good 1", "poison", "good 2"} {
		_, err = streams.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: aws.String("orders"), PartitionKey: aws.String("k"), Data: []byte(data)})
		must(err)
	}

	until := func(what string, holds func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(100 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("after a minute: %s", what)
			}
		}
	}
	logged := func(group, pattern string) (messages []string) {
		out, err := logs.FilterLogEvents(ctx, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group, FilterPattern: &pattern})
		if err != nil {
			return nil // not there yet
		}
		for _, e := range out.Events {
			messages = append(messages, strings.TrimSpace(*e.Message))
		}
		return messages
	}
	until("the good orders are not in the log", func() bool {
		got := strings.Join(logged(group, `"order good"`), "; ")
		return strings.Contains(got, "order good 1") && strings.Contains(got, "order good 2")
	})
	var key string
	until("what was given up is not in the bucket", func() bool {
		out, err := objects.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("failures")})
		must(err)
		if len(out.Contents) == 1 {
			key = *out.Contents[0].Key
		}
		return key != ""
	})
	if !strings.HasPrefix(key, "aws/lambda/"+*mapping.UUID+"/shardId-000000000000/") {
		t.Errorf("the key of what was given up is %s", key)
	}
	left, err := objects.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("failures"), Key: &key})
	must(err)
	defer left.Body.Close()
	text, err := io.ReadAll(left.Body)
	must(err)
	var record struct {
		RequestContext   struct{ Condition string }
		KinesisBatchInfo struct{ BatchSize int }
	}
	if err := json.Unmarshal(text, &record); err != nil || record.RequestContext.Condition != "RetryAttemptsExhausted" || record.KinesisBatchInfo.BatchSize != 1 {
		t.Errorf("what was given up is told as %s, %v", text, err)
	}
	until("the filter has not called the other function", func() bool {
		return len(logged("/aws/lambda/lines", `"called with"`)) > 0
	})
	if got := logged("/aws/lambda/lines", `"called with"`); got[0] != "called with ['awslogs']" {
		t.Errorf("the filter called with %q", got)
	}
}
