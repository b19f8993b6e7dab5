// Package wire is HTTP: it takes AWS's protocols off the wire and puts them on it.
//
// A [Server] listens; a [Handler] takes each request one way down: headers first
// (which operation, whose credential), then memory is reserved, the body is read
// and hashed, the signature verified, and only then parsed by the [Codec] of its
// protocol, checked against the model's constraints, and called. The answer comes
// back up as a value and is encoded. Nothing in here knows what a stream is.
package wire

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/auth"
	"github.com/rheostream/rheo/internal/call"
	"github.com/rheostream/rheo/internal/metrics"
)

// HandlerConfig says what a Handler serves.
type HandlerConfig struct {
	Services []*api.Service // whose operations are routed
	Auth     *auth.Verifier
	Calls    *call.Calls
	S3       ObjectServer      // nil: S3 is not served
	Memory   *Budget           // of requests; a new one if nil
	Answers  *Budget           // of answers, so that slow readers do not keep writers out; Memory if nil
	Metrics  *metrics.Registry // for /metrics; none there if nil
	// MetricsOpen shows /metrics to all who reach the port, not to this machine
	// alone. In open mode, where nobody else should reach it, it changes nothing.
	MetricsOpen bool
	Hosts       []string     // names beside loopback that requests without a signature may call us by; "*.example.com" too
	Origins     []string     // pages that may call: "http://localhost:3000"
	Version     string       // of the program, for health
	Log         *slog.Logger // discarded if nil
}

// A Handler answers every request of the API.
type Handler struct {
	HandlerConfig
	router *router
	names  names
	pages  map[string]http.HandlerFunc // by path

	draining context.Context // done once no event stream shall go on
	drain    context.CancelFunc
}

// NewHandler makes a Handler.
func NewHandler(c HandlerConfig) *Handler {
	if c.Memory == nil {
		c.Memory = NewBudget(0)
	}
	if c.Answers == nil {
		c.Answers = c.Memory
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	h := &Handler{HandlerConfig: c, router: newRouter(c.Services), names: names{c.Hosts, c.Origins}}
	h.draining, h.drain = context.WithCancel(context.Background())
	h.pages = h.makePages()
	if c.Metrics != nil {
		c.Metrics.Gauge("rheo_request_memory_bytes", "Memory that requests hold of their budget.",
			func() float64 { return float64(c.Memory.Used()) })
		c.Metrics.Gauge("rheo_answer_memory_bytes", "Memory that answers hold of theirs.",
			func() float64 { return float64(c.Answers.Used()) })
	}
	return h
}

// Drain ends the event streams, in order, so that a shutdown need not wait for
// them; new ones end at once. Everything else goes on.
func (h *Handler) Drain() { h.drain() }

// ServeHTTP takes one request through; see [exchange.serve].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := exchange{Handler: h, w: w, r: r, start: time.Now()}
	defer x.end()
	x.identify()
	x.timeBody()
	if err := x.serve(); err != nil {
		x.refuse(err)
	}
}

// An exchange is one request and its answer.
type exchange struct {
	*Handler
	w         http.ResponseWriter
	r         *http.Request
	start     time.Time
	requestID string
	hostID    string // the longer id
	route     route
	caller    *api.Caller

	body     *[]byte // pooled; valid until end
	reserved int64   // of Memory
	answered bool    // the status is out
	s3       bool    // errors are answered as S3's are
	status   int
	code     string // the error's
}

// serve is a request's whole way down, and its answer's up.
func (x *exchange) serve() error {
	claim, claimErr := auth.Parse(x.r)
	forS3 := x.asksS3(&claim)
	if forS3 {
		x.speakS3()
	} else if page := x.pages[x.r.URL.Path]; page != nil && isRead(x.r.Method) {
		return x.page(page)
	}
	if err := x.admit(); err != nil || x.answered {
		return err
	}
	if forS3 {
		return x.serveS3(&claim, claimErr)
	}
	var err error
	if x.route, err = x.router.find(x.r, claim.Service); err != nil {
		if x.leftToS3(&claim, err) {
			return x.serveS3(&claim, claimErr)
		}
		return err
	}
	if claimErr != nil {
		return x.unauthenticated(claimErr)
	}
	if err := x.Auth.Check(&claim, x.r, x.route.service.SigningName); err != nil {
		return x.unauthenticated(err)
	}
	if err := x.readBody(); err != nil {
		return err
	}
	if err := x.verify(&claim); err != nil {
		return err
	}
	sent := int64(len(*x.body))
	if err := x.inflate(); err != nil {
		return err
	}
	op := x.route.op
	if op == nil {
		if op, err = formOp(x.route.service, x.r, *x.body); err != nil {
			return err
		}
		x.route.op = op
	}
	if !x.Calls.Serves(op) { // before its input is found wanting
		return x.Calls.Unknown(op)
	}
	if max := x.Calls.BodyBytesMax(op); max > 0 && sent > max {
		return x.tooLarge(max)
	}
	if n := valueBytes(op.Service, *x.body) + formBytes(x.route.codec, *x.body, x.r.URL.RawQuery); n > 0 {
		if err := x.reserve(n); err != nil {
			return err
		}
	}
	in := op.NewInput()
	if err := x.route.codec.Decode(op, x.r, *x.body, in); err != nil {
		return err
	}
	if err := Validate(op, in); err != nil {
		return err
	}
	ctx, holds := api.WithHolds(x.r.Context())
	defer holds.Release() // once the answer is out
	out, err := x.Calls.Do(ctx, x.caller, op, in)
	if err != nil {
		return err
	}
	return x.answer(out)
}

