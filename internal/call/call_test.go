package call

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/cloudwatch"
	"github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/api/lambda"
	"github.com/rheostream/rheo/internal/api/logs"
	"github.com/rheostream/rheo/internal/api/sts"
)

// streams is a service of three operations, each of which does what outcome says.
type streams struct {
	outcome func(ctx context.Context) error
}

func (s streams) DescribeStream(ctx context.Context, in *kinesis.DescribeStreamInput) (*kinesis.DescribeStreamOutput, error) {
	return &kinesis.DescribeStreamOutput{}, s.outcome(ctx)
}

func (s streams) ListShards(ctx context.Context, in *kinesis.ListShardsInput) (*kinesis.ListShardsOutput, error) {
	return &kinesis.ListShardsOutput{}, s.outcome(ctx)
}

func (s streams) IncreaseStreamRetentionPeriod(ctx context.Context, in *kinesis.IncreaseStreamRetentionPeriodInput) (*kinesis.IncreaseStreamRetentionPeriodOutput, error) {
	return &kinesis.IncreaseStreamRetentionPeriodOutput{}, s.outcome(ctx)
}

var (
	caller   = &api.Caller{Account: "123456789012", Region: "us-east-1", RequestID: "request-1"}
	describe = kinesis.Service.Op("DescribeStream")
)

func calls(c Config, outcome func(ctx context.Context) error) *Calls {
	if outcome == nil {
		outcome = func(context.Context) error { return nil }
	}
	cs := New(c)
	cs.Register(kinesis.Service, Kinesis, streams{outcome})
	return cs
}

// TestKinesisRows: each operation of the model has one row, and what a row names is in the model.
func TestKinesisRows(t *testing.T) {
	rows := map[string]int{}
	for _, row := range Kinesis {
		rows[row.Op]++
		op := kinesis.Service.Op(row.Op)
		if op == nil {
			t.Errorf("row for %s, which the model does not have", row.Op)
			continue
		}
		for _, d := range row.Also {
			if op.Input.Member(d.With) < 0 {
				t.Errorf("%s: %s depends on the member %s, which is not there", row.Op, d.Action, d.With)
			}
		}
		if row.PerStream > 0 && len(findStreamField(op)) == 0 {
			t.Errorf("%s: has a rate per stream, and no stream", row.Op)
		}
	}
	for _, op := range kinesis.Service.Ops {
		if rows[op.Name] != 1 {
			t.Errorf("%s has %d rows", op.Name, rows[op.Name])
		}
	}
}

func TestErrors(t *testing.T) {
	theirs := &api.Error{Code: "ResourceNotFoundException", Message: "Stream s under account 123456789012 not found."}
	for _, tt := range []struct {
		name    string
		outcome func(context.Context) error
		code    string
		logged  string // part of what the log has; empty if nothing is logged
	}{
		{"none", func(context.Context) error { return nil }, "", ""},
		{"the caller's", func(context.Context) error { return theirs }, "ResourceNotFoundException", ""},
		{"the caller's, wrapped", func(context.Context) error { return fmt.Errorf("x: %w", theirs) }, "ResourceNotFoundException", ""},
		{"ours", func(context.Context) error { return errors.New("cannot read segment 7") }, "InternalFailure", "cannot read segment 7"},
		{"a panic", func(context.Context) error { panic("index out of range") }, "InternalFailure", "index out of range"},
		{"not implemented", func(context.Context) error { return api.ErrNotImplemented }, "UnknownOperationException", ""},
		{"a caller who left", func(context.Context) error { return context.Canceled }, "ServiceUnavailable", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			c := calls(Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, tt.outcome)
			out, err := c.Do(t.Context(), caller, describe, &kinesis.DescribeStreamInput{})
			if tt.code == "" {
				if _, ok := out.(*kinesis.DescribeStreamOutput); !ok || err != nil {
					t.Fatalf("%v, %v", out, err)
				}
				return
			}
			if out != nil || !api.IsCode(err, tt.code) {
				t.Fatalf("%v, %v; want %s", out, err, tt.code)
			}
			if tt.logged == "" && log.Len() > 0 || !strings.Contains(log.String(), tt.logged) {
				t.Errorf("log: %s", &log)
			}
			if tt.logged != "" && (strings.Contains(err.Error(), tt.logged) || !strings.Contains(err.Error(), "request-1") || !strings.Contains(log.String(), "request-1")) {
				t.Errorf("the answer must not have the reason, and both the request id: %v", err)
			}
		})
	}
}

