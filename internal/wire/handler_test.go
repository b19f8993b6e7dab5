package wire

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/fxamacker/cbor/v2"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/call"
)

// do sends a request straight into h.
func do(h http.Handler, r *http.Request) *http.Response {
	r.RequestURI = r.URL.RequestURI()
	if r.RemoteAddr == "" {
		r.RemoteAddr = "127.0.0.1:50000"
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestCall(t *testing.T) {
	h, s := testHandler(t, nil)
	r := request("http://localhost:4566/", "PutRecord", putBody)
	r.Header.Set("User-Agent", "test/1")
	resp := do(h, r)
	body := readAll(t, resp)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-amz-json-1.1" ||
		body != `{"ShardId":"shardId-000000000000","SequenceNumber":"49590338271490256608559692538361571095921575989136588898"}` {
		t.Fatalf("%s %v %s", resp.Status, resp.Header, body)
	}
	if in := s.lastPut(); *in.StreamName != "s" || *in.PartitionKey != "k" || string(in.Data) != "hello" {
		t.Errorf("%+v", in)
	}
	id := resp.Header["x-amzn-RequestId"]
	if len(id) != 1 || !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(id[0]) {
		t.Errorf("request id %q", id)
	}
	if long := resp.Header["x-amz-id-2"]; len(long) != 1 || len(long[0]) != 96 {
		t.Errorf("x-amz-id-2 %q", long)
	}
	if got, want := s.lastCaller(), (api.Caller{Account: "000000000000", Region: "us-east-1", AccessKey: "test",
		Principal: "arn:aws:iam::000000000000:root", UserAgent: "test/1", SourceIP: "127.0.0.1", RequestID: id[0], Host: "localhost:4566"}); got != want {
		t.Errorf("caller %+v", got)
	}
}

// TestAnswers is what is answered to requests that do not get as far as an
// operation, or whose operation fails.
func TestAnswers(t *testing.T) {
	const jsonType, cborType = "application/x-amz-json-1.1", "application/x-amz-cbor-1.1"
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) {
			if value == "" {
				r.Header.Del(name)
			} else {
				r.Header.Set(name, value)
			}
		}
	}
	for _, tt := range []struct {
		name        string
		operation   string
		body        string
		change      func(*http.Request)
		status      int
		contentType string
		answer      string // with the request id as ID
	}{
		{"unknown operation", "PutRecrod", "{}", nil, 400, jsonType, `{"__type":"UnknownOperationException"}`},
		{"operation without implementation", "CreateChannel", `{"ChannelName":"c","ServiceExecutionRoleARN":"arn:aws:iam::000000000000:role/r","StreamConfigurationList":[]}`, nil, 400, jsonType, ""},
		{"unknown target", "", "{}", header("X-Amz-Target", "Nobody_20131202.PutRecord"), 400, jsonType, `{"__type":"UnknownOperationException"}`},
		{"target without a dot", "", "{}", header("X-Amz-Target", "PutRecord"), 400, jsonType, `{"__type":"UnknownOperationException"}`},
		{"no target", "", "{}", header("X-Amz-Target", ""), 400, jsonType, `{"__type":"UnknownOperationException"}`},
		{"unknown operation in JSON 1.0", "PutRecrod", "{}", header("Content-Type", "application/x-amz-json-1.0"), 400, "application/x-amz-json-1.0", `{"__type":"UnknownOperationException"}`},
		{"another content type", "PutRecord", "{}", header("Content-Type", "text/plain"), 404, "text/xml", "<UnknownOperationException/>\n"},
		{"neither target nor content type", "", "{}", func(r *http.Request) { r.Header.Del("X-Amz-Target"); r.Header.Del("Content-Type") }, 403, "text/xml",
			"<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be authorized</Message>\n</AccessDeniedException>\n"},
		{"another method", "PutRecord", "{}", func(r *http.Request) { r.Method = "PUT" }, 403, "text/xml",
			"<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be authorized</Message>\n</AccessDeniedException>\n"},
		{"another path, without target", "", "", func(r *http.Request) {
			r.Method, r.URL.Path = "GET", "/nowhere"
			r.Header.Del("X-Amz-Target")
			r.Header.Del("Content-Type")
		},
			404, "text/xml", "<UnknownOperationException/>\n"},
		{"unsigned", "PutRecord", putBody, header("Authorization", ""), 400, jsonType, `{"__type":"MissingAuthenticationTokenException","message":"Missing Authentication Token"}`},
		{"unsigned and unknown", "PutRecrod", putBody, header("Authorization", ""), 400, jsonType, `{"__type":"UnknownOperationException"}`},
		{"unsigned and malformed", "PutRecord", "{", header("Authorization", ""), 400, jsonType, `{"__type":"MissingAuthenticationTokenException","message":"Missing Authentication Token"}`},
		{"signed for another service", "PutRecord", putBody, header("Authorization", "AWS4-HMAC-SHA256 Credential=test/20261125/us-east-1/firehose/aws4_request, SignedHeaders=host, Signature=00"),
			400, jsonType, `{"__type":"InvalidSignatureException","message":"Credential should be scoped to correct service: 'kinesis'. "}`},
		{"malformed body", "PutRecord", "{", nil, 400, jsonType, `{"__type":"SerializationException"}`},
		{"broken constraint", "DeleteStream", `{"StreamName":""}`, nil, 400, jsonType,
			`{"__type":"ValidationException","message":"`},
		{"an error of the operation", "DeleteStream", `{"StreamName":"gone"}`, nil, 400, jsonType,
			`{"__type":"ResourceNotFoundException","message":"Stream gone under account 000000000000 not found."}`},
		{"a panic in the operation", "GetRecords", `{"ShardIterator":"panic"}`, nil, 500, jsonType,
			`{"__type":"InternalFailure","message":"The request failed because of an internal error; the server's log has it under request id ID."}`},
		{"declared too long", "PutRecord", putBody, func(r *http.Request) { r.ContentLength = 16<<20 + 1 }, 413, jsonType,
			`{"__type":"RequestEntityTooLarge","message":"The request body is larger than 16777216 bytes."}`},
		{"too long without a length", "PutRecord", strings.Repeat(" ", 16<<20+1), func(r *http.Request) { r.ContentLength = -1 }, 413, jsonType,
			`{"__type":"RequestEntityTooLarge","message":"The request body is larger than 16777216 bytes."}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, _ := testHandler(t, nil)
			r := request("http://localhost:4566/", tt.operation, tt.body)
			if tt.change != nil {
				tt.change(r)
			}
			resp := do(h, r)
			body := readAll(t, resp)
			want := strings.Replace(tt.answer, "ID", resp.Header["x-amzn-RequestId"][0], 1)
			if resp.StatusCode != tt.status || resp.Header.Get("Content-Type") != tt.contentType || body != want && !(strings.HasSuffix(want, `"`) || want == "") || !strings.HasPrefix(body, want) {
				t.Errorf("%s, %s, %s; want %d, %s, %s", resp.Status, resp.Header.Get("Content-Type"), body, tt.status, tt.contentType, want)
			}
			if used := h.Memory.Used(); used != 0 {
				t.Errorf("%d bytes of memory are still taken", used)
			}
		})
	}
}

