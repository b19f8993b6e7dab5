package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/rheostream/rheo/internal/agent"
)

// targets are the services that an agent calls. Firehose's and CloudWatch's one
// operation each is posted here; it takes no SDK of theirs.
type targets struct {
	kinesis    *kinesis.Client
	services   map[agent.Service]*service
	cloudwatch *service
}

// A service is an endpoint and who calls it.
type service struct {
	signingName string
	endpoint    string // empty: AWS's own for the region
	cfg         aws.Config
}

// agentTargets finds the endpoints: the flag's, then the file's, then as for every
// command. It sends nothing.
func agentTargets(ctx context.Context, conn *connection, s *agent.Settings) (*targets, error) {
	t := &targets{services: map[agent.Service]*service{}}
	find := func(signingName, given string) (*service, error) {
		own := *conn
		if own.endpoint == "" && given != "" {
			if given = withScheme(given); !conn.aws || awsRegion(given) != "" {
				own.endpoint = given
			}
		}
		if name := "AWS_ENDPOINT_URL_" + strings.ToUpper(signingName); own.endpoint == "" && !conn.aws && signingName != "kinesis" {
			if signingName == "monitoring" {
				name = "AWS_ENDPOINT_URL_CLOUDWATCH"
			}
			own.endpoint = os.Getenv(name)
		}
		beside := t.services[agent.Kinesis] // where a service is that has no endpoint of its own
		if own.endpoint == "" && !conn.aws && beside != nil && s.KinesisEndpoint != "" && os.Getenv("AWS_ENDPOINT_URL") == "" {
			if region := awsRegion(beside.endpoint); region != "" {
				own.aws = true
				own.region = cmp.Or(own.region, s.Region, region)
			} else {
				own.endpoint = beside.endpoint
			}
		}
		if own.region == "" && signingName == "kinesis" {
			own.region = s.Region // which may differ from the host's
		}
		own.region = cmp.Or(own.region, awsRegion(own.endpoint), s.Region)
		k, err := own.connect(ctx)
		if err != nil {
			return nil, err
		}
		return &service{signingName, k.endpoint, agentConfigOf(k.cfg, k.endpoint, s)}, nil
	}
	var err error
	if t.services[agent.Kinesis], err = find("kinesis", s.KinesisEndpoint); err != nil {
		return nil, err
	}
	if t.services[agent.Firehose], err = find("firehose", s.FirehoseEndpoint); err != nil {
		return nil, err
	}
	if t.cloudwatch, err = find("monitoring", s.CloudWatchEndpoint); err != nil {
		return nil, err
	}
	k := t.services[agent.Kinesis]
	t.kinesis = kinesis.NewFromConfig(k.cfg, func(o *kinesis.Options) {
		o.Retryer = aws.NopRetryer{} // the agent sends again only what was refused
		o.BaseEndpoint = nil
		if k.endpoint != "" {
			o.BaseEndpoint = &k.endpoint
		}
	})
	return t, nil
}

// agentConfigOf adds what the configuration file says of credentials and connections.
func agentConfigOf(cfg aws.Config, endpoint string, s *agent.Settings) aws.Config {
	if p, ok := cfg.HTTPClient.(plainBodies); ok {
		if b, ok := p.HTTPClient.(*awshttp.BuildableClient); ok {
			cfg.HTTPClient = plainBodies{b.WithDialerOptions(func(d *net.Dialer) { d.Timeout = s.ConnectTimeout }).WithTransportOptions(func(t *http.Transport) {
				t.ResponseHeaderTimeout = s.AnswerTimeout
				t.MaxConnsPerHost = s.ConnectionsMax
			})}
		}
	}
	if s.AccessKeyID != "" && s.SecretAccessKey != "" {
		cfg.Credentials = credentials.NewStaticCredentialsProvider(s.AccessKeyID, s.SecretAccessKey, "")
	}
	if s.AssumeRoleARN != "" {
		client := sts.NewFromConfig(cfg, func(o *sts.Options) {
			at, region := stsEndpoint(cmp.Or(s.STSEndpoint, os.Getenv("AWS_ENDPOINT_URL_STS")), endpoint, cfg.Region)
			o.Region = region
			if o.BaseEndpoint = nil; at != "" {
				o.BaseEndpoint = &at
			}
		})
		cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(client, s.AssumeRoleARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = "AWSKinesisAgent"
			o.Duration = time.Hour
			if s.AssumeRoleExternalID != "" {
				o.ExternalID = &s.AssumeRoleExternalID
			}
		}))
	}
	return cfg
}

