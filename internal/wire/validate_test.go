package wire

import (
	"strings"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/api/kinesis"
)

// TestValidate: constraints in AWS's words, as far as they are known; several at
// once, and never more than ten.
func TestValidate(t *testing.T) {
	entry := kinesis.PutRecordsRequestEntry{Data: []byte{}, PartitionKey: new("k")}
	noData := kinesis.PutRecordsRequestEntry{PartitionKey: new(strings.Repeat("k", 257))}
	for _, c := range []struct {
		op   string
		in   any
		want string // empty: valid
	}{
		{"PutRecords", &kinesis.PutRecordsInput{StreamName: new("a.b-c_1"), Records: []kinesis.PutRecordsRequestEntry{entry}}, ""},
		// Reserved by AWS: whatever a client has in it is ignored.
		{"PutRecords", &kinesis.PutRecordsInput{StreamName: new("s"), StreamId: new("what may come"), Records: []kinesis.PutRecordsRequestEntry{entry}}, ""},
		{"GetRecords", &kinesis.GetRecordsInput{ShardIterator: new("x"), StreamId: new("")}, ""},
		{"PutRecords", &kinesis.PutRecordsInput{StreamName: new("a b")},
			"2 validation errors detected: " +
				"Value null at 'records' failed to satisfy constraint: Member must not be null; " +
				"Value 'a b' at 'streamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"},
		{"PutRecords", &kinesis.PutRecordsInput{StreamName: new("")},
			"3 validation errors detected: " +
				"Value null at 'records' failed to satisfy constraint: Member must not be null; " +
				"Value '' at 'streamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; " +
				"Value '' at 'streamName' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"PutRecords", &kinesis.PutRecordsInput{StreamName: new("s"), Records: []kinesis.PutRecordsRequestEntry{entry, noData}},
			"2 validation errors detected: " +
				"Value null at 'records.2.member.data' failed to satisfy constraint: Member must not be null; " +
				"Value '" + strings.Repeat("k", 257) + "' at 'records.2.member.partitionKey' failed to satisfy constraint: Member must have length less than or equal to 256"},
		{"PutRecords", &kinesis.PutRecordsInput{StreamName: new("s"), Records: []kinesis.PutRecordsRequestEntry{}},
			"1 validation error detected: Value '[]' at 'records' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"PutRecord", &kinesis.PutRecordInput{StreamName: new("s"), Data: []byte("x"), PartitionKey: new("k"), ExplicitHashKey: new("01")},
			"1 validation error detected: Value '01' at 'explicitHashKey' failed to satisfy constraint: Member must satisfy regular expression pattern: ^(0|([1-9]\\d{0,38}))$"},
		{"PutRecord", &kinesis.PutRecordInput{StreamName: new("s"), Data: make([]byte, 10485761), PartitionKey: new("k")},
			"1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=10485761 cap=10485761]' at 'data' failed to satisfy constraint: Member must have length less than or equal to 10485760"},
		// A character beyond the basic plane is two of Java's: 128 of them fit, one more does not.
		{"PutRecord", &kinesis.PutRecordInput{StreamName: new("s"), Data: []byte("x"), PartitionKey: new(strings.Repeat("😀", 128))}, ""},
		{"PutRecord", &kinesis.PutRecordInput{StreamName: new("s"), Data: []byte("x"), PartitionKey: new(strings.Repeat("😀", 128) + "x")},
			"1 validation error detected: Value '" + strings.Repeat("😀", 128) + "x' at 'partitionKey' failed to satisfy constraint: Member must have length less than or equal to 256"},
		{"GetShardIterator", &kinesis.GetShardIteratorInput{StreamName: new("s"), ShardId: new("shardId-0"), ShardIteratorType: "NEWEST", Timestamp: new(time.Now())},
			"1 validation error detected: Value 'NEWEST' at 'shardIteratorType' failed to satisfy constraint: Member must satisfy enum value set: [AT_SEQUENCE_NUMBER, AFTER_SEQUENCE_NUMBER, TRIM_HORIZON, LATEST, AT_TIMESTAMP]"},
		{"CreateStream", &kinesis.CreateStreamInput{StreamName: new("s"), ShardCount: new(int32(0))},
			"1 validation error detected: Value '0' at 'shardCount' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{"GetRecords", &kinesis.GetRecordsInput{ShardIterator: new("x"), Limit: new(int32(10001))},
			"1 validation error detected: Value '10001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 10000"},
		{"AddTagsToStream", &kinesis.AddTagsToStreamInput{StreamName: new("s"), Tags: map[string]string{"": "v"}},
			"1 validation error detected: Value '{=v}' at 'tags' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal to 1]"},
		{"AddTagsToStream", &kinesis.AddTagsToStreamInput{StreamName: new("s"), Tags: map[string]string{"k": strings.Repeat("v", 257)}},
			"1 validation error detected: Value '{k=" + strings.Repeat("v", 257) + "}' at 'tags' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 256, Member must have length greater than or equal to 0]"},
		{"RemoveTagsFromStream", &kinesis.RemoveTagsFromStreamInput{StreamName: new("s"), TagKeys: []string{"a", ""}},
			"1 validation error detected: Value '[a, ]' at 'tagKeys' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal to 1]"},
		{"SubscribeToShard", &kinesis.SubscribeToShardInput{ConsumerARN: new("arn"), ShardId: new("s"), StartingPosition: &kinesis.StartingPosition{}},
			"2 validation errors detected: " +
				"Value 'arn' at 'consumerARN' failed to satisfy constraint: Member must satisfy regular expression pattern: ^(arn):aws.*:kinesis:.*:\\d{12}:.*stream\\/[a-zA-Z0-9_.-]+\\/consumer\\/[a-zA-Z0-9_.-]+:[0-9]+; " +
				"Value null at 'startingPosition.type' failed to satisfy constraint: Member must not be null"},
	} {
		err := Validate(kinesis.Service.Op(c.op), c.in)
		if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != "ValidationException: "+c.want) {
			t.Errorf("%s: error is\n %v, want\n %s", c.op, err, c.want)
		}
	}
	many := &kinesis.PutRecordsInput{Records: make([]kinesis.PutRecordsRequestEntry, 100)}
	if err := Validate(kinesis.Service.Op("PutRecords"), many); err == nil || !strings.HasPrefix(err.Error(), "ValidationException: 10 validation errors") {
		t.Errorf("error of a hundred violations is %v", err)
	}
}

func ptr[T any](v T) *T { return &v }
