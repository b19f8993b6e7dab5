//go:build linux

package process

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// The Runtime API, 2018-06-01, of one instance: what a runtime is given and may say.
//
//	GET  /runtime/invocation/next            the next event; waits for it
//	POST /runtime/invocation/{id}/response   the answer; may come in pieces, with an error in trailers
//	POST /runtime/invocation/{id}/error      the function failed
//	POST /runtime/init/error                 it could not be initialised
//
// A connection that waits for an event is read on meanwhile, by which it is noticed
// when the runtime hangs up, and is written to by whoever has the event: between a
// caller and its function there is no third.
const apiRoot = "/2018-06-01/runtime/"

// Errors of the API, in the words of Lambda's own.
var (
	errInvalidRequestID = apiError{400, "InvalidRequestID", "Invalid request ID"}
	errTruncated        = apiError{400, "TruncatedHTTPRequest", "HTTP request detected as truncated"}
	errResponseMode     = apiError{400, "InvalidFunctionResponseMode", "Invalid function response mode"}
	errState            = apiError{403, "InvalidStateTransition", "State transition is not allowed"}
	errNoSuchCall       = apiError{404, "NotFound", "There is no such call"}
)

type apiError struct {
	status        int
	kind, message string
}

// An answer is what ended an invocation.
type answer struct {
	payload       []byte
	contentType   string
	functionError string // empty, or "Unhandled"
	errorType     string
	end           reason // why the instance is no more, if so
}

// serveAPI answers calls on l until it is closed.
func (in *instance) serveAPI(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of files, most likely
			continue
		}
		go in.serveConnection(newAPIConn(c))
	}
}

func (in *instance) serveConnection(c *apiConn) {
	defer c.Close()
	defer in.hungUp(c)
	for {
		call, err := c.readCall()
		if err != nil {
			if errors.Is(err, errMalformed) {
				c.refuse(apiError{400, "BadRequest", err.Error()})
			}
			return
		}
		if in.hungUp(c) {
			return // it waits for an event and does not wait: it must not have both answers
		}
		if err := in.serve(c, call); err != nil {
			return
		}
	}
}

// serve answers one call; an error is the end of the connection.
func (in *instance) serve(c *apiConn, call *apiCall) error {
	path, ok := strings.CutPrefix(call.path, apiRoot)
	switch {
	case ok && path == "invocation/next" && call.method == "GET":
		return in.next(c)
	case ok && path == "init/error" && call.method == "POST":
		return in.initError(c, call)
	case ok && strings.HasPrefix(path, "invocation/") && call.method == "POST":
		switch id, what, _ := strings.Cut(strings.TrimPrefix(path, "invocation/"), "/"); what {
		case "response":
			return in.response(c, call, id)
		case "error":
			return in.failure(c, call, id)
		}
	}
	if err := call.skipBody(); err != nil {
		return err
	}
	return c.refuse(errNoSuchCall)
}

// next gives the runtime its next event, now if there is one. The first call ends
// initialisation.
func (in *instance) next(c *apiConn) error {
	in.mu.Lock()
	if in.event != nil && in.delivered && !in.answered {
		in.mu.Unlock()
		return c.refuse(errState)
	}
	in.readyOnce.Do(func() { close(in.ready) })
	e := in.event
	if e == nil || in.delivered {
		older := in.waiter
		in.waiter = c
		in.mu.Unlock()
		if older != nil {
			older.Close() // the runtime has one loop: this is another life of it
		}
		return nil
	}
	in.delivered = true
	in.mu.Unlock()
	return in.deliver(c, e)
}

// hungUp notes that c does not wait for an event any more, and tells whether it did.
func (in *instance) hungUp(c *apiConn) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.waiter != c {
		return false
	}
	in.waiter = nil
	return true
}

// deliver writes e to c. What could not be written was not delivered.
func (in *instance) deliver(c *apiConn, e *event) error {
	err := c.writeEvent(e)
	if err != nil {
		c.Close()
		in.mu.Lock()
		if in.event == e && !in.answered {
			in.delivered = false
		}
		in.mu.Unlock()
	}
	return err
}