func TestUnknownOperations(t *testing.T) {
	_, err := calls(Config{}, nil).Do(t.Context(), caller, kinesis.Service.Op("CreateChannel"), &kinesis.CreateChannelInput{})
	if !api.IsCode(err, "UnknownOperationException") {
		t.Fatal(err)
	}
}

func TestCallerInContext(t *testing.T) {
	c := calls(Config{}, func(ctx context.Context) error {
		if api.CallerFrom(ctx) != caller {
			t.Error("another caller")
		}
		return nil
	})
	if _, err := c.Do(t.Context(), caller, describe, &kinesis.DescribeStreamInput{}); err != nil {
		t.Fatal(err)
	}
}

type deny struct{ rows []string }

func (d *deny) Authorize(_ context.Context, _ *api.Caller, _ *api.Op, row *Row, _ any) error {
	d.rows = append(d.rows, row.Op)
	return api.Errorf("AccessDeniedException", "no")
}

func (d *deny) Audit(_ context.Context, c *Call) {
	d.rows = append(d.rows, "audit "+c.Op.Name+" "+c.Err.Code)
}

// TestPolicyFirst: who may not call is not served nor charged, and is audited.
func TestPolicyFirst(t *testing.T) {
	d := new(deny)
	c := calls(Config{Policy: d, Audit: d}, func(context.Context) error { t.Error("served"); return nil })
	for range 20 {
		if _, err := c.Do(t.Context(), caller, describe, &kinesis.DescribeStreamInput{}); !api.IsCode(err, "AccessDeniedException") {
			t.Fatal(err)
		}
	}
	if got := strings.Join(d.rows[:2], ", "); got != "DescribeStream, audit DescribeStream AccessDeniedException" || len(d.rows) != 40 {
		t.Fatalf("%d: %s", len(d.rows), got)
	}
}

func TestRates(t *testing.T) {
	name := func(s string) *string { return &s }
	retention := kinesis.Service.Op("IncreaseStreamRetentionPeriod")
	for _, tt := range []struct {
		limits Limits
		// How many of 100 calls at once are let through.
		account, stream int
	}{{AWS, 10, 5}, {2, 20, 10}, {0.5, 5, 2}, {Off, 100, 100}} {
		t.Run(tt.limits.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := calls(Config{Limits: tt.limits}, nil)
				burst := func(caller *api.Caller, op *api.Op, in any) (n int, last error) {
					for range 100 {
						if _, err := c.Do(t.Context(), caller, op, in); err == nil {
							n++
						} else {
							last = err
						}
					}
					return n, last
				}
				n, err := burst(caller, describe, &kinesis.DescribeStreamInput{StreamName: name("a")})
				if n != tt.account {
					t.Errorf("%d calls of an account went through, want %d", n, tt.account)
				}
				if want := "LimitExceededException: Rate exceeded for account 123456789012."; err != nil && err.Error() != want {
					t.Errorf("%v, want %s", err, want)
				}
				// Another account, region or operation has its own.
				if n, _ := burst(&api.Caller{Account: "210987654321", Region: "us-east-1"}, describe, &kinesis.DescribeStreamInput{}); n != tt.account {
					t.Errorf("%d calls of another account", n)
				}
				if n, _ := burst(&api.Caller{Account: caller.Account, Region: "eu-west-1"}, describe, &kinesis.DescribeStreamInput{}); n != tt.account {
					t.Errorf("%d calls in another region", n)
				}
				n, err = burst(caller, retention, &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: name("a")})
				if n != tt.stream {
					t.Errorf("%d calls for a stream, want %d", n, tt.stream)
				}
				if want := "LimitExceededException: Rate exceeded for stream a under account 123456789012."; err != nil && err.Error() != want {
					t.Errorf("%v, want %s", err, want)
				}
				// The same stream by its ARN, and another one.
				arn := "arn:aws:kinesis:us-east-1:123456789012:stream/a"
				if n, _ := burst(caller, retention, &kinesis.IncreaseStreamRetentionPeriodInput{StreamARN: &arn}); tt.limits != Off && n != 0 {
					t.Errorf("%d more calls by ARN", n)
				}
				if n, _ := burst(caller, retention, &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: name("b")}); n != tt.stream {
					t.Errorf("%d calls for another stream", n)
				}
				time.Sleep(time.Second)
				if n, _ := burst(caller, describe, &kinesis.DescribeStreamInput{}); n != tt.account {
					t.Errorf("%d calls a second later", n)
				}
			})
		})
	}
}

