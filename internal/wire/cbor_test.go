package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
)

func readCBORVectors(t *testing.T, name string) (cases []struct {
	Description, Input string
	Expect             map[string]any
}) {
	b, err := os.ReadFile("testdata/vectors/cbor/" + name)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&cases); err != nil || len(cases) == 0 {
		t.Fatal(err, len(cases))
	}
	return cases
}

// TestCBORErrorVectors: what is malformed is refused, whether a member takes it
// or passes over it.
func TestCBORErrorVectors(t *testing.T) {
	for _, c := range readCBORVectors(t, "decode-error-tests.json") {
		b, _ := hex.DecodeString(c.Input)
		r := &cborReader{b: b}
		if err := r.skip(); err == nil && len(r.b) == 0 {
			t.Errorf("%s: %s was skipped as valid", c.Description, c.Input)
		}
	}
}

// TestCBORSuccessVectors: values come out as they are.
func TestCBORSuccessVectors(t *testing.T) {
	for _, c := range readCBORVectors(t, "decode-success-tests.json") {
		t.Run(c.Description, func(t *testing.T) {
			b, _ := hex.DecodeString(c.Input)
			r := &cborReader{b: b}
			if err := r.skip(); err != nil || len(r.b) != 0 {
				t.Fatalf("skip: %v, %d bytes left", err, len(r.b))
			}
			s, want, fits := expected(t, c.Expect)
			v := reflect.New(goType(s, 0)).Elem()
			r = &cborReader{b: b}
			err := r.value(s, v)
			if !fits {
				if err == nil {
					t.Errorf("%v was taken for %v", want, v)
				}
				return
			}
			if have := fmt.Sprint(v.Interface()); err != nil || have != fmt.Sprint(want) {
				t.Errorf("decoded %v (%v), want %v", have, err, want)
			}
		})
	}
}

// expected turns a vector's expectation into a shape that takes it and the Go
// value; fits is false if our types have no room for it.
func expected(t *testing.T, e map[string]any) (s *api.Shape, want any, fits bool) {
	scalar := func(k api.Kind) *api.Shape { return &api.Shape{Kind: k} }
	for kind, v := range e {
		switch kind {
		case "uint", "negint":
			n, _ := new(big.Int).SetString(v.(json.Number).String(), 10)
			return scalar(api.Long), n.Int64(), n.IsInt64()
		case "string":
			return scalar(api.String), v, true
		case "bool":
			return scalar(api.Boolean), v, true
		case "null", "undefined":
			return scalar(api.Long), 0, true
		case "float32":
			n, _ := v.(json.Number).Int64()
			return scalar(api.Double), float64(math.Float32frombits(uint32(n))), true
		case "float64":
			n, _ := new(big.Int).SetString(v.(json.Number).String(), 10)
			return scalar(api.Double), math.Float64frombits(n.Uint64()), true
		case "bytestring":
			b := []byte{}
			for _, c := range v.([]any) {
				n, _ := c.(json.Number).Int64()
				b = append(b, byte(n))
			}
			return scalar(api.Blob), b, true
		case "list":
			elem, want, fits := scalar(api.Long), []any{}, true
			for _, item := range v.([]any) {
				var w any
				elem, w, fits = expected(t, item.(map[string]any))
				want = append(want, w)
			}
			return &api.Shape{Kind: api.List, Elem: elem}, want, fits
		case "map":
			elem, want, fits := scalar(api.Long), map[string]any{}, true
			for key, item := range v.(map[string]any) {
				var w any
				elem, w, fits = expected(t, item.(map[string]any))
				if _, null := item.(map[string]any)["null"]; !null { // maps drop nulls
					if _, undefined := item.(map[string]any)["undefined"]; !undefined {
						want[key] = w
					}
				}
			}
			return &api.Shape{Kind: api.Map, Elem: elem, Key: scalar(api.String)}, want, fits
		case "tag":
			return expected(t, v.(map[string]any)["value"].(map[string]any))
		}
	}
	t.Fatalf("expectation %v is not known", e)
	return nil, nil, false
}

func encode(t testing.TB, v any) []byte {
	b, err := cbor.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCBORTimes: a time is tag 1 with whole milliseconds in CBOR 1.1 and with
// seconds in RPC v2; both read with a member that the model does not have.
func TestCBORTimes(t *testing.T) {
	op := kinesis.Service.Op("GetShardIterator")
	at := time.Date(2026, 11, 25, 12, 0, 0, 250e6, time.UTC)
	for _, c := range []struct {
		name  string
		codec Codec
		value any
	}{
		{"CBOR 1.1, whole milliseconds", CBOR{}, cbor.Tag{Number: 1, Content: at.UnixMilli()}},
		{"CBOR 1.1, a float of milliseconds", CBOR{}, cbor.Tag{Number: 1, Content: float64(at.UnixMilli())}},
		{"CBOR 1.1, no tag", CBOR{}, at.UnixMilli()},
		{"CBOR 1.1, microseconds", CBOR{}, cbor.Tag{Number: 1, Content: at.UnixMicro()}},
		{"RPC v2", RPCv2{}, cbor.Tag{Number: 1, Content: float64(at.UnixMilli()) / 1000}},
	} {
		var in kinesis.GetShardIteratorInput
		body := encode(t, map[string]any{"Timestamp": c.value, "Unknown": []any{map[string]any{"a": c.value}}, "ShardId": "s"})
		if err := c.codec.Decode(op, nil, body, &in); err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if in.Timestamp == nil || !in.Timestamp.Equal(at) || *in.ShardId != "s" {
			t.Errorf("%s: decoded %v, want %v", c.name, in.Timestamp, at)
		}
	}
	out := &kinesis.GetRecordsOutput{Records: []kinesis.Record{{ApproximateArrivalTimestamp: &at}}}
	a, _ := CBOR{}.Encode(nil, kinesis.Service.Op("GetRecords"), out)
	if want := append([]byte{0xc1, 0x1b}, encode(t, at.UnixMilli())[1:]...); !bytes.Contains(a.Body, want) {
		t.Errorf("encoded %x, want tag 1 and milliseconds %x in it", a.Body, want)
	}
}

// TestCBORErrors: what is wrong is said as in JSON, and changes nothing else.
func TestCBORErrors(t *testing.T) {
	deep := strings.Repeat("81", 200) + "00"
	for _, c := range []struct{ name, body, message string }{
		{"not CBOR", "ff", ""},
		{"nothing behind a key", "a16a53747265616d4e616d65", ""},
		{"a number for a string", "a16a53747265616d4e616d6501", "NUMBER_VALUE can not be converted to a String"},
		{"a list for a string", "a16a53747265616d4e616d6580", "Start of list found where not expected"},
		{"a map for a string", "a16a53747265616d4e616d65a0", "Start of structure or map found where not expected."},
		{"a list as the input", "80", "Start of list found where not expected"},
		{"text for a blob", "a1644461746161" + "78", "STRING_VALUE can not be converted to a Blob"},
		{"too deep, in a member without a model", "a16178" + deep, "Request is nested too deeply"},
		{"bytes behind the value", "a000", ""},
	} {
		b, err := hex.DecodeString(c.body)
		if err != nil {
			t.Fatal(err)
		}
		var in kinesis.PutRecordInput
		err = CBOR{}.Decode(kinesis.Service.Op("PutRecord"), nil, b, &in)
		if want := "SerializationException: " + c.message; err == nil || err.Error() != want {
			t.Errorf("%s: error is %v, want %s", c.name, err, want)
		}
	}
}
