package wire

import (
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
)

// TestJSONErrors: what cannot be read, in AWS's words.
func TestJSONErrors(t *testing.T) {
	for _, c := range []struct{ op, body, message string }{
		{"PutRecord", `{`, ""},
		{"PutRecord", `{"StreamName":"s"} trailing`, ""},
		{"PutRecord", `"text"`, "Expected null"},
		{"PutRecord", `[]`, "Start of list found where not expected"},
		{"PutRecord", `{"StreamName":1}`, "NUMBER_VALUE can not be converted to a String"},
		{"PutRecord", `{"StreamName":true}`, "TRUE_VALUE can not be converted to a String"},
		{"PutRecord", `{"StreamName":{}}`, "Start of structure or map found where not expected."},
		{"PutRecord", `{"StreamName":[]}`, "Start of list found where not expected"},
		{"PutRecord", `{"Data":1}`, "NUMBER_VALUE can not be converted to a Blob"},
		{"PutRecord", `{"Data":"YWJ"}`, "'YWJ' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: 3"},
		{"PutRecord", `{"Data":"YW!j"}`, "'YW!j' can not be converted to a Blob: Invalid Base64 character: '!'"},
		{"PutRecord", `{"Data":"Y=Jj"}`, "'Y=Jj' can not be converted to a Blob: Invalid Base64 character: '='"},
		{"PutRecord", `{"Data":"YWJ="}`, "'YWJ=' can not be converted to a Blob: Invalid last non-pad Base64 character dectected"},
		{"PutRecord", `{"Data":"YW\nj"}`, "'YW\nj' can not be converted to a Blob: Invalid Base64 character: '\n'"},
		{"PutRecords", `{"Records":"x"}`, "Expected list or null"},
		{"PutRecords", `{"Records":{}}`, "Start of structure or map found where not expected."},
		{"PutRecords", `{"Records":["x"]}`, "Expected null"},
		{"AddTagsToStream", `{"Tags":"x"}`, "Expected map or null"},
		{"AddTagsToStream", `{"Tags":[]}`, "Start of list found where not expected"},
		{"CreateStream", `{"ShardCount":"1"}`, "STRING_VALUE can not be converted to an Integer"},
		{"CreateStream", `{"ShardCount":false}`, "FALSE_VALUE can not be converted to an Integer"},
		{"CreateStream", `{"ShardCount":99999999999}`, "NUMBER_VALUE can not be converted to an Integer"},
		{"CreateStream", `{"ShardCount":1e400}`, "NUMBER_VALUE can not be converted to an Integer"},
		{"GetShardIterator", `{"Timestamp":"soon"}`, "STRING_VALUE can not be converted to a Timestamp"},
		{"DeleteStream", `{"EnforceConsumerDeletion":"yes"}`, "'yes' can not be converted to a Boolean"},
		{"PutRecord", `{"Unknown":` + strings.Repeat("[", 20000) + `}`, ""},
		{"ListStreams", "", ""},
		{"ListStreams", " \n", ""},
		{"ListStreams", "null", ""},
	} {
		op := kinesis.Service.Op(c.op)
		err := JSON{"1.1"}.Decode(op, nil, []byte(c.body), op.NewInput())
		if want := "SerializationException: " + c.message; err == nil || err.Error() != want {
			t.Errorf("%s %.60s: error is %v, want %s", c.op, c.body, err, want)
		}
	}
}

// TestJSONTolerance: what AWS takes.
func TestJSONTolerance(t *testing.T) {
	var in kinesis.GetShardIteratorInput
	op := kinesis.Service.Op("GetShardIterator")
	at := time.Date(2026, 11, 25, 12, 0, 0, 250e6, time.UTC)
	for body, want := range map[string]time.Time{
		`{"Timestamp":1795608000.25}`:             at,
		`{"Timestamp":1.79560800025E9}`:           at,
		`{"Timestamp":1795608000250}`:             at, // a Java SDK with CBOR switched off
		`{"Timestamp":1795608000250000}`:          at,
		`{"Timestamp":"2026-11-25T12:00:00.25Z"}`: at,
		`{"Timestamp":1,"Timestamp":1795608000.25,"Unknown":{"a":[{"b":null}]},"StreamId":"x","ShardId":null}`: at,
	} {
		in = kinesis.GetShardIteratorInput{}
		if err := (JSON{"1.1"}).Decode(op, nil, []byte(body), &in); err != nil || in.Timestamp == nil || !in.Timestamp.Equal(want) {
			t.Errorf("%s: decoded %v (%v), want %v", body, in.Timestamp, err, want)
		}
	}
	create := kinesis.CreateStreamInput{}
	if err := (JSON{"1.1"}).Decode(kinesis.Service.Op("CreateStream"), nil, []byte(`{"ShardCount":2.7}`), &create); err != nil || *create.ShardCount != 2 {
		t.Errorf("2.7 shards: %v, %v", create.ShardCount, err)
	}
	put := kinesis.PutRecordInput{}
	if err := (JSON{"1.1"}).Decode(kinesis.Service.Op("PutRecord"), nil, []byte(`{"Data":"\/\/\u002f/"}`), &put); err != nil || string(put.Data) != "\xff\xff\xff" {
		t.Errorf("escapes in base64: %q, %v", put.Data, err)
	}
}

