package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rheostream/rheo/internal/catalog"
	"github.com/rheostream/rheo/internal/companion/lambda/mapping"
)

const (
	// mappingStopMax is how long a mapping that is to stop may take for what is under
	// way; then that is cut off, and its records are delivered again.
	mappingStopMax = time.Minute
	// mappingRetry is how long after a step that failed the next one is tried.
	mappingRetry = 5 * time.Second
	// resultsEvery is how often what mappings came to is kept.
	resultsEvery = time.Second
)

// mappings makes come true what the documents of event source mappings say: those
// that are enabled run in the engine, with the settings that they have now. One
// goroutine looks at all documents whenever one has changed; each mapping's steps
// are made one after the other. A crash anywhere is gone on from: the next start
// finds the same documents and nothing running.
type mappings struct {
	s      *Service
	engine *mapping.Engine
	counts mappingCounts

	ctx    context.Context // done when the mappings are closed
	cancel context.CancelFunc
	work   sync.WaitGroup
	wake   chan struct{} // a document has changed, or a step is over

	mu      sync.Mutex
	live    map[string]*liveMapping // mu; by UUID: those that run
	busy    map[string]bool         // mu; by UUID: a step is under way
	failing map[string]time.Time    // mu; by UUID: no step before
	results map[string]string       // mu; by UUID: LastProcessingResult
	unkept  map[string]string       // mu; those that changed since they were kept
}

type liveMapping struct {
	id      mappingID
	run     int64 // that it was started with
	mapping *mapping.Mapping
}

func newMappings(s *Service) *mappings {
	m := &mappings{s: s, wake: make(chan struct{}, 1), live: make(map[string]*liveMapping), busy: make(map[string]bool),
		failing: make(map[string]time.Time), results: make(map[string]string), unkept: make(map[string]string)}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.engine = mapping.New(mapping.Services{Invoker: m, Checkpoints: s.checkpoints, Failures: m, Observer: m}, mapping.Limits{MemoryBytes: max(s.cfg.MappingBytesMax, 1), FiltersMax: filtersMax})
	if r := s.cfg.Metrics; r != nil {
		m.counts.show(r)
	}
	s.docs.Watch(mappingPrefix, func([]catalog.Change) { m.nudge() })
	return m
}

func (m *mappings) nudge() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *mappings) start() {
	m.work.Go(m.loop)
	m.work.Go(m.keepResults)
}

// close stops all mappings; what is done is stored, what takes longer is cut off.
func (m *mappings) close() {
	m.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := m.engine.Close(ctx); err != nil {
		m.s.logger.Warn("event source mappings were cut off; what was under way is delivered again", "err", err)
	}
	m.work.Wait()
	m.keep(ctx)
}

// loop starts the steps that are due.
func (m *mappings) loop() {
	for m.ctx.Err() == nil {
		wait, err := m.look()
		if err != nil {
			m.s.logger.Error("cannot read the event source mappings", "err", err)
			wait = mappingRetry
		}
		timer := time.NewTimer(wait)
		select {
		case <-m.wake:
		case <-timer.C:
		case <-m.ctx.Done():
		}
		timer.Stop()
	}
}

// look starts a step for each mapping that is not as its document says, and says
// how long until the next one is due.
func (m *mappings) look() (time.Duration, error) {
	wait := time.Minute
	now := m.s.now()
	for ch := range m.s.docs.Scan(mappingPrefix, "") {
		doc := new(mappingDoc)
		if err := json.Unmarshal(ch.Doc, doc); err != nil {
			return wait, fmt.Errorf("lambda: cannot read document %s: %w", ch.Key, err)
		}
		if due := m.due(doc); due.After(now) {
			wait = min(wait, due.Sub(now))
			continue
		}
		m.begin(doc, ch.Version)
	}
	return wait, nil
}

