package wire

import (
	"testing"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
)

// TestBadUnicode: text that is no Unicode is refused wherever it stands, and is
// not stored as something else. Both decoders of a protocol are of one mind: the
// hand-written one leaves such a body to the general one.
func TestBadUnicode(t *testing.T) {
	for _, c := range []struct {
		codec    Codec
		op, body string
	}{
		{JSON{"1.1"}, "PutRecord", "{\"StreamName\":\"s\",\"PartitionKey\":\"\xff\xfe\",\"Data\":\"YQ==\"}"},
		{JSON{"1.1"}, "PutRecord", "{\"StreamName\":\"s\",\"PartitionKey\":\"\xed\xa0\x80\",\"Data\":\"YQ==\"}"}, // a surrogate in UTF-8
		{JSON{"1.1"}, "PutRecord", "{\"StreamName\":\"s\",\"PartitionKey\":\"\xc0\x80\",\"Data\":\"YQ==\"}"},     // not the shortest form
		{JSON{"1.1"}, "PutRecord", `{"StreamName":"s","PartitionKey":"\ud800","Data":"YQ=="}`},
		{JSON{"1.1"}, "PutRecord", `{"StreamName":"s","PartitionKey":"\udc00\ud800","Data":"YQ=="}`},
		{JSON{"1.1"}, "PutRecords", "{\"StreamName\":\"s\",\"Records\":[{\"PartitionKey\":\"k\xff\",\"Data\":\"YQ==\"}]}"},
		{JSON{"1.1"}, "PutRecords", `{"StreamName":"s","Records":[{"PartitionKey":"k\udfff","Data":"YQ=="}]}`},
		{JSON{"1.1"}, "PutRecord", "{\"Unknown\":\"\xff\"}"},
		{JSON{"1.1"}, "PutRecord", "{\"Unknown\xff\":1}"},
		{JSON{"1.1"}, "PutRecord", "{\"Data\":\"\xff\xff\xff\xff\"}"},
		{JSON{"1.1"}, "AddTagsToStream", "{\"Tags\":{\"\xff\":\"v\"}}"},
		{JSON{"1.1"}, "AddTagsToStream", `{"Tags":{"k":"\ud83d"}}`},
		{CBOR{}, "PutRecord", "\xa1\x6cPartitionKey\x62\xff\xfe"},
		{CBOR{}, "PutRecord", "\xa1\x6cPartitionKey\x7f\x61\xff\xff"}, // in chunks
		{CBOR{}, "PutRecords", "\xa1\x67Records\x81\xa1\x6cPartitionKey\x61\xff"},
		{CBOR{}, "PutRecord", "\xa1\x67Unknown\x61\xff"},
		{CBOR{}, "PutRecord", "\xa1\x61\xff\x00"},
		{CBOR{}, "AddTagsToStream", "\xa1\x64Tags\xa1\x61\xff\x61v"},
		{CBOR{}, "AddTagsToStream", "\xa1\x64Tags\xa1\x61k\x61\xff"},
	} {
		op := kinesis.Service.Op(c.op)
		if err := c.codec.Decode(op, nil, []byte(c.body), op.NewInput()); !api.IsCode(err, "SerializationException") {
			t.Errorf("%s %q: error is %v", c.op, c.body, err)
		}
	}
	op := kinesis.Service.Op("PutRecord")
	form := request("http://localhost/?Action=PutRecord&PartitionKey=%ff", "PutRecord", "")
	form.Method = "GET"
	if err := (Query{}).Decode(op, form, nil, op.NewInput()); !api.IsCode(err, "SerializationException") {
		t.Errorf("query: error is %v", err)
	}
	// Unicode of every length, also in pairs of escapes, is text like any other.
	for _, c := range []struct {
		codec Codec
		body  string
	}{
		{JSON{"1.1"}, `{"PartitionKey":"aé€😀"}`},
		{JSON{"1.1"}, `{"PartitionKey":"a\u00e9\u20ac\ud83d\ude00"}`},
		{CBOR{}, "\xa1\x6cPartitionKey\x6aaé€😀"},
		{CBOR{}, "\xa1\x6cPartitionKey\x7f\x63aé\x67€😀\xff"},
	} {
		var in kinesis.PutRecordInput
		err := c.codec.Decode(kinesis.Service.Op("PutRecord"), nil, []byte(c.body), &in)
		if err != nil || in.PartitionKey == nil || *in.PartitionKey != "aé€😀" {
			t.Errorf("%q: decoded %v, %v", c.body, in.PartitionKey, err)
		}
	}
}