// TestElementBound: lists do not make more elements than their maximum needs to
// fail, nor without one more than the bound of a request.
func TestElementBound(t *testing.T) {
	op := kinesis.Service.Op("PutRecords")
	var in kinesis.PutRecordsInput
	body := []byte(`{"Records":[{}` + strings.Repeat(`,{}`, 100000) + `]}`)
	if err := (JSON{"1.1"}).Decode(op, nil, body, &in); err != nil || len(in.Records) != 501 {
		t.Errorf("%d records were made (%v), want 501", len(in.Records), err)
	}
	if err := Validate(op, &in); err == nil || !strings.Contains(err.Error(), "at 'records' failed to satisfy constraint: Member must have length less than or equal to 500") {
		t.Errorf("error of 501 records is %v", err)
	}
}

// TestBoundWithoutMaximum: a list whose model has no maximum is bounded all the same.
func TestBoundWithoutMaximum(t *testing.T) {
	list := &api.Shape{Kind: api.List, Elem: &api.Shape{Kind: api.Integer}}
	var in []int32
	err := decodeJSON(list, []byte("[1"+strings.Repeat(",1", maxElements)+"]"), reflect.ValueOf(&in).Elem())
	if err == nil || err.Error() != "SerializationException: Request has too many elements" {
		t.Errorf("error of %d elements is %v", maxElements+1, err)
	}
}

// TestErrorAnswers: which member has the message, and which status an error has.
func TestErrorAnswers(t *testing.T) {
	op := kinesis.Service.Op("PutRecord")
	for _, c := range []struct {
		e      *api.Error
		status int
		body   string
	}{
		{api.Errorf("ResourceNotFoundException", "Stream %q not found.", "s"), 400, `{"__type":"ResourceNotFoundException","message":"Stream \"s\" not found."}`},
		{api.Errorf("ValidationException", "m"), 400, `{"__type":"ValidationException","message":"m"}`},
		{api.Errorf("SerializationException", "m"), 400, `{"__type":"SerializationException","Message":"m"}`},
		{&api.Error{Code: "SerializationException"}, 400, `{"__type":"SerializationException"}`},
		{&api.Error{Code: "InternalFailure"}, 500, `{"__type":"InternalFailure"}`},
		{&api.Error{Code: "InternalFailureException", Message: "m"}, 500, `{"__type":"InternalFailureException","message":"m"}`},
		{&api.Error{Code: "RequestEntityTooLarge", Status: 413}, 413, `{"__type":"RequestEntityTooLarge"}`},
	} {
		for _, at := range []*api.Op{op, nil} {
			a := JSON{"1.1"}.EncodeError(nil, at, c.e, "id")
			if a.Status != c.status || string(a.Body) != c.body || a.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
				t.Errorf("%v: answer is %d %s, want %d %s", c.e, a.Status, a.Body, c.status, c.body)
			}
		}
	}
}

// fuzzDecode feeds a codec anything: it answers with an api.Error or a value
// that can be validated and, once encoded, decodes again.
func fuzzDecode(f *testing.F, codec Codec, ops ...string) {
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, name := range ops {
			op := kinesis.Service.Op(name)
			in := op.NewInput()
			if err := codec.Decode(op, nil, body, in); err != nil {
				if !api.IsCode(err, "SerializationException") {
					t.Errorf("%s: %q: error is %v", name, body, err)
				}
				continue
			}
			Validate(op, in)
			again := op.NewInput()
			encoded := codec.appendValue(nil, op.Input, reflect.ValueOf(in).Elem())
			if err := codec.Decode(op, nil, encoded, again); err != nil {
				t.Errorf("%s: %q was decoded, and encoded as %q is refused: %v", name, body, encoded, err)
			}
		}
	})
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`{"StreamName":"s","Records":[{"Data":"` + base64.StdEncoding.EncodeToString([]byte("data")) + `","PartitionKey":"k\u0000"}],"X":[1,{"a":null}]}`,
		`{"StreamName":"s","ShardCount":2.5e1,"Tags":{"a":"b"},"StreamModeDetails":{"StreamMode":"ON_DEMAND"}}`,
		`{"Timestamp":1.7e9,"ShardId":"shardId-000000000000","ShardIteratorType":"AT_TIMESTAMP"}`,
	} {
		f.Add([]byte(s))
	}
	fuzzDecode(f, JSON{"1.1"}, "PutRecords", "CreateStream", "GetShardIterator", "SubscribeToShard")
}

func FuzzCBOR(f *testing.F) {
	f.Add(encode(f, map[string]any{"StreamName": "s", "ShardCount": 2.0, "Tags": map[string]any{"a": "b"}, "X": []any{nil, 1.5}}))
	f.Add([]byte("\xbf\x69Timestamp\xc1\x1b\x00\x00\x01\x8b\xcf\xe5h\x00\xff"))
	fuzzDecode(f, CBOR{}, "PutRecords", "CreateStream", "GetShardIterator", "SubscribeToShard")
}
