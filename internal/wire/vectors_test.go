package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/rheostream/rheo/internal/api"
)

// The protocol suites of AWS's SDKs are made for clients. A server reads them
// the other way round: what a client must send is what we must decode, and what a
// client must take is what we must send.

// clientOnly are the cases that say nothing about a server, with the reason.
var clientOnly = []struct{ cases, reason string }{
	{`^SDKApp(lied|end).*Encoding`, "how a client compresses; the listener undoes it"},
	{`HostWithPath$`, "a path of the endpoint, which the listener has cut off"},
	{`IdempotencyTokenAutoFill$`, "the client makes up a token"},
	{`^QueryEmptyQueryMaps$|PrefixHeadersAreNotPresent$|OmitsEmptyListQueryValues$`, "what is empty is not sent"},
	{`^RestJsonQueryPrecedence$`, "which of two values the client sends"},
	{`^RestJsonQueryParamsStringListMap$`, "a server's map also holds the named parameters"},
	{`^RestJsonHttpWithEmptyStructurePayload$|^RestJsonHttpWithHeadersButNoPayload$`, "an empty payload was sent for an absent one"},
	{`^MediaTypeHeader`, "the trait jsonvalue, which no service of ours has"},
	{`^HttpPrefixHeadersResponse$`, "a prefix of nothing, which no service of ours has"},
	{`^AwsJson1.FooErrorUsingXAmznErrorType`, "clients also take the header; we send __type"},
	{`^RestJsonFooError(UsingCode|WithDunderType)`, "clients also take the body's code; we send the header"},
	{`^handles_unexpected_json_output$|HandlesUnexpectedJsonOutput$|ExtraFieldsInTheBody|^RpcV2CborPayloadWithUnsetUnion$`, "clients ignore what they do not know"},
	{`DeserializeIgnoreType$`, "clients ignore __type in a union"},
}

type vectorSuite struct {
	Description string
	Metadata    struct {
		Protocol           string         `json:"protocol"`
		APIVersion         string         `json:"apiVersion"`
		JSONVersion        string         `json:"jsonVersion"`
		TargetPrefix       string         `json:"targetPrefix"`
		XMLNamespace       string         `json:"xmlNamespace"`
		AWSQueryCompatible map[string]any `json:"awsQueryCompatible"`
	}
	Shapes map[string]*vectorShape
	Cases  []*vectorCase
}

type vectorRef struct {
	Shape           string
	Location        string
	LocationName    string `json:"locationName"`
	TimestampFormat string `json:"timestampFormat"`
	Flattened       bool
}

type vectorShape struct {
	Type                 string
	Members              map[string]*vectorRef
	Member, Key, Value   *vectorRef
	Payload              string
	Required             []string
	TimestampFormat      string `json:"timestampFormat"`
	Document, Exception  bool
	Fault                bool
	Streaming, Flattened bool
	Error                *struct {
		Code           string
		HTTPStatusCode int `json:"httpStatusCode"`
		SenderFault    bool
	}
}

type vectorCase struct {
	ID    string
	Given struct {
		Name string
		HTTP struct {
			Method       string
			RequestURI   string `json:"requestUri"`
			ResponseCode int    `json:"responseCode"`
		}
		Input, Output *vectorRef
		Errors        []vectorRef
	}
	Params, Result, Error any
	ErrorCode             string
	ErrorMessage          string
	Serialized            struct {
		Method, URI string
		Headers     map[string]string
		Body        *string
	}
	Response struct {
		StatusCode int `json:"status_code"`
		Headers    map[string]string
		Body       *string
	}
}

func codecOf(protocol, version string) Codec {
	switch api.Protocol(protocol) {
	case api.JSON:
		return JSON{version}
	case api.RESTJSON:
		return RESTJSON{}
	case api.Query:
		return Query{}
	case api.RPCv2:
		return RPCv2{}
	}
	panic(protocol)
}

