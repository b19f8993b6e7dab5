package rheo

import (
	"bytes"
	"context"
	"io"

	"github.com/rheostream/rheo/internal/api"
	lambdaapi "github.com/rheostream/rheo/internal/api/lambda"
	"github.com/rheostream/rheo/internal/call"
	"github.com/rheostream/rheo/internal/companion/lambda/process"
	"github.com/rheostream/rheo/internal/companion/logs"
	"github.com/rheostream/rheo/internal/companion/s3"
)

// onBehalf is the caller of what a service does for an account: the account itself
// until there are roles.
func onBehalf(account, region, service string) *api.Caller {
	return &api.Caller{Account: account, Region: region, Principal: "arn:aws:iam::" + account + ":root", UserAgent: service + ".amazonaws.com", RequestID: service}
}

// lambdaObjects are the objects that functions are made of, and those that mappings
// leave of what they gave up. It implements lambda.Objects.
type lambdaObjects struct{ calls *call.Calls }

func (l lambdaObjects) do(ctx context.Context, account, region, operation string, in any) (any, error) {
	return l.calls.Do(ctx, onBehalf(account, region, "lambda"), s3.API.Op(operation), in)
}

func (l lambdaObjects) GetObject(ctx context.Context, account, region, bucket, key, version string) (io.ReadCloser, int64, error) {
	if version != "" && version != "null" {
		return nil, 0, &api.Error{Code: "NoSuchVersion", Message: "The specified version does not exist."} // buckets have no versions
	}
	out, err := l.do(ctx, account, region, "GetObject", &s3.GetObjectInput{Bucket: bucket, Key: key})
	if err != nil {
		return nil, 0, err
	}
	object := out.(*s3.GetObjectOutput)
	return object.Body, object.Size, nil
}

func (l lambdaObjects) PutObject(ctx context.Context, account, region, bucket, key string, body []byte) error {
	_, err := l.do(ctx, account, region, "PutObject", &s3.PutObjectInput{Bucket: bucket, Key: key, Body: bytes.NewReader(body), Length: int64(len(body))})
	return err
}

func (l lambdaObjects) HeadBucket(ctx context.Context, account, region, bucket string) error {
	_, err := l.do(ctx, account, region, "HeadBucket", &s3.BucketInput{Bucket: bucket})
	return err
}

// functionLogs takes what functions print to CloudWatch Logs. It implements process.LogSink.
type functionLogs struct{ logs *logs.Service }

func (l functionLogs) PutLogs(ctx context.Context, to process.LogTarget, lines []process.LogLine) error {
	events := make([]logs.Event, len(lines))
	for i, line := range lines {
		events[i] = logs.Event{Time: line.Time, Message: line.Message}
	}
	return l.logs.Write(ctx, to.Account, to.Region, to.Group, to.Stream, events)
}

// functionCaller is how subscription filters of logs call functions. It implements logs.Functions.
type functionCaller struct{ calls *call.Calls }

func (f functionCaller) Check(ctx context.Context, account, region, functionARN string) error {
	_, err := f.calls.Do(ctx, onBehalf(account, region, "logs"), lambdaapi.Service.Op("GetFunctionConfiguration"), &lambdaapi.GetFunctionConfigurationInput{FunctionName: &functionARN})
	return err
}

func (f functionCaller) Invoke(ctx context.Context, account, region, functionARN string, payload []byte) error {
	_, err := f.calls.Do(ctx, onBehalf(account, region, "logs"), lambdaapi.Service.Op("Invoke"),
		&lambdaapi.InvokeInput{FunctionName: &functionARN, InvocationType: lambdaapi.InvocationTypeEvent, Payload: payload})
	return err
}
