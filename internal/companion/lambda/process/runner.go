//go:build linux

package process

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// How often instances are looked at.
const (
	hurryInterval  = 25 * time.Millisecond  // memory of busy instances that have more than half of theirs
	sampleInterval = 100 * time.Millisecond // of other busy instances
	idleInterval   = time.Second            // of idle instances, and what they have on disk
)

// A Runner runs functions. Its methods may be called concurrently.
type Runner struct {
	config     Config
	limits     Limits
	logger     *slog.Logger
	httpErrors *log.Logger
	isolation  Isolation
	code       *codeCache
	runtimes   *runtimeFinder
	endpoint   endpoint

	rootDir, clientDir, tempDir string // in config.Dir
	caFile                      string // in clientDir; empty: none

	stop     chan struct{}  // closed by Close
	stopped  sync.WaitGroup // watch
	inFlight sync.WaitGroup // invocations

	delivering sync.WaitGroup // log queues

	mu        sync.Mutex
	closed    bool
	pools     map[functionKey]*pool
	live      map[*instance]struct{}
	memoryMiB int   // of live
	users     []int // free, of config.Users; only when functions have users of their own
}

// A pool is the instances of one Function.
type pool struct {
	live int
	idle []*instance // the last used last
}

// New returns a Runner for c, with the best isolation that this machine allows; an
// error if that is none (see Config.Unconfined).
func New(c Config) (*Runner, error) {
	if !became.Load() {
		return nil, errors.New("functions are started by this program itself under another name, so its main must call process.Become first")
	}
	if c.Users == (UserRange{}) {
		c.Users = UserRange{58000, 1000}
	}
	if c.Users.First == 0 || c.Users.Count <= 0 {
		return nil, errors.New("a range of users for functions must not have root in it, nor be empty")
	}
	r := &Runner{config: c, limits: c.Limits.withDefaults(), logger: c.Logger,
		stop: make(chan struct{}), pools: map[functionKey]*pool{}, live: map[*instance]struct{}{},
		runtimes: &runtimeFinder{config: c.Runtimes, found: map[string]foundRuntime{}},
	}
	if r.logger == nil {
		r.logger = slog.Default()
	}
	r.httpErrors = slog.NewLogLogger(r.logger.Handler(), slog.LevelDebug)
	var err error
	if r.endpoint, err = endpointOf(c.Endpoint); err != nil {
		return nil, err
	}
	if err := r.makeDirs(); err != nil {
		return nil, fmt.Errorf("cannot prepare the directory for functions: %w", err)
	}
	if r.isolation, err = r.probe(); err != nil {
		return nil, err
	}
	r.logger.Info("functions run on this machine", "isolation", r.isolation.String())
	for _, missing := range r.isolation.Missing {
		r.logger.Warn("not all that keeps functions in is in force", "missing", missing)
	}
	if os.Geteuid() == 0 {
		for i := c.Users.Count - 1; i >= 0; i-- {
			r.users = append(r.users, int(c.Users.First)+i)
		}
	}
	r.stopped.Go(r.watch)
	return r, nil
}

// makeDirs empties Dir and lays it out: code, root (where worlds are built), client
// (runtime clients and certificates, shared, read-only), tmp (of instances without a
// world).
func (r *Runner) makeDirs() (err error) {
	if r.config.Dir, err = filepath.Abs(r.config.Dir); err != nil {
		return err
	}
	dir := func(name string) string { return filepath.Join(r.config.Dir, name) }
	r.rootDir, r.clientDir, r.tempDir = dir("root"), dir("client"), dir("tmp")
	for _, d := range []string{r.config.Dir, r.rootDir, r.clientDir, r.tempDir} {
		if d != r.config.Dir {
			if err := os.RemoveAll(d); err != nil {
				return err
			}
		}
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(d, 0o755); err != nil { // whatever the umask is
			return err
		}
	}
	if err := os.Chmod(r.tempDir, 0o711); err != nil {
		return err
	}
	entries, err := clients.ReadDir("client")
	if err != nil {
		return err
	}
	for _, e := range entries {
		b, err := fs.ReadFile(clients, "client/"+e.Name())
		if err == nil {
			err = os.WriteFile(filepath.Join(r.clientDir, e.Name()), b, 0o644)
		}
		if err != nil {
			return err
		}
	}
	if err := r.writeCertificates(); err != nil {
		return err
	}
	r.code, err = newCodeCache(dir("code"), r.limits.CodeBytes)
	return err
}

const (
	caName     = "ca.pem"     // Config.CAFile
	bundleName = "bundle.pem" // the system's and that
)

// systemBundles are where systems keep their certificates.
var systemBundles = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}

