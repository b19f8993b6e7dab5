package rheo_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/rheostream/rheo"
)

// A metricsCall is a request to CloudWatch in one of its protocols.
type metricsCall struct {
	path, contentType string
	header            map[string]string
	body              []byte
}

func (c metricsCall) do(t *testing.T, srv *rheo.Server, service string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest("POST", srv.URL()+c.path, bytes.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", c.contentType)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=123456789012/20261125/us-east-1/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	req.Header.Set("X-Amz-Date", "20261125T000000Z")
	for name, value := range c.header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// compressed is the call as SDKs send it if it is large.
func (c metricsCall) compressed() metricsCall {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(c.body)
	z.Close()
	c.body = b.Bytes()
	c.header = map[string]string{"Content-Encoding": "gzip", "Smithy-Protocol": c.header["Smithy-Protocol"], "X-Amz-Target": c.header["X-Amz-Target"]}
	for name, value := range c.header {
		if value == "" {
			delete(c.header, name)
		}
	}
	return c
}

const (
	rpcPath  = "/service/GraniteServiceVersion20100801/operation/"
	rpcType  = "application/cbor"
	formType = "application/x-www-form-urlencoded; charset=utf-8"
	target   = "GraniteServiceVersion20100801."
)

func rpc(t *testing.T, operation string, in any) metricsCall {
	t.Helper()
	body, err := cbor.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	return metricsCall{path: rpcPath + operation, contentType: rpcType, header: map[string]string{"Smithy-Protocol": "rpc-v2-cbor"}, body: body}
}

func jsonCall(operation, body string) metricsCall {
	return metricsCall{path: "/", contentType: "application/x-amz-json-1.0", header: map[string]string{"X-Amz-Target": target + operation, "X-Amzn-Query-Mode": "true"}, body: []byte(body)}
}

func form(pairs ...string) metricsCall {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&b, "&%s=%s", pairs[i], url.QueryEscape(pairs[i+1]))
	}
	return metricsCall{path: "/", contentType: formType, body: []byte(b.String()[1:])}
}

