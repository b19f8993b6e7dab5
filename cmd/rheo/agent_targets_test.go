package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/agent"
)

func TestAWSRegion(t *testing.T) {
	for endpoint, want := range map[string]string{
		"https://kinesis.us-west-2.amazonaws.com":                     "us-west-2",
		"https://firehose.eu-central-1.amazonaws.com:443/":            "eu-central-1",
		"https://kinesis.us-gov-west-1.amazonaws.com":                 "us-gov-west-1",
		"https://kinesis-fips.us-east-1.amazonaws.com":                "us-east-1",
		"https://monitoring.cn-north-1.amazonaws.com.cn":              "cn-north-1",
		"https://kinesis.eu-west-1.api.aws":                           "eu-west-1",
		"https://vpce-0a1b-c2d3.kinesis.us-east-2.vpce.amazonaws.com": "us-east-2",
		"http://localhost:4566":                                       "",
		"https://kinesis.us-west-2.amazonaws.com.evil.example":        "",
		"https://us-west-2.example.com":                               "",
		"":                                                            "",
	} {
		if got := awsRegion(endpoint); got != want {
			t.Errorf("%q: %q, want %q", endpoint, got, want)
		}
	}
}

// agentSettings reads a configuration with these keys beside its flows.
func agentSettings(t *testing.T, keys string) *agent.Settings {
	t.Helper()
	name := filepath.Join(t.TempDir(), "agent.json")
	text := `{` + keys + `"flows": [{"filePattern": "/x/y", "deliveryStream": "d"}, {"filePattern": "/x/y", "kinesisStream": "s"}]}`
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := agent.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Where the services are: the flag, then the file, then as for every command.
func TestAgentTargets(t *testing.T) {
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS", "AWS_ENDPOINT_URL_FIREHOSE", "AWS_ENDPOINT_URL_CLOUDWATCH", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", t.TempDir())
	for _, c := range []struct {
		name                       string
		conn                       connection
		keys                       string
		env                        map[string]string
		kinesis, firehose, metrics string
	}{
		{name: "nothing is said", kinesis: "http://localhost:4566 us-east-1", firehose: "http://localhost:4566 us-east-1", metrics: "http://localhost:4566 us-east-1"},
		{name: "empty as shipped", keys: `"kinesis.endpoint": "", "firehose.endpoint": "",`, kinesis: "http://localhost:4566 us-east-1", firehose: "http://localhost:4566 us-east-1", metrics: "http://localhost:4566 us-east-1"},
		{name: "the file's, without a scheme", keys: `"kinesis.endpoint": "kinesis.us-west-2.amazonaws.com", "firehose.endpoint": "https://firehose.eu-west-1.amazonaws.com",`,
			kinesis: "https://kinesis.us-west-2.amazonaws.com us-west-2", firehose: "https://firehose.eu-west-1.amazonaws.com eu-west-1", metrics: "AWS us-west-2"},
		{name: "the file's region", keys: `"kinesis.endpoint": "http://localhost:1", "kinesis.region": "ap-south-1",`,
			kinesis: "http://localhost:1 ap-south-1", firehose: "http://localhost:1 ap-south-1", metrics: "http://localhost:1 ap-south-1"},
		{name: "another region in another service's own host", keys: `"kinesis.region": "ap-south-1", "firehose.endpoint": "firehose.eu-west-1.amazonaws.com", "cloudwatch.endpoint": "https://monitoring.us-west-1.amazonaws.com",`,
			kinesis: "http://localhost:4566 ap-south-1", firehose: "https://firehose.eu-west-1.amazonaws.com eu-west-1", metrics: "https://monitoring.us-west-1.amazonaws.com us-west-1"},
		{name: "Kinesis is AWS's, so the others are", keys: `"kinesis.endpoint": "https://kinesis.us-west-2.amazonaws.com",`,
			kinesis: "https://kinesis.us-west-2.amazonaws.com us-west-2", firehose: "AWS us-west-2", metrics: "AWS us-west-2"},
		{name: "the flag's", conn: connection{endpoint: "http://localhost:2", region: "us-east-2"}, keys: `"kinesis.endpoint": "https://kinesis.us-west-2.amazonaws.com", "cloudwatch.endpoint": "http://localhost:3",`,
			kinesis: "http://localhost:2 us-east-2", firehose: "http://localhost:2 us-east-2", metrics: "http://localhost:2 us-east-2"},
		{name: "AWS", conn: connection{aws: true, region: "eu-north-1"}, keys: `"kinesis.endpoint": "http://localhost:1",`,
			kinesis: "AWS eu-north-1", firehose: "AWS eu-north-1", metrics: "AWS eu-north-1"},
		{name: "the environment's", env: map[string]string{"AWS_ENDPOINT_URL": "http://localhost:5", "AWS_ENDPOINT_URL_FIREHOSE": "http://localhost:6"},
			kinesis: "http://localhost:5 us-east-1", firehose: "http://localhost:6 us-east-1", metrics: "http://localhost:5 us-east-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			targets, err := agentTargets(context.Background(), &c.conn, agentSettings(t, c.keys))
			if err != nil {
				t.Fatal(err)
			}
			if got := targets.where(agent.Kinesis); got != c.kinesis {
				t.Errorf("kinesis at %s, want %s", got, c.kinesis)
			}
			if got := targets.where(agent.Firehose); got != c.firehose {
				t.Errorf("firehose at %s, want %s", got, c.firehose)
			}
			if got := targets.metricsWhere(); got != c.metrics {
				t.Errorf("metrics at %s, want %s", got, c.metrics)
			}
		})
	}
}

