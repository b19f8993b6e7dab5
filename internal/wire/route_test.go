package wire

import (
	"net/http"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
)

// Two services in the shapes that others have; only routes are read of them.
var (
	restService = api.NewService(api.Service{Name: "video", SigningName: "kinesisvideo", Protocols: []api.Protocol{api.RESTJSON}, Ops: []*api.Op{
		{Name: "CreateStream", Method: "POST", URI: "/createStream"},
		{Name: "ListTagsForResource", Method: "POST", URI: "/ListTagsForResource"},
		{Name: "GetThing", Method: "GET", URI: "/things/{Name}"},
		{Name: "GetSpecialThing", Method: "GET", URI: "/things/special"},
	}})
	metricsService = api.NewService(api.Service{Name: "cloudwatch", SigningName: "monitoring", APIVersion: "2010-08-01", TargetPrefix: "GraniteServiceVersion20100801",
		Protocols: []api.Protocol{api.RPCv2, api.JSON, api.Query}, Ops: []*api.Op{{Name: "PutMetricData", Method: "POST", URI: "/"}}})
)

// TestRoutes is rule T10: one port finds the operation by target, RPC path, form
// or REST path, and the service by the credential's scope.
func TestRoutes(t *testing.T) {
	rt := newRouter([]*api.Service{kinesis.Service, restService, metricsService})
	const form = "application/x-www-form-urlencoded"
	for _, tt := range []struct {
		method, path, target, contentType, scope string
		service, op                              string // op is empty where the form tells it
		codec                                    Codec
		err                                      *api.Error
	}{
		{"POST", "/", "Kinesis_20131202.PutRecord", "application/x-amz-json-1.1", "kinesis", "kinesis", "PutRecord", json11, nil},
		{"POST", "/", "Kinesis_20131202.PutRecord", "application/x-amz-json-1.1; charset=utf-8", "kinesis", "kinesis", "PutRecord", json11, nil},
		{"POST", "/", "Kinesis_20131202.PutRecord", "Application/X-Amz-Json-1.1", "kinesis", "kinesis", "PutRecord", json11, nil},
		{"POST", "/whatever", "Kinesis_20131202.PutRecord", cborType, "kinesis", "kinesis", "PutRecord", CBOR{}, nil},
		{"POST", "/createStream", "Kinesis_20131202.PutRecord", "application/x-amz-json-1.1", "kinesisvideo", "kinesis", "PutRecord", json11, nil}, // the target comes first
		{"POST", "/", "GraniteServiceVersion20100801.PutMetricData", "application/x-amz-json-1.0", "monitoring", "cloudwatch", "PutMetricData", json10, nil},
		{"POST", "/service/GraniteServiceVersion20100801/operation/PutMetricData", "", "application/cbor", "monitoring", "cloudwatch", "PutMetricData", RPCv2{}, nil},
		{"POST", "/service/GraniteServiceVersion20100801/operation/PutMetric", "", "application/cbor", "monitoring", "", "", RPCv2{}, errUnknownOperation},
		{"POST", "/service/Nobody/operation/PutMetricData", "", "application/cbor", "monitoring", "", "", RPCv2{}, errNotFound},
		{"POST", "/", "", form, "monitoring", "cloudwatch", "", Query{}, nil},
		{"GET", "/?Action=PutMetricData", "", "", "monitoring", "cloudwatch", "", Query{}, nil},
		{"POST", "/createStream", "", "application/json", "kinesisvideo", "video", "CreateStream", RESTJSON{}, nil},
		{"POST", "/createStream", "", "", "", "video", "CreateStream", RESTJSON{}, nil}, // unsigned: for the right form of the error
		{"GET", "/things/a%2Fb", "", "", "kinesisvideo", "video", "GetThing", RESTJSON{}, nil},
		{"GET", "/things/special", "", "", "kinesisvideo", "video", "GetSpecialThing", RESTJSON{}, nil},
		{"GET", "/createStream", "", "", "kinesisvideo", "", "", nil, errNotFound},
		{"POST", "/createStream", "", "", "kinesis", "", "", nil, errNotFound}, // another service's path
		{"POST", "/", "", form, "kinesis", "", "", nil, errUndetermined},       // Kinesis has no forms
		{"POST", "/", "", "", "", "", "", nil, errUndetermined},
		{"GET", "/", "", "", "", "", "", nil, errUndetermined},
	} {
		r, err := http.NewRequest(tt.method, "http://localhost"+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"X-Amz-Target": tt.target, "Content-Type": tt.contentType} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		if strings.HasPrefix(tt.path, "/service/") {
			r.Header.Set("Smithy-Protocol", "rpc-v2-cbor")
		}
		got, err := rt.find(r, tt.scope)
		service, op := "", ""
		if got.service != nil {
			service = got.service.Name
		}
		if got.op != nil {
			op = got.op.Name
		}
		if service != tt.service || op != tt.op || got.codec != tt.codec || (err == nil) != (tt.err == nil) || err != nil && err != error(tt.err) {
			t.Errorf("%s %s %s %s for %q: %s.%s, %T, %v", tt.method, tt.path, tt.target, tt.contentType, tt.scope, service, op, got.codec, err)
		}
	}
}

func TestFormOp(t *testing.T) {
	for _, tt := range []struct{ path, body, op, code string }{
		{"/", "Action=PutMetricData&Version=2010-08-01&Namespace=n", "PutMetricData", ""},
		{"/?Action=PutMetricData", "", "PutMetricData", ""},
		{"/", "Action=PutMetricData&Version=2009-01-01", "", "InvalidAction"},
		{"/", "Action=Nothing", "", "InvalidAction"},
		{"/", "Namespace=n", "", "MissingAction"},
	} {
		r, _ := http.NewRequest("POST", "http://localhost"+tt.path, nil)
		op, err := formOp(metricsService, r, []byte(tt.body))
		if tt.op != "" && (err != nil || op.Name != tt.op) || tt.code != "" && !api.IsCode(err, tt.code) {
			t.Errorf("%s %s: %v, %v", tt.path, tt.body, op, err)
		}
	}
}