// TestCloudWatch: clients of three protocols put data of one metric, compressed or
// not, and read what all of them put; errors have the codes of each protocol, and
// all is there after a restart.
func TestCloudWatch(t *testing.T) {
	dir := t.TempDir()
	start := func() *rheo.Server {
		srv, err := rheo.New(rheo.Config{Dir: dir, HTTP1Port: -1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { srv.Close() })
		return srv
	}
	srv := start()
	now := time.Now().Truncate(time.Second)
	large := []string{"Action", "PutMetricData", "Version", "2010-08-01", "Namespace", "app"}
	for i := 1; i <= 1000; i++ { // more than 10,000 parameters
		member := fmt.Sprint("MetricData.member.", i, ".")
		large = append(large, member+"MetricName", "m", member+"Unit", "Count", member+"Timestamp", now.UTC().Format(time.RFC3339))
		for j := 1; j <= 10; j++ {
			large = append(large, fmt.Sprint(member, "Values.member.", j), "1")
		}
	}
	type m = map[string]any
	puts := []metricsCall{
		rpc(t, "PutMetricData", m{"Namespace": "app", "MetricData": []m{{"MetricName": "m", "Value": 1.5, "Unit": "Count", "Timestamp": cbor.Tag{Number: 1, Content: now.Unix()}}}}),
		jsonCall("PutMetricData", fmt.Sprintf(`{"Namespace":"app","MetricData":[{"MetricName":"m","Value":2.5,"Unit":"Count","Timestamp":%d}]}`, now.Unix())),
		form("Action", "PutMetricData", "Version", "2010-08-01", "Namespace", "app", "MetricData.member.1.MetricName", "m", "MetricData.member.1.Unit", "Count",
			"MetricData.member.1.StatisticValues.SampleCount", "2", "MetricData.member.1.StatisticValues.Sum", "6", "MetricData.member.1.StatisticValues.Minimum", "3", "MetricData.member.1.StatisticValues.Maximum", "3"),
	}
	for i, c := range puts {
		for _, c := range []metricsCall{c, c.compressed()} {
			if resp, answer := c.do(t, srv, "monitoring"); resp.StatusCode != 200 {
				t.Errorf("put %d: %d %s", i, resp.StatusCode, answer)
			}
		}
	}
	if resp, answer := form(large...).compressed().do(t, srv, "monitoring"); resp.StatusCode != 200 {
		t.Errorf("a large put: %d %s", resp.StatusCode, answer)
	}

	between := []string{"StartTime", now.Add(-time.Hour).UTC().Format(time.RFC3339), "EndTime", now.Add(time.Hour).UTC().Format(time.RFC3339)}
	statistics := form(append([]string{"Action", "GetMetricStatistics", "Version", "2010-08-01", "Namespace", "app", "MetricName", "m", "Period", "86400",
		"Statistics.member.1", "Sum", "Statistics.member.2", "SampleCount"}, between...)...)
	check := func(srv *rheo.Server) {
		t.Helper()
		// 2 x (1.5 + 2.5 + 6) + 10,000
		if _, answer := statistics.do(t, srv, "monitoring"); !strings.Contains(answer, "<SampleCount>10008</SampleCount><Sum>10020</Sum><Unit>Count</Unit>") {
			t.Error(answer)
		}
		resp, answer := rpc(t, "GetMetricData", m{"StartTime": cbor.Tag{Number: 1, Content: now.Unix() - 3600}, "EndTime": cbor.Tag{Number: 1, Content: now.Unix() + 3600},
			"MetricDataQueries": []m{{"Id": "a", "MetricStat": m{"Metric": m{"Namespace": "app", "MetricName": "m"}, "Period": 7 * 86400, "Stat": "Maximum"}}}}).do(t, srv, "monitoring")
		var out struct {
			MetricDataResults []struct {
				Values     []float64
				Timestamps []time.Time
			}
		}
		if err := cbor.Unmarshal([]byte(answer), &out); err != nil || resp.Header.Get("Smithy-Protocol") != "rpc-v2-cbor" {
			t.Fatalf("%d %q: %v", resp.StatusCode, answer, err)
		}
		if r := out.MetricDataResults; len(r) != 1 || len(r[0].Values) != 1 || r[0].Values[0] != 3 {
			t.Errorf("%+v", r)
		}
		if _, answer := jsonCall("ListMetrics", `{"Namespace":"app"}`).do(t, srv, "monitoring"); answer != `{"Metrics":[{"Namespace":"app","MetricName":"m","Dimensions":[]}]}` {
			t.Error(answer)
		}
	}
	check(srv)

	wrong := form("Action", "PutMetricData", "Version", "2010-08-01", "Namespace", "AWS/x", "MetricData.member.1.MetricName", "m", "MetricData.member.1.Value", "1")
	bomb := metricsCall{path: "/", contentType: formType, body: bytes.Repeat([]byte{'x'}, 17<<20)}.compressed()
	for _, tt := range []struct {
		call   metricsCall
		status int
		header string // x-amzn-query-error
		want   string
	}{
		{wrong, 400, "", "<Type>Sender</Type><Code>InvalidParameterValue</Code><Message>The value AWS/ for parameter Namespace is invalid.</Message>"},
		{jsonCall("PutMetricData", `{"Namespace":"AWS/x","MetricData":[{"MetricName":"m","Value":1}]}`), 400, "InvalidParameterValue;Sender",
			`{"__type":"InvalidParameterValueException","message":"The value AWS/ for parameter Namespace is invalid."}`},
		{rpc(t, "PutMetricData", m{"Namespace": "AWS/x", "MetricData": []m{{"MetricName": "m", "Value": 1}}}), 400, "InvalidParameterValue;Sender", "InvalidParameterValueException"},
		{jsonCall("PutMetricAlarm", `{}`), 400, "UnknownOperationException;Sender", `"message":"PutMetricAlarm: rheo serves the part of CloudWatch that clients of Kinesis need`},
		{jsonCall("PutMetricData", `{"Namespace":"app","MetricData":[{"MetricName":"m","Value":1}]`+strings.Repeat(" ", 1<<20)+`}`), 413, "", "RequestEntityTooLarge"},
		{bomb, 413, "", "RequestEntityTooLarge"},
		{metricsCall{path: "/", contentType: formType, header: map[string]string{"Content-Encoding": "gzip"}, body: []byte("Action=ListMetrics")}, 400, "", "<Code>SerializationException</Code>"},
	} {
		resp, answer := tt.call.do(t, srv, "monitoring")
		if resp.StatusCode != tt.status || !strings.Contains(answer, tt.want) || tt.header != "" && resp.Header.Get("X-Amzn-Query-Error") != tt.header {
			t.Errorf("%d %q %.500s, want %d %q %s", resp.StatusCode, resp.Header.Get("X-Amzn-Query-Error"), answer, tt.status, tt.header, tt.want)
		}
	}
	if err := srv.Close(); err != nil {
		t.Fatal(err)
	}
	check(start())
}

// TestCallerIdentity: STS is on the same endpoint.
func TestCallerIdentity(t *testing.T) {
	srv, err := rheo.New(rheo.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	resp, answer := form("Action", "GetCallerIdentity", "Version", "2011-06-15").do(t, srv, "sts")
	want := "<UserId>123456789012</UserId><Account>123456789012</Account><Arn>arn:aws:iam::123456789012:root</Arn>"
	if resp.StatusCode != 200 || !strings.Contains(answer, want) {
		t.Errorf("%d %s", resp.StatusCode, answer)
	}
	resp, answer = form("Action", "AssumeRole", "Version", "2011-06-15", "RoleArn", "arn:aws:iam::123456789012:role/x", "RoleSessionName", "s").do(t, srv, "sts")
	if resp.StatusCode != 400 || !strings.Contains(answer, "AssumeRole: rheo serves GetCallerIdentity alone of STS") {
		t.Errorf("%d %s", resp.StatusCode, answer)
	}
}