// due is from when on a step of a mapping may be made.
func (m *mappings) due(doc *mappingDoc) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	due := m.failing[doc.UUID]
	if doc.busy() {
		if at := time.UnixMilli(doc.Modified).Add(m.s.cfg.Transition); at.After(due) {
			due = at
		}
	}
	return due
}

// begin starts a mapping's step, unless there is nothing to do or one is under way.
func (m *mappings) begin(doc *mappingDoc, version uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.busy[doc.UUID] || m.settled(doc) {
		return
	}
	m.busy[doc.UUID] = true
	m.work.Go(func() {
		err := m.step(doc, version)
		m.mu.Lock()
		delete(m.busy, doc.UUID)
		delete(m.failing, doc.UUID)
		if err != nil && m.ctx.Err() == nil {
			m.failing[doc.UUID] = m.s.now().Add(mappingRetry)
		}
		m.mu.Unlock()
		if err != nil && m.ctx.Err() == nil {
			m.s.logger.Error("cannot bring an event source mapping to its state; it is tried again", "mapping", doc.UUID, "state", doc.State, "err", err)
		}
		m.nudge()
	})
}

// settled says that a mapping is as its document says. The caller holds mu.
func (m *mappings) settled(doc *mappingDoc) bool {
	live := m.live[doc.UUID]
	if doc.busy() {
		return false
	}
	return doc.Enabled == (live != nil) && (live == nil || live.run == doc.Run)
}

// step brings a mapping to where its document says, and the document to say so.
func (m *mappings) step(doc *mappingDoc, version uint64) error {
	m.mu.Lock()
	live := m.live[doc.UUID]
	m.mu.Unlock()
	runs := doc.Enabled && doc.State != mappingDeleting
	if live != nil && (!runs || live.run != doc.Run) {
		m.stop(live)
		live = nil
	}
	if doc.State == mappingDeleting {
		return m.remove(doc, version)
	}
	if runs && live == nil {
		if err := m.run(doc); err != nil {
			return err
		}
	}
	if !doc.busy() {
		return nil
	}
	doc.State = doc.settled()
	ch := &change{}
	ch.expects(doc.id().key(), version)
	ch.put(doc.id().key(), doc)
	err := m.s.commit(m.ctx, ch)
	if errors.Is(err, catalog.ErrConflict) {
		return nil // its new document is looked at next
	}
	return err
}

