package streams

import (
	"testing"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
)

// Records that could not be stored use up nothing of their shard's capacity, and
// the error names the disk.
func TestRecordsNotStoredUseUpNothing(t *testing.T) {
	w := newWorld(t, Config{})
	w.create("s", 1)
	w.hook().full.Store(true)
	name := "s"
	for range 3 { // each of them is all that the shard takes in a second
		in := &kinesis.PutRecordsInput{StreamName: &name}
		for range 500 {
			in.Records = append(in.Records, kinesis.PutRecordsRequestEntry{Data: make([]byte, 2000), PartitionKey: new("k")})
		}
		out, err := w.PutRecords(w.ctx(), in)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range out.Records {
			if *r.ErrorCode != "InternalFailure" || *r.ErrorMessage != "The disk of this server is full." {
				t.Fatalf("record %d: %s: %s", i, *r.ErrorCode, *r.ErrorMessage)
			}
		}
	}
	w.hook().full.Store(false)
	if _, err := w.PutRecord(w.ctx(), &kinesis.PutRecordInput{StreamName: &name, PartitionKey: new("k"), Data: make([]byte, 1<<20-1)}); err != nil {
		t.Errorf("a second's worth after records that were not stored: %v", err)
	}
	if _, err := w.PutRecord(w.ctx(), &kinesis.PutRecordInput{StreamName: &name, PartitionKey: new("k"), Data: make([]byte, 1<<20-1)}); !api.IsCode(err, "ProvisionedThroughputExceededException") {
		t.Errorf("and another one: %v", err)
	}
}
