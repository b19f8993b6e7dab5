// Package call is the way of one operation, whoever calls it: the caller is
// authorised, the operation's rate is charged, the service does it, the call is
// audited and counted. Package wire brings requests from outside this way, and a
// service that needs another goes it too, with the role that it acts for as the
// caller. So nothing reaches a service unauthorised or uncounted.
//
// Beside the model each operation has a [Row], written by hand: the IAM actions
// it needs and on what, how often it may be called, how it is audited.
package call

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/metrics"
)

// Config says what stands along the way. Its zero value works.
type Config struct {
	Limits  Limits            // of call rates; AWS's if zero
	Now     func() time.Time  // time.Now if nil
	Log     *slog.Logger      // for errors that are ours; discarded if nil
	Metrics *metrics.Registry // a new one if nil
	Policy  Policy            // nil: whoever is authenticated may do everything in their account
	Audit   Auditor           // nil: no log of calls
}

// A Policy decides who may do what.
type Policy interface {
	// Authorize returns nil if caller may call op with in, and otherwise the
	// AccessDeniedException to answer with. It is safe for concurrent use.
	Authorize(ctx context.Context, caller *api.Caller, op *api.Op, row *Row, in any) error
}

// An Auditor keeps the log of calls.
type Auditor interface {
	// Audit is told of every call once it is over. It is safe for concurrent use,
	// and keeps neither Call nor what that points to.
	Audit(ctx context.Context, c *Call)
}

// A Call is one that is over.
type Call struct {
	Caller *api.Caller
	Op     *api.Op
	Row    *Row
	Start  time.Time
	In     any        // *XInput
	Out    any        // *XOutput, nil if there was an error
	Err    *api.Error // nil if there was none
}

// Calls are the operations that can be called. Register them all first; then Do
// is safe for concurrent use.
type Calls struct {
	Config
	ops     map[*api.Op]*operation  // read-only after the last Register
	subsets map[*api.Service]string // likewise; what callers of other operations are told
	rates   *rates
}

// An operation is what Do needs to know of an op, looked up once.
type operation struct {
	row     *Row
	impl    any
	stream  streamField
	metrics *metrics.Operation
	// throttled is the code of AWS's error for too many calls: LimitExceededException
	// or TooManyRequestsException if the model has it for the operation.
	throttled string
}

// New makes Calls without operations.
func New(c Config) *Calls {
	if c.Limits == 0 {
		c.Limits = AWS
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = metrics.New()
	}
	return &Calls{Config: c, ops: make(map[*api.Op]*operation), subsets: make(map[*api.Service]string), rates: newRates(rateKeysMax)}
}

// Register makes impl serve the operations of service for which it has a method;
// rows has one row for each operation of the model, or at least for those. The
// other operations are unknown; a [Subset] says why. Register panics on a row or a method that does not fit the model:
// that is a mistake in the program.
func (c *Calls) Register(service *api.Service, rows []Row, impl any) {
	byName := make(map[string]*Row, len(rows))
	for i := range rows {
		byName[rows[i].Op] = &rows[i]
	}
	if s, ok := impl.(Subset); ok {
		c.subsets[service] = s.Subset()
	}
	for _, op := range service.Implemented(impl) {
		row := byName[op.Name]
		if row == nil {
			panic("call: operation " + service.Name + "." + op.Name + " has no row")
		}
		o := &operation{row: row, impl: impl, stream: findStreamField(op),
			metrics: c.Metrics.Operation(service.Name, op.Name), throttled: "ThrottlingException"}
		for _, code := range [...]string{"LimitExceededException", "TooManyRequestsException"} {
			if op.ErrorShape(code) != nil {
				o.throttled = code
			}
		}
		c.ops[op] = o
	}
}

// A Subset is a service that has a part of its API on purpose.
type Subset interface {
	// Subset tells callers of an operation that is not in it why, and where to
	// find those that are.
	Subset() string
}

// Unknown is the answer to an operation that the model knows and nobody serves.
func (c *Calls) Unknown(op *api.Op) *api.Error {
	e := &api.Error{Code: "UnknownOperationException"}
	if why := c.subsets[op.Service]; why != "" {
		e.Message = op.Name + ": " + why
	}
	return e
}

// Serves says whether somebody serves op.
func (c *Calls) Serves(op *api.Op) bool { return c.ops[op] != nil }

// BodyBytesMax is how large a body of a request for op may be as it is sent; 0 is
// no limit of the operation's own.
func (c *Calls) BodyBytesMax(op *api.Op) int64 {
	if o := c.ops[op]; o != nil {
		return o.row.BodyBytesMax
	}
	return 0
}

// Do calls op for caller with in, made by op.NewInput, and returns its output.
// Every error is an *api.Error: those that are ours are logged here, once, and
// come back as InternalFailure.
func (c *Calls) Do(ctx context.Context, caller *api.Caller, op *api.Op, in any) (any, error) {
	o := c.ops[op]
	if o == nil {
		return nil, c.Unknown(op)
	}
	start := c.Now()
	out, err := c.do(ctx, caller, op, o, in, start)
	failed := c.answerable(err, caller, op)
	if c.Audit != nil {
		c.Audit.Audit(ctx, &Call{Caller: caller, Op: op, Row: o.row, Start: start, In: in, Out: out, Err: failed})
	}
	took := c.Now().Sub(start)
	if failed != nil {
		o.metrics.Done(failed.Code, took)
		return nil, failed
	}
	o.metrics.Done("", took)
	return out, nil
}

func (c *Calls) do(ctx context.Context, caller *api.Caller, op *api.Op, o *operation, in any, now time.Time) (out any, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if c.Policy != nil {
		if err := c.Policy.Authorize(ctx, caller, op, o.row, in); err != nil {
			return nil, err
		}
	}
	if err := c.charge(caller, op, o, in, now); err != nil {
		return nil, err
	}
	return op.Invoke(api.WithCaller(ctx, caller), o.impl, in)
}

// answerable is err as the caller may see it.
func (c *Calls) answerable(err error, caller *api.Caller, op *api.Op) *api.Error {
	if err == nil {
		return nil
	}
	var e *api.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, api.ErrNotImplemented):
		return &api.Error{Code: "UnknownOperationException"}
	case errors.Is(err, context.Canceled):
		// The caller is gone, or we are going; nobody waits for this answer.
		return &api.Error{Code: "ServiceUnavailable", Message: "The call was cancelled.", Status: http.StatusServiceUnavailable}
	}
	c.Log.Error("operation failed", "operation", op.Name, "service", op.Service.Name, "request", caller.RequestID,
		"account", caller.Account, "error", err)
	return InternalFailure(caller.RequestID)
}

// InternalFailure is the answer to a call that failed by our fault. It tells
// where the reason is to be found, not what it is.
func InternalFailure(requestID string) *api.Error {
	return &api.Error{Code: "InternalFailure", Status: http.StatusInternalServerError,
		Message: "The request failed because of an internal error; the server's log has it under request id " + requestID + "."}
}