// run starts a mapping in the engine.
func (m *mappings) run(doc *mappingDoc) error {
	if m.s.cfg.Streams == nil {
		return errors.New("there are no streams")
	}
	role := ""
	if f, err := m.s.find(doc.function().functionID); err != nil {
		return err
	} else if f != nil {
		role = f.Latest.Role
	}
	run, err := m.engine.Start(doc.config(role), m.s.cfg.Streams.Source(doc.Account, doc.Region, doc.Stream, doc.Consumer))
	if err != nil {
		return fmt.Errorf("cannot start: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.live[doc.UUID] = &liveMapping{doc.id(), doc.Run, run}
	return nil
}

func (m *mappings) stop(live *liveMapping) {
	ctx, cancel := context.WithTimeout(m.ctx, mappingStopMax)
	defer cancel()
	if err := live.mapping.Stop(ctx); err != nil && m.ctx.Err() == nil {
		m.s.logger.Warn("an event source mapping was cut off; what was under way is delivered again", "mapping", live.id.uuid, "err", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.live, live.id.uuid)
}

// remove forgets a mapping that has been stopped: its checkpoints first, for
// without its document nobody would.
func (m *mappings) remove(doc *mappingDoc, version uint64) error {
	if err := m.s.checkpoints.deleteAll(m.ctx, doc.UUID); err != nil {
		return err
	}
	ch := &change{}
	ch.expects(doc.id().key(), version)
	ch.put(doc.id().key(), nil)
	ch.put(doc.pairKey(), nil)
	if err := m.s.commit(m.ctx, ch); err != nil && !errors.Is(err, catalog.ErrConflict) {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.results, doc.UUID)
	delete(m.unkept, doc.UUID)
	return nil
}

// result is a mapping's LastProcessingResult.
func (m *mappings) result(uuid string) string {
	m.mu.Lock()
	r, ok := m.results[uuid]
	m.mu.Unlock()
	if ok {
		return r
	}
	if r := m.s.checkpoints.result(uuid); r != "" {
		return r
	}
	return mapping.ResultNone
}

// Processed implements mapping.Observer.
func (m *mappings) Processed(uuid, result string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.results[uuid] != result {
		m.results[uuid], m.unkept[uuid] = result, result
	}
}

// Fault implements mapping.Observer.
func (m *mappings) Fault(uuid string, shard mapping.ShardID, err error) {
	m.s.logger.Warn("event source mapping", "mapping", uuid, "shard", string(shard), "err", err)
}

// keepResults keeps what mappings came to, so that it is still known after a
// restart: not each one as it comes, which nobody waits for.
func (m *mappings) keepResults() {
	ticker := time.NewTicker(resultsEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			m.keep(m.ctx)
		case <-m.ctx.Done():
			return
		}
	}
}

func (m *mappings) keep(ctx context.Context) {
	m.mu.Lock()
	some := m.unkept
	if len(some) == 0 {
		m.mu.Unlock()
		return
	}
	m.unkept = make(map[string]string)
	m.mu.Unlock()
	if err := m.s.checkpoints.storeResults(ctx, some); err != nil && ctx.Err() == nil {
		m.s.logger.Warn("cannot keep the results of event source mappings", "err", err)
	}
}

// Invoke implements mapping.Invoker.
func (m *mappings) Invoke(ctx context.Context, functionARN string, payload []byte) (mapping.Result, error) {
	d, err := parseDestination(functionARN)
	if err != nil {
		return mapping.Result{}, err
	}
	if m.s.cfg.Runner == nil {
		return mapping.Result{}, &mapping.Problem{Kind: mapping.ErrFunctionDisabled, Message: NoRunner}
	}
	f, err := m.s.find(d.function.functionID)
	if err != nil {
		return mapping.Result{}, err
	}
	if f == nil {
		return mapping.Result{}, &mapping.Problem{Kind: mapping.ErrFunctionGone, Message: d.function.missing().Message}
	}
	if f.Reserved != nil && *f.Reserved == 0 {
		return mapping.Result{}, &mapping.Problem{Kind: mapping.ErrFunctionDisabled, Message: "Function has a reserved concurrency of 0."}
	}
	in := &Invocation{RequestID: newUUID(), Payload: payload, InvokedARN: functionARN, Qualifier: d.function.qualifier}
	res, err := m.s.execute(ctx, f, d.function.qualifier, in)
	if err != nil {
		return mapping.Result{}, problem(err)
	}
	return mapping.Result{RequestID: in.RequestID, StatusCode: 200, ExecutedVersion: res.ExecutedVersion, FunctionError: res.FunctionError, Payload: res.Payload}, nil
}

// Send implements mapping.Failures: what was given up is an object of a bucket, with
// its records, or a message that says where they are.
func (m *mappings) Send(ctx context.Context, destinationARN string, f *mapping.Failure) error {
	d, err := parseDestination(destinationARN)
	if err != nil {
		return err
	}
	switch {
	case d.queue != "" && m.s.cfg.Queues != nil:
		return m.s.cfg.Queues.Send(ctx, d.queue, f.Document())
	case d.bucket == "" || m.s.cfg.Objects == nil:
		return fmt.Errorf("destination %s cannot be told any more", destinationARN)
	}
	key, body := f.Object()
	part := strings.SplitN(key, "/", 4) // aws/lambda/<uuid>/...
	m.mu.Lock()
	live := m.live[part[min(2, len(part)-1)]]
	m.mu.Unlock()
	if live == nil {
		return errors.New("the mapping does not run any more")
	}
	return m.s.cfg.Objects.PutObject(ctx, live.id.account, live.id.region, d.bucket, key, body)
}
