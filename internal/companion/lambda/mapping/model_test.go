package mapping_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostream/rheo/internal/companion/lambda/mapping"
)

// TestModel runs random mappings over random streams with random mishaps, and compares what
// the function took with the rules:
//
//   - every good record is taken; of a key in the order of the stream, once in each run of the
//     mapping, and after a restart not again if a stored checkpoint covers it;
//   - every poison record is told of in an on-failure record, with bisect alone;
//   - nothing is given up that is not poison, where bisect can isolate it;
//   - at most a factor's invocations of a shard at once, no batch above its size;
//   - in the end every closed shard's checkpoint has ended, and no memory is held.
//
// MAPPING_MODEL_RUNS is how many are run, MAPPING_MODEL_SEED where they begin.
func TestModel(t *testing.T) {
	runs, seed := 30, uint64(1)
	if n, err := strconv.Atoi(os.Getenv("MAPPING_MODEL_RUNS")); err == nil {
		runs = n
	}
	if n, err := strconv.ParseUint(os.Getenv("MAPPING_MODEL_SEED"), 10, 64); err == nil {
		seed = n
	}
	for i := range runs {
		t.Run(fmt.Sprint("seed ", seed+uint64(i)), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newModel(t, seed+uint64(i)).run() })
		})
	}
}

// model is one random run. What the function took is kept per record.
type model struct {
	*rig
	rng     *rand.Rand
	records map[mapping.SequenceNumber]*modelRecord
	order   map[string][]*modelRecord // by key
	epoch   int                       // runs of the mapping
	mishaps bool                      // throttles, faults, crashes
	again   bool                      // records may come again: it has crashed, or its factor was changed

	factorMax int

	chance  sync.Mutex
	chances *rand.Rand // chance; the stream's faults
	said    string     // the configuration, for a report
}

type modelRecord struct {
	key     string
	seq     mapping.SequenceNumber
	place   int // among its key's
	poison  bool
	dropped bool  // by the filter
	taken   []int // in which epochs
	given   int   // how often it was given up
	stored  bool  // covered by a checkpoint when the mapping was started last
}

func newModel(t *testing.T, seed uint64) *model {
	rng := rand.New(rand.NewPCG(seed, 7))
	m := &model{rig: newRig(t, 1+rng.IntN(4)), rng: rng, records: map[mapping.SequenceNumber]*modelRecord{}, order: map[string][]*modelRecord{}, chances: rand.New(rand.NewPCG(seed, 8))}
	c := &m.cfg
	c.BatchSize = []int{1, 3, 10, 100, 1000}[rng.IntN(5)]
	c.BatchingWindow = []time.Duration{0, 0, 2 * time.Second}[rng.IntN(3)]
	c.ParallelizationFactor = []int{1, 2, 10}[rng.IntN(3)]
	m.factorMax = c.ParallelizationFactor
	c.BisectOnFunctionError = rng.IntN(3) > 0
	c.ReportBatchItemFailures = rng.IntN(2) == 0
	c.MaximumRetryAttempts = rng.IntN(3)
	c.OnFailureARN = bucketARN
	if rng.IntN(3) == 0 {
		c.ConsumerARN = consumerARN
	}
	if rng.IntN(3) == 0 {
		c.Filters = []string{`{"data":{"keep":[true]}}`}
	}
	m.mishaps = rng.IntN(2) == 0
	m.limits.MemoryBytes = []int64{0, 0, 4 << 10, 64 << 10}[rng.IntN(4)]
	m.said = fmt.Sprintf("%+v, mishaps %v, limits %+v", *c, m.mishaps, m.limits)
	m.fn = m.function
	if m.mishaps {
		m.stream.fault = m.sourceFault
	}
	return m
}

