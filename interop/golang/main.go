// Command golang is the script of README.md in the AWS SDK for Go v2, configured by the environment only.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		fail("%v", err)
	}
	cfg.HTTPClient = plainBodies{cfg.HTTPClient}
	s := &script{stream: "interop-go"}
	s.client = kinesis.NewFromConfig(cfg, func(o *kinesis.Options) {
		o.APIOptions = append(o.APIOptions, s.noteProtocol)
	})
	s.create(ctx)
	s.put(ctx)
	s.read(ctx)
	s.fanOut(ctx)
	s.reshard(ctx)
	s.errors(ctx)
	s.delete(ctx)
	tables(ctx, cfg)
	measure(ctx, cfg)

	want := "HTTP/1.1"
	if strings.HasPrefix(os.Getenv("AWS_ENDPOINT_URL"), "https:") {
		want = "HTTP/2.0"
	}
	s.protocols.Range(func(got, _ any) bool {
		equal("protocol of an answer", got.(string), want)
		return true
	})
	fmt.Println("all over", want)
}

// plainBodies hides WriteTo of request bodies, the one change to the SDK:
// smithy-go 1.28.8 closes a body when the answer begins, its WriteTo then fails,
// and net/http cuts the connection in the middle of the answer ("use of closed
// network connection"), most often of an event stream. No server can prevent it.
type plainBodies struct{ aws.HTTPClient }

func (p plainBodies) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return p.HTTPClient.Do(r)
}

type script struct {
	client    *kinesis.Client
	stream    string
	records   map[string][]record // of each shard, in order of their numbers
	batch2    time.Time           // when the first of the second batch arrived
	protocols sync.Map            // the HTTP versions of answers
}

type record struct{ key, data, sequence string }

// noteProtocol has the HTTP version of every answer noted.
func (s *script) noteProtocol(stack *middleware.Stack) error {
	note := func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
		middleware.DeserializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleDeserialize(ctx, in)
		if r, ok := out.RawResponse.(*smithyhttp.Response); ok {
			s.protocols.Store(r.Proto, true)
		}
		return out, metadata, err
	}
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("noteProtocol", note), middleware.After)
}

func fail(format string, args ...any) {
	fmt.Printf("MISMATCH "+format+"\n", args...)
	os.Exit(1)
}

func must[T any](out T, err error) T {
	if err != nil {
		fail("unexpected error: %v", err)
	}
	return out
}

func equal[T comparable](what string, got, want T) {
	if got != want {
		fail("%s is %v, want %v", what, got, want)
	}
}

func (s *script) awaitActive(ctx context.Context, stream string) *types.StreamDescriptionSummary {
	for {
		out := must(s.client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &stream}))
		if out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive {
			return out.StreamDescriptionSummary
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// refused demands that err is the SDK's exception E and says message.
func refused[E error](what string, err error, message string) {
	var e E
	if !errors.As(err, &e) {
		fail("%s gave %v (%T), want %T", what, err, err, e)
	}
	if !strings.Contains(err.Error(), message) {
		fail("%s was refused with %q, want %q", what, err, message)
	}
}

func shardOf(shards []types.Shard, id string) types.Shard {
	for _, shard := range shards {
		if aws.ToString(shard.ShardId) == id {
			return shard
		}
	}
	fail("no shard %s", id)
	return types.Shard{}
}
