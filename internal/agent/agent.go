package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rheostream/rheo/internal/vfs"
)

// Config is what an agent is made of.
type Config struct {
	Settings *Settings // of Load
	// Checkpoints is the file they are kept in; it and its directory are made.
	Checkpoints string
	// Import is a checkpoint file of the Kinesis Agent, read when Checkpoints does not
	// exist yet, and never written. It need not exist.
	Import string
	// Destination returns what a flow's records go to.
	Destination func(*Flow) Destination
	Meter       Meter  // nil: metrics are not sent
	Instance    string // a dimension of the metrics; empty: none
	// Host returns what is known of the machine, for ADDEC2METADATA; nil: nothing is.
	Host func(context.Context) ([]Attribute, error)
	// BytesMax bounds the records under way of all flows together, beyond one batch
	// each; 0: 64 MiB.
	BytesMax int
	// Once ends the run when all that is in the files is sent.
	Once   bool
	Logger *slog.Logger // nil: slog.Default()
	FS     vfs.FS       // of the checkpoints; nil: the host's
}

const (
	bytesMaxDefault = 64 << 20
	meterTimeout    = 20 * time.Second
	hostTimeout     = 5 * time.Second // the flows wait for the first answer
	datumsMax       = 20              // of one PutMetrics
)

// An Agent runs the flows of a configuration.
type Agent struct {
	cfg     Config
	log     *slog.Logger
	store   *store
	tailers []*tailer
	meters  []*meter // one a destination
	host    atomic.Pointer[[]Attribute]
	began   time.Time

	unsafeSaid time.Time // when it was last said that checkpoints cannot be written; zero: they can. flush's
}

// New reads the checkpoints and locks them. It starts nothing.
func New(cfg Config) (*Agent, error) {
	if cfg.Settings == nil || len(cfg.Settings.Flows) == 0 {
		return nil, errors.New("an agent needs flows")
	}
	a := &Agent{cfg: cfg, log: cfg.Logger}
	if a.log == nil {
		a.log = slog.Default()
	}
	fsys := cfg.FS
	if fsys == nil {
		fsys = vfs.OS()
	}
	var err error
	if a.store, err = openStore(fsys, cfg.Checkpoints, cfg.Settings.CheckpointTTL); err != nil {
		return nil, err
	}
	if len(a.store.flows) == 0 && cfg.Import != "" {
		if err := a.importCheckpoints(); err != nil {
			return nil, errors.Join(err, a.store.close())
		}
	}
	flows := cfg.Settings.Flows
	senders := max(1, cmp.Or(cfg.Settings.SendersMax, max(2, cfg.Settings.SendersPerCore*runtime.GOMAXPROCS(0)))/len(flows))
	meters := map[string]*meter{}
	for _, f := range flows {
		where := string(f.Service) + ":" + f.Stream
		if meters[where] == nil {
			meters[where] = newMeter(f, cfg.Instance)
			a.meters = append(a.meters, meters[where])
		}
		a.tailers = append(a.tailers, &tailer{
			flow: f, dest: cfg.Destination(f), store: a.store, meter: meters[where], counts: new(counts), log: a.log.With("flow", f.ID),
			host: a.attributes, senders: min(senders, f.QueueBatches), budget: cmp.Or(cfg.BytesMax, bytesMaxDefault) / len(flows),
			once: cfg.Once, grace: cfg.Settings.ShutdownGrace,
			queue: make(chan *batch, f.QueueBatches+1), done: make(chan *batch, f.QueueBatches+1),
			openMax: max(openLeast, openMax/len(flows)), sources: map[fileID]*source{}, hidden: map[string]bool{}, said: map[string]time.Time{},
		})
	}
	return a, nil
}

func (a *Agent) attributes() []Attribute {
	if p := a.host.Load(); p != nil {
		return *p
	}
	return nil
}

// importCheckpoints takes over what the Kinesis Agent stored of the flows.
func (a *Agent) importCheckpoints() error {
	entries, err := readForeign(a.cfg.Import)
	if err != nil {
		return fmt.Errorf("cannot read the checkpoints of the Kinesis Agent in %s: %w", a.cfg.Import, err)
	}
	for _, f := range a.cfg.Settings.Flows {
		var own []entry
		for _, e := range entries {
			if e.Flow == f.ID || e.Flow == f.givenID() {
				e.Flow, e.foreign = f.ID, true
				own = append(own, e)
			}
		}
		if own != nil {
			a.log.Info("checkpoints of the Kinesis Agent are taken over", "flow", f.ID, "files", len(own))
			a.store.set(f.ID, own)
		}
	}
	return nil
}

// givenID is the flow's with the directory as it is written.
func (f *Flow) givenID() string {
	at := strings.LastIndexByte(f.ID, ':')
	if i := strings.Index(f.ID, ":"+f.Dir+"/"); i >= 0 {
		at = i
	}
	return f.ID[:at+1] + f.filePattern
}

