package mapping

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rheostream/rheo/internal/companion/lambda/mapping/pattern"
)

// Services are what all mappings of an engine use. Failures is needed by mappings with a destination only.
type Services struct {
	Invoker     Invoker
	Checkpoints Checkpoints
	Failures    Failures
	Observer    Observer
}

// Limits bound an engine; zero values are defaults.
type Limits struct {
	// MemoryBytes is what the records that are held may take in memory, and as the JSON of
	// events: 256 MiB. When it is used up, shards wait to be read.
	MemoryBytes int64
	// ReadPause is the least time between two reads of a shard that has more: 200 ms, since a
	// shard allows five reads a second. Below 0: none.
	ReadPause time.Duration
	// PollPause is the time between two reads of a shard that has no more: 1 s.
	PollPause time.Duration
	// FiltersMax is how many filters a mapping may have: 5.
	FiltersMax int
}

// Engine runs mappings. They share its memory budget; beside that none waits for another.
type Engine struct {
	services Services
	limits   Limits
	budget   budget

	mu      sync.Mutex
	running map[string]*Mapping // mu; by UUID
	closed  bool                // mu
}

// New makes an engine without mappings. It is to be closed.
func New(services Services, limits Limits) *Engine {
	if limits.MemoryBytes == 0 {
		limits.MemoryBytes = 256 << 20
	}
	if limits.ReadPause == 0 {
		limits.ReadPause = 200 * time.Millisecond
	}
	if limits.PollPause == 0 {
		limits.PollPause = time.Second
	}
	if limits.FiltersMax == 0 {
		limits.FiltersMax = pattern.FiltersDefault
	}
	e := &Engine{services: services, limits: limits, running: map[string]*Mapping{}}
	e.budget.free = limits.MemoryBytes
	return e
}

// readBytes is what is set aside for a read.
func (e *Engine) readBytes() int64 { return min(readBytes, max(1, e.limits.MemoryBytes/4)) }

// ErrClosed is that the engine is closed.
var ErrClosed = errors.New("event source mappings are stopped")

// Start begins to run a mapping, from its checkpoints or, if it has none, its starting
// position. It does not wait for the stream: what is wrong with that, or comes to be,
// becomes LastProcessingResult. An error is a Config that cannot be run; a *pattern.Error among others.
func (e *Engine) Start(cfg Config, source Source) (*Mapping, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	filters, err := pattern.Compile(cfg.Filters, e.limits.FiltersMax)
	if err != nil {
		return nil, err
	}
	m := &Mapping{
		engine: e, services: e.services, cfg: cfg, source: source, filters: filters,
		constants: pattern.Constants{EventSourceARN: cfg.eventSourceARN(), Region: cfg.Region, InvokeIdentityARN: cfg.InvokeIdentityARN},
		began:     time.Now(), looked: make(chan struct{}, 1), done: make(chan struct{}),
	}
	m.soft, m.stop = context.WithCancel(context.Background())
	m.hard, m.cut = context.WithCancel(context.Background())
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, ErrClosed
	}
	if e.running[cfg.UUID] != nil {
		return nil, fmt.Errorf("mapping %s runs already", cfg.UUID)
	}
	e.running[cfg.UUID] = m
	go m.run()
	return m, nil
}

// Close stops all mappings as Stop does.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	running := make([]*Mapping, 0, len(e.running))
	for _, m := range e.running {
		running = append(running, m)
		m.stop()
	}
	e.mu.Unlock()
	var errs []error
	for _, m := range running {
		errs = append(errs, m.Stop(ctx))
	}
	return errors.Join(errs...)
}

// Mapping is a mapping that runs.
type Mapping struct {
	engine    *Engine
	services  Services
	cfg       Config
	source    Source
	filters   *pattern.Set
	constants pattern.Constants
	began     time.Time

	soft      context.Context // ends when the mapping is to stop
	stop      context.CancelFunc
	hard      context.Context // ends when it may wait for nothing more
	cut       context.CancelFunc
	done      chan struct{}
	looked    chan struct{} // asks the lineage to look at the stream
	retention atomic.Int64  // of the stream, in nanoseconds; 0: not known

	mu     sync.Mutex
	result string // mu; what processed was told last
}

// Stop ends the mapping: it reads no more, waits for the invocations under way, and
// stores what is done. When ctx ends they are cut off instead; what they did will
// be done again. It returns when nothing of the mapping runs any more.
func (m *Mapping) Stop(ctx context.Context) error {
	m.stop()
	select {
	case <-m.done:
		return nil
	case <-ctx.Done():
	}
	m.cut()
	<-m.done
	return ctx.Err()
}

func (m *Mapping) run() {
	defer func() {
		m.stop()
		m.cut()
		m.engine.mu.Lock()
		delete(m.engine.running, m.cfg.UUID)
		m.engine.mu.Unlock()
		close(m.done)
	}()
	for m.soft.Err() == nil {
		m.follow()
	}
}

// look makes the lineage look at the stream soon.
func (m *Mapping) look() {
	select {
	case m.looked <- struct{}{}:
	default:
	}
}

// processed tells of a LastProcessingResult, if it is another.
func (m *Mapping) processed(result string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.result != result {
		m.result = result
		m.services.Observer.Processed(m.cfg.UUID, result)
	}
}

// problem tells of an error that the mapping waits to pass, after so many in a row: of the
// first, the second, the fourth and so on. One that says nothing to a user becomes the
// result when it stays.
func (m *Mapping) problem(id ShardID, err error, failures int) {
	if failures&(failures-1) == 0 {
		m.fault(id, err)
	}
	var p *Problem
	switch {
	case errors.As(err, &p):
		m.processed("PROBLEM: " + p.Message)
	case errors.Is(err, ErrThrottled):
	case failures >= 3:
		m.processed(resultFault)
	}
}

func (m *Mapping) fault(id ShardID, err error) {
	m.services.Observer.Fault(m.cfg.UUID, id, err)
}

// lanes is how many lanes a shard has. A window's state is the shard's: it has one.
func (cfg *Config) lanes() int {
	if cfg.TumblingWindow > 0 {
		return 1
	}
	return max(1, cfg.ParallelizationFactor)
}

func (cfg *Config) check() error {
	switch k := cfg.StartingPosition.Kind; {
	case cfg.UUID == "" || cfg.FunctionARN == "" || cfg.StreamARN == "":
		return errors.New("a mapping has a UUID, a function and a stream")
	case k != TrimHorizon && k != Latest && k != AtTimestamp:
		return fmt.Errorf("no mapping starts at %q", k)
	case cfg.BatchSize < 1 || cfg.BatchSize > 10_000:
		return fmt.Errorf("a batch cannot have %d records", cfg.BatchSize)
	case cfg.BatchingWindow < 0 || cfg.BatchingWindow > 300*time.Second:
		return fmt.Errorf("a batch cannot wait %v", cfg.BatchingWindow)
	case cfg.ParallelizationFactor < 0 || cfg.ParallelizationFactor > 10:
		return fmt.Errorf("a shard cannot have %d batches at once", cfg.ParallelizationFactor)
	case cfg.MaximumRetryAttempts < -1 || cfg.MaximumRetryAttempts > 10_000:
		return fmt.Errorf("a batch cannot be retried %d times", cfg.MaximumRetryAttempts)
	case cfg.TumblingWindow < 0 || cfg.TumblingWindow > 900*time.Second:
		return fmt.Errorf("a tumbling window cannot last %v", cfg.TumblingWindow)
	}
	return nil
}
