package lambda

import (
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
)

// How long an event waits for its next try: after each error of the function, and,
// doubled each time, after the function could not be run.
var (
	failurePauses = []time.Duration{time.Minute, 2 * time.Minute}
	pauseFirst    = time.Second
	pauseMax      = 5 * time.Minute
)

// What becomes of an event in the end, as destinations are told.
const (
	eventSuccess         = "Success"
	eventRetriesUsed     = "RetriesExhausted"
	eventTooOld          = "EventAgeExceeded"
	eventZeroConcurrency = "ZeroReservedConcurrency"
)

// make has an event invoked once, and decides what becomes of it. A crash at any
// point leaves it as it was: it is made again.
func (q *events) make(e *event) {
	defer q.leave(e)
	if m := q.s.cfg.Answers; m != nil {
		n := 3 * e.bytes // as it is read, opened, and told to a destination
		if !m.Reserve(n) {
			q.later(e, pauseFirst)
			return
		}
		defer m.Release(n)
	}
	h, payload, err := q.read(e)
	if err != nil {
		if q.ctx.Err() == nil {
			// What cannot be read now will not be later; others go on.
			q.s.logger.Error("cannot read an accepted event; it is not made before the next start", "offset", e.offset, "err", err)
		}
		return
	}
	f, err := q.s.find(functionID{h.Account, h.Region, h.Name})
	if err != nil {
		q.pause(e, h, err)
		return
	}
	if f == nil || f.ID != h.FunctionID {
		q.finish(e, nil, nil) // as Lambda does: the function is gone, and nobody is told
		return
	}
	rules, err := f.invokeRules(h.Qualifier)
	if err != nil {
		q.pause(e, h, err)
		return
	}
	now := q.s.nowMillis()
	switch {
	case f.Reserved != nil && *f.Reserved == 0:
		q.giveUp(e, f, h, rules, eventZeroConcurrency, payload, nil)
		return
	case now-h.Accepted > rules.age.Milliseconds():
		q.giveUp(e, f, h, rules, eventTooOld, payload, nil)
		return
	}
	ref := reference{f.id(), h.Qualifier}
	in := &Invocation{RequestID: h.RequestID, Payload: payload, InvokedARN: ref.arn(), Qualifier: h.Qualifier, ClientContext: h.ClientContext}
	res, err := q.s.execute(q.ctx, f, h.Qualifier, in)
	switch {
	case q.ctx.Err() != nil:
	case rheo.IsCode(err, "ResourceNotFoundException"):
		q.finish(e, nil, nil) // the alias or version is gone
	case err != nil:
		q.pause(e, h, err)
	case res.FunctionError == "":
		q.finish(e, f, q.outcome(f, h, rules.onSuccess, eventSuccess, payload, res))
	default:
		q.failed(e, f, h, rules, payload, res)
	}
}

// failed is what becomes of an event that the function did not take.
func (q *events) failed(e *event, f *function, h *eventHeader, rules invokeRules, payload []byte, res *Result) {
	h.Failures++
	if h.Failures > rules.retries {
		q.giveUp(e, f, h, rules, eventRetriesUsed, payload, res)
		return
	}
	now := q.s.nowMillis()
	pause := failurePauses[min(int(h.Failures), len(failurePauses))-1]
	h.Due = now + pause.Milliseconds()
	if h.Due-h.Accepted > rules.age.Milliseconds() {
		q.giveUp(e, f, h, rules, eventTooOld, payload, res)
		return
	}
	h.Replaces = e.offset
	data, err := q.encode(eventAccept, h, payload)
	if err == nil {
		err = q.add(q.ctx, h, data, true)
	}
	if err != nil && q.ctx.Err() == nil {
		// It is as if it had not been made: one try more than there should be.
		q.s.logger.Warn("cannot log that an event is to be retried", "request", h.RequestID, "err", err)
		h.Failures--
		q.later(e, pause)
		return
	}
	q.trim()
}

// pause lets an event wait whose function could not be run: that is no failure of
// the function, and is tried until the event is too old.
func (q *events) pause(e *event, h *eventHeader, err error) {
	if q.ctx.Err() != nil {
		return
	}
	var theirs *rheo.Error
	if !errors.As(err, &theirs) {
		q.s.logger.Error("cannot make an accepted event; it is tried again", "function", h.Name, "request", h.RequestID, "err", err)
	}
	if e.pause = min(2*e.pause, pauseMax); e.pause == 0 {
		e.pause = pauseFirst
	}
	q.later(e, e.pause)
}

