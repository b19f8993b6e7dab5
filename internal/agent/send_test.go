package agent

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// scripted answers each call as its step says, and keeps when it came and with what.
type scripted struct {
	steps []func(records []Record) ([]error, error)
	came  []string
}

func (s *scripted) Put(_ context.Context, records []Record) ([]error, error) {
	text := ""
	for _, r := range records {
		text += string(r.Data)
	}
	s.came = append(s.came, text)
	step := s.steps[min(len(s.came), len(s.steps))-1]
	return step(records)
}

func allTaken([]Record) ([]error, error) { return nil, nil }

func refuse(which ...int) func([]Record) ([]error, error) {
	return func(records []Record) ([]error, error) {
		refused := make([]error, len(records))
		for _, i := range which {
			refused[i] = errBusy
		}
		return refused, nil
	}
}

func testTailer(d Destination) *tailer {
	f := &Flow{Service: Kinesis, Stream: "s", BackoffMin: 100 * time.Millisecond, BackoffMax: 10 * time.Second}
	return &tailer{flow: f, dest: d, meter: newMeter(f, "host"), counts: new(counts), log: slog.New(slog.DiscardHandler)}
}

func testBatch(texts ...string) *batch {
	b := new(batch)
	for _, s := range texts {
		b.add([]byte(s), "k")
	}
	return b
}

// Of each call only what was refused is sent again; a call that failed, whole.
func TestSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{steps: []func([]Record) ([]error, error){
			refuse(1, 3), refuse(1), func([]Record) ([]error, error) { return nil, errors.New("away") }, refuse()}}
		tl, b := testTailer(d), testBatch("a", "b", "c", "d")
		tl.send(t.Context(), b)
		want := []string{"abcd", "bd", "d", "d"}
		if !b.sent || len(d.came) != 4 || d.came[0] != want[0] || d.came[1] != want[1] || d.came[2] != want[2] || d.came[3] != want[3] {
			t.Errorf("sent %v, calls %q", b.sent, d.came)
		}
		if tl.counts.sent.Load() != 4 || tl.counts.sentBytes.Load() != 4 || tl.counts.retried.Load() != 2+1+1 {
			t.Errorf("counts %+v", tl.counts.status("f"))
		}
		got := map[string]Datum{}
		for _, d := range tl.meter.take(time.Now()) {
			got[d.Name] = d
		}
		for name, want := range map[string][2]float64{"RecordSendAttempts": {4, 8}, "RecordSendErrors": {3, 3}, "RecordsSent": {3, 4}, "BytesSent": {3, 4}, "ServiceErrors": {4, 1}} {
			if d := got[name]; d.Samples != want[0] || d.Sum != want[1] || len(d.Dimensions) != 2 || d.Dimensions[0].Value != "KinesisStream:s" {
				t.Errorf("%s: %+v, want %v", name, d, want)
			}
		}
	})
}

// The pause doubles up to its maximum, and starts anew when something was taken.
func TestBackoff(t *testing.T) {
	tl := testTailer(nil)
	for attempt, most := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000} {
		most *= time.Millisecond
		for range 50 {
			if d := tl.backoff(attempt); d > most || d < most*7/10 {
				t.Errorf("attempt %d waits %v, want 70 %% to 100 %% of %v", attempt, d, most)
			}
		}
	}
	if d := tl.backoff(1 << 30); d > 10*time.Second || d <= 0 {
		t.Errorf("attempt 2^30 waits %v", d)
	}
}

// When the agent must end, a batch that nobody takes is given back as not sent.
func TestSendEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		d := &scripted{steps: []func([]Record) ([]error, error){refuse(0)}}
		b := testBatch("a", "b")
		began := time.Now()
		testTailer(d).send(ctx, b)
		if b.sent || time.Since(began) != time.Minute || len(d.came) < 6 {
			t.Errorf("sent %v after %v and %d calls", b.sent, time.Since(began), len(d.came))
		}
	})
}

// An answer that is not for each record is none.
func TestSendShortAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{steps: []func([]Record) ([]error, error){func([]Record) ([]error, error) { return make([]error, 1), nil }, allTaken}}
		b := testBatch("a", "b")
		testTailer(d).send(t.Context(), b)
		if !b.sent || len(d.came) != 2 || d.came[1] != "ab" {
			t.Errorf("sent %v, calls %q", b.sent, d.came)
		}
	})
}

// What could not be sent to CloudWatch is added to what comes.
func TestMeterGivesBack(t *testing.T) {
	m := newMeter(&Flow{Service: Firehose, Stream: "d"}, "")
	m.call(10, 8, 100, false)
	data := m.take(time.Now())
	if m.take(time.Now()) != nil {
		t.Error("it is there twice")
	}
	m.call(2, 2, 10, false)
	m.give(data)
	for _, d := range m.take(time.Now()) {
		if d.Name == "BytesSent" && (d.Samples != 2 || d.Sum != 110 || d.Min != 10 || d.Max != 100 || d.Unit != "Bytes" || len(d.Dimensions) != 1 || d.Dimensions[0].Value != "DeliveryStream:d") {
			t.Errorf("%+v", d)
		}
	}
}

// Spans are committed in the order of the content, whatever order they come back in.
func TestSettle(t *testing.T) {
	s := &source{}
	for i := range int64(4) {
		s.spans = append(s.spans, &span{src: s, end: mark{offset: i + 1}})
	}
	spans := append([]*span(nil), s.spans...)
	for _, c := range []struct {
		done      int
		moved     bool
		committed int64
	}{{1, false, 0}, {3, false, 0}, {0, true, 2}, {2, true, 4}} {
		spans[c.done].done = true
		if moved := s.settle(); moved != c.moved || s.committed.offset != c.committed {
			t.Errorf("span %d is done: committed %d, moved %v", c.done, s.committed.offset, moved)
		}
	}
	if len(s.spans) != 0 {
		t.Errorf("%d spans are left", len(s.spans))
	}
}