// TestNotImplemented: the model's operations that the service does not have are unknown.
func TestNotImplemented(t *testing.T) {
	h, _ := testHandler(t, nil)
	resp := do(h, request("http://localhost/", "DescribeLimits", "{}"))
	if body := readAll(t, resp); resp.StatusCode != 400 || body != `{"__type":"UnknownOperationException"}` {
		t.Fatalf("%s %s", resp.Status, body)
	}
}

// TestNoOutput: an operation that has no output is answered without a body, as
// AWS has it.
func TestNoOutput(t *testing.T) {
	h, _ := testHandler(t, nil)
	server, _ := startServer(t, h, nil)
	for contentType, body := range map[string]string{
		"application/x-amz-json-1.1": `{"StreamName":"s","ShardCount":1}`,
		"application/x-amz-cbor-1.1": "\xa2\x6aStreamName\x61s\x6aShardCount\x01",
	} {
		r := request("http://"+server.Addr().String()+"/", "CreateStream", body)
		r.Header.Set("Content-Type", contentType)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got := readAll(t, resp)
		if resp.StatusCode != 200 || got != "" || resp.ContentLength != 0 || resp.Header.Get("Content-Length") != "0" || resp.Header.Get("Content-Type") != contentType {
			t.Errorf("%s: %s, %q, headers %v", contentType, resp.Status, got, resp.Header)
		}
	}
}

