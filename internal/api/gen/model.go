package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A Model is a service-2.json as botocore writes it.
type Model struct {
	Metadata struct {
		APIVersion         string            `json:"apiVersion"`
		EndpointPrefix     string            `json:"endpointPrefix"`
		ServiceFullName    string            `json:"serviceFullName"`
		SigningName        string            `json:"signingName"`
		Protocol           string            `json:"protocol"`
		Protocols          []string          `json:"protocols"`
		JSONVersion        string            `json:"jsonVersion"`
		TargetPrefix       string            `json:"targetPrefix"`
		XMLNamespace       string            `json:"xmlNamespace"`
		AWSQueryCompatible map[string]string `json:"awsQueryCompatible"`
	} `json:"metadata"`
	Operations ordered[*Operation] `json:"operations"`
	Shapes     ordered[*Shape]     `json:"shapes"`

	pkg     string
	names   map[string]bool // package-level identifiers that are taken
	shapes  []*Shape        // that are used, in the model's order
	aliases [][2]string     // type alias, its target
}

// An Operation of a model.
type Operation struct {
	Name string `json:"name"`
	HTTP struct {
		Method       string `json:"method"`
		RequestURI   string `json:"requestUri"`
		ResponseCode int    `json:"responseCode"`
	} `json:"http"`
	Input  *Ref  `json:"input"`
	Output *Ref  `json:"output"`
	Errors []Ref `json:"errors"`

	noOutput bool // the model has none; Output is made up
}

// A Ref uses a shape: as a member, an element, an input, ...
type Ref struct {
	Shape           string `json:"shape"`
	Location        string `json:"location"`
	LocationName    string `json:"locationName"`
	TimestampFormat string `json:"timestampFormat"`
	EventPayload    bool   `json:"eventpayload"`
	EventHeader     bool   `json:"eventheader"`
	Flattened       bool   `json:"flattened"`
}

// A Shape of a model.
type Shape struct {
	Type     string        `json:"type"`
	Members  ordered[*Ref] `json:"members"`
	Required []string      `json:"required"`
	Payload  string        `json:"payload"`
	Member   *Ref          `json:"member"`
	Key      *Ref          `json:"key"`
	Value    *Ref          `json:"value"`

	Min             *float64 `json:"min"`
	Max             *float64 `json:"max"`
	Pattern         string   `json:"pattern"`
	Enum            []string `json:"enum"`
	TimestampFormat string   `json:"timestampFormat"`
	Flattened       bool     `json:"flattened"`
	Sensitive       bool     `json:"sensitive"`
	Streaming       bool     `json:"streaming"`
	Document        bool     `json:"document"`
	Union           bool     `json:"union"`
	EventStream     bool     `json:"eventstream"`
	Exception       bool     `json:"exception"`
	Fault           bool     `json:"fault"`
	Error           *struct {
		Code           string `json:"code"`
		HTTPStatusCode int    `json:"httpStatusCode"`
		SenderFault    bool   `json:"senderFault"`
		Fault          bool   `json:"fault"`
	} `json:"error"`

	name string // in the model
	goID string // unique Go identifier: of the type, and after "x" of the ref
	used bool
}

// ordered is a JSON object whose order means something.
type ordered[T any] struct {
	keys []string
	m    map[string]T
}

func (o *ordered[T]) get(key string) T { return o.m[key] }

func (o *ordered[T]) set(key string, v T) {
	if _, ok := o.m[key]; !ok {
		o.keys = append(o.keys, key)
	}
	if o.m == nil {
		o.m = map[string]T{}
	}
	o.m[key] = v
}

