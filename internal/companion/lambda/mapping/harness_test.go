package mapping_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostream/rheo/internal/companion/lambda/mapping"
)

const (
	streamARN   = "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"
	consumerARN = streamARN + "/consumer/con1:1540591608"
	functionARN = "arn:aws:lambda:us-east-2:123456789012:function:my-function"
	bucketARN   = "arn:aws:s3:::failed"
	uuid        = "14e0db71-5d35-4eb5-b481-8945cf9d10c2"
)

// event is an event as a function sees it.
type event struct {
	Records []struct {
		Kinesis struct {
			PartitionKey                string
			SequenceNumber              mapping.SequenceNumber
			Data                        []byte
			ApproximateArrivalTimestamp json.Number
		}
		EventID        string
		EventSourceARN string
	}
	Window                  *struct{ Start, End string }
	State                   json.RawMessage
	ShardID                 mapping.ShardID
	IsFinalInvokeForWindow  bool
	IsWindowTerminatedEarly bool

	raw []byte
}

// data is the records' data.
func (e *event) data() []string {
	out := []string{}
	for _, r := range e.Records {
		out = append(out, string(r.Kinesis.Data))
	}
	return out
}

// failed is one failure that was sent.
type failed struct {
	RequestContext struct {
		RequestID              string
		FunctionArn            string
		Condition              string
		ApproximateInvokeCount int
	}
	ResponseContext *struct {
		StatusCode      int
		ExecutedVersion string
		FunctionError   *string
	}
	KinesisBatchInfo struct {
		ShardID                                mapping.ShardID
		StartSequenceNumber, EndSequenceNumber mapping.SequenceNumber
		BatchSize                              int
		ApproximateArrivalOfFirstRecord        string
		ApproximateArrivalOfLastRecord         string
		StreamArn                              string
	}
	Payload string

	key      string
	document string
}

// rig is everything around an engine, all of which but the engine outlives a restart.
type rig struct {
	t      *testing.T
	stream *memStream
	engine *mapping.Engine
	limits mapping.Limits
	m      *mapping.Mapping
	cfg    mapping.Config
	fn     func(e *event) (mapping.Result, error)

	mu          sync.Mutex
	events      []*event // mu; all, in the order of their invocations' beginning
	times       []time.Time
	active      map[mapping.ShardID]int                           // mu; invocations under way
	activeMax   int                                               // mu; of a shard
	checkpoints map[mapping.ShardID]mapping.Checkpoint            // mu; of the rig's mapping
	others      map[string]map[mapping.ShardID]mapping.Checkpoint // mu; of others in its engine
	stores      int
	storeFault  func(n int) (before, after error)
	slowStore   time.Duration
	failures    []failed
	sendFault   error
	results     []string
	counts      mapping.Counts
	ages        []time.Duration
	faults      []error
}

func newRig(t *testing.T, shards int) *rig {
	r := &rig{
		t: t, stream: newMemStream(shards), active: map[mapping.ShardID]int{}, checkpoints: map[mapping.ShardID]mapping.Checkpoint{},
		fn: func(*event) (mapping.Result, error) { return success("null"), nil },
		cfg: mapping.Config{
			UUID: uuid, FunctionARN: functionARN, StreamARN: streamARN, Region: "us-east-2",
			InvokeIdentityARN: "arn:aws:iam::123456789012:role/lambda-role",
			StartingPosition:  mapping.Position{Kind: mapping.TrimHorizon},
			BatchSize:         100, MaximumRetryAttempts: -1, MaximumRecordAge: -1, ParallelizationFactor: 1,
		},
	}
	return r
}

func success(payload string) mapping.Result {
	return mapping.Result{RequestID: "c9b8fa9f-5a7f-4a4f-af9c-0c604cde93a5", StatusCode: 200, ExecutedVersion: "$LATEST", Payload: []byte(payload)}
}

func failure() mapping.Result {
	r := success(`{"errorMessage":"poison","errorType":"ValueError"}`)
	r.FunctionError = "Unhandled"
	return r
}

// start starts the mapping, in a new engine if there is none.
func (r *rig) start() {
	r.t.Helper()
	if r.engine == nil {
		r.engine = mapping.New(mapping.Services{Invoker: r, Checkpoints: r, Failures: r, Observer: r}, r.limits)
	}
	m, err := r.engine.Start(r.cfg, r.stream)
	if err != nil {
		r.t.Fatal(err)
	}
	r.m = m
}

// stop stops the engine, waiting for what is under way.
func (r *rig) stop() {
	r.t.Helper()
	if err := r.engine.Close(r.t.Context()); err != nil {
		r.t.Error(err)
	}
	if held := r.engine.Held(); held != 0 {
		r.t.Errorf("%d bytes are held by a closed engine", held)
	}
	r.engine = nil
}