func (r *Runner) writeCertificates() error {
	if r.config.CAFile == "" {
		return nil
	}
	own, err := os.ReadFile(r.config.CAFile)
	if err != nil {
		return err
	}
	r.caFile = filepath.Join(r.clientDir, caName)
	if err := os.WriteFile(r.caFile, own, 0o644); err != nil {
		return err
	}
	var bundle []byte
	for _, path := range systemBundles {
		if b, err := os.ReadFile(path); err == nil {
			bundle = append(b, '\n')
			break
		}
	}
	return os.WriteFile(filepath.Join(r.clientDir, bundleName), append(bundle, own...), 0o644)
}

// Isolation is what keeps functions in.
func (r *Runner) Isolation() Isolation { return r.isolation }

// Check tells whether fn's runtime can run here, without starting it: a
// [*RuntimeError] if not.
func (r *Runner) Check(ctx context.Context, fn *Function) error {
	_, err := r.runtimes.find(ctx, fn, places{})
	return err
}

// Invoke runs fn on one event. A function that fails is a Result with FunctionError;
// an error means that the event was not given to it: [ErrThrottled], [ErrClosed], a
// [*RuntimeError], [*CodeError] or [*EventError], or trouble of ours. When ctx ends,
// Invoke returns its error, and the function goes on.
func (r *Runner) Invoke(ctx context.Context, fn *Function, inv Invocation) (Result, error) {
	if err := r.checkEvent(&inv, fn); err != nil {
		return Result{}, err
	}
	in, fresh, err := r.acquire(ctx, fn)
	if err != nil {
		return Result{}, err
	}
	if !fresh {
		in.log.start(inv.RequestID, fn.Version)
		e := in.give(inv, fn.Timeout)
		a, took, lost, err := in.await(ctx, e)
		if err == nil && !lost {
			defer r.inFlight.Done()
			return r.conclude(in, inv, a, took, 0), nil
		}
		return r.inBackground(ctx, func(ctx context.Context) (Result, error) {
			if err != nil { // the caller's context has ended, and so has inBackground
				a, took, lost, _ = in.await(ctx, e)
			}
			if lost {
				return r.another(ctx, fn, inv, in)
			}
			return r.conclude(in, inv, a, took, 0), nil
		})
	}
	return r.inBackground(ctx, func(ctx context.Context) (Result, error) { return r.first(ctx, fn, inv, in) })
}

