package logs

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/logs"
	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/vfs"
	"github.com/rheostream/rheo/internal/wire"
)

// A clock stands still until it is advanced.
type clock struct {
	mu  sync.Mutex
	now time.Time // mu
}

func (c *clock) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Monotonic() time.Duration { return c.Wall().Sub(begin) }

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// begin is when tests begin.
var begin = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// kinesis are streams that keep what is put into them, by their ARN.
type kinesis struct {
	mu      sync.Mutex
	records map[string][]StreamRecord                   // mu; a stream that is not a key is not there
	refuse  func(streamARN string, r StreamRecord) bool // mu; a record that is not taken for now
	changed chan struct{}                               // mu; closed and replaced when something was put
	broken  error                                       // mu; of every call
	slow    func(ctx context.Context) error             // set before it is called; what a call waits for once its records are kept
}

func newKinesis(arns ...string) *kinesis {
	k := &kinesis{records: map[string][]StreamRecord{}, changed: make(chan struct{})}
	for _, arn := range arns {
		k.records[arn] = nil
	}
	return k
}

func (k *kinesis) PutRecords(ctx context.Context, _, _, arn string, records []StreamRecord) (refused []int, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.records[arn]; !ok {
		return nil, rheo.Errorf("ResourceNotFoundException", "no stream")
	}
	if k.broken != nil {
		return nil, k.broken
	}
	for i, r := range records {
		if k.refuse != nil && k.refuse(arn, r) {
			refused = append(refused, i)
			continue
		}
		k.records[arn] = append(k.records[arn], r)
	}
	close(k.changed)
	k.changed = make(chan struct{})
	if k.slow != nil {
		k.mu.Unlock()
		err = k.slow(ctx)
		k.mu.Lock()
	}
	return refused, err
}

// messages are what a stream has been given.
func (k *kinesis) messages(t testing.TB, arn string) (all []message) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.records[arn] {
		all = append(all, unzip(t, r.Data))
	}
	return all
}

func unzip(t testing.TB, data []byte) (m message) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(z)
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

// lines are the messages of the events that a stream has been given of a log stream.
func (k *kinesis) lines(t testing.TB, arn, stream string) (lines []string) {
	t.Helper()
	for _, m := range k.messages(t, arn) {
		if m.MessageType == dataMessage && m.LogStream == stream {
			for _, e := range m.LogEvents {
				lines = append(lines, e.Message)
			}
		}
	}
	return lines
}

// await waits until something holds that a put may have brought about.
func (k *kinesis) await(t testing.TB, holds func() bool) {
	t.Helper()
	late := time.After(5 * time.Minute)
	for {
		k.mu.Lock()
		changed := k.changed
		k.mu.Unlock()
		if holds() {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatal("what was to be delivered has not come")
		}
	}
}

// A bench is a service on a log in memory, which can be started again.
type bench struct {
	*Service
	t       testing.TB
	clock   *clock
	kinesis *kinesis
	cfg     Config
}

const (
	streamARN = "arn:aws:kinesis:us-east-1:123456789012:stream/s"
	roleARN   = "arn:aws:iam::123456789012:role/r"
)

func newBench(t testing.TB, change func(*Config)) *bench {
	t.Helper()
	dir, err := blob.OpenDir(vfs.NewCrash(0), "blobs")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, clock: &clock{now: begin}, kinesis: newKinesis(streamARN)}
	b.cfg = Config{Log: shardlog.NewMemoryWithClock(b.clock), Blobs: dir, Streams: b.kinesis, KeepEvery: time.Hour}
	if change != nil {
		change(&b.cfg)
	}
	b.start()
	t.Cleanup(func() { b.Close() })
	return b
}

func (b *bench) start() {
	b.t.Helper()
	s, err := New(b.t.Context(), b.cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	s.Deliver()
	b.Service = s
}

func (b *bench) restart() {
	b.t.Helper()
	b.Close()
	b.start()
}

var caller = &rheo.Caller{Account: "123456789012", Region: "us-east-1"}

// do calls an operation with an input as JSON, and returns the answer as JSON or
// the error as text; by the codec and the constraints that requests go through.
func (b *bench) do(operation, input string) string { return b.doAs(caller, operation, input) }

func (b *bench) doAs(caller *rheo.Caller, operation, input string) string {
	op := api.Service.Op(operation)
	if op == nil {
		return "no operation " + operation
	}
	in := op.NewInput()
	codec := wire.JSON{Version: "1.1"}
	err := codec.Decode(op, &http.Request{}, []byte(input), in)
	if err == nil {
		err = wire.Validate(op, in)
	}
	var out any
	if err == nil {
		out, err = op.Invoke(rheo.WithCaller(context.Background(), caller), b.Service, in)
	}
	var e *rheo.Error
	if errors.As(err, &e) {
		return e.Error()
	}
	if err != nil {
		return "our error: " + err.Error()
	}
	a, err := codec.Encode(nil, op, out)
	if err != nil {
		return "cannot encode: " + err.Error()
	}
	return string(a.Body)
}

// must calls an operation that has to answer.
func (b *bench) must(operation, input string, args ...any) string {
	b.t.Helper()
	answer := b.do(operation, fmt.Sprintf(input, args...))
	if !strings.HasPrefix(answer, "{") {
		b.t.Fatalf("%s: %s", operation, answer)
	}
	return answer
}

func (b *bench) ctx() context.Context { return rheo.WithCaller(b.t.Context(), caller) }

// putLines puts lines of now.
func (b *bench) putLines(group, stream string, lines ...string) {
	b.t.Helper()
	in := &api.PutLogEventsInput{LogGroupName: &group, LogStreamName: &stream}
	for _, line := range lines {
		in.LogEvents = append(in.LogEvents, api.InputLogEvent{Timestamp: new(b.clock.Wall().UnixMilli()), Message: &line})
	}
	if _, err := b.PutLogEvents(b.ctx(), in); err != nil {
		b.t.Fatal(err)
	}
}

// all reads all events of a group by pages.
func (b *bench) all(in api.FilterLogEventsInput) (events []api.FilteredLogEvent) {
	b.t.Helper()
	for pages := 0; ; pages++ {
		out, err := b.FilterLogEvents(b.ctx(), &in)
		if err != nil {
			b.t.Fatal(err)
		}
		events = append(events, out.Events...)
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return events
		}
		if pages > 100_000 {
			b.t.Fatal("pages do not end")
		}
	}
}