// TestRatesAreBounded: names that callers make up do not fill the memory.
func TestRatesAreBounded(t *testing.T) {
	r, now := newRates(100), time.Now()
	for i := range 1000 {
		if !r.allow(rateKey{stream: fmt.Sprint(i)}, 5, now) {
			t.Fatal("a new stream was throttled")
		}
		if len(r.buckets) > 100 {
			t.Fatalf("%d buckets", len(r.buckets))
		}
	}
}

func TestParseLimits(t *testing.T) {
	for _, s := range []string{"aws", "off", "x2", "x0.5"} {
		if l, err := ParseLimits(s); err != nil || l.String() != s {
			t.Errorf("%s: %v, %v", s, l, err)
		}
	}
	for _, s := range []string{"x", "x0", "x-1", "2", "AWS", "xNaN", "xInf", "x1e9"} {
		if l, err := ParseLimits(s); err == nil {
			t.Errorf("%s is %v", s, l)
		}
	}
}

func TestStreamOf(t *testing.T) {
	for name, want := range map[string]string{
		"a": "a",
		"arn:aws:kinesis:us-east-1:123456789012:stream/a":                   "a",
		"arn:aws-cn:kinesis:cn-north-1:123456789012:stream/a/consumer/c:17": "a",
	} {
		if got := streamOf(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestDynamoDBRows: what a row names is in the model.
func TestDynamoDBRows(t *testing.T) {
	for _, row := range DynamoDB {
		op := dynamodb.Service.Op(row.Op)
		if op == nil {
			t.Errorf("row for %s, which the model does not have", row.Op)
			continue
		}
		for _, d := range row.Also {
			if op.Input.Member(d.With) < 0 {
				t.Errorf("%s: no member %s", row.Op, d.With)
			}
		}
		if row.Resource == OnTable && op.Input.Member("TableName") < 0 {
			t.Errorf("%s has no TableName", row.Op)
		}
	}
}

// TestSubsetRows: what the rows of CloudWatch, CloudWatch Logs, STS and Lambda name is in the models.
func TestSubsetRows(t *testing.T) {
	for service, rows := range map[*api.Service][]Row{cloudwatch.Service: CloudWatch, logs.Service: Logs, sts.Service: STS, lambda.Service: Lambda} {
		for _, row := range rows {
			op := service.Op(row.Op)
			if op == nil {
				t.Errorf("row for %s of %s, which the model does not have", row.Op, service.Name)
				continue
			}
			for _, d := range row.Also {
				if op.Input.Member(d.With) < 0 {
					t.Errorf("%s: %s depends on the member %s, which is not there", row.Op, d.Action, d.With)
				}
			}
			if row.Resource == OnLogGroup && op.Input.Member("logGroupName") < 0 {
				t.Errorf("%s has no logGroupName", row.Op)
			}
		}
	}
}

// few is a service that has a part of its API on purpose.
type few struct{}

func (few) Subset() string { return "it is not served" }

func (few) ListTables(context.Context, *dynamodb.ListTablesInput) (*dynamodb.ListTablesOutput, error) {
	return &dynamodb.ListTablesOutput{}, nil
}

// TestSubset: who calls an operation that is left out on purpose is told so.
func TestSubset(t *testing.T) {
	c := calls(Config{}, nil)
	c.Register(dynamodb.Service, DynamoDB, few{})
	_, err := c.Do(t.Context(), caller, dynamodb.Service.Op("CreateBackup"), &dynamodb.CreateBackupInput{})
	if err == nil || err.Error() != "UnknownOperationException: CreateBackup: it is not served" {
		t.Error(err)
	}
	if _, err := c.Do(t.Context(), caller, dynamodb.Service.Op("ListTables"), &dynamodb.ListTablesInput{}); err != nil {
		t.Error(err)
	}
	if _, err := c.Do(t.Context(), caller, kinesis.Service.Op("PutRecord"), &kinesis.PutRecordInput{}); err == nil || err.Error() != "UnknownOperationException: " {
		t.Error(err)
	}
}
