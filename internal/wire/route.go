package wire

import (
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/rheostream/rheo/internal/api"
)

// A route is where a request goes, by its headers and path alone.
type route struct {
	service *api.Service
	op      *api.Op // nil: the form in the body names it, see formOp
	codec   Codec   // nil if not even the protocol is known
}

// A router finds routes. One port serves every service and protocol, in this
// order: target header, RPC path, then, of the services that the credential's
// scope may mean, form and REST path. What is scoped to S3, or to nothing and has no
// other route, is S3's: see [ObjectServer].
type router struct {
	targets map[string]*api.Op // "Kinesis_20131202.PutRecord"
	byRPC   map[string]*api.Service
	byScope map[string][]*api.Service
	rest    []*api.Service
}

func newRouter(services []*api.Service) *router {
	rt := &router{targets: make(map[string]*api.Op), byRPC: make(map[string]*api.Service), byScope: make(map[string][]*api.Service)}
	for _, s := range services {
		rt.byScope[s.SigningName] = append(rt.byScope[s.SigningName], s)
		if slices.Contains(s.Protocols, api.RESTJSON) {
			rt.rest = append(rt.rest, s)
		}
		if s.TargetPrefix == "" {
			continue
		}
		rt.byRPC[s.TargetPrefix] = s
		for _, op := range s.Ops {
			rt.targets[s.TargetPrefix+"."+op.Name] = op
		}
	}
	return rt
}

var (
	json10 Codec = JSON{Version: "1.0"}
	json11 Codec = JSON{Version: "1.1"}
)

// The answers to what is nobody's: as AWS gives them, to unknown targets in
// the protocol of the request, and otherwise in a word of XML.
var (
	errUnknownOperation = &api.Error{Code: "UnknownOperationException"}
	errNotFound         = &api.Error{Code: "UnknownOperationException", Status: http.StatusNotFound}
	errUndetermined     = &api.Error{Code: "AccessDeniedException", Status: http.StatusForbidden,
		Message: "Unable to determine service/operation name to be authorized"}
)

// find returns the route of r, whose credential is scoped to the service scope
// (empty if it has none). With an error it returns what is known of the route,
// for the form of the answer.
func (rt *router) find(r *http.Request, scope string) (route, error) {
	contentType := mediaType(r.Header)
	if target := r.Header["X-Amz-Target"]; len(target) > 0 {
		return rt.byTarget(r.Method, target[0], contentType)
	}
	if path, ok := strings.CutPrefix(r.URL.Path, "/service/"); ok {
		if name, op, ok := strings.Cut(path, "/operation/"); ok {
			return rt.byRPCPath(r, name, op)
		}
	}
	services := rt.byScope[scope]
	if contentType == "application/x-www-form-urlencoded" || r.Method == http.MethodGet && r.URL.Query().Has("Action") {
		for _, s := range services {
			if slices.Contains(s.Protocols, api.Query) {
				return route{service: s, codec: Query{}}, nil
			}
		}
	}
	if len(services) == 0 {
		services = rt.rest
	}
	for _, s := range services {
		if op := restOp(s, r); op != nil {
			return route{service: s, op: op, codec: RESTJSON{}}, nil
		}
	}
	if codec := jsonCodec(contentType); codec != nil {
		return route{codec: codec}, errUnknownOperation
	}
	if r.URL.Path == "/" {
		return route{}, errUndetermined
	}
	return route{}, errNotFound
}

func (rt *router) byTarget(method, target, contentType string) (route, error) {
	if method != http.MethodPost {
		return route{}, errUndetermined
	}
	codec := jsonCodec(contentType)
	if codec == nil {
		return route{}, errNotFound
	}
	op := rt.targets[target]
	if op == nil {
		return route{codec: codec}, errUnknownOperation
	}
	return route{service: op.Service, op: op, codec: codec}, nil
}

func (rt *router) byRPCPath(r *http.Request, service, operation string) (route, error) {
	s := rt.byRPC[service]
	if s == nil || r.Method != http.MethodPost || r.Header.Get("Smithy-Protocol") != "rpc-v2-cbor" {
		return route{codec: RPCv2{}}, errNotFound
	}
	op := s.Op(operation)
	if op == nil {
		return route{codec: RPCv2{}}, errUnknownOperation
	}
	return route{service: s, op: op, codec: RPCv2{}}, nil
}

// formOp finds the operation that a form names, once the body may be read.
func formOp(s *api.Service, r *http.Request, body []byte) (*api.Op, error) {
	action, version := formAction(string(body))
	if action == "" {
		action, version = formAction(r.URL.RawQuery)
	}
	if action == "" {
		return nil, api.Errorf("MissingAction", "The request must contain the parameter Action.")
	}
	op := s.Op(action)
	if op == nil || version != "" && version != s.APIVersion {
		return nil, api.Errorf("InvalidAction", "Could not find operation %s for version %s", clip(action), clip(version))
	}
	return op, nil
}

// restOp finds the operation of s with r's method and path. Of two that match,
// the one with fewer labels is meant.
func restOp(s *api.Service, r *http.Request) *api.Op {
	if !slices.Contains(s.Protocols, api.RESTJSON) {
		return nil
	}
	var found *api.Op
	fewest := 0
	path := r.URL.EscapedPath()
	for _, op := range s.Ops {
		if op.Method != r.Method {
			continue
		}
		if labels, ok := MatchURI(op.URI, path); ok && (found == nil || len(labels) < fewest) {
			found, fewest = op, len(labels)
		}
	}
	return found
}

func jsonCodec(contentType string) Codec {
	switch contentType {
	case "application/x-amz-json-1.1":
		return json11
	case "application/x-amz-json-1.0":
		return json10
	case cborType:
		return CBOR{}
	}
	return nil
}

// mediaType is the content type without parameters.
func mediaType(h http.Header) string {
	v := h["Content-Type"]
	if len(v) == 0 {
		return ""
	}
	if !strings.ContainsAny(v[0], "; ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		return v[0]
	}
	t, _, err := mime.ParseMediaType(v[0])
	if err != nil {
		return ""
	}
	return t
}
