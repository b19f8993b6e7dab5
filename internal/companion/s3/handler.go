package s3

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/auth"
	"github.com/rheostream/rheo/internal/call"
)

// API is the table of operations, for [call.Calls]. There is no model behind it:
// S3's protocol is its own, and the types of inputs and outputs are those of this
// package.
var API = api.NewService(api.Service{Name: "s3", SigningName: "s3", APIVersion: "2006-03-01", Ops: operations()})

// An endpoint is an operation and how it is asked for. Of those that match, the first
// in the table is meant.
type endpoint struct {
	op     *api.Op
	method string
	on     level
	query  string // parameter that must be there
	header string // header that must be there
	slow   bool   // the client is kept waiting by a sign of life now and then
	decode func(*request) (any, error)
	encode func(*reply, any) error
}

// A level is what a path names.
type level uint8

const (
	onService level = iota
	onBucket
	onObject
)

var endpoints = []endpoint{
	listBucketsEndpoint,

	getBucketLocationEndpoint, getBucketVersioningEndpoint, listMultipartUploadsEndpoint, listObjectsV2Endpoint, listObjectsEndpoint,
	createBucketEndpoint, headBucketEndpoint, deleteBucketEndpoint, deleteObjectsEndpoint,

	listPartsEndpoint, getObjectEndpoint, headObjectEndpoint,
	uploadPartCopyEndpoint, uploadPartEndpoint, copyObjectEndpoint, putObjectEndpoint,
	createMultipartUploadEndpoint, completeMultipartUploadEndpoint,
	abortMultipartUploadEndpoint, deleteObjectEndpoint,
}

// unserved are the parameters that ask for something else than what the path and the
// method say: with one of them, an operation that it does not belong to must not be done.
var unserved = []string{"accelerate", "acl", "analytics", "annotation", "attributes", "cors", "delete", "encryption", "intelligent-tiering", "inventory",
	"legal-hold", "lifecycle", "location", "logging", "metadataConfiguration", "metadataInventoryTable", "metadataJournalTable", "metadataTable",
	"metrics", "notification", "object-lock", "ownershipControls", "policy", "policyStatus", "publicAccessBlock", "renameObject",
	"replication", "requestPayment", "restore", "retention", "select", "session", "tagging", "torrent", "uploadId", "uploads", "versioning",
	"versions", "website", "abac"}

func operations() (ops []*api.Op) {
	for i := range endpoints {
		ops = append(ops, endpoints[i].op)
	}
	return ops
}

func operation[S, In, Out any](name string, method func(S, context.Context, *In) (*Out, error)) *api.Op {
	return api.Operation(api.Op{Name: name, Input: &api.Shape{}, Output: &api.Shape{}}, method)
}

// HandlerConfig says what a Handler serves.
type HandlerConfig struct {
	Calls  *call.Calls // in which API is registered
	Memory Memory      // of documents; nil: unlimited
	// Hosts are names that the server is called by beside localhost, under which a
	// bucket may be the first part: "example.com" and "*.example.com" alike.
	Hosts []string
	// Patience is after how long a client that waits for a copy is given a sign of
	// life, and how often; 0 is 10 s.
	Patience time.Duration
}

// Memory is what documents are read into.
type Memory interface {
	Reserve(n int64) bool
	Release(n int64)
}

// A Handler is the HTTP side: package wire's ObjectServer.
type Handler struct {
	HandlerConfig
	hosts []string // longest first
}

// NewHandler makes a Handler.
func NewHandler(c HandlerConfig) *Handler {
	if c.Patience == 0 {
		c.Patience = 10 * time.Second
	}
	h := &Handler{HandlerConfig: c, hosts: []string{"localhost"}}
	for _, name := range c.Hosts {
		h.hosts = append(h.hosts, strings.ToLower(strings.TrimPrefix(name, "*.")))
	}
	slices.SortFunc(h.hosts, func(a, b string) int { return len(b) - len(a) })
	return h
}

// ServeS3 answers a request whose caller is known. Until body has ended with io.EOF,
// nothing comes of what it holds. The operation is called as any is: authorised,
// charged, audited and counted.
func (h *Handler) ServeS3(w http.ResponseWriter, r *http.Request, caller *api.Caller, body *auth.Body) error {
	req, err := h.request(r, caller, body)
	if err != nil {
		return err
	}
	defer req.release()
	e, err := req.endpoint()
	if err != nil {
		return err
	}
	in, err := e.decode(req)
	if err != nil {
		return err
	}
	answer := &reply{ResponseWriter: w, r: req}
	if e.slow {
		return h.callSlow(answer, e, in)
	}
	out, err := h.Calls.Do(r.Context(), caller, e.op, in)
	if err != nil {
		return err
	}
	return e.encode(answer, out)
}

