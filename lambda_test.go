package rheo_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/rheostream/rheo"
	"github.com/rheostream/rheo/internal/auth"
)

// An otherLambda is another Lambda endpoint, whose functions answer as answer
// says. It takes calls that are signed with its key only.
type otherLambda struct {
	*httptest.Server
	mu     sync.Mutex
	answer func(name string, event []byte) (functionError, body string) // mu
}

func newOtherLambda(t *testing.T) *otherLambda {
	t.Helper()
	verifier, err := auth.New(auth.Config{Keys: []auth.Key{{ID: "AKIDOTHER", Secret: "other secret", Account: "123456789012"}}})
	if err != nil {
		t.Fatal(err)
	}
	o := &otherLambda{answer: func(_ string, event []byte) (string, string) { return "", string(event) }}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		event, err := io.ReadAll(r.Body)
		claim, parseErr := auth.Parse(r)
		if err = errors.Join(err, parseErr); err == nil {
			err = verifier.Check(&claim, r, "lambda")
		}
		if err == nil {
			_, err = verifier.Verify(&claim, r, sha256.Sum256(event))
		}
		if err != nil {
			w.Header().Set("X-Amzn-ErrorType", "UnrecognizedClientException")
			http.Error(w, `{"message":"no"}`, http.StatusForbidden)
			return
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/2015-03-31/functions/"), "/")
		o.mu.Lock()
		functionError, body := o.answer(name, event)
		o.mu.Unlock()
		if functionError != "" {
			w.Header().Set("X-Amz-Function-Error", functionError)
		}
		w.Header().Set("X-Amz-Executed-Version", "$LATEST")
		w.Header().Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString([]byte("a line\n")))
		io.WriteString(w, body)
	}))
	t.Cleanup(o.Close)
	return o
}

func (o *otherLambda) answers(f func(name string, event []byte) (string, string)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answer = f
}

func packageOf(t testing.TB, name, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// clientConfig is what AWS's SDK for Go is told of srv.
func clientConfig(srv *rheo.Server, id, secret string) aws.Config {
	return aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(srv.URL()), Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""), RetryMaxAttempts: 1}
}