// TestOutputWithoutMembers: an output that is in the model has a body, if it has no
// members too, as Firehose's DeleteDeliveryStream.
func TestOutputWithoutMembers(t *testing.T) {
	h, _ := testHandler(t, nil)
	for want, noOutput := range map[string]bool{"{}": false, "": true} {
		w := httptest.NewRecorder()
		op := &api.Op{Service: &api.Service{}, Status: 200, Output: &api.Shape{}, NoOutput: noOutput}
		x := exchange{Handler: h, w: w, r: request("http://localhost/", "Any", "{}"), route: route{op: op, codec: json11}}
		if err := x.answer(&struct{}{}); err != nil || w.Body.String() != want {
			t.Errorf("NoOutput %t: %q, %v; want %q", noOutput, w.Body, err, want)
		}
	}
}

// TestEmptyBody: no body is not an empty structure, but where there is no input.
func TestEmptyBody(t *testing.T) {
	h, _ := testHandler(t, nil)
	for _, c := range []struct{ contentType, body, answer string }{
		{"application/x-amz-json-1.1", "", `{"__type":"SerializationException"}`},
		{"application/x-amz-json-1.1", "null", `{"__type":"SerializationException"}`},
		{"application/x-amz-json-1.0", "", `{"__type":"SerializationException"}`},
		{"application/x-amz-cbor-1.1", "", "\xa1\x66__type\x76SerializationException"},
		{"application/x-amz-cbor-1.1", "\xf6", "\xa1\x66__type\x76SerializationException"},
	} {
		r := request("http://localhost/", "ListStreams", c.body)
		r.Header.Set("Content-Type", c.contentType)
		resp := do(h, r)
		if body := readAll(t, resp); resp.StatusCode != 400 || body != c.answer || resp.Header.Get("Content-Type") != c.contentType {
			t.Errorf("%s %q: %s %q", c.contentType, c.body, resp.Status, body)
		}
	}
}

// TestBodyOfUnknownLength: a chunked body is read as it grows, up to the most there may be.
func TestBodyOfUnknownLength(t *testing.T) {
	h, s := testHandler(t, nil)
	data := bytes.Repeat([]byte("0123456789"), 700<<10/10)
	body, err := json.Marshal(map[string]any{"StreamName": "s", "PartitionKey": "k", "Data": data})
	if err != nil {
		t.Fatal(err)
	}
	r := request("http://localhost/", "PutRecord", string(body))
	r.ContentLength = -1
	if resp := do(h, r); resp.StatusCode != 200 {
		t.Fatal(readAll(t, resp))
	}
	if !bytes.Equal(s.lastPut().Data, data) {
		t.Fatal("the data arrived otherwise")
	}
	if used := h.Memory.Used(); used != 0 {
		t.Errorf("%d bytes of memory are still taken", used)
	}
}

// TestMemory: a body for which there is no memory is passed over, and holds none.
func TestMemory(t *testing.T) {
	h, _ := testHandler(t, func(c *HandlerConfig) { c.Memory = NewBudget(1 << 20) })
	r := request("http://localhost/", "PutRecord", putBody)
	r.ContentLength = 600 << 10
	read, held := 0, int64(0)
	r.Body = io.NopCloser(readerFunc(func(p []byte) (int, error) {
		if read == 600<<10 {
			return 0, io.EOF
		}
		if read > firstBytes {
			held = max(held, h.Memory.Used())
		}
		n := min(len(p), 600<<10-read)
		read += n
		return n, nil
	}))
	resp := do(h, r)
	if body := readAll(t, resp); resp.StatusCode != 503 || !strings.HasPrefix(body, `{"__type":"ServiceUnavailable"`) || held > 0 || read != 600<<10 {
		t.Fatalf("%s %s, read: %d, held meanwhile: %d", resp.Status, body, read, held)
	}
	if resp := do(h, request("http://localhost/", "PutRecord", putBody)); resp.StatusCode != 200 {
		t.Fatal(readAll(t, resp))
	}
}

