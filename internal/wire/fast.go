package wire

import (
	"unicode/utf8"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
)

// The hot path: PutRecord, PutRecords, GetRecords and fan-out have codecs written
// by hand. A decoder says false at anything unusual (an escape, a null, a member
// given twice or not in the model, any mistake), leaves its input alone, and the
// general codec has the request, which also knows what to say about it. What both
// take they read alike, and what both write is the same to the byte; fuzz tests
// compare them.

func fastDecodeJSON(body []byte, in any) bool {
	switch in := in.(type) {
	case *kinesis.PutRecordsInput:
		return decodePutRecordsJSON(body, in)
	case *kinesis.PutRecordInput:
		return decodePutRecordJSON(body, in)
	}
	return false
}

func fastDecodeCBOR(body []byte, in any) bool {
	switch in := in.(type) {
	case *kinesis.PutRecordsInput:
		return decodePutRecordsCBOR(body, in)
	case *kinesis.PutRecordInput:
		return decodePutRecordCBOR(body, in)
	}
	return false
}

func fastEncodeJSON(dst []byte, out any) ([]byte, bool) {
	switch out := out.(type) {
	case *kinesis.GetRecordsOutput:
		return appendGetRecordsJSON(dst, out), true
	case *kinesis.SubscribeToShardEvent:
		return appendEventJSON(dst, out), true
	case *kinesis.PutRecordsOutput:
		return appendPutRecordsJSON(dst, out), true
	}
	return dst, false
}

func fastEncodeCBOR(dst []byte, out any) ([]byte, bool) {
	switch out := out.(type) {
	case *kinesis.GetRecordsOutput:
		return appendGetRecordsCBOR(dst, out), true
	case *kinesis.SubscribeToShardEvent:
		return appendEventCBOR(dst, out), true
	case *kinesis.PutRecordsOutput:
		return appendPutRecordsCBOR(dst, out), true
	}
	return dst, false
}

// childShards is the shape of the one member of the outputs above that is too
// rare to be written by hand.
var childShards = func() *api.Shape {
	out := kinesis.Service.Op("GetRecords").Output
	return out.Members[out.Member("ChildShards")].Shape
}()

// A texts collects strings of a request: their bytes go into one string and their
// headers into one slice, not an allocation each.
type texts struct {
	bytes []byte
	spans []span
}

type span struct {
	to         **string
	start, end int
}

// add remembers that *to is to point to a string with the content b. It says
// false if *to was given before.
func (t *texts) add(to **string, b []byte) bool {
	if *to != nil {
		return false
	}
	*to = &pending
	t.bytes = append(t.bytes, b...)
	t.spans = append(t.spans, span{to, len(t.bytes) - len(b), len(t.bytes)})
	return true
}

// pending stands in a field whose string comes with set. Nobody writes it.
var pending string

func (t *texts) set() {
	all, list := string(t.bytes), make([]string, len(t.spans))
	for i, s := range t.spans {
		list[i] = all[s.start:s.end]
		*s.to = &list[i]
	}
}

// putRecordsMax is how many records the fast decoders take; the model has as many.
const putRecordsMax = 500

// A putMember is a member that can be in PutRecord's or PutRecords' input or in
// one of their entries.
type putMember uint8

const (
	memberOther putMember = iota
	memberData
	memberRecords
	memberPartitionKey
	memberExplicitHashKey
	memberStreamName
	memberStreamARN
	memberStreamID
	memberOrdering
)

func putMemberOf(name []byte) putMember {
	switch string(name) {
	case "Data":
		return memberData
	case "Records":
		return memberRecords
	case "PartitionKey":
		return memberPartitionKey
	case "ExplicitHashKey":
		return memberExplicitHashKey
	case "StreamName":
		return memberStreamName
	case "StreamARN":
		return memberStreamARN
	case "StreamId":
		return memberStreamID
	case "SequenceNumberForOrdering":
		return memberOrdering
	}
	return memberOther
}

// textOf is where a text member of PutRecords' input stands; nil if it has none.
func textOfPutRecords(in *kinesis.PutRecordsInput, m putMember) **string {
	switch m {
	case memberStreamName:
		return &in.StreamName
	case memberStreamARN:
		return &in.StreamARN
	case memberStreamID:
		return &in.StreamId
	}
	return nil
}

func textOfPutRecord(in *kinesis.PutRecordInput, m putMember) **string {
	switch m {
	case memberPartitionKey:
		return &in.PartitionKey
	case memberExplicitHashKey:
		return &in.ExplicitHashKey
	case memberStreamName:
		return &in.StreamName
	case memberStreamARN:
		return &in.StreamARN
	case memberStreamID:
		return &in.StreamId
	case memberOrdering:
		return &in.SequenceNumberForOrdering
	}
	return nil
}

func textOfEntry(e *kinesis.PutRecordsRequestEntry, m putMember) **string {
	switch m {
	case memberPartitionKey:
		return &e.PartitionKey
	case memberExplicitHashKey:
		return &e.ExplicitHashKey
	}
	return nil
}

// isPlain says that s stands in JSON as it is.
func isPlain(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// sizeHint is about how large an output will be in JSON, so that an answer of MBs
// is written into a buffer that others have used before; 0 if it is small.
func sizeHint(out any) int {
	if out, ok := out.(*kinesis.GetRecordsOutput); ok {
		return sizeOf(out.Records)
	}
	return 0
}

// sizeOf bounds what an encoder will write for records, so that it grows once.
func sizeOf(records []kinesis.Record) int {
	n := 512
	for i := range records {
		n += len(records[i].Data)*4/3 + 320
		if k := records[i].PartitionKey; k != nil {
			n += len(*k)
		}
	}
	return n
}
