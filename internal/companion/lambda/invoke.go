package lambda

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/lambda"
)

// Limits of an event, by how a function is invoked with it, and of an answer.
const (
	payloadBytesMax = 6 << 20
	eventBytesMax   = 1 << 20
	logTailBytes    = 4 << 10
)

// NoRunner is what Invoke answers to when functions are not run.
const NoRunner = "This server does not run functions. Start it with --lambda=local to run them as processes of this machine, or with --lambda=URL to invoke them at another Lambda endpoint."

// Invoke calls a function. A RequestResponse waits for its answer, whether the caller
// is still there or not; an Event is on disk when it is answered, and is made later
// (events.go); a DryRun checks the request alone.
func (s *Service) Invoke(ctx context.Context, in *api.InvokeInput) (*api.InvokeOutput, error) {
	ref, err := resolve(ctx, *in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	switch {
	case in.TenantId != nil:
		return nil, unsupported("TenantId", "there are no tenants")
	case in.DurableExecutionName != nil:
		return nil, unsupported("DurableExecutionName", "there are no durable executions")
	}
	if err := checkPayload(in.InvocationType, len(in.Payload)); err != nil {
		return nil, err
	}
	f, v, err := s.get(ref)
	if err != nil {
		return nil, err
	}
	payload := in.Payload
	if len(payload) == 0 {
		payload = []byte("{}")
	} else if !json.Valid(payload) {
		return nil, user("InvalidRequestContentException", "Could not parse request body into json: Could not parse payload into json: %s", wrongJSON(payload))
	}
	if in.InvocationType == api.InvocationTypeDryRun {
		return &api.InvokeOutput{StatusCode: new(int32(http.StatusNoContent))}, nil
	}
	if s.cfg.Runner == nil {
		return nil, invalid(NoRunner)
	}
	if s.nowMillis() < v.Due && !v.Updated {
		return nil, conflict("The operation cannot be performed at this time. The function is currently in the following state: Pending")
	}
	inv := &Invocation{RequestID: requestID(ctx), Payload: payload, InvokedARN: ref.arn(), Qualifier: ref.qualifier, Tail: in.LogType == api.LogTypeTail}
	setString(&inv.ClientContext, in.ClientContext)
	if in.InvocationType == api.InvocationTypeEvent {
		if err := s.events.accept(ctx, ref, f.ID, inv); err != nil {
			return nil, err
		}
		return &api.InvokeOutput{StatusCode: new(int32(http.StatusAccepted))}, nil
	}
	res, err := s.execute(context.WithoutCancel(ctx), f, ref.qualifier, inv)
	if err != nil {
		return nil, err
	}
	s.holdAnswer(ctx, int64(len(res.Payload)))
	out := &api.InvokeOutput{StatusCode: new(int32(http.StatusOK)), ExecutedVersion: &res.ExecutedVersion, Payload: res.Payload}
	if res.FunctionError != "" {
		out.FunctionError = &res.FunctionError
	}
	if inv.Tail {
		log := res.Log[max(0, len(res.Log)-logTailBytes):]
		out.LogResult = new(base64.StdEncoding.EncodeToString(log))
	}
	return out, nil
}

func checkPayload(kind api.InvocationType, n int) error {
	switch {
	case kind == api.InvocationTypeEvent && n > eventBytesMax:
		return tooLarge("%d byte payload is too large for the Event invocation type (limit %d bytes)", n, eventBytesMax)
	case n > payloadBytesMax:
		return tooLarge("Request must be smaller than %d bytes for the InvokeFunction operation", payloadBytesMax)
	}
	return nil
}

// wrongJSON says what is wrong with a text that is not JSON.
func wrongJSON(text []byte) string {
	var v any
	err := json.Unmarshal(text, &v)
	var at *json.SyntaxError
	if errors.As(err, &at) {
		return fmt.Sprintf("%v at byte %d", err, at.Offset)
	}
	return fmt.Sprint(err)
}

// requestID is the request's own, which the function and its log have too; rheo's
// own calls draw one.
func requestID(ctx context.Context) string {
	if id := rheo.CallerFrom(ctx).RequestID; len(id) == 36 {
		return id
	}
	return newUUID()
}

// execute runs a function once and returns what came of it. The qualifier's alias may give
// the invocation to either of two versions. Errors are an *api.Error where the
// caller can know them.
func (s *Service) execute(ctx context.Context, f *function, qualifier string, in *Invocation) (*Result, error) {
	v, err := f.chosen(qualifier)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, reference{f.id(), qualifier}.missing()
	}
	fn, err := s.runnable(f, v)
	if err != nil {
		return nil, err
	}
	leave, err := s.executions.enter(f.id(), f.Reserved, s.reservations.sum(f.id()))
	if err != nil {
		return nil, err
	}
	defer leave()
	res, err := s.cfg.Runner.Invoke(ctx, fn, in)
	var cannot *CannotRun
	switch {
	case errors.Is(err, ErrThrottled):
		return nil, tooMany("ConcurrentInvocationLimitExceeded")
	case errors.As(err, &cannot):
		return nil, user(cannot.Code, "%s", cannot.Message)
	case err != nil:
		return nil, fmt.Errorf("cannot invoke %s: %w", in.InvokedARN, err)
	}
	if res.ExecutedVersion == "" {
		res.ExecutedVersion = fn.Version
	}
	return res, nil
}

// chosen is the version that one invocation goes to; nil if there is none.
func (f *function) chosen(qualifier string) (*versionDoc, error) {
	if isAlias(qualifier) {
		a, err := f.alias(qualifier)
		if err != nil || a == nil {
			return nil, err
		}
		qualifier = a.Version
		if a.Other != "" && rand.Float64() < a.Weight {
			qualifier = a.Other
		}
	}
	return f.numbered(qualifier)
}

// runnable is a version as runners have it.
func (s *Service) runnable(f *function, v *versionDoc) (*Function, error) {
	vars, err := s.environment(v)
	if err != nil {
		return nil, err
	}
	code := v.Code
	return &Function{
		ARN: f.id().arn(), Name: f.Name, Version: v.qualifier(), Revision: runRevision(f, v), Account: f.Account, Region: f.Region, Role: v.Role,
		CodeSHA256: code.SHA256, CodeBytes: code.Bytes, Code: s.codeOpener(code),
		Runtime: v.Runtime, Handler: v.Handler, Environment: vars, MemoryMiB: int(v.Memory), StorageMiB: int(v.Storage),
		Timeout: time.Duration(v.Timeout) * time.Second, LogGroup: logGroup(&f.functionDoc, &v.Logging),
		LogJSON: v.Logging.JSON, LogLevel: v.Logging.Application, SystemLevel: v.Logging.System,
	}, nil
}

// retire lets the runner know that a version, or all of them, is not what it was.
func (s *Service) retire(id functionID, version string) {
	if s.cfg.Runner != nil {
		s.cfg.Runner.Retire(id.arn(), version)
	}
}

// runRevision changes with what a runner has to start anew for. RevisionId does
// not do: it changes with policies, too.
func runRevision(f *function, v *versionDoc) string {
	if v.Number > 0 {
		return f.ID
	}
	return fmt.Sprintf("%s/%d", f.ID, f.Edit)
}

// holdAnswer counts an answer's bytes until it has been sent.
func (s *Service) holdAnswer(ctx context.Context, n int64) {
	m := s.cfg.Answers
	if m == nil || n == 0 {
		return
	}
	m.Take(n)
	if !rheo.Hold(ctx, func() { m.Release(n) }) {
		m.Release(n)
	}
}