// A role is assumed where sts.endpoint says, else at the server that takes the records; what
// STS refuses is the error of each call until it does not.
func TestAgentAssumesRole(t *testing.T) {
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS", "AWS_REGION", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", t.TempDir())
	for _, own := range []bool{false, true} {
		var asked url.Values
		refuse, scope := true, ""
		sts := func(w http.ResponseWriter, r *http.Request) {
			r.ParseForm()
			asked, scope = r.Form, r.Header.Get("Authorization")
			if refuse {
				w.WriteHeader(403)
				io.WriteString(w, `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>`)
				return
			}
			io.WriteString(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>ASROLE</AccessKeyId>
				<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2199-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`)
		}
		var caller string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Amz-Target") == "" {
				sts(w, r)
				return
			}
			caller = r.Header.Get("Authorization")
			io.WriteString(w, `{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ShardId":"shardId-000000000000"}]}`)
		}))
		defer server.Close()
		keys := `"assumeRoleARN": "arn:aws:iam::123456789012:role/logs", "assumeRoleExternalId": "x-1", "kinesis.endpoint": "` + server.URL + `",`
		if own {
			there := httptest.NewServer(http.HandlerFunc(sts))
			defer there.Close()
			keys += `"sts.endpoint": "` + there.URL + `",`
		}
		s := agentSettings(t, keys)
		targets, err := agentTargets(context.Background(), &connection{}, s)
		if err != nil {
			t.Fatal(err)
		}
		d := targets.destination(s.Flows[1])
		records := []agent.Record{{Data: []byte("one"), Key: "k"}}
		if _, err := d.Put(context.Background(), records); err == nil || !strings.Contains(err.Error(), "AccessDenied: not you") || caller != "" {
			t.Errorf("own endpoint %v: %v, caller %q", own, err, caller)
		}
		refuse = false
		if _, err := d.Put(context.Background(), records); err != nil || !strings.Contains(caller, "Credential=ASROLE/") {
			t.Errorf("own endpoint %v: %v, caller %q", own, err, caller)
		}
		if asked.Get("Action") != "AssumeRole" || asked.Get("RoleArn") != "arn:aws:iam::123456789012:role/logs" || asked.Get("ExternalId") != "x-1" || asked.Get("RoleSessionName") != "AWSKinesisAgent" || asked.Get("DurationSeconds") != "3600" {
			t.Errorf("STS was asked %v, by %s", asked, scope)
		}
	}
}

// Where STS is, and for what region requests to it are signed.
func TestAgentSTS(t *testing.T) {
	for _, c := range []struct{ given, service, region, endpoint, signed string }{
		{"", "", "eu-west-1", "", "eu-west-1"},
		{"", "https://kinesis.us-west-2.amazonaws.com", "us-west-2", "", "us-west-2"},
		{"", "http://localhost:4566", "us-east-1", "http://localhost:4566", "us-east-1"},
		{"sts.us-west-2.amazonaws.com", "", "eu-west-1", "https://sts.us-west-2.amazonaws.com", "us-west-2"},
		{"https://sts.amazonaws.com", "", "eu-west-1", "https://sts.amazonaws.com", "us-east-1"},
		{"http://localhost:1", "http://localhost:4566", "eu-west-1", "http://localhost:1", "eu-west-1"},
	} {
		if endpoint, region := stsEndpoint(c.given, c.service, c.region); endpoint != c.endpoint || region != c.signed {
			t.Errorf("%q, service %q: %q in %s, want %q in %s", c.given, c.service, endpoint, region, c.endpoint, c.signed)
		}
	}
}

// Half a key pair is none: credentials are looked for as without it.
func TestAgentHalfKey(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_ACCESS_KEY_ID", "AKENV")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s")
	s := agentSettings(t, `"awsAccessKeyId": "AKFILE",`)
	if len(s.Notices) != 1 || !strings.Contains(s.Notices[0], "awsAccessKeyId has no effect: there is no awsSecretAccessKey") {
		t.Errorf("notices %q", s.Notices)
	}
	targets, err := agentTargets(context.Background(), &connection{endpoint: "http://localhost:1"}, s)
	if err != nil {
		t.Fatal(err)
	}
	if who, err := targets.services[agent.Kinesis].cfg.Credentials.Retrieve(context.Background()); err != nil || who.AccessKeyID != "AKENV" {
		t.Errorf("%s, %v", who.AccessKeyID, err)
	}
}

