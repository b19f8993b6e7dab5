package wire

import (
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/rheostream/rheo/internal/api"
)

// A Codec speaks one protocol: it reads the input of an operation from a
// request, and writes its output or error as an answer. It walks the tables of
// shapes beside the Go values, so that one codec serves every service.
//
// What a codec takes from a request is bounded: nesting (maxDepth), elements
// made of a request (maxElements), and the body by whoever read it.
type Codec interface {
	// Decode fills in, made by op.NewInput, from a request whose body is given
	// apart. Members that the model does not know are ignored. What cannot be
	// read is an *api.Error. Blobs of in may alias body, which must stay as it
	// is while in is in use.
	Decode(op *api.Op, r *http.Request, body []byte, in any) error
	// Encode appends an output to dst, which becomes the Body.
	Encode(dst []byte, op *api.Op, out any) (Answer, error)
	// EncodeError appends an error to dst. op is nil if no operation was found.
	EncodeError(dst []byte, op *api.Op, e *api.Error, requestID string) Answer

	// appendValue writes a structure as it stands in a body or an event's payload.
	appendValue(dst []byte, s *api.Shape, v reflect.Value) []byte
	contentType() string
}

// An Answer is a response before it is sent. One of Body, Stream and Events is it.
type Answer struct {
	Status int
	Header http.Header // Content-Type among them
	Body   []byte
	Stream io.Reader  // a streaming blob; closed by the sender if it is an io.Closer
	Events api.Events // an event stream: see [EventWriter]
}

const (
	maxDepth    = 80 // an item of DynamoDB in a batch, nested 32 levels deep, has 71
	maxElements = 1 << 18
)

// bounds counts what one request has made so far.
type bounds struct{ depth, elements int }

func (b *bounds) enter() error {
	if b.depth++; b.depth > maxDepth {
		return serialization("Request is nested too deeply")
	}
	return nil
}

func (b *bounds) leave() { b.depth-- }

func (b *bounds) element() error {
	if b.elements++; b.elements > maxElements {
		return serialization("Request has too many elements")
	}
	return nil
}

// full says that a list or map has one element more than is valid, so that
// further ones need not be kept for the constraint to fail.
func full(s *api.Shape, n int) bool {
	return s.HasMax && int64(n) > s.Max || s.KeepMax > 0 && int64(n) > s.KeepMax
}

func serialization(format string, args ...any) error {
	return api.Errorf("SerializationException", format, args...)
}

// settle makes v, a field or an element, hold a value, and returns what to set.
func settle(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		return v.Elem()
	}
	return v
}

// grow appends a zero element to the list v and returns it.
func grow(v reflect.Value) reflect.Value {
	n := v.Len()
	v.Grow(1)
	v.SetLen(n + 1)
	return v.Index(n)
}

// absent says whether a member has no value to write. Lists and maps that the
// model requires are written although they are nil.
func absent(m *api.Member, f reflect.Value) bool {
	switch f.Kind() {
	case reflect.Pointer, reflect.Interface:
		return f.IsNil()
	case reflect.Slice, reflect.Map:
		return f.IsNil() && !(m.Required && (m.Shape.Kind == api.List || m.Shape.Kind == api.Map))
	case reflect.String:
		return f.Len() == 0
	}
	return false
}

// indirect follows pointers and interfaces to the value.
func indirect(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface && !v.IsNil() {
		v = v.Elem()
	}
	return v
}

func header(contentType string) http.Header {
	return http.Header{"Content-Type": {contentType}}
}

// events is the event stream of an output, if it has one.
func events(op *api.Op, out reflect.Value) api.Events {
	for i := range op.Output.Members {
		if op.Output.Members[i].Shape.Kind == api.EventStream {
			e, _ := out.Field(i).Interface().(api.Events)
			return e
		}
	}
	return nil
}

// errorFacts is how e is answered: its modelled shape if there is one, the HTTP
// status, and the member that takes the message.
func errorFacts(op *api.Op, e *api.Error) (shape *api.Shape, status int, message string) {
	status, message = e.Status, "message"
	if op != nil {
		shape = op.ErrorShape(e.Code)
	}
	if shape != nil {
		if status == 0 {
			status = shape.Error.Status
		}
		for i := range shape.Members {
			if strings.EqualFold(shape.Members[i].Name, "message") {
				message = shape.Members[i].Wire
			}
		}
	} else if e.Code == "SerializationException" || e.Code == "AccessDeniedException" {
		message = "Message" // these two come from in front of the service
	}
	if status == 0 {
		status = defaultStatus[e.Code]
	}
	if status == 0 {
		status = http.StatusBadRequest
	}
	return shape, status, message
}