// response takes the answer of an invocation.
func (in *instance) response(c *apiConn, call *apiCall, id string) error {
	e := in.claim(id)
	if e == nil {
		if err := call.skipBody(); err != nil {
			return err
		}
		return c.refuse(errInvalidRequestID)
	}
	limit := in.limits.ResponseBytes
	body, err := call.readBody(limit)
	mode := call.responseMode
	switch {
	case mode != "" && mode != "buffered" && mode != "streaming":
		in.answer(e, failed("Runtime.InvalidResponseModeHeader", "Unknown application error occurred"))
		return c.refuse(errResponseMode)
	case errors.Is(err, errTooLarge):
		in.answer(e, tooLarge(limit))
		return c.refuse(apiError{413, "RequestEntityTooLarge", fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", limit)})
	case err != nil:
		in.answer(e, failed("Runtime.TruncatedResponse", "The runtime's response ended early"))
		c.refuse(errTruncated)
		return err
	}
	a := answer{payload: body, contentType: call.contentType}
	if kind := call.trailerErrorType; kind != "" {
		// A streaming function failed half-way; what was sent of its answer is void.
		a.functionError, a.errorType = "Unhandled", errorType(kind)
		a.payload, err = base64.StdEncoding.DecodeString(call.trailerErrorBody)
		if err != nil || len(a.payload) == 0 {
			a = failed(errorType(kind), "Unknown application error occurred")
		}
	}
	if !in.answer(e, a) {
		return c.refuse(errInvalidRequestID)
	}
	return c.accept()
}

// failure takes the error that an invocation ended with.
func (in *instance) failure(c *apiConn, call *apiCall, id string) error {
	e := in.claim(id)
	if e == nil {
		if err := call.skipBody(); err != nil {
			return err
		}
		return c.refuse(errInvalidRequestID)
	}
	a, err := errorAnswer(call, in.limits.ResponseBytes)
	if err != nil && !errors.Is(err, errTooLarge) {
		return err // it ended half-way: the process did, and tells more by that
	}
	if !in.answer(e, a) {
		return c.refuse(errInvalidRequestID)
	}
	return c.accept()
}

// initError takes the error that initialisation ended with.
func (in *instance) initError(c *apiConn, call *apiCall) error {
	if !in.initialising() {
		if err := call.skipBody(); err != nil {
			return err
		}
		return c.refuse(errState)
	}
	a, err := errorAnswer(call, in.limits.ResponseBytes)
	if err != nil && !errors.Is(err, errTooLarge) {
		a = failed("Runtime.Unknown", "Unknown application error occurred")
	}
	a.end = endedError
	in.initFailure <- a
	return c.accept()
}

func errorAnswer(call *apiCall, limit int) (answer, error) {
	body, err := call.readBody(limit)
	if err != nil {
		return tooLarge(limit), err
	}
	kind := errorType(call.errorType)
	if len(body) == 0 {
		return failed(kind, "Unknown application error occurred"), nil
	}
	return answer{payload: body, contentType: call.contentType, functionError: "Unhandled", errorType: kind}, nil
}

func tooLarge(limit int) answer {
	return failed("Function.ResponseSizeTooLarge", fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", limit))
}

// errorType is a runtime's name of its error, or what Lambda makes of others.
func errorType(s string) string {
	kind, name, ok := strings.Cut(s, ".")
	valid := ok && (kind == "Runtime" || kind == "Function") && name != "" && len(name) < 100
	for _, c := range name {
		valid = valid && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z')
	}
	switch {
	case valid:
		return s
	case kind == "Function":
		return "Function.Unknown"
	}
	return "Runtime.Unknown"
}

// failed is an answer that the platform gives for the function.
func failed(kind, message string) answer {
	return answer{
		payload:       fmt.Appendf(nil, `{"errorType":%s,"errorMessage":%s}`, quoteJSON(kind), quoteJSON(message)),
		contentType:   "application/json",
		functionError: "Unhandled",
		errorType:     kind,
	}
}

// An event is an invocation on its way through an instance.
type event struct {
	Invocation
	began    time.Time
	deadline time.Time
	answered chan answer // holds one
}

// head is the head of the answer that gives e to the runtime, as it is written.
func (e *event) head(b []byte) []byte {
	b = append(b, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(e.Payload)), 10)
	field := func(name, value string) {
		if value != "" {
			b = append(append(append(append(b, "\r\n"...), name...), ": "...), value...)
		}
	}
	field("Lambda-Runtime-Aws-Request-Id", e.RequestID)
	field("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(e.deadline.UnixMilli(), 10))
	field("Lambda-Runtime-Invoked-Function-Arn", e.InvokedARN)
	field("Lambda-Runtime-Trace-Id", e.TraceID)
	field("Lambda-Runtime-Client-Context", e.ClientContext)
	return append(b, "\r\n\r\n"...)
}
