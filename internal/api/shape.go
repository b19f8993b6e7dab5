package api

import (
	"cmp"
	"context"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A Kind is the kind of a [Shape], and fixes the Go type of a field that has it:
//
//	Structure  *T          nil is absent
//	Union      *T          one member set
//	List       []T         nil is absent; T is the value type: string, E, S, ...
//	Map        map[K]T     nil is absent
//	String     *string     an enum is a named string E instead, "" is absent
//	Integer    *int32
//	Long       *int64
//	Float      *float32
//	Double     *float64
//	Boolean    *bool
//	Timestamp  *time.Time
//	Blob       []byte      nil is absent; a streaming blob is an io.Reader
//	Document   any         nil, bool, float64, string, []any, map[string]any
//	EventStream Events     only as a member of an output
type Kind uint8

const (
	Structure Kind = iota
	Union
	List
	Map
	String
	Integer
	Long
	Float
	Double
	Boolean
	Timestamp
	Blob
	Document
	EventStream
)

// A Location is the part of an HTTP message that carries a member in REST
// protocols. The other protocols ignore it: they have only a body.
type Location uint8

const (
	Body        Location = iota
	Header               // the header named Wire
	Headers              // all headers with the prefix Wire, as a map
	URI                  // the label {Wire} of Op.URI
	QueryString          // the parameter named Wire; of a map, all parameters
	StatusCode           // the HTTP status
)

// A TimeFormat is how a timestamp is written. The zero value leaves it to the
// protocol and location.
type TimeFormat uint8

const (
	ProtocolTime TimeFormat = iota
	UnixTime                // seconds, with a fraction if there is one
	ISO8601                 // 2006-01-02T15:04:05Z
	RFC822                  // Mon, 02 Jan 2006 15:04:05 GMT
)

// A Ref is the index of a shape in its service's table. Shapes refer to each
// other in circles, which Go's initialisation order forbids for pointers:
// generated tables hold refs, and [Link] turns them into pointers.
type Ref int32

// A Shape describes one type of a model: its form on the wire and what a valid
// value is. Shapes are read-only once linked.
//
// A Go struct made for a Structure has exactly one field per member, in the
// order of Members: field i holds member i.
type Shape struct {
	Name    string // of the Go type, where it has one; for an error the name on the wire
	Kind    Kind
	Members []Member // of Structure, Union and EventStream, in the model's order
	// Payload is 1 + the index of the member that is the whole HTTP body in
	// REST protocols; 0 without one.
	Payload int

	ElemRef, KeyRef Ref    // for Link
	Elem            *Shape // of List and Map
	Key             *Shape // of Map
	ElemName        string // what query calls a list's element if not "member"
	KeyName         string // what query calls a map's key if not "key"
	ValueName       string // what query calls a map's value if not "value"
	Flattened       bool   // query: elements stand without a wrapper

	// Constraints. Length of strings (in UTF-16 code units) and blobs (bytes), size
	// of lists and maps, value of numbers.
	HasMin, HasMax bool
	Min, Max       int64
	// KeepMax is the service's own limit of a list that has no Max: a codec keeps
	// one element more at most. 0 is none.
	KeepMax int64
	// Pattern is the model's (Java) expression, which a whole string must match.
	// Where Go's regexp differs, Match is what is compiled instead; a value
	// that NotMatch matches is invalid (the pattern has a look-ahead).
	Pattern         string
	Match, NotMatch string
	Enum            []string

	Time      TimeFormat
	Sensitive bool // never echo or log the value
	Streaming bool // a blob that is an io.Reader

	Error *ErrorShape // of exceptions

	byWire  map[string]int // members by wire name
	pattern func() (match, not *regexp.Regexp)
}

// A Member is a named part of a structure.
type Member struct {
	Name     string // as in the model: "StreamName"
	Wire     string // as on the wire; Link sets it to Name where the model says nothing
	Ref      Ref    // for Link
	Shape    *Shape
	Required bool
	Location Location
	Time     TimeFormat // overrides the shape's
	// Of events: this member is the message's payload, or one of its headers.
	EventPayload, EventHeader bool
	Flattened                 bool // as the shape's, for this use of it
}

// An ErrorShape says how a modelled exception is answered.
type ErrorShape struct {
	Code   string // in query protocols, and in x-amzn-query-error
	Status int    // HTTP status
	Fault  bool   // the service's fault, not the caller's
}

// Link turns the refs of a service's shapes into pointers.
func Link(shapes []Shape) []Shape {
	for i := range shapes {
		s := &shapes[i]
		switch s.Kind {
		case Structure, Union, EventStream:
			s.byWire = make(map[string]int, len(s.Members))
			for j := range s.Members {
				m := &s.Members[j]
				m.Shape = &shapes[m.Ref]
				m.Wire = cmp.Or(m.Wire, m.Name)
				s.byWire[m.Wire] = j
			}
		case List:
			s.Elem = &shapes[s.ElemRef]
		case Map:
			s.Elem, s.Key = &shapes[s.ElemRef], &shapes[s.KeyRef]
		case String:
			if s.Pattern != "" {
				s.pattern = sync.OnceValues(s.compile)
			}
		}
	}
	return shapes
}

func (s *Shape) compile() (match, not *regexp.Regexp) {
	match = regexp.MustCompile(`^(?:` + cmp.Or(s.Match, s.Pattern) + `)$`)
	if s.NotMatch != "" {
		not = regexp.MustCompile(`^(?:` + s.NotMatch + `)$`)
	}
	return match, not
}

// Matches says whether v satisfies the pattern; true without one.
func (s *Shape) Matches(v string) bool {
	if s.pattern == nil {
		return true
	}
	match, not := s.pattern()
	return match.MatchString(v) && (not == nil || !not.MatchString(v))
}

// Member finds a member by its name on the wire; -1 if there is none.
func (s *Shape) Member(wire string) int {
	if i, ok := s.byWire[wire]; ok {
		return i
	}
	return -1
}

// Refs makes a list of pointers into shapes.
func Refs(shapes []Shape, refs ...Ref) []*Shape {
	list := make([]*Shape, len(refs))
	for i, r := range refs {
		list[i] = &shapes[r]
	}
	return list
}

// NewService sorts s's operations and ties them to it.
func NewService(s Service) *Service {
	slices.SortFunc(s.Ops, func(a, b *Op) int { return strings.Compare(a.Name, b.Name) })
	for _, op := range s.Ops {
		op.Service = &s
	}
	return &s
}

// ErrorShape finds the modelled error of that code; nil if the operation has none.
func (op *Op) ErrorShape(code string) *Shape {
	for _, e := range op.Errors {
		if e.Name == code {
			return e
		}
	}
	return nil
}

// Operation completes op with the Go side of it: NewInput and Invoke come from
// the method expression of an interface S that has the operation's method only.
func Operation[S, In, Out any](op Op, method func(S, context.Context, *In) (*Out, error)) *Op {
	op.NewInput = func() any { return new(In) }
	op.NewOutput = func() any { return new(Out) }
	op.Invoke = func(ctx context.Context, impl, in any) (any, error) {
		s, ok := impl.(S)
		if !ok {
			return nil, ErrNotImplemented
		}
		return method(s, ctx, in.(*In))
	}
	op.signature = reflect.TypeFor[S]().Method(0).Type
	return &op
}

// Implemented lists the operations for which impl has a method. It panics if a
// method has an operation's name but not its signature: Op.Invoke would answer
// ErrNotImplemented for code that was written.
func (s *Service) Implemented(impl any) []*Op {
	var ops []*Op
	v := reflect.ValueOf(impl)
	for _, op := range s.Ops {
		m := v.MethodByName(op.Name)
		if !m.IsValid() {
			continue
		}
		if m.Type() != op.signature {
			panic("api: " + v.Type().String() + "." + op.Name + " is " + m.Type().String() + ", the operation is " + op.signature.String())
		}
		ops = append(ops, op)
	}
	return ops
}
