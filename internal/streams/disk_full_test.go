package streams

import (
	"testing"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/vfs"
)

// On a full disk puts fail, reads and deletes go on; deleting makes room, and
// puts go on by themselves.
func TestFullDisk(t *testing.T) {
	w := &world{t: t, fs: vfs.NewCrash(1), cfg: Config{Limits: -1}}
	w.fs.SetCapacity(64 << 20)
	w.start()
	t.Cleanup(func() { w.stop() })
	w.create("big", 1)
	w.create("small", 1)
	w.put("small", "k", "before")
	data := make([]byte, 1<<20-16)
	stream := "big"
	put := func() error {
		_, err := w.PutRecord(w.ctx(), &kinesis.PutRecordInput{StreamName: &stream, PartitionKey: new("k"), Data: data})
		return err
	}
	var err error
	for range 200 {
		if err = put(); err != nil && !api.IsCode(err, "ProvisionedThroughputExceededException") {
			break
		}
	}
	if !api.IsCode(err, "InternalFailure") {
		t.Fatalf("the disk did not fill: %v", err)
	}
	if got := texts(w.get(w.iterator("small", shard0, "TRIM_HORIZON", nil, nil)).Records); got != "[before]" {
		t.Errorf("reads on a full disk: %s", got)
	}
	if _, err := w.DeleteStream(w.ctx(), &kinesis.DeleteStreamInput{StreamName: &stream}); err != nil {
		t.Fatalf("delete on a full disk: %v", err)
	}
	stream = "small"
	for deadline := w.now().Add(20e9); ; {
		if err = put(); err == nil {
			break
		}
		if w.now().After(deadline) {
			t.Fatalf("puts do not go on after a delete: %v", err)
		}
	}
}