func (q *events) later(e *event, after time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e.due = q.s.nowMillis() + after.Milliseconds()
	heap.Push(&q.due, e)
}

func (q *events) giveUp(e *event, f *function, h *eventHeader, rules invokeRules, condition string, payload []byte, res *Result) {
	q.finish(e, f, q.outcome(f, h, rules.onFailure, condition, payload, res))
}

// An outcome is what a destination is told.
type outcome struct {
	destination string // ARN
	request     string // id of the event's
	document    []byte
}

// outcome makes what the destination is told; nil if there is none.
func (q *events) outcome(f *function, h *eventHeader, destination, condition string, payload []byte, res *Result) *outcome {
	if destination == "" {
		return nil
	}
	qualifier := h.Qualifier
	if qualifier == "" {
		qualifier = latest
	}
	type requestContext struct {
		RequestID string `json:"requestId"`
		Function  string `json:"functionArn"`
		Condition string `json:"condition"`
		Invokes   int32  `json:"approximateInvokeCount"`
	}
	type responseContext struct {
		Status  int    `json:"statusCode"`
		Version string `json:"executedVersion"`
		Error   string `json:"functionError,omitempty"`
	}
	doc := struct {
		Version  string           `json:"version"`
		Time     string           `json:"timestamp"`
		Request  requestContext   `json:"requestContext"`
		Payload  json.RawMessage  `json:"requestPayload"`
		Response *responseContext `json:"responseContext,omitempty"`
		Answer   json.RawMessage  `json:"responsePayload,omitempty"`
	}{
		Version: "1.0", Time: q.s.now().UTC().Format("2006-01-02T15:04:05.000Z"),
		Request: requestContext{h.RequestID, f.id().qualified(qualifier), condition, h.Failures}, Payload: payload,
	}
	if res != nil {
		doc.Response = &responseContext{http.StatusOK, res.ExecutedVersion, res.FunctionError}
		if doc.Answer = res.Payload; !json.Valid(doc.Answer) {
			doc.Answer, _ = json.Marshal(string(res.Payload))
		}
	}
	if condition == eventSuccess {
		doc.Request.Invokes++
	}
	text, err := json.Marshal(doc)
	if err != nil {
		q.s.logger.Error("cannot tell a destination of an event", "request", h.RequestID, "err", err)
		return nil
	}
	return &outcome{destination, h.RequestID, text}
}

// finish logs that an event is done, after its destination has been told. That a
// destination cannot be told is logged, and the event is done all the same, as in Lambda.
func (q *events) finish(e *event, f *function, o *outcome) {
	if o != nil {
		if err := q.s.deliver(q.ctx, f, o); err != nil {
			if q.ctx.Err() != nil {
				return
			}
			q.s.logger.Error("cannot tell a destination what became of an event", "function", f.Name, "request", o.request, "destination", o.destination, "err", err)
		}
	}
	data, err := q.encode(eventDone, doneHeader{[]uint64{e.offset}}, nil)
	if err == nil {
		_, err = q.append(q.ctx, data, true)
	}
	if err != nil {
		if q.ctx.Err() == nil {
			q.s.logger.Warn("cannot log that an event is done; the next start makes it again", "err", err)
		}
	}
	q.mu.Lock()
	q.forget(e.offset)
	q.mu.Unlock()
	q.trim()
}

// deliver tells a destination: a function gets an event of its own, a bucket an object.
func (s *Service) deliver(ctx context.Context, f *function, o *outcome) error {
	d, err := parseDestination(o.destination)
	if err != nil {
		return err
	}
	switch {
	case d.queue != "" && s.cfg.Queues == nil, d.bucket != "" && s.cfg.Objects == nil:
		return fmt.Errorf("destination %s cannot be told any more", o.destination)
	case d.queue != "":
		return s.cfg.Queues.Send(ctx, d.queue, o.document)
	case d.bucket != "":
		now := s.now().UTC()
		key := "aws/lambda/async/" + f.Name + "/" + now.Format("2006/01/02/2006-01-02T15.04.05") + "-" + newUUID()
		return s.cfg.Objects.PutObject(ctx, f.Account, f.Region, d.bucket, key, o.document)
	}
	target, err := s.find(d.function.functionID)
	if err != nil || target == nil {
		return orErr(err, d.function.missing())
	}
	if len(o.document) > eventBytesMax {
		return tooLarge("%d byte payload is too large for the Event invocation type (limit %d bytes)", len(o.document), eventBytesMax)
	}
	return s.events.accept(ctx, d.function, target.ID, &Invocation{RequestID: newUUID(), Payload: o.document})
}
