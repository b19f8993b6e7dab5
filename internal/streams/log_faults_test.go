package streams

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/vfs"
)

// When the log cannot be written, each record of a put answers InternalFailure and
// none gets a sequence number. What was acknowledged before stays readable, what
// was refused does not become so, and once the disk works again so do puts, without
// a restart. After a power cut all that was acknowledged is there.
func TestLogThatCannotBeWritten(t *testing.T) {
	for name, f := range map[string]vfs.Fault{
		"write fails":        {Op: vfs.OpWrite, Name: "*.journal", Err: syscall.EIO},
		"write is cut short": {Op: vfs.OpWrite, Name: "*.journal", Err: syscall.EIO, Short: 700},
		"sync fails":         {Op: vfs.OpSync, Name: "*.journal", Err: syscall.EIO},
		"sync fails, done":   {Op: vfs.OpSync, Name: "*.journal", Err: syscall.EIO, Applied: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Config{Limits: -1})
			w.create("s", 2)
			acked := map[string][]string{} // of each shard: sequence number and data
			puts := func(tag string) (failed int) {
				t.Helper()
				in := &kinesis.PutRecordsInput{StreamName: new("s")}
				for i := range 6 {
					hash := []string{"0", maxHashKey.String()}[i%2]
					in.Records = append(in.Records, kinesis.PutRecordsRequestEntry{PartitionKey: new("k"), ExplicitHashKey: &hash, Data: fmt.Appendf(nil, "%s %d", tag, i)})
				}
				out, err := w.PutRecords(w.ctx(), in)
				if err != nil {
					t.Fatal(err)
				}
				for i, r := range out.Records {
					switch {
					case r.ErrorCode == nil:
						acked[*r.ShardId] = append(acked[*r.ShardId], *r.SequenceNumber+" "+string(in.Records[i].Data))
					case *r.ErrorCode != "InternalFailure" || *r.ErrorMessage != "Internal service failure." || r.SequenceNumber != nil || r.ShardId != nil:
						t.Errorf("record %d: %s %s", i, *r.ErrorCode, *r.ErrorMessage)
					default:
						failed++
					}
				}
				if failed != int(*out.FailedRecordCount) {
					t.Errorf("%d records failed, FailedRecordCount is %d", failed, *out.FailedRecordCount)
				}
				return failed
			}
			check := func(crashed bool) {
				t.Helper()
				for shard, want := range acked {
					var got []string
					for _, r := range w.get(w.iterator("s", shard, "TRIM_HORIZON", nil, nil)).Records {
						if crashed && strings.HasPrefix(string(r.Data), "lost") {
							continue // it may have reached the disk all the same
						}
						got = append(got, *r.SequenceNumber+" "+string(r.Data))
					}
					if !slices.Equal(got, want) {
						t.Errorf("%s: read\n %q, acknowledged were\n %q", shard, got, want)
					}
				}
			}
			if n := puts("before"); n > 0 {
				t.Fatalf("%d records failed on a disk that works", n)
			}
			armed := w.io.Add(f)
			if n := puts("lost"); n != 6 {
				t.Errorf("%d records of 6 failed", n)
			}
			_, err := w.PutRecord(w.ctx(), &kinesis.PutRecordInput{StreamName: new("s"), PartitionKey: new("k"), Data: []byte("lost")})
			var e *api.Error
			if !errors.As(err, &e) || e.Code != "InternalFailure" || e.Status != http.StatusInternalServerError {
				t.Errorf("PutRecord: %v", err)
			}
			if armed.Fired() == 0 {
				t.Fatal("no call failed")
			}
			check(false)
			armed.Remove()
			if n := puts("after"); n > 0 {
				t.Errorf("%d records failed after the disk worked again", n)
			}
			check(false)
			w.crash()
			check(true)
			puts("restarted")
			check(true)
		})
	}
}