// PutRecordBatch and PutMetricData as they are on the wire.
func TestAgentPosts(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	var target, auth string
	var body []byte
	answer, status := "", 200
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target, auth = r.Header.Get("X-Amz-Target"), r.Header.Get("Authorization")
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(status)
		io.WriteString(w, answer)
	}))
	defer server.Close()
	s := agentSettings(t, `"awsAccessKeyId": "AKEXAMPLE", "awsSecretAccessKey": "x",`)
	targets, err := agentTargets(context.Background(), &connection{endpoint: server.URL}, s)
	if err != nil {
		t.Fatal(err)
	}
	d := targets.destination(s.Flows[0])
	records := []agent.Record{{Data: []byte("one\n")}, {Data: []byte("two\n")}}
	answer = `{"FailedPutCount":1,"Encrypted":false,"RequestResponses":[{"RecordId":"r"},{"ErrorCode":"ServiceUnavailableException","ErrorMessage":"Slow down."}]}`
	refused, err := d.Put(context.Background(), records)
	if err != nil || len(refused) != 2 || refused[0] != nil || refused[1] == nil || !strings.Contains(refused[1].Error(), "ServiceUnavailableException") {
		t.Errorf("%v, %v", refused, err)
	}
	var in struct {
		DeliveryStreamName string
		Records            []struct{ Data []byte }
	}
	if err := json.Unmarshal(body, &in); err != nil || in.DeliveryStreamName != "d" || len(in.Records) != 2 || string(in.Records[1].Data) != "two\n" {
		t.Errorf("%s: %v", body, err)
	}
	if target != "Firehose_20150804.PutRecordBatch" || !strings.Contains(auth, "Credential=AKEXAMPLE/") || !strings.Contains(auth, "/us-east-1/firehose/aws4_request") {
		t.Errorf("target %s, authorization %s", target, auth)
	}
	answer, status = `{"__type":"ResourceNotFoundException","message":"Firehose d under account 1 not found."}`, 400
	if _, err := d.Put(context.Background(), records); err == nil || !strings.Contains(err.Error(), "ResourceNotFoundException: Firehose d under account 1 not found.") {
		t.Errorf("%v", err)
	}

	answer, status = "<PutMetricDataResponse/>", 200
	err = targets.meter().PutMetrics(context.Background(), "AWSKinesisAgent", []agent.Datum{{Name: "BytesSent", Unit: "Bytes", Time: time.Unix(0, 0), Samples: 2, Sum: 10.5, Min: 1, Max: 9.5,
		Dimensions: []agent.Dimension{{Name: "Destination", Value: "DeliveryStream:d"}}}})
	form, err2 := url.ParseQuery(string(body))
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	for name, want := range map[string]string{
		"Action": "PutMetricData", "Version": "2010-08-01", "Namespace": "AWSKinesisAgent", "MetricData.member.1.MetricName": "BytesSent", "MetricData.member.1.Unit": "Bytes",
		"MetricData.member.1.Timestamp": "1970-01-01T00:00:00Z", "MetricData.member.1.StatisticValues.SampleCount": "2", "MetricData.member.1.StatisticValues.Sum": "10.5",
		"MetricData.member.1.StatisticValues.Minimum": "1", "MetricData.member.1.StatisticValues.Maximum": "9.5",
		"MetricData.member.1.Dimensions.member.1.Name": "Destination", "MetricData.member.1.Dimensions.member.1.Value": "DeliveryStream:d",
	} {
		if got := form.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	answer, status = `<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>`, 400
	if err := targets.meter().PutMetrics(context.Background(), "n", nil); err == nil || !strings.Contains(err.Error(), "Throttling: Rate exceeded") {
		t.Errorf("%v", err)
	}
}

// A stream takes records with their keys, and what it refuses is told record by record.
func TestKinesisStreamPut(t *testing.T) {
	url, taken := busyServer(t, func(data string, _ int) bool { return data == "b" })
	t.Setenv("HOME", t.TempDir())
	s := agentSettings(t, "")
	targets, err := agentTargets(context.Background(), &connection{endpoint: url}, s)
	if err != nil {
		t.Fatal(err)
	}
	refused, err := targets.destination(s.Flows[1]).Put(context.Background(), []agent.Record{{Data: []byte("a"), Key: "k"}, {Data: []byte("b"), Key: "k"}})
	if err != nil || len(refused) != 2 || refused[0] != nil || refused[1] == nil || !strings.Contains(refused[1].Error(), "ProvisionedThroughputExceededException: busy") {
		t.Errorf("%v, %v", refused, err)
	}
	if len(*taken) != 1 || (*taken)[0] != "a" {
		t.Errorf("taken %q", *taken)
	}
}