// stsEndpoint is where a role is assumed: where sts.endpoint says, else at the server that the
// role is for, but for AWS, which has a host of its own for it (empty).
func stsEndpoint(given, service, region string) (endpoint, signingRegion string) {
	if given == "" {
		if awsRegion(service) == "" {
			endpoint = service
		}
		return endpoint, region
	}
	endpoint = withScheme(given)
	if u, err := url.Parse(endpoint); err == nil && u.Hostname() == "sts.amazonaws.com" { // of all regions
		return endpoint, "us-east-1"
	}
	return endpoint, cmp.Or(awsRegion(endpoint), region)
}

// withScheme is a URL of what may be a host's name, as the Kinesis Agent allows.
func withScheme(endpoint string) string {
	if strings.Contains(endpoint, "://") {
		return endpoint
	}
	return "https://" + endpoint
}

var awsHost = regexp.MustCompile(`(?:^|\.)(?:kinesis|firehose|monitoring|sts)(?:-fips)?\.([a-z]{2}(?:-[a-z]+)+-\d+)\.(?:vpce\.)?(?:amazonaws\.com(?:\.cn)?|api\.aws)$`)

// awsRegion is the region in the name of one of AWS's own hosts; of no other name is
// one guessed.
func awsRegion(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return ""
	}
	if m := awsHost.FindStringSubmatch(strings.ToLower(u.Hostname())); m != nil {
		return m[1]
	}
	return ""
}

func (t *targets) where(s agent.Service) string { return t.services[s].where() }

func (t *targets) metricsWhere() string { return t.cloudwatch.where() }

// where names the endpoint for a person.
func (s *service) where() string { return (&client{endpoint: s.endpoint, cfg: s.cfg}).where() }

func (t *targets) destination(f *agent.Flow) agent.Destination {
	if f.Service == agent.Firehose {
		return &deliveryStream{t.services[agent.Firehose], f.Stream}
	}
	name, arn := streamRef(f.Stream)
	return &kinesisStream{t.kinesis, name, arn}
}

func (t *targets) meter() agent.Meter { return cloudwatch{t.cloudwatch} }

// kinesisStream takes records with PutRecords.
type kinesisStream struct {
	client    *kinesis.Client
	name, arn *string
}

func (s *kinesisStream) Put(ctx context.Context, records []agent.Record) ([]error, error) {
	entries := make([]types.PutRecordsRequestEntry, len(records))
	for i := range records {
		entries[i] = types.PutRecordsRequestEntry{Data: records[i].Data, PartitionKey: &records[i].Key}
	}
	out, err := s.client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: s.name, StreamARN: s.arn, Records: entries})
	if err != nil {
		return nil, rootCause(err)
	}
	var refused []error
	for i, r := range out.Records {
		if r.ErrorCode != nil {
			if refused == nil {
				refused = make([]error, len(out.Records))
			}
			refused[i] = &smithy.GenericAPIError{Code: *r.ErrorCode, Message: aws.ToString(r.ErrorMessage)}
		}
	}
	if len(out.Records) != len(records) {
		return nil, fmt.Errorf("PutRecords answered for %d of %d records", len(out.Records), len(records))
	}
	return refused, nil
}

// deliveryStream takes records with PutRecordBatch.
type deliveryStream struct {
	*service
	name string
}