// op makes the operation of a case from the suite's shapes.
func (s *vectorSuite) op(c *vectorCase) *api.Op {
	names := slices.Sorted(maps.Keys(s.Shapes))
	names = append(names, "") // the empty structure
	ref := func(r *vectorRef) api.Ref {
		if r == nil {
			return api.Ref(len(names) - 1)
		}
		return api.Ref(slices.Index(names, r.Shape))
	}
	shapes := make([]api.Shape, len(names))
	formats := map[string]api.TimeFormat{"unixTimestamp": api.UnixTime, "iso8601": api.ISO8601, "rfc822": api.RFC822}
	for i, name := range names[:len(names)-1] {
		v, a := s.Shapes[name], &shapes[i]
		a.Name = name
		a.Time, a.Streaming, a.Flattened = formats[v.TimestampFormat], v.Streaming, v.Flattened
		switch v.Type {
		case "structure":
			if v.Document {
				a.Kind = api.Document
			}
			for _, member := range slices.Sorted(maps.Keys(v.Members)) {
				r := v.Members[member]
				a.Members = append(a.Members, api.Member{
					Name: member, Wire: r.LocationName, Ref: ref(r), Time: formats[r.TimestampFormat], Flattened: r.Flattened,
					Location: map[string]api.Location{"header": api.Header, "headers": api.Headers, "uri": api.URI,
						"querystring": api.QueryString, "statusCode": api.StatusCode}[r.Location],
				})
				if member == v.Payload {
					a.Payload = len(a.Members)
				}
			}
			if v.Exception {
				a.Error = &api.ErrorShape{Code: name, Status: 400, Fault: v.Fault}
				if v.Fault {
					a.Error.Status = 500
				}
				if v.Error != nil {
					a.Error.Code, a.Error.Status = or(v.Error.Code, name), max(v.Error.HTTPStatusCode, a.Error.Status)
				}
			}
		case "list":
			a.Kind, a.ElemRef, a.ElemName = api.List, ref(v.Member), v.Member.LocationName
		case "map":
			a.Kind, a.ElemRef, a.KeyRef, a.KeyName, a.ValueName = api.Map, ref(v.Value), ref(v.Key), v.Key.LocationName, v.Value.LocationName
		default:
			a.Kind = map[string]api.Kind{"string": api.String, "character": api.String, "integer": api.Integer, "long": api.Long,
				"float": api.Float, "double": api.Double, "boolean": api.Boolean, "timestamp": api.Timestamp, "blob": api.Blob}[v.Type]
		}
	}
	api.Link(shapes)
	op := &api.Op{
		Service: &api.Service{Name: "vectors", XMLNamespace: s.Metadata.XMLNamespace, QueryCompatible: s.Metadata.AWSQueryCompatible != nil,
			Protocols: []api.Protocol{api.Protocol(s.Metadata.Protocol)}},
		Name: c.Given.Name, Method: c.Given.HTTP.Method, URI: c.Given.HTTP.RequestURI, Status: max(c.Given.HTTP.ResponseCode, 200),
		Input: &shapes[ref(c.Given.Input)], Output: &shapes[ref(c.Given.Output)],
	}
	for i := range shapes {
		if shapes[i].Error != nil {
			op.Errors = append(op.Errors, &shapes[i])
		}
	}
	return op
}

// goType makes the Go type that the generator would write, to a depth.
func goType(s *api.Shape, depth int) reflect.Type {
	switch s.Kind {
	case api.Structure, api.Union:
		fields := []reflect.StructField{}
		if depth < 8 {
			for i := range s.Members {
				t := goType(s.Members[i].Shape, depth+1)
				if k := t.Kind(); k != reflect.Slice && k != reflect.Map && k != reflect.Interface {
					t = reflect.PointerTo(t)
				}
				fields = append(fields, reflect.StructField{Name: fmt.Sprintf("F%d", i), Type: t})
			}
		}
		return reflect.StructOf(fields)
	case api.List:
		return reflect.SliceOf(goType(s.Elem, depth+1))
	case api.Map:
		return reflect.MapOf(reflect.TypeFor[string](), goType(s.Elem, depth+1))
	}
	if s.Streaming {
		return reflect.TypeFor[io.Reader]()
	}
	return map[api.Kind]reflect.Type{
		api.String: reflect.TypeFor[string](), api.Integer: reflect.TypeFor[int32](), api.Long: reflect.TypeFor[int64](),
		api.Float: reflect.TypeFor[float32](), api.Double: reflect.TypeFor[float64](), api.Boolean: reflect.TypeFor[bool](),
		api.Timestamp: reflect.TypeFor[time.Time](), api.Blob: reflect.TypeFor[[]byte](), api.Document: reflect.TypeFor[any](),
	}[s.Kind]
}