// TestAnnouncedBodiesHoldLittle: senders that announce large bodies and send
// nothing do not keep the others out.
func TestAnnouncedBodiesHoldLittle(t *testing.T) {
	h, _ := testHandler(t, func(c *HandlerConfig) { c.Memory = NewBudget(64 << 20) })
	stalled, stop := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	for range 40 {
		r := request("http://localhost/", "PutRecord", putBody)
		r.ContentLength = bodyBytesMax
		first := true
		r.Body = io.NopCloser(readerFunc(func(p []byte) (int, error) {
			if first {
				stalled <- struct{}{}
				<-stop
				first = false
			}
			return 0, io.ErrUnexpectedEOF
		}))
		wg.Go(func() {
			defer func() { recover() }() // the connection is given up
			do(h, r)
		})
	}
	for range 40 {
		<-stalled
	}
	resp := do(h, request("http://localhost/", "PutRecord", putBody))
	if resp.StatusCode != 200 {
		t.Error(readAll(t, resp))
	}
	close(stop)
	wg.Wait()
	if used := h.Memory.Used(); used != 0 {
		t.Errorf("%d bytes of memory are still taken", used)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestUnauthenticatedBodiesAreNotRead: what the headers give away needs no body.
func TestUnauthenticatedBodiesAreNotRead(t *testing.T) {
	h, _ := testHandler(t, verifying)
	r := request("http://localhost/", "PutRecord", putBody) // signed long ago, by nobody
	r.Body = io.NopCloser(readerFunc(func(p []byte) (int, error) { t.Error("read"); return 0, io.EOF }))
	if body := readAll(t, do(h, r)); !strings.HasPrefix(body, `{"__type":"InvalidSignatureException","message":"Signature expired`) {
		t.Fatal(body)
	}
}

// TestUnverifiedBodiesAreNotParsed: of a body with a wrong signature nothing but that is said.
func TestUnverifiedBodiesAreNotParsed(t *testing.T) {
	h, _ := testHandler(t, verifying)
	r := request("http://localhost/", "PutRecord", "{ not JSON")
	sign(t, r, "{ not JSON")
	r.Header.Set("Authorization", regexp.MustCompile("Signature=.").ReplaceAllString(r.Header.Get("Authorization"), "Signature=x"))
	if body := readAll(t, do(h, r)); !strings.HasPrefix(body, `{"__type":"InvalidSignatureException","message":"The request signature we calculated`) {
		t.Fatal(body)
	}
}

func sign(t *testing.T, r *http.Request, body string) {
	t.Helper()
	sum := sha256.Sum256([]byte(body))
	r.Header.Del("Authorization")
	err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: testKey.ID, SecretAccessKey: testKey.Secret}, r,
		hex.EncodeToString(sum[:]), "kinesis", "eu-west-1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
}

// TestSigned: with keys configured the signature counts, over HTTP/1.1 and HTTP/2;
// there clients may sign :authority in the place of host (rule T7).
func TestSigned(t *testing.T) {
	h, s := testHandler(t, verifying)
	server, _ := startServer(t, h, nil)
	prior := new(http.Protocols)
	prior.SetUnencryptedHTTP2(true)
	for _, tt := range []struct {
		name      string
		transport *http.Transport
		authority bool
	}{
		{"HTTP/1.1", &http.Transport{}, false},
		{"HTTP/2", &http.Transport{Protocols: prior}, false},
		{"HTTP/2 with :authority", &http.Transport{Protocols: prior}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer tt.transport.CloseIdleConnections()
			r := request("http://"+server.Addr().String()+"/", "ListStreams", "{}")
			r.Header.Del("X-Amz-Date")
			if tt.authority {
				signAuthority(r, "{}")
			} else {
				sign(t, r, "{}")
			}
			resp, err := (&http.Client{Transport: tt.transport}).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if body := readAll(t, resp); resp.StatusCode != 200 {
				t.Fatal(body)
			}
			if c := s.lastCaller(); c.Account != testKey.Account || c.Region != "eu-west-1" || c.Principal != "arn:aws:iam::123456789012:root" {
				t.Errorf("%+v", c)
			}
		})
	}
}

func hmacSHA256(key []byte, s string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(s))
	return mac.Sum(nil)
}

