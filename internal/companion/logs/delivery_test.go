package logs

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/logs"
)

func (b *bench) subscribe(name, pattern, destination string) {
	b.t.Helper()
	role := `, "roleArn": "` + roleARN + `"`
	if strings.HasPrefix(destination, "arn:aws:lambda:") {
		role = ""
	}
	b.must("PutSubscriptionFilter", `{"logGroupName": "g", "filterName": %q, "filterPattern": %q, "destinationArn": %q%s}`, name, pattern, destination, role)
}

// numbered are lines of a stream: "s 3", "s 4".
func numbered(stream string, from, to int) (lines []string) {
	for i := from; i < to; i++ {
		lines = append(lines, fmt.Sprint(stream, " ", i))
	}
	return lines
}

// TestDelivery: what is put after a filter was made, and matches it, comes once and in
// order, across restarts; what was put before does not.
func TestDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.must("CreateLogGroup", `{"logGroupName": "g"}`)
		b.must("CreateLogStream", `{"logGroupName": "g", "logStreamName": "a"}`)
		b.must("CreateLogStream", `{"logGroupName": "g", "logStreamName": "b"}`)
		b.putLines("g", "a", "a before")
		b.subscribe("f", "-never", streamARN)
		for i := range 20 {
			b.putLines("g", "a", append(numbered("a", 3*i, 3*i+3), "never this")...)
			b.putLines("g", "b", numbered("b", i, i+1)...)
			if i == 7 {
				b.restart()
			}
		}
		b.kinesis.await(t, func() bool {
			return len(b.kinesis.lines(t, streamARN, "a")) >= 60 && len(b.kinesis.lines(t, streamARN, "b")) >= 20
		})
		b.restart() // nothing comes again
		b.putLines("g", "b", "b end")
		b.kinesis.await(t, func() bool { return len(b.kinesis.lines(t, streamARN, "b")) >= 21 })
		if got := b.kinesis.lines(t, streamARN, "a"); !slices.Equal(got, numbered("a", 0, 60)) {
			t.Errorf("of a came %q", got)
		}
		if got := b.kinesis.lines(t, streamARN, "b"); !slices.Equal(got, append(numbered("b", 0, 20), "b end")) {
			t.Errorf("of b came %q", got)
		}
		all := b.kinesis.messages(t, streamARN)
		if c := all[0]; c.MessageType != controlMessage || c.Owner != "CloudwatchLogs" || len(c.LogEvents) != 1 || len(c.SubscriptionFilters) != 0 {
			t.Errorf("the first message is %+v", c)
		}
		keys := map[string]string{}
		for i, m := range all[1:] {
			if m.Owner != caller.Account || m.LogGroup != "g" || !slices.Equal(m.SubscriptionFilters, []string{"f"}) {
				t.Errorf("a message is %+v", m)
			}
			key := b.kinesis.records[streamARN][i+1].PartitionKey
			if keys[m.LogStream] == "" {
				keys[m.LogStream] = key
			}
			if keys[m.LogStream] != key {
				t.Errorf("stream %s has the keys %s and %s", m.LogStream, key, keys[m.LogStream])
			}
		}
		// The ids are those that reads show.
		for _, e := range b.all(api.FilterLogEventsInput{LogGroupName: new("g"), FilterPattern: new(`"a 59"`)}) {
			last := all[len(all)-1]
			for _, m := range all {
				if m.LogStream == "a" {
					last = m
				}
			}
			if got := last.LogEvents[len(last.LogEvents)-1].ID; got != *e.EventId {
				t.Errorf("the id is %s, that of a read %s", got, *e.EventId)
			}
		}
	})
}

// TestDeliveryRefused: a destination that takes only some gets each once all the same,
// in the order of each stream; one that is gone gets all when it is there again.
func TestDeliveryRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.deliveries.streamPayload = 300 // two lines: some messages of a stream at a time
		b.must("CreateLogGroup", `{"logGroupName": "g"}`)
		b.subscribe("f", "", streamARN)
		b.kinesis.await(t, func() bool { return len(b.kinesis.messages(t, streamARN)) == 1 })
		r := rand.New(rand.NewPCG(3, 4))
		b.kinesis.mu.Lock()
		b.kinesis.refuse = func(string, StreamRecord) bool { return r.IntN(3) > 0 }
		b.kinesis.mu.Unlock()
		const streams = 12
		for s := range streams {
			b.must("CreateLogStream", `{"logGroupName": "g", "logStreamName": "s%d"}`, s)
		}
		for i := range 10 {
			for s := range streams {
				name := fmt.Sprint("s", s)
				b.putLines("g", name, numbered(name, 5*i, 5*i+5)...)
			}
			if i == 5 {
				b.kinesis.mu.Lock()
				b.kinesis.broken = errors.New("the stream is gone for a while")
				b.kinesis.mu.Unlock()
			}
		}
		synctest.Wait()
		b.kinesis.mu.Lock()
		b.kinesis.broken = nil
		b.kinesis.mu.Unlock()
		b.kinesis.await(t, func() bool {
			n := 0
			for s := range streams {
				n += len(b.kinesis.lines(t, streamARN, fmt.Sprint("s", s)))
			}
			return n >= 50*streams
		})
		for s := range streams {
			name := fmt.Sprint("s", s)
			if got := b.kinesis.lines(t, streamARN, name); !slices.Equal(got, numbered(name, 0, 50)) {
				t.Errorf("of %s came %q", name, got)
			}
		}
		if n := b.deliveries.failing.Load(); n != 0 {
			t.Errorf("%d filters fail", n)
		}
	})
}