// fill sets v from a suite's params.
func fill(s *api.Shape, v reflect.Value, p any) {
	if p == nil {
		return
	}
	if v = settle(v); s.Kind == api.Document {
		b, _ := json.Marshal(p)
		json.Unmarshal(b, v.Addr().Interface())
		return
	}
	switch s.Kind {
	case api.Structure, api.Union:
		for i := range s.Members {
			fill(s.Members[i].Shape, v.Field(i), p.(map[string]any)[s.Members[i].Name])
		}
	case api.List:
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		for _, e := range p.([]any) {
			fill(s.Elem, grow(v), e)
		}
	case api.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for k, e := range p.(map[string]any) {
			elem := reflect.New(v.Type().Elem()).Elem()
			fill(s.Elem, elem, e)
			v.SetMapIndex(reflect.ValueOf(k), elem)
		}
	case api.Timestamp:
		f, _ := p.(json.Number).Float64()
		v.Set(reflect.ValueOf(time.UnixMilli(int64(math.Round(f * 1000))).UTC()))
	case api.Blob:
		v.SetBytes([]byte(p.(string)))
	case api.Float, api.Double:
		f := map[any]float64{"NaN": math.NaN(), "Infinity": math.Inf(1), "-Infinity": math.Inf(-1)}[p]
		if n, ok := p.(json.Number); ok {
			f, _ = n.Float64()
		}
		v.SetFloat(f)
	case api.Integer, api.Long:
		n, _ := p.(json.Number).Int64()
		v.SetInt(n)
	case api.Boolean:
		v.SetBool(p.(bool))
	case api.String:
		v.SetString(p.(string))
	}
}

func readSuites(t *testing.T, path string) []*vectorSuite {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var suites []*vectorSuite
	if err := d.Decode(&suites); err != nil {
		t.Fatal(err)
	}
	return suites
}

func eachCase(t *testing.T, dir string, run func(t *testing.T, s *vectorSuite, c *vectorCase)) {
	files, _ := filepath.Glob("testdata/vectors/protocol/" + dir + "/*.json")
	if len(files) != 7 {
		t.Fatalf("found %d suites, want 7", len(files))
	}
	for _, file := range files {
		for _, s := range readSuites(t, file) {
			for _, c := range s.Cases {
				t.Run(strings.TrimSuffix(filepath.Base(file), ".json")+"/"+c.ID, func(t *testing.T) {
					for _, skip := range clientOnly {
						if regexp.MustCompile(skip.cases).MatchString(c.ID) {
							t.Skip(skip.reason)
						}
					}
					run(t, s, c)
				})
			}
		}
	}
}

func TestDecodeVectors(t *testing.T) {
	eachCase(t, "input", func(t *testing.T, s *vectorSuite, c *vectorCase) {
		op := s.op(c)
		var body []byte
		if c.Serialized.Body != nil {
			if body = []byte(*c.Serialized.Body); s.Metadata.Protocol == string(api.RPCv2) {
				body, _ = base64.StdEncoding.DecodeString(*c.Serialized.Body)
			}
		}
		r := httptest.NewRequest(c.Serialized.Method, "http://localhost"+c.Serialized.URI, nil)
		for k, v := range c.Serialized.Headers {
			r.Header.Set(k, v)
		}
		want, have := reflect.New(goType(op.Input, 0)), reflect.New(goType(op.Input, 0))
		fill(op.Input, want.Elem(), c.Params)
		if err := codecOf(s.Metadata.Protocol, s.Metadata.JSONVersion).Decode(op, r, body, have.Interface()); err != nil {
			t.Fatal(err)
		}
		if w, h := appendJSON(nil, nil, op.Input, want.Elem()), appendJSON(nil, nil, op.Input, have.Elem()); string(w) != string(h) {
			t.Errorf("decoded\n %s, want\n %s", h, w)
		}
	})
}

func TestEncodeVectors(t *testing.T) {
	eachCase(t, "output", func(t *testing.T, s *vectorSuite, c *vectorCase) {
		op := s.op(c)
		codec := codecOf(s.Metadata.Protocol, s.Metadata.JSONVersion)
		var a Answer
		if c.Response.StatusCode < 400 {
			out := reflect.New(goType(op.Output, 0))
			fill(op.Output, out.Elem(), c.Result)
			var err error
			if a, err = codec.Encode(nil, op, out.Interface()); err != nil {
				t.Fatal(err)
			}
		} else {
			a = codec.EncodeError(nil, op, c.apiError(op), "foo-id")
		}
		if a.Status != c.Response.StatusCode {
			t.Errorf("status is %d, want %d", a.Status, c.Response.StatusCode)
		}
		for name, want := range c.Response.Headers {
			if have := a.Header.Get(name); !sameHeader(name, have, want) {
				t.Errorf("header %s is %q, want %q", name, have, want)
			}
		}
		if c.Response.Body == nil {
			return
		}
		sameBody(t, s, a, *c.Response.Body)
	})
}

