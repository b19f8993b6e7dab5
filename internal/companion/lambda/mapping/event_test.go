package mapping

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestEventSize: a record is as long as it is said to be, and an event no longer; and it is JSON.
func TestEventSize(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	cfg := &Config{StreamARN: `arn:"quoted"`, Region: "us-east-2", InvokeIdentityARN: "arn:aws:iam::123456789012:role/r"}
	f := newEventFormat(cfg, "shardId-000000000000")
	alphabet := []string{"a", `"`, `\`, "\n", "\x01", "\x7f", "é", "€", "𝄞", "\xff", "\xe2\x82", "<", "\u2028"}
	var records []pending
	size := 0
	for range 300 {
		p := pending{Record: Record{SequenceNumber: SequenceNumber(strings.Repeat("4", 1+rng.IntN(56))), Data: make([]byte, rng.IntN(10))}}
		for range rng.IntN(8) {
			p.PartitionKey += alphabet[rng.IntN(len(alphabet))]
		}
		p.Arrival = time.UnixMilli(rng.Int64N(1 << (1 + rng.IntN(42))))
		p.size = f.recordSize(&p.Record)
		if got := len(f.appendRecord(nil, &p.Record)) + 1; got != p.size {
			t.Errorf("%+v is %d bytes long, said to be %d", p.Record, got, p.size)
		}
		records = append(records, p)
		size += p.size
	}
	start := time.UnixMilli(1607497440000)
	for _, inv := range []invocation{{}, {window: &Window{Start: start, End: start.Add(time.Minute)}}, {window: &Window{start, start.Add(time.Minute), []byte(`{"a":1}`)}, final: true}} {
		b := f.append(nil, records, inv)
		if most := size + f.frameSize(inv.window); len(b) > most || len(b) < most-20 {
			t.Errorf("the event is %d bytes long, said to be at most %d", len(b), most)
		}
		var event struct {
			Records []struct {
				Kinesis struct{ PartitionKey string }
			}
		}
		if err := json.Unmarshal(b, &event); err != nil {
			t.Fatal(err)
		}
		for i, r := range event.Records {
			if want := string([]rune(records[i].PartitionKey)); r.Kinesis.PartitionKey != want {
				t.Errorf("partition key %q, want %q", r.Kinesis.PartitionKey, want)
			}
		}
	}
}