// TestLambda: AWS's SDK makes a function, waits for it, invokes it at another
// endpoint, and gets errors as the types that it has for them. Everything is
// there after a restart.
func TestLambda(t *testing.T) {
	other := newOtherLambda(t)
	c := rheo.Config{Dir: t.TempDir(), HTTP1Port: -1, Lambda: other.URL, LambdaKey: "AKIDOTHER:other secret",
		Keys: []rheo.Key{{ID: "AKIDOURS", Secret: "our secret", Account: "123456789012"}}}
	srv, err := rheo.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	ctx, client := t.Context(), lambda.NewFromConfig(clientConfig(srv, "AKIDOURS", "our secret"))
	made, err := client.CreateFunction(ctx, &lambda.CreateFunctionInput{FunctionName: aws.String("echo"), Role: aws.String("arn:aws:iam::123456789012:role/r"),
		Runtime: types.RuntimeNodejs22x, Handler: aws.String("index.handler"), Code: &types.FunctionCode{ZipFile: packageOf(t, "index.js", "exports.handler = async e => e")}})
	if err != nil {
		t.Fatal(err)
	}
	if made.State != types.StatePending || *made.FunctionArn != "arn:aws:lambda:us-east-1:123456789012:function:echo" || *made.Timeout != 3 || *made.MemorySize != 128 {
		t.Errorf("made %+v", made)
	}
	if err := lambda.NewFunctionActiveV2Waiter(client).Wait(ctx, &lambda.GetFunctionInput{FunctionName: aws.String("echo")}, time.Minute); err != nil {
		t.Fatal(err)
	}
	out, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: made.FunctionArn, Payload: []byte(`{"n":1}`), LogType: types.LogTypeTail})
	if err != nil {
		t.Fatal(err)
	}
	if string(out.Payload) != `{"n":1}` || out.StatusCode != 200 || *out.ExecutedVersion != "$LATEST" || *out.LogResult != base64.StdEncoding.EncodeToString([]byte("a line\n")) || out.FunctionError != nil {
		t.Errorf("invoked: %+v", out)
	}
	other.answers(func(string, []byte) (string, string) { return "Unhandled", `{"errorMessage":"no"}` })
	if out, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("echo")}); err != nil || aws.ToString(out.FunctionError) != "Unhandled" || string(out.Payload) != `{"errorMessage":"no"}` {
		t.Errorf("a function error: %+v, %v", out, err)
	}
	_, err = client.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String("none")})
	var missing *types.ResourceNotFoundException
	if !errors.As(err, &missing) || missing.ErrorMessage() != "Function not found: arn:aws:lambda:us-east-1:123456789012:function:none" || aws.ToString(missing.Type) != "User" {
		t.Errorf("a function that is not there: %v", err)
	}
	_, err = client.CreateFunction(ctx, &lambda.CreateFunctionInput{FunctionName: aws.String("bad"), Role: aws.String("arn:aws:iam::123456789012:role/r"),
		Runtime: types.RuntimeNodejs22x, Handler: aws.String("index.handler"), Code: &types.FunctionCode{ZipFile: []byte("no zip")}})
	var invalid *types.InvalidParameterValueException
	if !errors.As(err, &invalid) || invalid.ErrorMessage() != "Could not unzip uploaded file. Please check your file, then try to upload again." {
		t.Errorf("a zip that is none: %v", err)
	}
	if _, err := client.PutFunctionConcurrency(ctx, &lambda.PutFunctionConcurrencyInput{FunctionName: aws.String("echo"), ReservedConcurrentExecutions: aws.Int32(0)}); err != nil {
		t.Fatal(err)
	}
	_, err = client.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("echo")})
	var throttled *types.TooManyRequestsException
	if !errors.As(err, &throttled) || throttled.Reason != types.ThrottleReasonReservedFunctionConcurrentInvocationLimitExceeded {
		t.Errorf("a function with no concurrency: %v", err)
	}
	if err := srv.Close(); err != nil {
		t.Fatal(err)
	}
	if srv, err = rheo.New(c); err != nil {
		t.Fatal(err)
	}
	client = lambda.NewFromConfig(clientConfig(srv, "AKIDOURS", "our secret"))
	have, err := client.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String("echo")})
	if err != nil || *have.Configuration.CodeSha256 != *made.CodeSha256 || *have.Concurrency.ReservedConcurrentExecutions != 0 {
		t.Errorf("after a restart: %+v, %v", have, err)
	}
}