// TestDeliveryAfterCrash: what was delivered since the cursor was stored comes again,
// and nothing is left out.
func TestDeliveryAfterCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.must("CreateLogGroup", `{"logGroupName": "g"}`)
		b.must("CreateLogStream", `{"logGroupName": "g", "logStreamName": "a"}`)
		b.subscribe("f", "", streamARN)
		b.putLines("g", "a", numbered("a", 0, 5)...)
		b.kinesis.await(t, func() bool { return len(b.kinesis.lines(t, streamARN, "a")) == 5 })
		synctest.Wait()
		b.deliveries.storeCursors(t.Context(), false)
		b.putLines("g", "a", numbered("a", 5, 8)...)
		b.kinesis.await(t, func() bool { return len(b.kinesis.lines(t, streamARN, "a")) == 8 })
		b.deliveries.stop() // as a crash: no cursor is stored
		b.Service.stop()
		b.writer.close()
		b.work.Wait()
		b.machine.close()
		b.start()
		b.putLines("g", "a", numbered("a", 8, 9)...)
		b.kinesis.await(t, func() bool {
			got := b.kinesis.lines(t, streamARN, "a")
			return len(got) > 8 && got[len(got)-1] == "a 8"
		})
		want := append(numbered("a", 0, 8), numbered("a", 5, 9)...)
		if got := b.kinesis.lines(t, streamARN, "a"); !slices.Equal(got, want) {
			t.Errorf("came %q, want %q", got, want)
		}
	})
}

// TestDeliveryEnds: a filter that is deleted, or whose group is, delivers no more, and
// one that is changed goes by what it is now.
func TestDeliveryEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.must("CreateLogGroup", `{"logGroupName": "g"}`)
		b.must("CreateLogStream", `{"logGroupName": "g", "logStreamName": "a"}`)
		b.subscribe("f", "one", streamARN)
		b.putLines("g", "a", "one", "two")
		b.kinesis.await(t, func() bool { return len(b.kinesis.lines(t, streamARN, "a")) == 1 })
		synctest.Wait()
		b.subscribe("f", "two", streamARN)
		b.putLines("g", "a", "one", "two")
		b.kinesis.await(t, func() bool { return len(b.kinesis.lines(t, streamARN, "a")) == 2 })
		synctest.Wait()
		b.must("DeleteSubscriptionFilter", `{"logGroupName": "g", "filterName": "f"}`)
		b.putLines("g", "a", "two")
		synctest.Wait()
		if got := b.kinesis.lines(t, streamARN, "a"); !slices.Equal(got, []string{"one", "two"}) {
			t.Errorf("came %q", got)
		}
		b.subscribe("g", "", streamARN)
		b.must("DeleteLogGroup", `{"logGroupName": "g"}`)
		synctest.Wait()
		if n := len(b.deliveries.byID); n != 0 {
			t.Errorf("%d filters are at work", n)
		}
	})
}

// TestDeliveryLarge: events that are too many for a message come in several, none of
// which is more than a stream takes.
func TestDeliveryLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.must("CreateLogGroup", `{"logGroupName": "g"}`)
		b.must("CreateLogStream", `{"logGroupName": "g", "logStreamName": "a"}`)
		b.subscribe("f", "", streamARN)
		r := rand.New(rand.NewPCG(5, 6))
		var want []string
		for range 6 {
			var lines []string
			for range 4 {
				raw := make([]byte, 180_000)
				for i := range raw {
					raw[i] = byte(r.Uint32())
				}
				lines = append(lines, base64.StdEncoding.EncodeToString(raw))
			}
			b.putLines("g", "a", lines...)
			want = append(want, lines...)
		}
		b.kinesis.await(t, func() bool { return len(b.kinesis.lines(t, streamARN, "a")) == len(want) })
		if !slices.Equal(b.kinesis.lines(t, streamARN, "a"), want) {
			t.Error("the lines are not those that were put")
		}
		for _, r := range b.kinesis.records[streamARN] {
			if n := len(r.Data) + len(r.PartitionKey); n > 1<<20 {
				t.Errorf("a record of %d bytes", n)
			}
		}
	})
}

// functions are called with payloads.
type functions struct {
	mu       sync.Mutex
	payloads []string // mu
	fail     int      // mu; how many calls fail from now on
	most     int
}

func (f *functions) Check(_ context.Context, _, _, arn string) error {
	if !strings.HasSuffix(arn, ":f") {
		return rheo.Errorf("ResourceNotFoundException", "no function")
	}
	return nil
}