// wait lets the time pass that everything at hand takes, in steps of the polls.
func (r *rig) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (r *rig) Invoke(ctx context.Context, arn string, payload []byte) (mapping.Result, error) {
	if arn != functionARN {
		r.t.Errorf("function %s is invoked", arn)
	}
	if len(payload) > 6<<20 {
		r.t.Errorf("a payload of %d bytes", len(payload))
	}
	e := &event{raw: slices.Clone(payload)}
	if err := json.Unmarshal(payload, e); err != nil {
		r.t.Errorf("event is not JSON: %v\n%.200s", err, payload)
	}
	shard := e.ShardID
	if len(e.Records) > 0 {
		shard = mapping.ShardID(e.Records[0].EventID[:len("shardId-000000000000")])
	}
	r.mu.Lock()
	r.events = append(r.events, e)
	r.times = append(r.times, time.Now())
	r.active[shard]++
	r.activeMax = max(r.activeMax, r.active[shard])
	r.mu.Unlock()
	res, err := r.fn(e)
	r.mu.Lock()
	r.active[shard]--
	r.mu.Unlock()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return res, err
}

// checkpoint is a shard's; the zero one if it has none.
func (r *rig) checkpoint(id mapping.ShardID) mapping.Checkpoint {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.checkpoints[id]
}

func (r *rig) storeCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stores
}

// of is a mapping's checkpoints. The caller holds mu.
func (r *rig) of(id string) map[mapping.ShardID]mapping.Checkpoint {
	if id == uuid {
		return r.checkpoints
	}
	if r.others == nil {
		r.others = map[string]map[mapping.ShardID]mapping.Checkpoint{}
	}
	if r.others[id] == nil {
		r.others[id] = map[mapping.ShardID]mapping.Checkpoint{}
	}
	return r.others[id]
}

func (r *rig) Load(ctx context.Context, id string) ([]mapping.Checkpoint, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.of(id))), nil
}

func (r *rig) Store(ctx context.Context, id string, cs ...mapping.Checkpoint) error {
	time.Sleep(r.slowStore)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stores++
	var before, after error
	if r.storeFault != nil {
		before, after = r.storeFault(r.stores)
	}
	if before != nil {
		return before
	}
	for _, c := range cs {
		if old := r.of(id)[c.Shard]; old.Stream.Equal(c.Stream) && less(c.Done, old.Done) {
			r.t.Errorf("checkpoint of %s goes back from %s to %s", c.Shard, old.Done, c.Done)
		}
		if c.Window != nil && len(c.Window.State) > 1<<20 {
			r.t.Errorf("checkpoint of %s has a state of %d bytes", c.Shard, len(c.Window.State))
		}
		r.of(id)[c.Shard] = c
	}
	return after
}

// breakStore makes checkpoints fail: with the first error before they are stored, with the second after.
func (r *rig) breakStore(fault func(n int) (before, after error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.storeFault = fault
}

func less(a, b mapping.SequenceNumber) bool { return len(a) < len(b) || len(a) == len(b) && a < b }

func (r *rig) Delete(ctx context.Context, id string, shards ...mapping.ShardID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range shards {
		delete(r.of(id), s)
	}
	return nil
}

func (r *rig) Send(ctx context.Context, arn string, f *mapping.Failure) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if arn != bucketARN {
		r.t.Errorf("failure is sent to %s", arn)
	}
	if r.sendFault != nil {
		return r.sendFault
	}
	key, body := f.Object()
	out := failed{key: key, document: string(f.Document())}
	if err := json.Unmarshal(body, &out); err != nil {
		r.t.Errorf("failure is not JSON: %v", err)
	}
	r.failures = append(r.failures, out)
	return nil
}

func (r *rig) Processed(id, result string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, result)
}

func (r *rig) Count(id string, c mapping.Counts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts.PolledEvents += c.PolledEvents
	r.counts.FilteredOutEvents += c.FilteredOutEvents
	r.counts.InvokedEvents += c.InvokedEvents
	r.counts.FailedInvokeEvents += c.FailedInvokeEvents
	r.counts.DroppedEvents += c.DroppedEvents
	r.counts.OnFailureDeliveredEvents += c.OnFailureDeliveredEvents
	r.counts.DestinationDeliveryFailures += c.DestinationDeliveryFailures
}

func (r *rig) IteratorAge(id, arn string, age time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ages = append(r.ages, age)
}

func (r *rig) Fault(id string, shard mapping.ShardID, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, err)
}

// batches is the data of all events, event by event.
func (r *rig) batches() (out [][]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		out = append(out, e.data())
	}
	return out
}

func (r *rig) wantBatches(want ...[]string) {
	r.t.Helper()
	got := r.batches()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		r.t.Errorf("events were\n%v, want\n%v", got, want)
	}
}

func (r *rig) result() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.results) == 0 {
		return mapping.ResultNone
	}
	return r.results[len(r.results)-1]
}

// failing is a function that fails where one of the records is bad.
func failing(bad ...string) func(*event) (mapping.Result, error) {
	return func(e *event) (mapping.Result, error) {
		for _, d := range e.data() {
			if slices.Contains(bad, d) {
				return failure(), nil
			}
		}
		return success("null"), nil
	}
}

// reporting is a function that reports the bad ones among the records.
func reporting(bad ...string) func(*event) (mapping.Result, error) {
	return func(e *event) (mapping.Result, error) {
		list := ""
		for _, r := range e.Records {
			if slices.Contains(bad, string(r.Kinesis.Data)) {
				if list != "" {
					list += ","
				}
				list += fmt.Sprintf(`{"itemIdentifier":%q}`, r.Kinesis.SequenceNumber)
			}
		}
		return success(`{"batchItemFailures":[` + list + `]}`), nil
	}
}

var errDisk = errors.New("the disk is full")
