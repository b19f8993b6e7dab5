package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/cloudwatch"
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

// flaky is a store that fails, having done what it was asked for or not.
type flaky struct {
	blob.Store
	fail func(name string) (done bool, err error) // nil: never
}

func (f *flaky) Put(ctx context.Context, name string, r io.Reader) error {
	if f.fail == nil {
		return f.Store.Put(ctx, name, r)
	}
	done, err := f.fail(name)
	if err == nil || done {
		if err := f.Store.Put(ctx, name, r); err != nil {
			return err
		}
	}
	return err
}

// A fullLog is on a disk that may be full.
type fullLog struct {
	shardlog.Log
	full bool
}

func (l *fullLog) Append(ctx context.Context, puts []shardlog.Put) {
	if !l.full {
		l.Log.Append(ctx, puts)
		return
	}
	for i := range puts {
		puts[i].Err = shardlog.ErrNoSpace
	}
}

var errFlaky = errors.New("the store failed")

// A bench is a service on a log in memory, whose keeper makes a pass when it is told
// to, and that can be started again.
type bench struct {
	*Service
	t     testing.TB
	clock *clock
	blobs *flaky
	cfg   Config
}

func newBench(t testing.TB, change func(*Config)) *bench {
	t.Helper()
	dir, err := blob.OpenDir(vfs.NewCrash(0), "blobs")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, clock: &clock{now: begin}, blobs: &flaky{Store: dir}}
	b.cfg = Config{Log: shardlog.NewMemoryWithClock(b.clock), Blobs: b.blobs}
	if change != nil {
		change(&b.cfg)
	}
	b.start()
	t.Cleanup(func() { b.Close() })
	return b
}

func (b *bench) start() {
	b.t.Helper()
	s, err := open(b.t.Context(), b.cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	s.apply()
	b.Service = s
}

func (b *bench) restart() {
	b.t.Helper()
	b.Close()
	b.start()
}

// flush makes a pass of the keeper as if an hour were over.
func (b *bench) flush() error {
	b.keeper.flushed = b.clock.Wall().Add(-b.keeper.flushEvery)
	return b.keeper.pass(b.t.Context())
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
	codec := wire.JSON{Version: "1.0"}
	err := codec.Decode(op, &http.Request{}, []byte(input), in)
	if err == nil {
		err = wire.Validate(op, in)
	}
	var out any
	if err == nil {
		out, err = op.Invoke(rheo.WithCaller(b.t.Context(), caller), b.Service, in)
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

// want calls an operation that must answer so, or fail with an error that begins so.
func (b *bench) want(operation, input, want string) {
	b.t.Helper()
	got := b.do(operation, input)
	if got != want && !(want != "" && !strings.HasPrefix(want, "{") && strings.HasPrefix(got, want)) {
		b.t.Errorf("%s %.300s:\n%.600s, want\n%s", operation, input, got, want)
	}
}

// count is how many samples a metric without dimensions has, all in all.
func (b *bench) count(namespace, name string) float64 {
	b.t.Helper()
	out, err := b.GetMetricData(rheo.WithCaller(b.t.Context(), caller), &api.GetMetricDataInput{
		StartTime: new(b.clock.Wall().Add(-500 * 24 * time.Hour)), EndTime: new(b.clock.Wall().Add(3 * time.Hour)),
		MetricDataQueries: []api.MetricDataQuery{{Id: new("a"), MetricStat: &api.MetricStat{Stat: new("SampleCount"), Period: new(int32(24 * hour)),
			Metric: &api.Metric{Namespace: &namespace, MetricName: &name}}}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	n := 0.0
	for _, v := range out.MetricDataResults[0].Values {
		n += v
	}
	return n
}

// blobNames lists the blobs with a prefix.
func (b *bench) blobNames(prefix string) (names []string) {
	b.t.Helper()
	infos, err := b.cfg.Blobs.List(b.t.Context(), prefix, "", 1000)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, i := range infos {
		names = append(names, i.Name)
	}
	return names
}

func putInput(namespace, name, rest string) string {
	return fmt.Sprintf(`{"Namespace": %q, "MetricData": [{"MetricName": %q, %s}]}`, namespace, name, rest)
}