// function fails where it meets poison, or reports that; sometimes it is not reached.
func (m *model) function(e *event) (mapping.Result, error) {
	m.mu.Lock()
	luck, pause := m.rng.IntN(20), time.Duration(m.rng.IntN(200))*time.Millisecond
	throttled := m.mishaps && luck == 0
	m.mu.Unlock()
	time.Sleep(pause)
	if throttled {
		return mapping.Result{}, &mapping.Problem{Kind: mapping.ErrThrottled, Message: "Rate Exceeded."}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(e.Records) > m.cfg.BatchSize {
		m.t.Errorf("a batch of %d", len(e.Records))
	}
	first := slices.IndexFunc(e.data(), func(d string) bool { return strings.Contains(d, "poison") })
	switch {
	case first < 0:
		m.take(e, len(e.Records))
		return success("null"), nil
	case !m.cfg.ReportBatchItemFailures:
		return failure(), nil
	}
	m.take(e, first)
	return success(fmt.Sprintf(`{"batchItemFailures":[{"itemIdentifier":%q}]}`, e.Records[first].Kinesis.SequenceNumber)), nil
}

// take notes that the function took the first n records of an event.
func (m *model) take(e *event, n int) {
	for _, r := range e.Records[:n] {
		rec := m.records[r.Kinesis.SequenceNumber]
		if rec.dropped {
			m.t.Errorf("%s: a record was delivered that the filter drops", rec.seq)
		}
		if rec.stored {
			m.t.Errorf("%s: delivered again though a checkpoint covers it", rec.seq)
		}
		if slices.Contains(rec.taken, m.epoch) {
			m.t.Errorf("%s: taken twice in one run", rec.seq)
		}
		rec.taken = append(rec.taken, m.epoch)
		for _, later := range m.order[rec.key][rec.place+1:] {
			if slices.Contains(later.taken, m.epoch) && !later.dropped {
				m.t.Errorf("%s of key %s was taken after %s", rec.seq, rec.key, later.seq)
				break
			}
		}
	}
}

func (m *model) sourceFault(op string, id mapping.ShardID) error {
	m.chance.Lock()
	defer m.chance.Unlock()
	switch m.chances.IntN(30) {
	case 0:
		return mapping.ErrThrottled
	case 1:
		return fmt.Errorf("%s: connection reset", op)
	}
	return nil
}

func (m *model) run() {
	m.begin()
	for range 40 {
		m.mu.Lock()
		what, n, pause := m.rng.IntN(20), m.rng.IntN(60), time.Duration(m.rng.IntN(3000))*time.Millisecond
		m.mu.Unlock()
		switch what {
		case 0, 1:
			if open := m.stream.open(); len(open) < 12 {
				m.stream.split(open[n%len(open)])
			}
		case 2, 3:
			open := m.stream.open()
			m.stream.merge(open[n%len(open)], open[(n+1)%len(open)])
			m.stream.merge(open[(n+1)%len(open)], open[n%len(open)])
		case 4:
			m.stop()
			if n%3 == 0 {
				// An update. What lanes had done apart is known to the first run after it only.
				m.cfg.ParallelizationFactor, m.cfg.BatchSize = []int{1, 3, 10}[n/3%3], 1+n
				m.factorMax, m.again = max(m.factorMax, m.cfg.ParallelizationFactor), true
			}
			m.begin()
		case 5:
			if m.mishaps {
				m.crash()
			}
		default:
			for range n {
				m.putOne()
			}
		}
		m.wait(pause)
	}
	m.mu.Lock()
	m.mishaps = false
	m.mu.Unlock()
	m.wait(10 * time.Minute)
	m.stop()
	m.judge()
	if m.t.Failed() {
		m.t.Log(m.said)
	}
}

func (m *model) putOne() {
	m.mu.Lock()
	key := fmt.Sprint("key", m.rng.IntN(15))
	r := &modelRecord{key: key, place: len(m.order[key]), poison: m.rng.IntN(40) == 0}
	r.dropped = len(m.cfg.Filters) > 0 && m.rng.IntN(2) == 0
	data := fmt.Sprintf(`{"keep":%v,"poison":%v}`, !r.dropped, r.poison)
	if !r.poison {
		data = fmt.Sprintf(`{"keep":%v}`, !r.dropped)
	}
	// The record is known before it can be delivered.
	r.seq = m.stream.put(key, data)
	m.records[r.seq] = r
	m.order[key] = append(m.order[key], r)
	m.mu.Unlock()
}

// begin starts the mapping and notes what it need not deliver any more.
func (m *model) begin() {
	m.mu.Lock()
	m.epoch++
	for _, sh := range m.stream.shards {
		c, ok := m.checkpoints[sh.ID]
		for _, r := range sh.records {
			if rec := m.records[r.SequenceNumber]; ok {
				rec.stored = c.Ended || !less(c.Done, rec.seq)
				if c.Lanes != nil {
					rec.stored = !less(c.Lanes[mapping.LaneOf(rec.key, len(c.Lanes))], rec.seq)
				}
			}
		}
	}
	m.mu.Unlock()
	m.start()
}

// crash ends the engine as a crash would: nothing more is stored, and what is under way is cut off.
func (m *model) crash() {
	m.again = true
	m.breakStore(func(int) (error, error) { return errDisk, nil })
	gone, cancel := context.WithCancel(m.t.Context())
	cancel()
	m.engine.Close(gone)
	if held := m.engine.Held(); held != 0 {
		m.t.Errorf("%d bytes are held after a crash", held)
	}
	m.breakStore(nil)
	m.engine = nil
	m.begin()
}

func (m *model) judge() {
	t := m.t
	for _, f := range m.failures {
		b := f.KinesisBatchInfo
		if m.cfg.BisectOnFunctionError && b.BatchSize != 1 {
			t.Errorf("%d records were given up together", b.BatchSize)
		}
		if f.RequestContext.Condition != "RetryAttemptsExhausted" {
			t.Errorf("given up for %s", f.RequestContext.Condition)
		}
		var e event
		if err := json.Unmarshal([]byte(f.Payload), &e); err != nil {
			t.Fatal(err)
		}
		for _, r := range e.Records {
			m.records[r.Kinesis.SequenceNumber].given++
		}
	}
	for _, r := range m.records {
		isolated := m.cfg.BisectOnFunctionError
		switch {
		case r.dropped:
			if len(r.taken)+r.given > 0 {
				t.Errorf("%s: dropped, yet taken %v or given up %v", r.seq, r.taken, r.given)
			}
		case r.poison:
			if r.given == 0 || len(r.taken) > 0 {
				t.Errorf("%s: poison, yet taken %v, given up %v", r.seq, r.taken, r.given)
			}
		case isolated && r.given > 0:
			t.Errorf("%s: good, yet given up", r.seq)
		case len(r.taken)+r.given == 0:
			t.Errorf("%s of %s: lost", r.seq, r.key)
		case !m.again && len(r.taken)+r.given > 1:
			t.Errorf("%s: taken %v, given up %v", r.seq, r.taken, r.given)
		}
	}
	if m.activeMax > m.factorMax {
		t.Errorf("%d invocations at once of a shard", m.activeMax)
	}
	open := m.stream.open()
	for id, c := range m.checkpoints {
		if c.Ended == slices.Contains(open, id) {
			t.Errorf("%s: Ended is %v", id, c.Ended)
		}
	}
	if n := len(m.checkpoints); n != len(m.stream.shards) {
		t.Errorf("%d checkpoints of %d shards", n, len(m.stream.shards))
	}
}
