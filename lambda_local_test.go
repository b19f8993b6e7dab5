package rheo_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/rheostream/rheo"
)

func TestMain(m *testing.M) {
	rheo.Become() // tests run functions
	os.Exit(m.Run())
}

// TestLambdaLocal: a function runs as a process here, and what it is given to call
// us with works: the endpoint, and a key that is the process's own.
func TestLambdaLocal(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("functions run on Linux")
	}
	version, err := exec.Command("python3", "-c", "import sys; print('python%d.%d' % sys.version_info[:2])").Output()
	if err != nil {
		t.Skip("there is no Python: ", err)
	}
	srv, err := rheo.New(rheo.Config{Dir: t.TempDir(), HTTP1Port: -1, Lambda: "local", LambdaDir: "", Streams: []rheo.InitialStream{{Name: "s", Shards: 1}},
		Keys: []rheo.Key{{ID: "AKIDOURS", Secret: "our secret", Account: "123456789012"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	ctx, client := t.Context(), lambda.NewFromConfig(clientConfig(srv, "AKIDOURS", "our secret"))
	if _, err := client.CreateFunction(ctx, &lambda.CreateFunctionInput{FunctionName: aws.String("f"), Role: aws.String("arn:aws:iam::123456789012:role/r"),
		Runtime: types.Runtime(strings.TrimSpace(string(version))), Handler: aws.String("app.handler"), Timeout: aws.Int32(30),
		Environment: &types.Environment{Variables: map[string]string{"MINE": "1"}},
		Code: &types.FunctionCode{ZipFile: packageOf(t, "app.py", `
import os
def handler(event, context):
    print("hello from", context.function_name)
    if event.get("fail"):
        raise ValueError("as asked")
    return {"event": event, "env": dict(os.environ)}
`)}}); err != nil {
		t.Fatal(err)
	}
	out, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("f"), Payload: []byte(`{"n":1}`), LogType: types.LogTypeTail})
	if err != nil {
		t.Fatal(err)
	}
	log, err := base64.StdEncoding.DecodeString(aws.ToString(out.LogResult))
	if err != nil || !strings.Contains(string(log), "hello from f") || !strings.Contains(string(log), "REPORT RequestId: ") {
		t.Errorf("log %q, %v", log, err)
	}
	var got struct {
		Event map[string]int
		Env   map[string]string
	}
	if err := json.Unmarshal(out.Payload, &got); err != nil || out.FunctionError != nil || got.Event["n"] != 1 || got.Env["MINE"] != "1" || got.Env["AWS_REGION"] != "us-east-1" {
		t.Fatalf("answered %s %s, %v", aws.ToString(out.FunctionError), out.Payload, err)
	}
	if !strings.HasPrefix(got.Env["AWS_ENDPOINT_URL"], "http") {
		t.Errorf("the endpoint is %q", got.Env["AWS_ENDPOINT_URL"])
	}
	as := clientConfig(srv, "", "")
	as.Credentials = credentials.NewStaticCredentialsProvider(got.Env["AWS_ACCESS_KEY_ID"], got.Env["AWS_SECRET_ACCESS_KEY"], got.Env["AWS_SESSION_TOKEN"])
	if out, err := kinesis.NewFromConfig(as).ListStreams(ctx, &kinesis.ListStreamsInput{}); err != nil || len(out.StreamNames) != 1 {
		t.Errorf("with the function's key: %+v, %v", out, err)
	}
	out, err = client.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("f"), Payload: []byte(`{"fail":true}`)})
	if err != nil || aws.ToString(out.FunctionError) != "Unhandled" || !strings.Contains(string(out.Payload), "as asked") {
		t.Errorf("a function that fails: %+v, %v", out, err)
	}
	have, err := client.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String("f")})
	if err != nil || !strings.Contains(aws.ToString(have.Configuration.StateReason), "not the boundary of a virtual machine") {
		t.Errorf("GetFunction: %+v, %v", have, err)
	}
}

// BenchmarkLambdaLocal is a warm synchronous invocation of 1 KB of a function for
// Node.js, signed and by HTTP, with the SDK's own cost.
func BenchmarkLambdaLocal(b *testing.B) {
	version, err := exec.Command("node", "--version").Output()
	if err != nil || runtime.GOOS != "linux" {
		b.Skip("there is no Node.js: ", err)
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(string(version), "v"), ".")
	srv, err := rheo.New(rheo.Config{Lambda: "local", Limits: rheo.LimitsOff})
	if err != nil {
		b.Fatal(err)
	}
	defer srv.Close()
	client := lambda.NewFromConfig(clientConfig(srv, "000000000000", "any"))
	if _, err := client.CreateFunction(b.Context(), &lambda.CreateFunctionInput{FunctionName: aws.String("f"), Role: aws.String("arn:aws:iam::000000000000:role/r"), MemorySize: aws.Int32(512),
		Runtime: types.Runtime("nodejs" + major + ".x"), Handler: aws.String("i.h"), Timeout: aws.Int32(30), Code: &types.FunctionCode{ZipFile: packageOf(b, "i.js", "exports.h = async e => e.length")}}); err != nil {
		b.Fatal(err)
	}
	payload := []byte(`"` + strings.Repeat("x", 1022) + `"`)
	invoke := func() {
		if out, err := client.Invoke(b.Context(), &lambda.InvokeInput{FunctionName: aws.String("f"), Payload: payload}); err != nil || out.FunctionError != nil {
			b.Errorf("%+v, %v", out, err)
		}
	}
	invoke()
	b.SetParallelism(2)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			invoke()
		}
	})
}
