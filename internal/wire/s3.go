package wire

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/auth"
)

// An ObjectServer serves S3, which is unlike the other services: what is asked for
// is told by method, path and query together, bodies and answers are as large as
// objects, and are streams on both ways. So wire takes a request as far as to its
// caller, paces what comes and goes, and answers errors; the rest is the server's.
type ObjectServer interface {
	// ServeS3 answers r on w. body is r's, and is verified as it is read: nothing may
	// come of it before it has ended with io.EOF. An error is for wire to answer,
	// if ServeS3 has not begun to; after that it breaks the connection off.
	ServeS3(w http.ResponseWriter, r *http.Request, caller *api.Caller, body *auth.Body) error
}

// asksS3 says whether a request is for S3 by the scope of its credential. (A target
// header has precedence, for all services.)
func (x *exchange) asksS3(claim *auth.Claim) bool {
	return x.S3 != nil && claim.Service == "s3" && len(x.r.Header["X-Amz-Target"]) == 0
}

// leftToS3 says whether a request that no route takes, because of err, is taken for
// one for S3: it names no other service. S3 will refuse it, in its own words.
func (x *exchange) leftToS3(claim *auth.Claim, err error) bool {
	return x.S3 != nil && claim.Service == "" && (err == errNotFound || err == errUndetermined && x.r.URL.Path != "/")
}

// serveS3 is the way down of a request for S3 once it is known to be one.
func (x *exchange) serveS3(claim *auth.Claim, claimErr error) error {
	x.speakS3()
	body := &pacedBody{x: x}
	caller, payload, err := x.Auth.VerifyS3(claim, claimErr, x.r, tlsState(x.r.Context()) != nil)
	if err != nil {
		return body.passOver(err)
	}
	x.called(caller)
	// For the buffers through which a body or an answer goes. Operations whose input
	// is a document take more by themselves.
	if err := x.reserve(firstBytes); err != nil {
		return body.passOver(err)
	}
	err = x.S3.ServeS3(s3Writer{x}, x.r, caller, payload.Body(body))
	if err != nil && x.answered {
		x.Log.Error("answer broke off", "request", x.requestID, "path", x.r.URL.Path, "error", err)
		panic(http.ErrAbortHandler)
	}
	if err != nil {
		return body.passOver(err)
	}
	return nil
}

// speakS3 has the answer, whatever it will be, look like S3's.
func (x *exchange) speakS3() {
	x.s3 = true
	h := x.w.Header()
	h["x-amz-request-id"] = []string{x.requestID}
	delete(h, "x-amzn-RequestId")
}

// s3Codes are what S3 calls errors that come from elsewhere.
var s3Codes = map[string]struct {
	code   string
	status int
}{
	"AccessDeniedException":     {"AccessDenied", http.StatusForbidden},
	"InternalFailure":           {"InternalError", http.StatusInternalServerError},
	"ThrottlingException":       {"SlowDown", http.StatusServiceUnavailable},
	"UnknownOperationException": {"NotImplemented", http.StatusNotImplemented},
}

// s3Error is an error as S3 answers it.
func (x *exchange) s3Error(e *api.Error) Answer {
	code, status := e.Code, e.Status
	if own, ok := s3Codes[code]; ok {
		code, status = own.code, own.status
	}
	if status == 0 {
		status = http.StatusBadRequest
	}
	a := Answer{Status: status, Header: header("application/xml")}
	if x.r.Method == http.MethodHead {
		return Answer{Status: status, Header: http.Header{}}
	}
	b := []byte(`<?xml version="1.0" encoding="UTF-8"?>` + "\n<Error>")
	element := func(name, text string) {
		b = append(b, "<"+name+">"...)
		xml.EscapeText((*appender)(&b), []byte(text))
		b = append(b, "</"+name+">"...)
	}
	element("Code", code)
	element("Message", e.Message)
	var names []string
	for name := range e.Fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if text, ok := e.Fields[name].(string); ok {
			element(name, text)
		}
	}
	element("Resource", x.r.URL.Path)
	element("RequestId", x.requestID)
	element("HostId", x.hostID)
	a.Body = append(b, "</Error>"...)
	return a
}

// A pacedBody is a body that is read as it comes, for as long as its sender keeps
// the pace of any: what counts is the time for which it was waited for, since who
// reads may be slow too.
type pacedBody struct {
	x      *exchange
	n      int64 // bytes that came
	waited time.Duration
	until  time.Time // deadline in force
	failed bool
}

var (
	errS3Slow = &api.Error{Code: "RequestTimeout", Status: http.StatusBadRequest,
		Message: "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed."}
	errS3Short = &api.Error{Code: "IncompleteBody", Status: http.StatusBadRequest,
		Message: "You did not provide the number of bytes specified by the Content-Length HTTP header"}
)

func (b *pacedBody) Read(p []byte) (int, error) {
	began := time.Now()
	patience := bodyGrace + time.Duration(b.n+firstBytes)*time.Second/bodyBytesPerSecond - b.waited
	until := began.Add(min(patience, bodyGrace+firstBytes*time.Second/bodyBytesPerSecond))
	if d := until.Sub(b.until); d > time.Second || d < -time.Second {
		b.x.control().SetReadDeadline(until)
		b.until = until
	}
	n, err := b.x.r.Body.Read(p)
	b.n += int64(n)
	b.waited += time.Since(began)
	switch {
	case err == nil:
	case err == io.EOF:
		b.x.control().SetReadDeadline(time.Time{}) // an operation takes the time that it takes
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.failed, err = true, errS3Slow
	default: // the sender is gone, most likely
		b.failed, err = true, errS3Short
	}
	return n, err
}

// passOver reads what is left of a body that is refused, up to bodyBytesMax, and
// returns why: most clients read no answer before they have sent everything. A sender
// who waits to hear whether to send at all is not waited for.
func (b *pacedBody) passOver(why error) error {
	waits := b.n == 0 && b.x.r.Header.Get("Expect") != ""
	if !b.failed && !waits {
		if _, err := io.CopyN(io.Discard, b, bodyBytesMax); err == io.EOF {
			return why
		}
	}
	if !waits {
		b.x.w.Header().Set("Connection", "close")
	}
	return why
}

// An s3Writer writes an answer at the pace of any.
type s3Writer struct{ x *exchange }

func (w s3Writer) Header() http.Header { return w.x.w.Header() }

func (w s3Writer) WriteHeader(status int) {
	w.x.answered, w.x.status = true, status
	w.x.w.WriteHeader(status)
}

func (w s3Writer) Write(b []byte) (int, error) {
	if !w.x.answered {
		w.WriteHeader(http.StatusOK)
	}
	if err := w.x.write(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Flush sends what was written so far.
func (w s3Writer) Flush() { w.x.control().Flush() }