// callSlow calls an operation that may take minutes. After a while it begins the
// answer, and sends spaces until there is more to tell: an error then comes under
// status 200, as it does in S3.
func (h *Handler) callSlow(w *reply, e *endpoint, in any) error {
	type result struct {
		out any
		err error
	}
	done := make(chan result, 1)
	go func() {
		out, err := h.Calls.Do(w.r.Context(), w.r.caller, e.op, in)
		done <- result{out, err}
	}()
	tick := time.NewTicker(h.Patience)
	defer tick.Stop()
	for {
		select {
		case res := <-done:
			switch {
			case res.err == nil:
				return e.encode(w, res.out)
			case w.begun:
				return w.lateError(res.err)
			}
			return res.err
		case <-tick.C:
			w.live()
		}
	}
}

// A request is one for S3, with what its host and path say.
type request struct {
	*http.Request
	h           *Handler
	caller      *api.Caller
	body        *auth.Body
	bucket, key string
	query       url.Values
	held        int64 // of h.Memory
}

func (h *Handler) request(r *http.Request, caller *api.Caller, body *auth.Body) (*request, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, errURI
	}
	req := &request{Request: r, h: h, caller: caller, body: body, query: query}
	path := strings.TrimPrefix(r.URL.Path, "/")
	if req.bucket = h.bucketOf(r.Host); req.bucket != "" {
		req.key = path
	} else {
		req.bucket, req.key, _ = strings.Cut(path, "/")
	}
	if owner := r.Header.Get("X-Amz-Expected-Bucket-Owner"); owner != "" && owner != caller.Account {
		return nil, errAccessDenied // whose buckets are the caller's own, or not for the caller
	}
	return req, nil
}

// bucketOf is the bucket in a host's name: "logs" of logs.localhost, logs.s3.localhost
// and logs.s3.eu-west-1.localhost; empty if there is none, as in s3.localhost.
func (h *Handler) bucketOf(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, name := range h.hosts {
		if host == name {
			return ""
		}
		below, ok := strings.CutSuffix(host, "."+name)
		if !ok {
			continue
		}
		labels := strings.Split(below, ".")
		n := len(labels)
		switch {
		case labels[n-1] == "s3":
			n--
		case n >= 2 && labels[n-2] == "s3" && strings.Count(labels[n-1], "-") >= 2:
			n -= 2
		}
		return strings.Join(labels[:n], ".")
	}
	return ""
}

func (r *request) level() level {
	switch {
	case r.bucket == "":
		return onService
	case r.key == "":
		return onBucket
	}
	return onObject
}

// endpoint finds what is asked for.
func (r *request) endpoint() (*endpoint, error) {
	for i := range endpoints {
		e := &endpoints[i]
		if e.on != r.level() || e.method != r.Method || e.query != "" && !r.query.Has(e.query) || e.header != "" && r.Header.Get(e.header) == "" {
			continue
		}
		if name := r.unknownTo(e); name != "" {
			return nil, notImplemented(r.Method + " with ?" + name)
		}
		return e, r.refuseUnserved()
	}
	if name := r.unknownTo(&endpoint{}); name != "" {
		return nil, notImplemented(r.Method + " with ?" + name)
	}
	if r.Method == http.MethodPost {
		return nil, notImplemented("POST")
	}
	return nil, &api.Error{Code: "MethodNotAllowed", Status: http.StatusMethodNotAllowed, Message: "The specified method is not allowed against this resource.",
		Fields: map[string]any{"Method": r.Method}}
}

// unknownTo is a parameter of the request that asks for something else than e.
func (r *request) unknownTo(e *endpoint) string {
	for _, name := range unserved {
		ofPart := name == "uploadId" && e.query == "partNumber"
		if r.query.Has(name) && name != e.query && !ofPart {
			return name
		}
	}
	return ""
}

// release gives back what memory the request held.
func (r *request) release() {
	if r.held > 0 {
		r.h.Memory.Release(r.held)
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// asError is err as an error of S3's.
func asError(err error) *api.Error {
	var e *api.Error
	if errors.As(err, &e) && e.Code != "InternalFailure" {
		return e
	}
	return &api.Error{Code: "InternalError", Status: http.StatusInternalServerError, Message: "We encountered an internal error. Please try again."}
}