func (o *ordered[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if _, err := d.ReadToken(); err != nil { // {
		return err
	}
	for d.PeekKind() != '}' {
		key, err := d.ReadToken()
		if err != nil {
			return err
		}
		name := key.String()
		var v T
		if err := json.UnmarshalDecode(d, &v); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		o.set(name, v)
	}
	_, err := d.ReadToken()
	return err
}

func readModel(path string) (*Model, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := &Model{}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, name := range m.Shapes.keys {
		m.Shapes.get(name).name = name
	}
	slices.Sort(m.Operations.keys)
	return m, nil
}

// resolve gives every operation an input and an output named after it, and
// every used shape a Go identifier.
func (m *Model) resolve(pkg string) error {
	m.pkg = pkg
	if m.Operations.keys == nil {
		return fmt.Errorf("no operations")
	}
	uses := map[string]int{}
	for _, s := range m.Shapes.m {
		for r := range s.refs() {
			if m.Shapes.get(r.Shape) == nil {
				return fmt.Errorf("shape %s refers to %s, which is not there", s.name, r.Shape)
			}
			uses[r.Shape]++
		}
	}
	for _, op := range m.Operations.m {
		for _, r := range []*Ref{op.Input, op.Output} {
			if r != nil {
				uses[r.Shape]++
			}
		}
	}
	m.names = map[string]bool{"Service": true}
	for _, name := range m.Operations.keys {
		op := m.Operations.get(name)
		op.noOutput = op.Output == nil
		op.Input = m.operand(op.Input, op.Name+"Input", uses)
		op.Output = m.operand(op.Output, op.Name+"Output", uses)
		m.use(op.Input.Shape)
		m.use(op.Output.Shape)
		for _, e := range op.Errors {
			m.use(e.Shape)
		}
	}
	for _, name := range m.Shapes.keys {
		if s := m.Shapes.get(name); s.used {
			if s.goID == "" {
				s.goID = m.identifier(name)
			}
			m.shapes = append(m.shapes, s)
		}
	}
	slices.SortFunc(m.shapes, func(a, b *Shape) int { return strings.Compare(a.goID, b.goID) })
	return nil
}

// operand makes an operation's input or output have the Go type name want: by
// naming its shape so if it serves nothing else, else by an alias.
func (m *Model) operand(r *Ref, want string, uses map[string]int) *Ref {
	if r == nil {
		s := &Shape{Type: "structure", name: want}
		m.names[want] = true
		s.goID = want
		m.Shapes.set(want, s)
		return &Ref{Shape: want}
	}
	s := m.Shapes.get(r.Shape)
	switch {
	case r.Shape == want, uses[r.Shape] == 1 && m.Shapes.get(want) == nil:
		m.names[want] = true
		s.goID = want
	case m.Shapes.get(want) == nil:
		m.names[want] = true
		m.aliases = append(m.aliases, [2]string{want, r.Shape})
	}
	return r
}

func (m *Model) use(name string) {
	s := m.Shapes.get(name)
	if s.used {
		return
	}
	s.used = true
	for r := range s.refs() {
		m.use(r.Shape)
	}
}

// refs yields the shapes that s refers to.
func (s *Shape) refs() func(yield func(*Ref) bool) {
	return func(yield func(*Ref) bool) {
		for _, name := range s.Members.keys {
			if !yield(s.Members.get(name)) {
				return
			}
		}
		for _, r := range []*Ref{s.Member, s.Key, s.Value} {
			if r != nil && !yield(r) {
				return
			}
		}
	}
}

// identifier makes an exported Go identifier of name that nothing else has.
func (m *Model) identifier(name string) string {
	id := exported(name)
	for n := 2; m.names[id]; n++ {
		id = exported(name) + strconv.Itoa(n)
	}
	m.names[id] = true
	return id
}

// exported makes a Go identifier of a model's name: the characters that Go
// takes, the first in upper case.
func exported(name string) string {
	var b strings.Builder
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z' && b.Len() == 0:
			b.WriteRune(r - 'a' + 'A')
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '_' && b.Len() > 0:
			b.WriteRune(r)
		case r >= '0' && r <= '9':
			if b.Len() == 0 {
				b.WriteByte('N')
			}
			b.WriteRune(r)
		}
	}
	return cmp.Or(b.String(), "X")
}

// goType is the type of a list's element or a map's value of shape s.
func (m *Model) goType(s *Shape) string {
	switch s.Type {
	case "structure":
		switch {
		case s.Document:
			return "any"
		case s.EventStream:
			return "api.Events"
		}
		return s.goID
	case "list":
		return "[]" + m.goType(m.Shapes.get(s.Member.Shape))
	case "map":
		return "map[" + m.goType(m.Shapes.get(s.Key.Shape)) + "]" + m.goType(m.Shapes.get(s.Value.Shape))
	case "string", "character":
		if s.Enum != nil {
			return s.goID
		}
		return "string"
	case "integer":
		return "int32"
	case "long":
		return "int64"
	case "float":
		return "float32"
	case "double":
		return "float64"
	case "boolean":
		return "bool"
	case "timestamp":
		return "time.Time"
	case "blob":
		if s.Streaming {
			return "io.Reader"
		}
		return "[]byte"
	}
	panic("shape " + s.name + " has unknown type " + s.Type)
}

// fieldType is the type of a member of shape s: a pointer where the type has no
// value of its own for absent.
func (m *Model) fieldType(s *Shape) string {
	t := m.goType(s)
	switch {
	case s.Type == "list", s.Type == "map", s.Type == "blob", t == "any", t == "api.Events", s.Enum != nil && s.Type == "string":
		return t
	}
	return "*" + t
}
