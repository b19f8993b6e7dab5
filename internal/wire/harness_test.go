package wire

import (
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/auth"
	"github.com/rheostream/rheo/internal/call"
)

// fewStreams has some operations of Kinesis, enough to see a request go down and
// an answer come up. What it is given it shows; it stores nothing.
type fewStreams struct {
	mu     sync.Mutex
	put    []*kinesis.PutRecordInput // under mu
	caller *api.Caller               // under mu: of the last call

	events chan any   // what SubscribeToShard has to tell; closed: the end
	ended  chan error // why a subscription ended
}

func (s *fewStreams) called(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.caller = api.CallerFrom(ctx)
}

func (s *fewStreams) lastCaller() api.Caller {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.caller
}

func (s *fewStreams) lastPut() *kinesis.PutRecordInput {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.put[len(s.put)-1]
}

func (s *fewStreams) PutRecord(ctx context.Context, in *kinesis.PutRecordInput) (*kinesis.PutRecordOutput, error) {
	s.called(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := *in
	kept.Data = append([]byte(nil), in.Data...) // in ends with the call
	s.put = append(s.put, &kept)
	return &kinesis.PutRecordOutput{ShardId: ptr("shardId-000000000000"), SequenceNumber: ptr("49590338271490256608559692538361571095921575989136588898")}, nil
}

func (s *fewStreams) GetRecords(_ context.Context, in *kinesis.GetRecordsInput) (*kinesis.GetRecordsOutput, error) {
	switch *in.ShardIterator {
	case "panic":
		panic("a mistake in an operation")
	case "big":
		return &kinesis.GetRecordsOutput{Records: []kinesis.Record{{Data: make([]byte, 8<<20)}}}, nil
	}
	at := time.UnixMilli(1764068400123)
	return &kinesis.GetRecordsOutput{MillisBehindLatest: ptr(int64(0)), Records: []kinesis.Record{
		{Data: []byte("hello"), PartitionKey: ptr("k"), SequenceNumber: ptr("1"), ApproximateArrivalTimestamp: &at},
	}}, nil
}

func (s *fewStreams) GetShardIterator(_ context.Context, in *kinesis.GetShardIteratorInput) (*kinesis.GetShardIteratorOutput, error) {
	return &kinesis.GetShardIteratorOutput{ShardIterator: ptr(in.Timestamp.UTC().Format("2006-01-02T15:04:05.000Z"))}, nil
}

func (s *fewStreams) ListStreams(ctx context.Context, in *kinesis.ListStreamsInput) (*kinesis.ListStreamsOutput, error) {
	s.called(ctx)
	return &kinesis.ListStreamsOutput{StreamNames: []string{"a"}, HasMoreStreams: ptr(false)}, nil
}

func (s *fewStreams) CreateStream(context.Context, *kinesis.CreateStreamInput) (*kinesis.CreateStreamOutput, error) {
	return &kinesis.CreateStreamOutput{}, nil
}

func (s *fewStreams) DeleteStream(_ context.Context, in *kinesis.DeleteStreamInput) (*kinesis.DeleteStreamOutput, error) {
	return nil, api.Errorf("ResourceNotFoundException", "Stream %s under account 000000000000 not found.", *in.StreamName)
}

func (s *fewStreams) SubscribeToShard(ctx context.Context, in *kinesis.SubscribeToShardInput) (*kinesis.SubscribeToShardOutput, error) {
	return &kinesis.SubscribeToShardOutput{EventStream: subscription{s}}, nil
}

type subscription struct{ s *fewStreams }

func (u subscription) Next(ctx context.Context) (any, error) {
	select {
	case e, ok := <-u.s.events:
		if err, is := e.(error); is {
			return nil, err
		}
		if !ok {
			return nil, io.EOF
		}
		return e, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (u subscription) Close() error { u.s.ended <- nil; return nil }

func event(sequence string) *kinesis.SubscribeToShardEvent {
	return &kinesis.SubscribeToShardEvent{ContinuationSequenceNumber: &sequence, MillisBehindLatest: ptr(int64(0)),
		Records: []kinesis.Record{{Data: []byte("data " + sequence), PartitionKey: ptr("k"), SequenceNumber: &sequence}}}
}

// testKey is what requests are signed with where signatures are verified.
var testKey = auth.Key{ID: "AKIDEXAMPLE", Secret: "secret", Account: "123456789012"}

// testHandler is a Handler on fewStreams; change may alter its configuration.
func testHandler(t *testing.T, change func(*HandlerConfig)) (*Handler, *fewStreams) {
	t.Helper()
	s := &fewStreams{events: make(chan any, 100), ended: make(chan error, 100)}
	calls := call.New(call.Config{Limits: call.Off})
	calls.Register(kinesis.Service, call.Kinesis, s)
	open, err := auth.New(auth.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c := HandlerConfig{Services: []*api.Service{kinesis.Service}, Auth: open, Calls: calls, Version: "1.2.3"}
	if change != nil {
		change(&c)
	}
	return NewHandler(c), s
}

func verifying(c *HandlerConfig) {
	v, err := auth.New(auth.Config{Keys: []auth.Key{testKey}})
	if err != nil {
		panic(err)
	}
	c.Auth = v
}

// startServer serves h on a free port, plain and TLS.
func startServer(t *testing.T, h http.Handler, change func(*ServerConfig)) (*Server, *Authority) {
	t.Helper()
	a := testAuthority(t)
	c := ServerConfig{Addr: "127.0.0.1:0", TLS: a.TLSConfig(), Handler: h}
	if change != nil {
		change(&c)
	}
	s, err := Listen(c)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s, a
}

// testAuthority is made once for all tests: keys are not what they are about.
func testAuthority(t *testing.T) *Authority {
	t.Helper()
	theAuthority.once.Do(func() {
		dir, err := os.MkdirTemp("", "rheo-wire-test")
		if err != nil {
			t.Fatal(err)
		}
		theAuthority.a, theAuthority.err = OpenAuthority(dir, nil, nil)
		os.RemoveAll(dir)
	})
	if theAuthority.err != nil {
		t.Fatal(theAuthority.err)
	}
	return theAuthority.a
}

var theAuthority struct {
	once sync.Once
	a    *Authority
	err  error
}

// request makes a request for operation with a body, as an SDK without
// verification sends it.
func request(url, operation, body string) *http.Request {
	r, err := http.NewRequest("POST", url, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "Kinesis_20131202."+operation)
	r.Header.Set("X-Amz-Date", "20261125T110000Z")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20261125/us-east-1/kinesis/aws4_request, SignedHeaders=host;x-amz-date, Signature=00")
	return r
}

// readAll is a response's body.
func readAll(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const putBody = `{"StreamName":"s","PartitionKey":"k","Data":"aGVsbG8="}`