func (s *deliveryStream) Put(ctx context.Context, records []agent.Record) ([]error, error) {
	name, err := json.Marshal(s.name)
	if err != nil {
		return nil, err
	}
	size := len(name) + 64
	for i := range records {
		size += base64.StdEncoding.EncodedLen(len(records[i].Data)) + len(`{"Data":""},`)
	}
	body := append(append(make([]byte, 0, size), `{"DeliveryStreamName":`...), name...)
	body = append(body, `,"Records":[`...)
	for i := range records {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, `{"Data":"`...)
		body = base64.StdEncoding.AppendEncode(body, records[i].Data)
		body = append(body, `"}`...)
	}
	body = append(body, "]}"...)
	answer, err := s.post(ctx, "application/x-amz-json-1.1", "Firehose_20150804.PutRecordBatch", body)
	var unknown smithy.APIError
	if errors.As(err, &unknown) && unknown.ErrorCode() == "UnknownOperationException" {
		return nil, fmt.Errorf("the server at %s has no Firehose: %w", s.where(), err)
	}
	if err != nil {
		return nil, err
	}
	var out struct {
		FailedPutCount   int
		RequestResponses []struct{ RecordId, ErrorCode, ErrorMessage string }
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return nil, fmt.Errorf("cannot read the answer of PutRecordBatch: %w", err)
	}
	if len(out.RequestResponses) != len(records) {
		return nil, fmt.Errorf("PutRecordBatch answered for %d of %d records", len(out.RequestResponses), len(records))
	}
	if out.FailedPutCount == 0 {
		return nil, nil
	}
	refused := make([]error, len(records))
	for i, r := range out.RequestResponses {
		if r.ErrorCode != "" {
			refused[i] = &smithy.GenericAPIError{Code: r.ErrorCode, Message: r.ErrorMessage}
		}
	}
	return refused, nil
}

// cloudwatch takes metrics with PutMetricData, in the query protocol, which every
// implementation of it has.
type cloudwatch struct{ *service }

func (c cloudwatch) PutMetrics(ctx context.Context, namespace string, data []agent.Datum) error {
	form := url.Values{"Action": {"PutMetricData"}, "Version": {"2010-08-01"}, "Namespace": {namespace}}
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	for i, d := range data {
		at := fmt.Sprintf("MetricData.member.%d.", i+1)
		form.Set(at+"MetricName", d.Name)
		form.Set(at+"Unit", d.Unit)
		form.Set(at+"Timestamp", d.Time.UTC().Format(time.RFC3339))
		form.Set(at+"StatisticValues.SampleCount", number(d.Samples))
		form.Set(at+"StatisticValues.Sum", number(d.Sum))
		form.Set(at+"StatisticValues.Minimum", number(d.Min))
		form.Set(at+"StatisticValues.Maximum", number(d.Max))
		for j, dim := range d.Dimensions {
			form.Set(fmt.Sprintf("%sDimensions.member.%d.Name", at, j+1), dim.Name)
			form.Set(fmt.Sprintf("%sDimensions.member.%d.Value", at, j+1), dim.Value)
		}
	}
	_, err := c.post(ctx, "application/x-www-form-urlencoded; charset=utf-8", "", []byte(form.Encode()))
	return err
}

// post sends one signed request, once, and returns the answer's body.
func (s *service) post(ctx context.Context, contentType, target string, body []byte) ([]byte, error) {
	to := s.endpoint
	if to == "" {
		domain := "amazonaws.com"
		if strings.HasPrefix(s.cfg.Region, "cn-") {
			domain = "amazonaws.com.cn"
		}
		to = "https://" + s.signingName + "." + s.cfg.Region + "." + domain
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to+"/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("User-Agent", "rheo-agent/"+thisBuild().Version)
	if target != "" {
		r.Header.Set("X-Amz-Target", target)
	}
	who, err := s.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot find credentials: %w", err)
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, who, r, hex.EncodeToString(sum[:]), s.signingName, s.cfg.Region, time.Now()); err != nil {
		return nil, fmt.Errorf("cannot sign the request: %w", err)
	}
	answer, err := s.cfg.HTTPClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4<<20))
	if err != nil {
		return nil, fmt.Errorf("cannot read the answer: %w", err)
	}
	if answer.StatusCode/100 == 2 {
		return text, nil
	}
	if e := apiError(text, answer.Header); e != nil {
		return nil, e
	}
	var doc struct { // the query protocol's
		Error struct{ Code, Message string }
	}
	if xml.Unmarshal(text, &doc) == nil && doc.Error.Code != "" {
		return nil, &smithy.GenericAPIError{Code: doc.Error.Code, Message: doc.Error.Message}
	}
	return nil, fmt.Errorf("HTTP status %s: %s", answer.Status, visible(string(text[:min(len(text), 300)])))
}