// apiError is the error that a service returns to be answered as the case has it.
func (c *vectorCase) apiError(op *api.Op) *api.Error {
	e := &api.Error{Code: c.ErrorCode, Message: c.ErrorMessage, Fields: map[string]any{}}
	for _, s := range op.Errors {
		if s.Error.Code == c.ErrorCode || s.Name == c.ErrorCode {
			e.Code = s.Name
			v := reflect.New(goType(s, 0)).Elem()
			fill(s, v, c.Error)
			for i := range s.Members {
				if f := v.Field(i); !isNil(f) && !strings.EqualFold(s.Members[i].Name, "message") {
					e.Fields[s.Members[i].Name] = f.Interface()
				}
			}
		}
	}
	return e
}

func sameHeader(name, have, want string) bool {
	if strings.EqualFold(name, "X-Amzn-Errortype") {
		want, _, _ = strings.Cut(want, ":")
		want = want[strings.IndexByte(want, '#')+1:]
	}
	if strings.EqualFold(name, "X-Amzn-Requestid") || strings.EqualFold(name, "Content-Length") || strings.EqualFold(name, "X-Amz-Target") {
		return true // the listener's
	}
	return have == want
}

func sameBody(t *testing.T, s *vectorSuite, a Answer, want string) {
	t.Helper()
	have := a.Body
	if a.Stream != nil {
		have, _ = io.ReadAll(a.Stream)
	}
	var h, w any
	var err error
	switch {
	case s.Metadata.Protocol == string(api.RPCv2) && want == "":
		if string(have) != "\xa0" {
			t.Errorf("body is %x, want an empty map", have)
		}
		return
	case s.Metadata.Protocol == string(api.RPCv2):
		b, _ := base64.StdEncoding.DecodeString(want)
		if err = cbor.Unmarshal(have, &h); err == nil {
			err = cbor.Unmarshal(b, &w)
		}
	case s.Metadata.Protocol == string(api.Query):
		h, w = readXML(t, string(have)), readXML(t, want)
	case a.Header.Get("Content-Type") == "text/plain" || a.Header.Get("Content-Type") == "application/octet-stream":
		h, w = string(have), want
	case strings.TrimSpace(want) == "":
		if string(have) != "{}" && string(have) != "" {
			t.Errorf("body is %s, want none", have)
		}
		return
	default:
		if err = json.Unmarshal(have, &h); err == nil {
			err = json.Unmarshal([]byte(want), &w)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if hs, ws := fmt.Sprintf("%#v", plainTree(h)), fmt.Sprintf("%#v", plainTree(w)); hs != ws {
		t.Errorf("encoded\n %s\n %v, want\n %v", have, hs, ws)
	}
}

// plainTree leaves out of an answer what clients must bear and we do not send: a
// namespace before an error's type, nulls, members without a model; and makes
// equal what means the same.
func plainTree(v any) any {
	switch v := v.(type) {
	case map[any]any:
		m := map[string]any{}
		for k, e := range v {
			m[k.(string)] = e
		}
		return plainTree(m)
	case map[string]any:
		m := map[string]any{}
		for k, e := range v {
			if k == "__type" || k == "code" {
				if s, ok := e.(string); ok {
					s, _, _ = strings.Cut(s, ":")
					k, e = "__type", s[strings.IndexByte(s, '#')+1:]
				}
			}
			if e != nil {
				m[k] = plainTree(e)
			}
		}
		return m
	case []any:
		l := []any{}
		for _, e := range v {
			l = append(l, plainTree(e))
		}
		return l
	case string:
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return t.UTC().String()
		}
	case cbor.Tag:
		return plainTree(v.Content)
	case time.Time:
		return v.UTC().String()
	case float32:
		return float64(v)
	case uint64:
		return float64(v)
	case int64:
		return float64(v)
	}
	return v
}

// readXML reads a document as a tree without namespaces and blanks.
func readXML(t *testing.T, doc string) any {
	type node struct {
		name, text string
		children   []string
	}
	d := xml.NewDecoder(strings.NewReader(doc))
	stack := []*node{{}}
	for {
		token, err := d.Token()
		if err == io.EOF {
			slices.Sort(stack[0].children)
			return fmt.Sprint(stack[0].children)
		}
		if err != nil {
			t.Fatal(err, doc)
		}
		top := stack[len(stack)-1]
		switch token := token.(type) {
		case xml.StartElement:
			stack = append(stack, &node{name: token.Name.Local})
		case xml.CharData:
			top.text += strings.TrimSpace(string(token))
		case xml.EndElement:
			stack = stack[:len(stack)-1]
			if top.name != "member" && !strings.HasSuffix(top.name, "List") {
				slices.Sort(top.children)
			}
			text := top.text
			if tm, err := time.Parse(time.RFC3339Nano, text); err == nil {
				text = tm.UTC().String()
			}
			up := stack[len(stack)-1]
			up.children = append(up.children, fmt.Sprintf("%s(%s%v)", top.name, text, top.children))
		}
	}
}
