//go:build linux

package process

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
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
// An answer's head and body leave in one write: net/http's buffer holds both as long
// as they are small, and no handler here flushes.
const apiRoot = "/2018-06-01/runtime/"

// Errors of the API, in the words of Lambda's own.
var (
	errInvalidRequestID = apiError{http.StatusBadRequest, "InvalidRequestID", "Invalid request ID"}
	errTruncated        = apiError{http.StatusBadRequest, "TruncatedHTTPRequest", "HTTP request detected as truncated"}
	errResponseMode     = apiError{http.StatusBadRequest, "InvalidFunctionResponseMode", "Invalid function response mode"}
	errState            = apiError{http.StatusForbidden, "InvalidStateTransition", "State transition is not allowed"}
)

type apiError struct {
	status        int
	kind, message string
}

func (e apiError) write(w http.ResponseWriter) {
	writeJSON(w, e.status, fmt.Sprintf("{\"errorMessage\":%q,\"errorType\":%q}\n", e.message, e.kind))
}

func writeJSON(w http.ResponseWriter, status int, body string) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	io.WriteString(w, body)
}

// An answer is what ended an invocation.
type answer struct {
	payload       []byte
	contentType   string
	functionError string // empty, or "Unhandled"
	errorType     string
	end           reason // why the instance is no more, if so
}

func (in *instance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, apiRoot)
	if !ok {
		http.NotFound(w, r)
		return
	}
	switch {
	case path == "invocation/next" && r.Method == http.MethodGet:
		in.next(w, r)
	case path == "init/error" && r.Method == http.MethodPost:
		in.initError(w, r)
	case strings.HasPrefix(path, "invocation/") && r.Method == http.MethodPost:
		switch id, what, _ := strings.Cut(strings.TrimPrefix(path, "invocation/"), "/"); what {
		case "response":
			in.response(w, r, id)
		case "error":
			in.failure(w, r, id)
		default:
			http.NotFound(w, r)
		}
	default:
		http.NotFound(w, r)
	}
}

// next gives the runtime its next event. The first call ends initialisation.
func (in *instance) next(w http.ResponseWriter, r *http.Request) {
	if !in.waiting() {
		errState.write(w)
		return
	}
	var e *event
	select {
	case e = <-in.events:
	case <-r.Context().Done():
		return // the runtime hung up; it may call again
	case <-in.gone:
		return
	}
	in.took(e)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(e.Payload)))
	h.Set("Lambda-Runtime-Aws-Request-Id", e.RequestID)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(e.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", e.InvokedARN)
	if e.TraceID != "" {
		h.Set("Lambda-Runtime-Trace-Id", e.TraceID)
	}
	if e.ClientContext != "" {
		h.Set("Lambda-Runtime-Client-Context", e.ClientContext)
	}
	w.WriteHeader(http.StatusOK)
	w.Write(e.Payload)
}

// response takes the answer of an invocation.
func (in *instance) response(w http.ResponseWriter, r *http.Request, id string) {
	e := in.claim(id)
	if e == nil {
		errInvalidRequestID.write(w)
		return
	}
	switch mode := r.Header.Get("Lambda-Runtime-Function-Response-Mode"); mode {
	case "", "buffered", "streaming":
	default:
		in.answer(e, failed("Runtime.InvalidResponseModeHeader", "Unknown application error occurred"))
		errResponseMode.write(w)
		return
	}
	limit := in.limits.ResponseBytes
	body, err := readBody(r, limit)
	var large *tooLarge
	switch {
	case errors.As(err, &large):
		in.answer(e, failed("Function.ResponseSizeTooLarge",
			fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", limit)))
		apiError{http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", limit)}.write(w)
		return
	case err != nil:
		in.answer(e, failed("Runtime.TruncatedResponse", "The runtime's response ended early"))
		errTruncated.write(w)
		return
	}
	a := answer{payload: body, contentType: r.Header.Get("Content-Type")}
	if kind := r.Trailer.Get("Lambda-Runtime-Function-Error-Type"); kind != "" {
		// A streaming function failed half-way; what was sent of its answer is void.
		a.functionError, a.errorType = "Unhandled", errorType(kind)
		a.payload, err = base64.StdEncoding.DecodeString(r.Trailer.Get("Lambda-Runtime-Function-Error-Body"))
		if err != nil || len(a.payload) == 0 {
			a = failed(errorType(kind), "Unknown application error occurred")
		}
	}
	if !in.answer(e, a) {
		errInvalidRequestID.write(w)
		return
	}
	accepted(w)
}

// failure takes the error that an invocation ended with.
func (in *instance) failure(w http.ResponseWriter, r *http.Request, id string) {
	e := in.claim(id)
	if e == nil {
		errInvalidRequestID.write(w)
		return
	}
	a, err := errorAnswer(r, in.limits.ResponseBytes)
	if err != nil {
		a = failed("Function.ResponseSizeTooLarge", fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", in.limits.ResponseBytes))
	}
	if !in.answer(e, a) {
		errInvalidRequestID.write(w)
		return
	}
	accepted(w)
}

// initError takes the error that initialisation ended with.
func (in *instance) initError(w http.ResponseWriter, r *http.Request) {
	if !in.initialising() {
		errState.write(w)
		return
	}
	a, err := errorAnswer(r, in.limits.ResponseBytes)
	if err != nil {
		a = failed("Runtime.Unknown", "Unknown application error occurred")
	}
	a.end = endedError
	in.initFailure <- a
	accepted(w)
}

func errorAnswer(r *http.Request, limit int) (answer, error) {
	body, err := readBody(r, limit)
	if err != nil {
		return answer{}, err
	}
	kind := errorType(r.Header.Get("Lambda-Runtime-Function-Error-Type"))
	if len(body) == 0 {
		return failed(kind, "Unknown application error occurred"), nil
	}
	return answer{payload: body, contentType: r.Header.Get("Content-Type"), functionError: "Unhandled", errorType: kind}, nil
}

func accepted(w http.ResponseWriter) { writeJSON(w, http.StatusAccepted, "{\"status\":\"OK\"}\n") }

type tooLarge struct{}

func (*tooLarge) Error() string { return "the body is too large" }

// readBody reads at most limit bytes.
func readBody(r *http.Request, limit int) ([]byte, error) {
	if r.ContentLength > int64(limit) {
		return nil, &tooLarge{}
	}
	if r.ContentLength >= 0 {
		b := make([]byte, r.ContentLength)
		_, err := io.ReadFull(r.Body, b)
		return b, err
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
	if err == nil && len(b) > limit {
		err = &tooLarge{}
	}
	return b, err
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
	deadline time.Time
	answered chan answer // holds one
}