// TestLambdaLargePackage: a package comes in a request that is larger than any
// other may be, and what is too large is told so in Lambda's words.
func TestLambdaLargePackage(t *testing.T) {
	if testing.Short() {
		t.Skip("it sends 70 MB")
	}
	srv, err := rheo.New(rheo.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	client := lambda.NewFromConfig(clientConfig(srv, "123456789012", "any"))
	create := func(name string, zip []byte) error {
		_, err := client.CreateFunction(t.Context(), &lambda.CreateFunctionInput{FunctionName: &name, Role: aws.String("arn:aws:iam::123456789012:role/r"),
			Runtime: types.RuntimeProvidedal2023, Handler: aws.String("bootstrap"), Code: &types.FunctionCode{ZipFile: zip}})
		return err
	}
	stored := func(n int) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		w, err := z.CreateHeader(&zip.FileHeader{Name: "bootstrap", Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		w.Write(make([]byte, n))
		z.Close()
		return b.Bytes()
	}
	if err := create("large", stored(49<<20)); err != nil {
		t.Errorf("a package of 49 MiB: %v", err)
	}
	if err := create("larger", stored(50<<20)); err == nil || !strings.Contains(err.Error(), "Zipped size must be smaller than 52428800 bytes") {
		t.Errorf("a package of more than 50 MiB: %v", err)
	}
	if err := create("largest", stored(55<<20)); err == nil || !strings.Contains(err.Error(), "Request must be smaller than 70167211 bytes for the CreateFunction operation") {
		t.Errorf("a package of 55 MiB: %v", err)
	}
}

// TestLambdaMapping: records of a stream reach the function, in order, in the form
// that Lambda gives them, and after a restart it goes on where it was.
func TestLambdaMapping(t *testing.T) {
	other := newOtherLambda(t)
	type record struct {
		EventID        string `json:"eventID"`
		EventSourceARN string `json:"eventSourceARN"`
		Kinesis        struct {
			PartitionKey string `json:"partitionKey"`
			Data         []byte `json:"data"`
		} `json:"kinesis"`
	}
	records := make(chan record, 1000)
	other.answers(func(name string, event []byte) (string, string) {
		var e struct{ Records []record }
		if err := json.Unmarshal(event, &e); err != nil || name != "count" {
			t.Errorf("function %s was invoked with %s", name, event)
		}
		for _, r := range e.Records {
			records <- r
		}
		return "", "null"
	})
	c := rheo.Config{Dir: t.TempDir(), HTTP1Port: -1, Lambda: other.URL, LambdaKey: "AKIDOTHER:other secret", Streams: []rheo.InitialStream{{Name: "s", Shards: 1}}}
	srv, err := rheo.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	ctx, cfg := t.Context(), clientConfig(srv, "000000000000", "any")
	client := lambda.NewFromConfig(cfg)
	if _, err := client.CreateFunction(ctx, &lambda.CreateFunctionInput{FunctionName: aws.String("count"), Role: aws.String("arn:aws:iam::000000000000:role/r"),
		Runtime: types.RuntimeProvidedal2023, Handler: aws.String("bootstrap"), Code: &types.FunctionCode{ZipFile: packageOf(t, "bootstrap", "")}}); err != nil {
		t.Fatal(err)
	}
	m, err := client.CreateEventSourceMapping(ctx, &lambda.CreateEventSourceMappingInput{FunctionName: aws.String("count"),
		EventSourceArn: aws.String("arn:aws:kinesis:us-east-1:000000000000:stream/s"), StartingPosition: types.EventSourcePositionTrimHorizon})
	if err != nil {
		t.Fatal(err)
	}
	put := func(cfg aws.Config, from int) {
		t.Helper()
		var entries []kinesistypes.PutRecordsRequestEntry
		for i := range 10 {
			entries = append(entries, kinesistypes.PutRecordsRequestEntry{PartitionKey: aws.String("k"), Data: []byte{byte(from + i)}})
		}
		if _, err := kinesis.NewFromConfig(cfg).PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: aws.String("s"), Records: entries}); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(from int) {
		t.Helper()
		for i := range 10 {
			select {
			case r := <-records:
				if len(r.Kinesis.Data) != 1 || int(r.Kinesis.Data[0]) != from+i || r.EventSourceARN != "arn:aws:kinesis:us-east-1:000000000000:stream/s" || !strings.HasPrefix(r.EventID, "shardId-000000000000:") {
					t.Fatalf("record %d is %+v", from+i, r)
				}
			case <-time.After(time.Minute):
				t.Fatalf("record %d has not come", from+i)
			}
		}
	}
	put(cfg, 0)
	expect(0)
	eventually(t, func() bool {
		have, err := client.GetEventSourceMapping(ctx, &lambda.GetEventSourceMappingInput{UUID: m.UUID})
		return err == nil && *have.State == "Enabled" && *have.LastProcessingResult == "OK"
	})
	if err := srv.Close(); err != nil {
		t.Fatal(err)
	}
	if srv, err = rheo.New(c); err != nil {
		t.Fatal(err)
	}
	cfg = clientConfig(srv, "000000000000", "any")
	client = lambda.NewFromConfig(cfg)
	put(cfg, 10)
	expect(10) // and nothing of what was done before
	if _, err := client.DeleteEventSourceMapping(ctx, &lambda.DeleteEventSourceMappingInput{UUID: m.UUID}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		_, err := client.GetEventSourceMapping(ctx, &lambda.GetEventSourceMappingInput{UUID: m.UUID})
		var gone *types.ResourceNotFoundException
		return errors.As(err, &gone)
	})
}

// eventually waits until something is so, at most a minute.
func eventually(t *testing.T, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !so() {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("it did not come to be")
		}
	}
}
