package streams

import (
	"strings"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/api/kinesis"
)

// SequenceNumberForOrdering is taken as AWS takes it: any number of the right
// form, of whatever stream and shard, whose record is not of the future. So a
// producer may go on with its last number when its stream was made anew.
func TestSequenceNumberForOrdering(t *testing.T) {
	inTime(t, Config{Limits: -1}, func(w *world) {
		w.create("s", 2)
		old := w.put("s", "k", "of a stream that is then deleted")
		w.advance(time.Minute)
		if _, err := w.DeleteStream(w.ctx(), &kinesis.DeleteStreamInput{StreamName: new("s")}); err != nil {
			t.Fatal(err)
		}
		w.create("s", 2)
		w.create("other", 9)
		own := w.put("s", "k", "x")
		other, err := w.PutRecord(w.ctx(), &kinesis.PutRecordInput{StreamName: new("other"), PartitionKey: new("k"), ExplicitHashKey: new(maxHashKey.String()), Data: []byte("x")})
		if err != nil {
			t.Fatal(err)
		}
		q, _ := parseSequence(*own.SequenceNumber)
		with := func(f func(q *sequence)) string {
			n := q
			f(&n)
			return n.String()
		}
		for _, c := range []struct {
			what, number string
			ok           bool
		}{
			{"of the record before", *own.SequenceNumber, true},
			{"of another shard", with(func(q *sequence) { q.shard ^= 1 }), true},
			{"of a shard that the stream never had", with(func(q *sequence) { q.shard = 77 }), true},
			{"of another stream, and shard 8", *other.SequenceNumber, true},
			{"of a deleted stream of the same name", *old.SequenceNumber, true},
			{"of a shard older than the stream", with(func(q *sequence) { q.created -= 1e6 }), true},
			{"of a record not yet put, but of now", with(func(q *sequence) { q.counter += 1000 }), true},
			{"from ten years ago", with(func(q *sequence) { q.arrived -= 10 * 365 * 86400 }), true},
			{"of now", with(func(q *sequence) { q.arrived = time.Now().Unix() }), true},
			{"of the second that comes", with(func(q *sequence) { q.arrived = time.Now().Unix() + 1 }), true},
			{"of the future", with(func(q *sequence) { q.arrived = time.Now().Unix() + 2 }), false},
			{"of no form", "123", false},
			{"one digit too many", *own.SequenceNumber + "0", false},
			{"zero", "0", false},
		} {
			in := &kinesis.PutRecordInput{StreamName: new("s"), PartitionKey: new("k"), Data: []byte("y"), SequenceNumberForOrdering: &c.number}
			_, err := w.PutRecord(w.ctx(), in)
			switch {
			case c.ok && err != nil:
				t.Errorf("%s: %v", c.what, err)
			case !c.ok:
				wantCode(t, err, "InvalidArgumentException")
				if want := "ExclusiveMinimumSequenceNumber " + c.number + " used in PutRecord on stream s under account 123456789012 is invalid."; err == nil || !strings.HasSuffix(err.Error(), want) {
					t.Errorf("%s: %v, want %s", c.what, err, want)
				}
			}
		}
	})
}

// A position is only taken from the very shard that gave it: a stream made anew
// under the name of a deleted one is another.
func TestPositionOfADeletedStream(t *testing.T) {
	inTime(t, Config{Limits: -1}, func(w *world) {
		w.create("s", 1)
		old := w.put("s", "k", "x")
		iterator := w.iterator("s", shard0, "TRIM_HORIZON", nil, nil)
		if _, err := w.DeleteStream(w.ctx(), &kinesis.DeleteStreamInput{StreamName: new("s")}); err != nil {
			t.Fatal(err)
		}
		w.advance(time.Second)
		w.create("s", 1)
		w.put("s", "k", "not for that reader")
		consumer := w.register("s", "c")
		for _, kind := range []kinesis.ShardIteratorType{"AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"} {
			_, err := w.GetShardIterator(w.ctx(), &kinesis.GetShardIteratorInput{StreamName: new("s"), ShardId: new(shard0), ShardIteratorType: kind, StartingSequenceNumber: old.SequenceNumber})
			wantText(t, err, "used in GetShardIterator on shard "+shard0+" in stream s under account 123456789012 is invalid because it did not come from this stream.")
			_, err = w.SubscribeToShard(w.ctx(), &kinesis.SubscribeToShardInput{ConsumerARN: &consumer, ShardId: new(shard0), StartingPosition: &kinesis.StartingPosition{Type: kind, SequenceNumber: old.SequenceNumber}})
			wantText(t, err, "used in SubscribeToShard on shard "+shard0+" in stream s under account 123456789012 is invalid because it did not come from this stream.")
		}
		_, err := w.GetRecords(w.ctx(), &kinesis.GetRecordsInput{ShardIterator: &iterator})
		wantCode(t, err, "ResourceNotFoundException")
	})
}

func wantText(t testing.TB, err error, end string) {
	t.Helper()
	if err == nil || !strings.HasSuffix(err.Error(), end) {
		t.Errorf("got %v, want ... %s", err, end)
	}
}