// Run runs the flows until ctx ends, or with Once until all is sent. What was read by
// then is sent for as long as shutdownTimeoutMillis says. It returns nil if all went
// that way, whatever flows are refused, and may be called once.
func (a *Agent) Run(ctx context.Context) error {
	a.began = time.Now()
	for _, err := range a.cfg.Settings.Refused {
		a.log.Error("a flow is not run: its configuration is wrong", "error", err)
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var loops, flows sync.WaitGroup
	for _, t := range a.tailers {
		if t.flow.convert.needsHost() && a.cfg.Host != nil {
			a.learnHost(ctx)
			loops.Go(func() { every(background, a.cfg.Settings.HostTTL, func() { a.learnHost(background) }) })
			break
		}
	}
	loops.Go(func() { a.flushing(background) })
	loops.Go(func() { every(background, a.cfg.Settings.StatusEvery, a.report) })
	if a.cfg.Meter != nil {
		loops.Go(func() { every(background, a.cfg.Settings.MetricsEvery, func() { a.sendMetrics(background) }) })
	}
	errs := make([]error, len(a.tailers))
	for i, t := range a.tailers {
		flows.Go(func() { errs[i] = t.run(ctx) })
	}
	flows.Wait()
	stop()
	loops.Wait()
	if a.cfg.Meter != nil {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), meterTimeout)
		a.sendMetrics(last)
		cancel()
	}
	a.report()
	return errors.Join(append(errs, a.store.close())...)
}

// every calls do again and again, until ctx ends.
func every(ctx context.Context, period time.Duration, do func()) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

// flushing writes what was set now and then, and when a tailer waits for it.
func (a *Agent) flushing(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-a.store.hurry:
		}
		a.flush()
	}
}

func (a *Agent) flush() {
	err := a.store.flush()
	now := time.Now()
	switch failing := !a.unsafeSaid.IsZero(); {
	case err != nil && now.Sub(a.unsafeSaid) >= sayEvery:
		a.unsafeSaid = now
		a.log.Error("checkpoints are not safe: what is sent from now on will be sent again after a restart", "error", err)
	case err == nil && failing:
		a.unsafeSaid = time.Time{}
		a.log.Info("checkpoints are safe again")
	}
}

func (a *Agent) learnHost(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	host, err := a.cfg.Host(ctx)
	if err != nil {
		a.log.Warn("nothing is known of this machine; ADDEC2METADATA leaves records as they are", "error", err)
		return
	}
	a.host.Store(&host)
}

// sendMetrics sends what was counted. What cannot be sent is added to what comes.
func (a *Agent) sendMetrics(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, meterTimeout)
	defer cancel()
	for _, m := range a.meters {
		data := m.take(time.Now())
		for len(data) > 0 {
			n := min(len(data), datumsMax)
			if err := a.cfg.Meter.PutMetrics(ctx, a.cfg.Settings.Namespace, data[:n]); err != nil {
				m.give(data)
				a.log.Warn("cannot send metrics", "error", err)
				return
			}
			data = data[n:]
		}
	}
}

// Status is what each flow did since the start. It may be called at any time.
func (a *Agent) Status() []Status {
	var all []Status
	for _, t := range a.tailers {
		all = append(all, t.counts.status(t.flow.ID))
	}
	return all
}

// report logs the line that says how it goes.
func (a *Agent) report() {
	if n := len(a.cfg.Settings.Refused); n > 0 {
		a.log.Warn("flows are not run: their configuration is wrong, as was said at the start", "mistakes", n)
	}
	var sum Status
	for _, s := range a.Status() {
		if a.cfg.Settings.LogMetrics {
			a.log.Info("flow", "flow", s.Flow, "records", s.Records, "bytes", s.Bytes, "sent", s.Sent, "sent_bytes", s.SentBytes,
				"retried", s.Retried, "skipped", s.Skipped, "unconverted", s.Failed, "cut", s.Truncated, "copies", s.Copies, "lost_bytes", s.LostBytes,
				"behind_bytes", s.BehindBytes, "behind_files", s.BehindOf)
		}
		sum.Records += s.Records
		sum.Bytes += s.Bytes
		sum.Sent += s.Sent
		sum.Retried += s.Retried
		sum.Skipped += s.Skipped
		sum.Copies += s.Copies
		sum.LostBytes += s.LostBytes
		sum.BehindBytes += s.BehindBytes
		sum.BehindOf += s.BehindOf
	}
	a.log.Info("progress", "records", sum.Records, "bytes", sum.Bytes, "sent", sum.Sent, "retried", sum.Retried, "skipped", sum.Skipped,
		"copies", sum.Copies, "lost_bytes", sum.LostBytes, "behind_bytes", sum.BehindBytes, "behind_files", sum.BehindOf, "uptime_seconds", int64(time.Since(a.began).Seconds()))
}