// admit lets pages of other sites no further, and answers preflights.
func (x *exchange) admit() error {
	if x.Auth.Open() {
		if err := x.names.admit(x.r); err != nil {
			return err
		}
	}
	if x.names.cors(x.w, x.r) {
		x.answered, x.status = true, http.StatusOK
	}
	return nil
}

// verify proves the claim, and makes the caller of it.
func (x *exchange) verify(claim *auth.Claim) error {
	var sum [sha256.Size]byte
	if !x.Auth.Open() {
		sum = sha256.Sum256(*x.body)
	}
	caller, err := x.Auth.Verify(claim, x.r, sum)
	if err != nil {
		return x.unauthenticated(err)
	}
	x.called(caller)
	return nil
}

// called notes who calls, and with the caller from where.
func (x *exchange) called(caller *api.Caller) {
	caller.UserAgent = x.r.UserAgent()
	caller.SourceIP = hostOf(x.r.RemoteAddr)
	caller.RequestID = x.requestID
	caller.Host = x.r.Host
	caller.TLS = tlsState(x.r.Context()) != nil
	x.caller = caller
}

// unauthenticated gives an error of package auth the form that the protocol has
// for it: JSON services answer 400, the others 403, and query has older names.
func (x *exchange) unauthenticated(err error) error {
	var e *api.Error
	if !errors.As(err, &e) {
		return err
	}
	forbidden := &api.Error{Code: e.Code, Message: e.Message, Status: http.StatusForbidden}
	switch x.route.codec.(type) {
	case RESTJSON:
		return forbidden
	case Query:
		switch e.Code {
		case "UnrecognizedClientException":
			forbidden.Code = "InvalidClientTokenId"
		case "InvalidSignatureException":
			forbidden.Code = "SignatureDoesNotMatch"
		default:
			forbidden.Code = strings.TrimSuffix(e.Code, "Exception")
		}
		return forbidden
	}
	return e
}

// end lets go of what the exchange held, and keeps a panic to itself: the next
// request is served.
func (x *exchange) end() {
	p := recover()
	if x.body != nil {
		putBuffer(x.body)
	}
	x.Memory.Release(x.reserved)
	if p != nil {
		if p == http.ErrAbortHandler {
			panic(p) // net/http closes the connection, or resets the stream
		}
		x.Log.Error("request failed", "request", x.requestID, "panic", p, "stack", string(debug.Stack()))
		if x.answered {
			panic(http.ErrAbortHandler) // no end that looks like an orderly one
		}
		x.refuse(call.InternalFailure(x.requestID))
	}
	if x.Log.Enabled(x.r.Context(), slog.LevelDebug) {
		x.log()
	}
}

func (x *exchange) log() {
	attrs := []slog.Attr{
		slog.String("request", x.requestID), slog.String("method", x.r.Method), slog.String("path", x.r.URL.Path),
		slog.String("proto", x.r.Proto), slog.Bool("tls", tlsState(x.r.Context()) != nil), slog.String("from", x.r.RemoteAddr),
		slog.Int("status", x.status), slog.Duration("took", time.Since(x.start)),
	}
	if x.route.op != nil {
		attrs = append(attrs, slog.String("operation", x.route.op.Name))
	}
	if x.caller != nil {
		attrs = append(attrs, slog.String("account", x.caller.Account), slog.String("region", x.caller.Region))
	}
	if x.code != "" {
		attrs = append(attrs, slog.String("error", x.code))
	}
	x.Log.LogAttrs(x.r.Context(), slog.LevelDebug, "request", attrs...)
}

func isRead(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// hostOf is an address without its port.
func hostOf(addr string) string {
	if i := strings.LastIndexByte(addr, ':'); i >= 0 {
		addr = addr[:i]
	}
	return strings.Trim(addr, "[]")
}
