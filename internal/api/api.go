// Package api is what all operations of all services share: the operation
// ([Op]), the shapes of its input and output ([Shape]), the error a caller sees
// ([Error]) and the party that calls ([Caller]).
//
// The types of each service stand in packages below this one
// (api/kinesis, ...). They are generated from AWS's models by api/gen: plain Go
// structs, and beside them tables of shapes. One codec per protocol
// (package wire) walks the tables; there is no generated serializer.
package api

import (
	"context"
	"io"
	"reflect"
)

// A Service is one AWS API as its model describes it.
type Service struct {
	Name         string // package name and endpoint prefix, "kinesis"
	SigningName  string // the service in a credential scope, "kinesis"
	APIVersion   string // "2013-12-02"
	TargetPrefix string // before the dot of X-Amz-Target, "Kinesis_20131202"; empty for REST and query services
	Protocols    []Protocol
	JSONVersion  string // of the content type application/x-amz-json-, "1.1" or "1.0"
	XMLNamespace string // of query answers
	// QueryCompatible services moved from query to another protocol, and name the
	// old error code in the header x-amzn-query-error.
	QueryCompatible bool
	Ops             []*Op // sorted by name
}

// A Protocol is a wire format that a service may be spoken in, by its name in the models.
type Protocol string

const (
	JSON     Protocol = "json" // JSON 1.0 and 1.1; for Kinesis also CBOR 1.1
	RESTJSON Protocol = "rest-json"
	Query    Protocol = "query"
	RPCv2    Protocol = "smithy-rpc-v2-cbor"
)

// Op finds an operation by name; nil if the model has none.
func (s *Service) Op(name string) *Op {
	lo, hi := 0, len(s.Ops)
	for lo < hi {
		m := (lo + hi) / 2
		if s.Ops[m].Name < name {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo < len(s.Ops) && s.Ops[lo].Name == name {
		return s.Ops[lo]
	}
	return nil
}

// An Op is one operation.
type Op struct {
	Service *Service
	Name    string
	Method  string // HTTP method, "POST"
	URI     string // request URI with its labels: "/" or "/streams/{name}"
	Status  int    // HTTP status of success, 200
	Input   *Shape // structure; never nil (an operation without input has an empty structure)
	Output  *Shape // structure; never nil
	// NoOutput says that the model has no output, and Output is an empty structure:
	// a success has no body then, not one of a structure without members.
	NoOutput bool
	// NewInput makes a *XInput for the codec to fill.
	NewInput func() any
	// NewOutput makes a *XOutput, for clients and tests.
	NewOutput func() any
	// Errors are the modelled errors by code.
	Errors []*Shape
	// Invoke calls the operation's method of impl with a *XInput and returns a
	// *XOutput. It returns [ErrNotImplemented] if impl has no such method.
	Invoke func(ctx context.Context, impl, in any) (any, error)

	signature reflect.Type // of the method that Invoke calls, without receiver
}

// A Caller is who makes a call, verified by package auth or, in open mode,
// taken on trust. Everything an operation touches is inside Account and Region.
type Caller struct {
	Account   string // 12 digits
	Region    string // "us-east-1", from the signature's scope
	AccessKey string // empty for rheo's own calls
	Principal string // ARN of the principal
	UserAgent string
	SourceIP  string
	RequestID string
	// Host is the authority the client called, "localhost:4566"; answers that
	// name an endpoint are made from it.
	Host string
	TLS  bool
}

type callerKey struct{}

// WithCaller returns a context that carries c.
func WithCaller(ctx context.Context, c *Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom returns the caller that ctx carries. It panics without one: no
// operation may run without knowing for whom.
func CallerFrom(ctx context.Context) *Caller { return ctx.Value(callerKey{}).(*Caller) }

// Events is the output of a streaming operation, pulled by wire.
type Events interface {
	// Next returns the next event, a pointer to the structure of one member of
	// the event-stream union. An *Error ends the stream in band as that
	// exception, io.EOF ends it in order. It returns ctx's error when ctx ends.
	Next(ctx context.Context) (any, error)
	io.Closer
}