// signAuthority signs as the JavaScript SDK does over HTTP/2.
func signAuthority(r *http.Request, body string) {
	now := time.Now().UTC()
	date, day := now.Format("20060102T150405Z"), now.Format("20060102")
	r.Header.Set("X-Amz-Date", date)
	sum := func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
	signed := ":authority;x-amz-date;x-amz-target"
	canonical := "POST\n/\n\n:authority:" + r.URL.Host + "\nx-amz-date:" + date + "\nx-amz-target:" + r.Header.Get("X-Amz-Target") + "\n\n" + signed + "\n" + sum(body)
	scope := day + "/eu-west-1/kinesis/aws4_request"
	key := []byte("AWS4" + testKey.Secret)
	for _, part := range []string{day, "eu-west-1", "kinesis", "aws4_request"} {
		key = hmacSHA256(key, part)
	}
	signature := hex.EncodeToString(hmacSHA256(key, "AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+sum(canonical)))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+testKey.ID+"/"+scope+", SignedHeaders="+signed+", Signature="+signature)
}

// TestCBOR is rule T5: CBOR 1.1 both ways, with times in whole milliseconds.
func TestCBOR(t *testing.T) {
	h, s := testHandler(t, nil)
	cborCall := func(operation string, in any) (map[string]any, *http.Response) {
		t.Helper()
		body, err := cbor.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		r := request("http://localhost/", operation, string(body))
		r.Header.Set("Content-Type", cborType)
		resp := do(h, r)
		var out map[string]any
		if err := cbor.Unmarshal([]byte(readAll(t, resp)), &out); err != nil {
			t.Fatal(err)
		}
		if resp.Header.Get("Content-Type") != cborType {
			t.Fatalf("%v", resp.Header)
		}
		return out, resp
	}
	out, resp := cborCall("PutRecord", map[string]any{"StreamName": "s", "PartitionKey": "k", "Data": []byte{0, 255}})
	if resp.StatusCode != 200 || out["ShardId"] != "shardId-000000000000" || !bytes.Equal(s.lastPut().Data, []byte{0, 255}) {
		t.Errorf("%v, %v", out, s.lastPut().Data)
	}
	out, _ = cborCall("GetShardIterator", map[string]any{"StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "AT_TIMESTAMP",
		"Timestamp": cbor.Tag{Number: 1, Content: 1764068400123}})
	if out["ShardIterator"] != "2025-11-25T11:00:00.123Z" {
		t.Errorf("the timestamp arrived as %v", out["ShardIterator"])
	}
	body, _ := cbor.Marshal(map[string]any{"ShardIterator": "x"})
	r := request("http://localhost/", "GetRecords", string(body))
	r.Header.Set("Content-Type", cborType)
	var records struct {
		Records []struct{ ApproximateArrivalTimestamp cbor.RawTag }
	}
	if err := cbor.Unmarshal([]byte(readAll(t, do(h, r))), &records); err != nil {
		t.Fatal(err)
	}
	var millis int64
	if at := records.Records[0].ApproximateArrivalTimestamp; at.Number != 1 || cbor.Unmarshal(at.Content, &millis) != nil || millis != 1764068400123 {
		t.Errorf("a time is sent as %v", at)
	}
	out, resp = cborCall("DeleteStream", map[string]any{"StreamName": "gone"})
	if resp.StatusCode != 400 || out["__type"] != "ResourceNotFoundException" || out["message"] != "Stream gone under account 000000000000 not found." {
		t.Errorf("%v", out)
	}
	out, resp = cborCall("PutRecrod", map[string]any{})
	if resp.StatusCode != 400 || out["__type"] != "UnknownOperationException" {
		t.Errorf("%v", out)
	}
}

// TestUnknownMembers is rule T11: what the model does not know is ignored.
func TestUnknownMembers(t *testing.T) {
	h, s := testHandler(t, nil)
	resp := do(h, request("http://localhost/", "PutRecord", `{"StreamName":"s","StreamId":"abcdefghij0123456789-abc","Later":{"a":[1,{"b":null}]},"PartitionKey":"k","Data":"aGVsbG8="}`))
	if body := readAll(t, resp); resp.StatusCode != 200 || string(s.lastPut().Data) != "hello" {
		t.Fatal(body)
	}
}

func TestHealth(t *testing.T) {
	h, _ := testHandler(t, nil)
	get := func(path string) (int, string) {
		r, _ := http.NewRequest("GET", "http://anything.example"+path, nil)
		resp := do(h, r)
		return resp.StatusCode, readAll(t, resp)
	}
	if status, body := get("/health"); status != 200 || body != `{"status":"ok","version":"1.2.3"}`+"\n" {
		t.Errorf("%d %s", status, body)
	}
	if status, body := get("/_localstack/health"); status != 200 || body != `{"services":{"kinesis":"running"},"edition":"rheo","version":"1.2.3"}`+"\n" {
		t.Errorf("%d %s", status, body)
	}
	h.Drain()
	if status, body := get("/health"); status != 503 || body != `{"status":"stopping","version":"1.2.3"}`+"\n" {
		t.Errorf("%d %s", status, body)
	}
}

func TestMetricsPage(t *testing.T) {
	h, _ := testHandler(t, func(c *HandlerConfig) { c.Metrics = c.Calls.Metrics })
	do(h, request("http://localhost/", "ListStreams", "{}"))
	r, _ := http.NewRequest("GET", "http://localhost/metrics", nil)
	resp := do(h, r)
	if body := readAll(t, resp); !strings.Contains(body, `rheo_operations_total{code="OK",operation="ListStreams",service="kinesis"} 1`) || !strings.Contains(body, "rheo_request_memory_bytes 0") {
		t.Error(body)
	}
}

// The metrics tell of accounts and streams: who is on another machine, and pages
// of other sites, see them only where they are opened to all.
func TestWhoSeesMetrics(t *testing.T) {
	const here, elsewhere = "127.0.0.1:50000", "192.168.1.9:50000"
	opened := func(c *HandlerConfig) { verifying(c); c.MetricsOpen = true }
	for _, tt := range []struct {
		mode       func(*HandlerConfig)
		name       string
		from, host string
		origin     string
		shown      bool
	}{
		{nil, "open mode", here, "localhost:4566", "", true},
		{nil, "open mode", "[::1]:50000", "[::1]:4566", "", true},
		{nil, "open mode", here, "evil.com", "", false}, // rebinding
		{verifying, "keys", here, "localhost:4566", "", true},
		{verifying, "keys", here, "rheo.internal:4566", "", true}, // configured
		{verifying, "keys", here, "evil.com:4566", "", false},
		{verifying, "keys", here, "localhost:4566", "http://evil.com", false},
		{verifying, "keys", elsewhere, "localhost:4566", "", false},
		{verifying, "keys", elsewhere, "rheo.internal:4566", "", false},
		{opened, "keys, metrics open", elsewhere, "10.0.0.7:4566", "", true},
		{func(c *HandlerConfig) { c.MetricsOpen = true }, "open mode, metrics open", here, "evil.com", "", false},
	} {
		h, _ := testHandler(t, func(c *HandlerConfig) {
			c.Metrics, c.Hosts = c.Calls.Metrics, []string{"rheo.internal"}
			if tt.mode != nil {
				tt.mode(c)
			}
		})
		r, _ := http.NewRequest("GET", "http://localhost/metrics", nil)
		r.RemoteAddr, r.Host = tt.from, tt.host
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		resp := do(h, r)
		body := readAll(t, resp)
		if shown := strings.Contains(body, "rheo_request_memory_bytes"); shown != tt.shown || !shown && (resp.StatusCode != 403 || !strings.Contains(body, "AccessDenied")) {
			t.Errorf("%s, from %s, Host %s, Origin %q: %s %.200s", tt.name, tt.from, tt.host, tt.origin, resp.Status, body)
		}
		r, _ = http.NewRequest("GET", "http://localhost/health", nil)
		r.RemoteAddr, r.Host = tt.from, tt.host
		if resp := do(h, r); resp.StatusCode != 200 {
			t.Errorf("%s, from %s: health is %s", tt.name, tt.from, resp.Status)
		}
	}
}

func BenchmarkPutRecord(b *testing.B) {
	s := &fewStreams{}
	calls := call.New(call.Config{Limits: call.Off})
	calls.Register(kinesis.Service, call.Kinesis, discard{s})
	c := HandlerConfig{Services: []*api.Service{kinesis.Service}, Calls: calls}
	verifying(&c)
	h := NewHandler(c)
	body := fmt.Sprintf(`{"StreamName":"s","PartitionKey":"k","Data":"%s"}`, strings.Repeat("QUJD", 342))
	r := request("http://localhost/", "PutRecord", body)
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: testKey.ID, SecretAccessKey: testKey.Secret}, r,
		hex.EncodeToString(sum[:]), "kinesis", "eu-west-1", time.Now()); err != nil {
		b.Fatal(err)
	}
	r.RequestURI, r.RemoteAddr = "/", "127.0.0.1:1"
	b.ReportAllocs()
	for b.Loop() {
		r.Body = io.NopCloser(strings.NewReader(body))
		w := &nullWriter{h: make(http.Header)}
		h.ServeHTTP(w, r)
		if w.status != 200 {
			b.Fatal(w.status)
		}
	}
}

type discard struct{ *fewStreams }

func (discard) PutRecord(context.Context, *kinesis.PutRecordInput) (*kinesis.PutRecordOutput, error) {
	return &kinesis.PutRecordOutput{ShardId: ptr("shardId-000000000000"), SequenceNumber: ptr("1")}, nil
}

type nullWriter struct {
	h      http.Header
	status int
}

func (w *nullWriter) Header() http.Header             { return w.h }
func (w *nullWriter) WriteHeader(status int)          { w.status = status }
func (w *nullWriter) Write(p []byte) (int, error)     { return len(p), nil }
func (w *nullWriter) SetReadDeadline(time.Time) error { return nil }