// inBackground does what must be done whether or not the caller waits for it: in a
// goroutine, with an entry of inFlight, and a context that does not end.
func (r *Runner) inBackground(ctx context.Context, do func(context.Context) (Result, error)) (Result, error) {
	type outcome struct {
		result Result
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		defer r.inFlight.Done()
		result, err := do(context.WithoutCancel(ctx))
		done <- outcome{result, err}
	}()
	select {
	case o := <-done:
		return o.result, o.err
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
}

func (r *Runner) checkEvent(inv *Invocation, fn *Function) error {
	if len(inv.Payload) > r.limits.PayloadBytes {
		return &EventError{fmt.Sprintf("an event of %d bytes is larger than %d", len(inv.Payload), r.limits.PayloadBytes)}
	}
	if inv.RequestID == "" || len(inv.RequestID) > 128 {
		return &EventError{"an event needs a request id"}
	}
	if inv.InvokedARN == "" {
		inv.InvokedARN = fn.ARN
	}
	for _, s := range []string{inv.RequestID, inv.InvokedARN, inv.ClientContext, inv.TraceID} {
		for i := range len(s) {
			if s[i] < ' ' || s[i] == 0x7f {
				return &EventError{"an event's request id, ARN, client context and trace id must not have control characters"}
			}
		}
	}
	return nil
}

// first is the way of an event through a fresh instance.
func (r *Runner) first(ctx context.Context, fn *Function, inv Invocation, in *instance) (Result, error) {
	began := time.Now()
	a, err := in.begin(ctx, inv.RequestID, r.limits.InitTimeout)
	if err != nil {
		r.discard(in)
		return Result{}, err
	}
	initDuration := time.Since(began)
	if a == nil {
		in.log.start(inv.RequestID, fn.Version)
		return r.through(ctx, fn, inv, in, fn.Timeout, 0, initDuration)
	}
	// Once more, on the invocation's own time.
	in.log.platform(initReport(initDuration, "init", a))
	if in, err = r.replace(ctx, fn, in); err != nil {
		return Result{}, err
	}
	began = time.Now()
	in.log.start(inv.RequestID, fn.Version)
	if a, err = in.begin(ctx, inv.RequestID, fn.Timeout); err != nil {
		r.discard(in)
		return Result{}, err
	}
	spent := time.Since(began)
	if a != nil {
		in.log.platform(initReport(spent, "invoke", a))
		return r.conclude(in, inv, *a, spent, 0), nil
	}
	return r.through(ctx, fn, inv, in, fn.Timeout-spent, spent, 0)
}

// through gives an event to an instance that waits for it. spent is what has gone of the
// invocation's time before.
func (r *Runner) through(ctx context.Context, fn *Function, inv Invocation, in *instance, timeout, spent, initDuration time.Duration) (Result, error) {
	a, took, lost, _ := in.await(ctx, in.give(inv, timeout)) // ctx does not end
	if lost {
		return r.another(ctx, fn, inv, in)
	}
	return r.conclude(in, inv, a, spent+took, initDuration), nil
}

// another takes another instance for an event that in has lost: it had ended while idle,
// and we had not noticed. What happens to that one is the event's outcome.
func (r *Runner) another(ctx context.Context, fn *Function, inv Invocation, in *instance) (Result, error) {
	in, err := r.replace(ctx, fn, in)
	if err != nil {
		return Result{}, err
	}
	began := time.Now()
	a, err := in.begin(ctx, inv.RequestID, r.limits.InitTimeout)
	if err != nil {
		r.discard(in)
		return Result{}, err
	}
	initDuration := time.Since(began)
	in.log.start(inv.RequestID, fn.Version)
	if a != nil {
		return r.conclude(in, inv, *a, initDuration, 0), nil
	}
	outcome, took, _, _ := in.await(ctx, in.give(inv, fn.Timeout))
	return r.conclude(in, inv, outcome, took, initDuration), nil
}

func initReport(d time.Duration, phase string, a *answer) string {
	s := fmt.Sprintf("INIT_REPORT Init Duration: %.2f ms\tPhase: %s\tStatus: %s", ms(d), phase, a.end)
	if a.end != endedTimeout {
		s += "\tError Type: " + a.errorType
	}
	return s
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// conclude ends an invocation: its log, its report, and the instance's next state.
func (r *Runner) conclude(in *instance, inv Invocation, a answer, took, initDuration time.Duration) Result {
	in.log.drain()
	result := Result{
		Payload: a.payload, FunctionError: a.functionError, ErrorType: a.errorType, ContentType: a.contentType,
		ExecutedVersion: in.fn.Version, Duration: took, InitDuration: initDuration, LogStream: in.stream,
		Billed:       time.Duration(math.Ceil(ms(took+initDuration))) * time.Millisecond,
		MaxMemoryMiB: in.peakMemoryMiB(),
	}
	switch {
	case a.end == endedTimeout:
		in.log.platform(fmt.Sprintf("%s %s Task timed out after %.2f seconds", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), inv.RequestID, in.fn.Timeout.Seconds()), "")
	case a.errorType == "Runtime.ExitError" || a.errorType == "Runtime.OutOfMemory" || a.errorType == "Runtime.InvalidEntrypoint":
		in.log.platform(messageOf(a.payload), a.errorType)
	}
	report := fmt.Sprintf("REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %d ms\tMemory Size: %d MB\tMax Memory Used: %d MB\t",
		inv.RequestID, ms(took), result.Billed.Milliseconds(), in.fn.MemoryMiB, result.MaxMemoryMiB)
	if initDuration > 0 {
		report += fmt.Sprintf("Init Duration: %.2f ms\t", ms(initDuration))
	}
	switch a.end {
	case "":
	case endedTimeout:
		report += "Status: timeout"
	default:
		report += "Status: error\tError Type: " + a.errorType
	}
	result.Log = in.log.end(inv.RequestID, report)
	if a.end != "" {
		in.end(endedError)
	}
	r.giveBack(in)
	return result
}

// Retire ends the idle instances of a function's version (of all versions, if it is
// empty) and lets busy ones end when they have answered: its code or configuration has
// changed, or it is deleted.
func (r *Runner) Retire(arn, version string) {
	r.mu.Lock()
	var idle []*instance
	for in := range r.live {
		if in.fn.ARN != arn || version != "" && in.fn.Version != version {
			continue
		}
		in.retired = true
		if !in.busy {
			idle = append(idle, in)
		}
	}
	for _, in := range idle {
		r.unlist(in)
	}
	r.mu.Unlock()
	for _, in := range idle {
		in.end(endedIdle)
	}
}

// Close lets invocations end, until ctx does; then it ends all instances. Later calls
// of Invoke are ErrClosed.
func (r *Runner) Close(ctx context.Context) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	r.mu.Unlock()
	drained := make(chan struct{})
	go func() { r.inFlight.Wait(); close(drained) }()
	var err error
	select {
	case <-drained:
	case <-ctx.Done():
		err = fmt.Errorf("functions were ended while they ran: %w", ctx.Err())
	}
	close(r.stop)
	r.stopped.Wait()
	for {
		r.mu.Lock()
		var all []*instance
		for in := range r.live {
			all = append(all, in)
		}
		r.mu.Unlock()
		if len(all) == 0 {
			break
		}
		for _, in := range all {
			in.end(endedIdle)
		}
		for _, in := range all {
			<-in.freed
		}
	}
	<-drained
	r.delivering.Wait() // the last lines of logs
	return err
}

// newStream is the name of an instance's log stream, as Lambda makes them.
func newStream(fn *Function) string {
	var b [16]byte
	rand.Read(b[:])
	return time.Now().UTC().Format("2006/01/02") + "/[" + fn.Version + "]" + hex.EncodeToString(b[:])
}