func (f *functions) Invoke(_ context.Context, _, _, _ string, payload []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail > 0 {
		f.fail--
		return rheo.Errorf("TooManyRequestsException", "Rate Exceeded.")
	}
	if f.most > 0 && len(payload) > f.most {
		return rheo.Errorf("RequestEntityTooLargeException", "too large")
	}
	f.payloads = append(f.payloads, string(payload))
	return nil
}

// TestDeliveryToFunction: a function is given awslogs.data, and again what it was
// throttled for; an event that it can never take is left out.
func TestDeliveryToFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &functions{fail: 3, most: 256 << 10}
		b := newBench(t, func(c *Config) { c.Functions = f })
		b.must("CreateLogGroup", `{"logGroupName": "g"}`)
		b.must("CreateLogStream", `{"logGroupName": "g", "logStreamName": "a"}`)
		const arn = "arn:aws:lambda:us-east-1:123456789012:function:"
		if got := b.do("PutSubscriptionFilter", `{"logGroupName": "g", "filterName": "f", "filterPattern": "", "destinationArn": "`+arn+`missing"}`); !strings.Contains(got, "Could not execute the lambda function.") {
			t.Error(got)
		}
		b.subscribe("f", "", arn+"f")
		raw := make([]byte, 700_000)
		r := rand.New(rand.NewPCG(5, 6))
		for i := range raw {
			raw[i] = byte(r.Uint32())
		}
		b.putLines("g", "a", "one", base64.RawStdEncoding.EncodeToString(raw), "two")
		b.putLines("g", "a", "three")
		var lines []string
		for len(lines) < 3 {
			synctest.Wait()
			f.mu.Lock()
			lines = nil
			for _, p := range f.payloads {
				var in struct {
					AWSLogs struct{ Data []byte } `json:"awslogs"`
				}
				if err := json.Unmarshal([]byte(p), &in); err != nil {
					t.Fatal(err)
				}
				for _, e := range unzip(t, in.AWSLogs.Data).LogEvents {
					lines = append(lines, e.Message)
				}
			}
			f.mu.Unlock()
			if len(lines) < 3 {
				time.Sleep(backoffMax) // of the bubble's time
			}
		}
		if !slices.Equal(lines, []string{"one", "two", "three"}) || b.deliveries.dropped.Load() != 1 {
			t.Errorf("came %q, and %d were dropped", lines, b.deliveries.dropped.Load())
		}
	})
}

// TestDeliveryAtTheEnd: what is on its way when the service ends arrives, and does not
// come again.
func TestDeliveryAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.must("CreateLogGroup", `{"logGroupName": "g"}`)
		b.must("CreateLogStream", `{"logGroupName": "g", "logStreamName": "a"}`)
		b.subscribe("f", "", streamARN)
		slow := make(chan struct{})
		b.kinesis.slow = func(ctx context.Context) error {
			select {
			case <-slow:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		b.putLines("g", "a", numbered("a", 0, 3)...)
		synctest.Wait() // it is on its way
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			b.Close()
		}()
		synctest.Wait()
		close(slow)
		<-closed
		b.start()
		b.putLines("g", "a", "a 3")
		b.kinesis.await(t, func() bool { return len(b.kinesis.lines(t, streamARN, "a")) >= 4 })
		if got := b.kinesis.lines(t, streamARN, "a"); !slices.Equal(got, numbered("a", 0, 4)) {
			t.Errorf("came %q", got)
		}
	})
}

// TestDeliveryInPart: of a batch that a destination takes in part when the service ends
// nothing comes again at the next start.
func TestDeliveryInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.must("CreateLogGroup", `{"logGroupName": "g"}`)
		b.must("CreateLogStream", `{"logGroupName": "g", "logStreamName": "a"}`)
		b.must("CreateLogStream", `{"logGroupName": "g", "logStreamName": "b"}`)
		b.subscribe("f", "", streamARN)
		refuse := func(stream string) {
			b.kinesis.mu.Lock()
			defer b.kinesis.mu.Unlock()
			b.kinesis.refuse = func(_ string, r StreamRecord) bool { return unzip(t, r.Data).LogStream == stream }
		}
		refuse("b")
		for i := range 3 {
			b.putLines("g", "a", numbered("a", i, i+1)...)
			b.putLines("g", "b", numbered("b", i, i+1)...)
		}
		b.kinesis.await(t, func() bool { return len(b.kinesis.lines(t, streamARN, "a")) == 3 })
		b.restart()
		synctest.Wait()
		b.restart()
		refuse("")
		b.kinesis.await(t, func() bool { return len(b.kinesis.lines(t, streamARN, "b")) >= 3 })
		b.putLines("g", "a", "a 3")
		b.kinesis.await(t, func() bool { return len(b.kinesis.lines(t, streamARN, "a")) >= 4 })
		for stream, n := range map[string]int{"a": 4, "b": 3} {
			if got := b.kinesis.lines(t, streamARN, stream); !slices.Equal(got, numbered(stream, 0, n)) {
				t.Errorf("of %s came %q", stream, got)
			}
		}
	})
}
