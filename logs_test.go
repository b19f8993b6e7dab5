package rheo_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/rheostream/rheo"
)

// TestLogs: the Go SDK writes into log streams, reads them by its paginators, and a
// subscription filter brings the lines into a Kinesis stream, across a restart.
func TestLogs(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	start := func() (*rheo.Server, *cloudwatchlogs.Client, *kinesis.Client) {
		srv, err := rheo.New(rheo.Config{Dir: dir, HTTP1Port: -1, Streams: []rheo.InitialStream{{Name: "lines", Shards: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		cfg := aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(srv.URL()), Credentials: credentials.NewStaticCredentialsProvider("test", "secret", "")}
		return srv, cloudwatchlogs.NewFromConfig(cfg), kinesis.NewFromConfig(cfg)
	}
	srv, logs, _ := start()
	defer func() { srv.Close() }()

	const group = "/app/web"
	if _, err := logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String(group)}); err != nil {
		t.Fatal(err)
	}
	var exists *logtypes.ResourceAlreadyExistsException
	if _, err := logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String(group)}); !errors.As(err, &exists) || exists.ErrorMessage() != "The specified log group already exists" {
		t.Error(err)
	}
	var invalid *logtypes.InvalidParameterException
	if _, err := logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("two words")}); !errors.As(err, &invalid) {
		t.Error(err)
	}
	if _, err := logs.StartQuery(ctx, &cloudwatchlogs.StartQueryInput{StartTime: aws.Int64(1), EndTime: aws.Int64(2), QueryString: aws.String("fields @message")}); err == nil || !bytes.Contains([]byte(err.Error()), []byte("docs/logs.md")) {
		t.Error(err)
	}
	names := []string{"a", "b", "c"}
	for _, name := range names {
		if _, err := logs.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String(group), LogStreamName: &name}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := logs.PutSubscriptionFilter(ctx, &cloudwatchlogs.PutSubscriptionFilterInput{LogGroupName: aws.String(group), FilterName: aws.String("f"), FilterPattern: aws.String(""),
		DestinationArn: aws.String("arn:aws:kinesis:us-east-1:000000000000:stream/lines"), RoleArn: aws.String("arn:aws:iam::000000000000:role/r")})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	put := func(from, to int) {
		for i := from; i < to; i++ {
			for _, name := range names {
				line := fmt.Sprintf("%s %04d", name, i)
				want[name] = append(want[name], line)
				_, err := logs.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String(group), LogStreamName: &name,
					LogEvents: []logtypes.InputLogEvent{{Timestamp: aws.Int64(time.Now().UnixMilli()), Message: &line}}})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	put(0, 30)
	if err := srv.Close(); err != nil {
		t.Fatal(err)
	}
	var streams *kinesis.Client
	srv, logs, streams = start()
	put(30, 60)

	got := map[string][]string{}
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(logs, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String(group), Limit: aws.Int32(7)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			got[*e.LogStreamName] = append(got[*e.LogStreamName], *e.Message)
		}
	}
	for _, name := range names {
		if !slices.Equal(got[name], want[name]) {
			t.Errorf("of %s is read %q", name, got[name])
		}
		var one []string
		tokens := cloudwatchlogs.NewGetLogEventsPaginator(logs, &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String(group), LogStreamName: &name, StartFromHead: aws.Bool(true), Limit: aws.Int32(13)},
			func(o *cloudwatchlogs.GetLogEventsPaginatorOptions) { o.StopOnDuplicateToken = true })
		for tokens.HasMorePages() {
			page, err := tokens.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Events {
				one = append(one, *e.Message)
			}
		}
		if !slices.Equal(one, want[name]) {
			t.Errorf("of %s alone is read %q", name, one)
		}
	}

	delivered := map[string][]string{}
	it, err := streams.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: aws.String("lines"), ShardId: aws.String("shardId-000000000000"), ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	if err != nil {
		t.Fatal(err)
	}
	for n, position := 0, it.ShardIterator; n < 180; {
		out, err := streams.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: position})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range out.Records {
			var m struct {
				MessageType, LogStream string
				LogEvents              []struct{ Message string }
			}
			z, err := gzip.NewReader(bytes.NewReader(r.Data))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(z)
			if err == nil {
				err = json.Unmarshal(text, &m)
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.MessageType == "DATA_MESSAGE" {
				for _, e := range m.LogEvents {
					delivered[m.LogStream] = append(delivered[m.LogStream], e.Message)
					n++
				}
			}
		}
		position = out.NextShardIterator
		time.Sleep(250 * time.Millisecond) // five calls a second are what a shard takes
	}
	for _, name := range names {
		if !slices.Equal(delivered[name], want[name]) {
			t.Errorf("of %s was delivered %q", name, delivered[name])
		}
	}
}
