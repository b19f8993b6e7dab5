package mapping_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostream/rheo/internal/companion/lambda/mapping"
)

// put puts records a, b, ... with one key.
func (r *rig) put(data ...string) (seqs []mapping.SequenceNumber) {
	for _, d := range data {
		seqs = append(seqs, r.stream.put("1", d))
	}
	return seqs
}

func one(s string) []string { return strings.Split(s, "") }

func TestEvent(t *testing.T) {
	for _, test := range []struct{ consumer, source string }{{"", streamARN}, {consumerARN, consumerARN}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1)
			r.cfg.ConsumerARN = test.consumer
			time.Sleep(987 * time.Millisecond)
			a := r.stream.put(`"quoted" \ é`+"\n\xff", "Hello, this is a test.")
			time.Sleep(13 * time.Millisecond)
			b := r.stream.put("1", "")
			r.start()
			r.wait(2 * time.Second)
			r.stop()
			const record = `{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":%s,"sequenceNumber":"%s","data":"%s",` +
				`"approximateArrivalTimestamp":%s},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-000000000000:%[2]s",` +
				`"eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::123456789012:role/lambda-role",` +
				`"awsRegion":"us-east-2","eventSourceARN":"%[5]s"}`
			want := `{"Records":[` +
				fmt.Sprintf(record, `"\"quoted\" \\ é\u000a`+"\uFFFD"+`"`, a, "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==", "946684800.987", test.source) + "," +
				fmt.Sprintf(record, `"1"`, b, "", "946684801.000", test.source) + `]}`
			if len(r.events) != 1 || string(r.events[0].raw) != want {
				t.Errorf("events %d; the first is\n%s, want\n%s", len(r.events), r.events[0].raw, want)
			}
			if got := r.result(); got != "OK" {
				t.Errorf("LastProcessingResult = %q", got)
			}
		})
	}
}

func TestBatchCloses(t *testing.T) {
	type put struct {
		at   time.Duration
		data string
	}
	large := func(c string) string { return strings.Repeat(c, 2<<20) } // three are above 6 MB in base64
	for _, test := range []struct {
		name   string
		size   int
		window time.Duration
		puts   []put
		want   []string // the first letters of the records in each batch
		at     []time.Duration
	}{
		{"at once without a window", 100, 0, []put{{0, "a"}, {300 * time.Millisecond, "b"}, {400 * time.Millisecond, "c"}, {2500 * time.Millisecond, "d"}},
			[]string{"a", "bc", "d"}, []time.Duration{0, time.Second, 3 * time.Second}},
		{"with its size", 2, 0, []put{{0, "a"}, {0, "b"}, {0, "c"}, {0, "d"}, {0, "e"}}, []string{"ab", "cd", "e"}, []time.Duration{0, 0, 0}},
		{"with its size before its window", 2, time.Minute, []put{{0, "a"}, {0, "b"}, {0, "c"}, {1500 * time.Millisecond, "d"}, {1600 * time.Millisecond, "e"}},
			[]string{"ab", "cd", "e"}, []time.Duration{0, 2 * time.Second, 62 * time.Second}},
		{"with its window", 100, 5 * time.Second, []put{{0, "a"}, {3500 * time.Millisecond, "b"}, {5500 * time.Millisecond, "c"}},
			[]string{"ab", "c"}, []time.Duration{5 * time.Second, 11 * time.Second}},
		{"with 6 MB", 100, 0, []put{{0, large("a")}, {0, large("b")}, {0, large("c")}}, []string{"ab", "c"}, []time.Duration{0, 0}},
		{"with 6 MB before its window", 100, time.Minute, []put{{0, large("a")}, {0, large("b")}, {0, large("c")}}, []string{"ab", "c"}, []time.Duration{0, 60 * time.Second}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1)
				r.stream.limited = false
				r.cfg.BatchSize, r.cfg.BatchingWindow = test.size, test.window
				began := time.Now()
				go func() {
					for _, p := range test.puts {
						time.Sleep(time.Until(began.Add(p.at)))
						r.put(p.data)
					}
				}()
				synctest.Wait()
				r.start()
				r.wait(2 * time.Minute)
				r.stop()
				var got []string
				for _, b := range r.batches() {
					letters := ""
					for _, d := range b {
						letters += d[:1]
					}
					got = append(got, letters)
				}
				if !slices.Equal(got, test.want) {
					t.Fatalf("batches %v, want %v", got, test.want)
				}
				for i, at := range test.at {
					if got := r.times[i].Sub(began); got != at {
						t.Errorf("batch %d came after %v, want %v", i, got, at)
					}
				}
			})
		})
	}
}

// TestFunctionError: the same batch until it succeeds; nothing behind it meanwhile.
func TestFunctionError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.cfg.BatchSize = 2
		fails := 4
		r.fn = func(e *event) (mapping.Result, error) {
			if fails--; fails >= 0 {
				return failure(), nil
			}
			return success(`"whatever"`), nil
		}
		r.put(one("abc")...)
		r.start()
		r.wait(time.Second)
		if got := r.result(); got != "PROBLEM: Function call failed" {
			t.Errorf("LastProcessingResult = %q", got)
		}
		r.wait(time.Minute)
		r.stop()
		r.wantBatches(one("ab"), one("ab"), one("ab"), one("ab"), one("ab"), one("c"))
		for i := 1; i < 5; i++ {
			if pause := r.times[i].Sub(r.times[i-1]); pause < 100*time.Millisecond<<i*8/10 {
				t.Errorf("retry %d after %v", i, pause)
			}
		}
		if got := r.result(); got != "OK" {
			t.Errorf("LastProcessingResult = %q", got)
		}
		want := mapping.Counts{PolledEvents: 3, InvokedEvents: 11, FailedInvokeEvents: 8}
		if r.counts != want {
			t.Errorf("counted %+v, want %+v", r.counts, want)
		}
	})
}

// TestRetriesUsedUp is AWS's own record of a batch of one with two retries, and the S3 object beside it.
func TestRetriesUsedUp(t *testing.T) {
	for _, test := range []struct {
		name   string
		report bool
		fn     func(*event) (mapping.Result, error)
		want   string // functionError
	}{
		{"function error", false, failing("b"), `"Unhandled"`},
		{"partial failure", true, reporting("b"), `null`},
		{"empty identifier", true, func(e *event) (mapping.Result, error) {
			if e.data()[0] == "b" {
				return success(`{"batchItemFailures":[{"itemIdentifier":""}]}`), nil
			}
			return success("{}"), nil
		}, `null`},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1)
				r.cfg.BatchSize, r.cfg.MaximumRetryAttempts, r.cfg.ReportBatchItemFailures = 1, 2, test.report
				r.cfg.OnFailureARN = bucketARN
				r.fn = test.fn
				seqs := r.put(one("abc")...)
				time.Sleep(1500 * time.Millisecond)
				r.start()
				r.wait(10 * time.Second)
				r.stop()
				r.wantBatches(one("a"), one("b"), one("b"), one("b"), one("c"))
				if len(r.failures) != 1 {
					t.Fatalf("%d failures were sent", len(r.failures))
				}
				at := r.times[3].UTC()
				want := `{"requestContext":{"requestId":"c9b8fa9f-5a7f-4a4f-af9c-0c604cde93a5","functionArn":"` + functionARN + `",` +
					`"condition":"RetryAttemptsExhausted","approximateInvokeCount":3},` +
					`"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":` + test.want + `},` +
					`"version":"1.0","timestamp":"` + at.Format("2006-01-02T15:04:05.000Z") + `",` +
					`"KinesisBatchInfo":{"shardId":"shardId-000000000000","startSequenceNumber":"` + string(seqs[1]) + `",` +
					`"endSequenceNumber":"` + string(seqs[1]) + `","approximateArrivalOfFirstRecord":"2000-01-01T00:00:00.000Z",` +
					`"approximateArrivalOfLastRecord":"2000-01-01T00:00:00.000Z","batchSize":1,"streamArn":"` + streamARN + `"}}`
				f := r.failures[0]
				if f.document != want {
					t.Errorf("document is\n%s, want\n%s", f.document, want)
				}
				if f.Payload != string(r.events[3].raw) {
					t.Errorf("payload is %s, want the event", f.Payload)
				}
				prefix := "aws/lambda/" + uuid + "/shardId-000000000000/" + at.Format("2006/01/02/2006-01-02T15.04.05-")
				if rest, ok := strings.CutPrefix(f.key, prefix); !ok || len(rest) != 36 {
					t.Errorf("key is %s", f.key)
				}
				want2 := mapping.Counts{PolledEvents: 3, InvokedEvents: 5, FailedInvokeEvents: 3, DroppedEvents: 1, OnFailureDeliveredEvents: 1}
				if r.counts != want2 {
					t.Errorf("counted %+v, want %+v", r.counts, want2)
				}
			})
		})
	}
}

// TestDestinationFails: it is tried a few times, then the records are passed over.
func TestDestinationFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.cfg.MaximumRetryAttempts, r.cfg.OnFailureARN = 0, bucketARN
		r.cfg.BatchSize = 1
		r.fn, r.sendFault = failing("a"), errDisk
		r.put(one("ab")...)
		r.start()
		r.wait(time.Minute)
		r.stop()
		r.wantBatches(one("a"), one("b"))
		if r.counts.DestinationDeliveryFailures != 1 || r.counts.DroppedEvents != 1 || r.counts.OnFailureDeliveredEvents != 0 {
			t.Errorf("counted %+v", r.counts)
		}
	})
}

// TestThrottlesDoNotCount: nor do service errors, whatever MaximumRetryAttempts is.
func TestThrottlesDoNotCount(t *testing.T) {
	for _, fault := range []error{
		&mapping.Problem{Kind: mapping.ErrThrottled, Message: "Rate Exceeded."},
		fmt.Errorf("connection reset"),
		&mapping.Problem{Kind: mapping.ErrFunctionGone, Message: "Function not found: " + functionARN},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1)
			r.cfg.MaximumRetryAttempts, r.cfg.BisectOnFunctionError = 0, true
			left := 20
			r.fn = func(*event) (mapping.Result, error) {
				if left--; left >= 0 {
					return mapping.Result{}, fault
				}
				return success(""), nil
			}
			r.put(one("ab")...)
			r.start()
			r.wait(time.Hour)
			r.stop()
			if got := r.batches(); len(got) != 21 || len(r.failures) != 0 {
				t.Errorf("%d invocations, %d failures", len(got), len(r.failures))
			}
			for _, b := range r.batches() {
				if fmt.Sprint(b) != "[a b]" {
					t.Errorf("batch %v, want all", b)
				}
			}
			if r.result() != "OK" {
				t.Errorf("LastProcessingResult = %v", r.results)
			}
		})
	}
}

// TestBisect: the poison record is alone in the end, within the retries, and what is before it in
// the batch and behind it is delivered once, in order.
func TestBisect(t *testing.T) {
	for _, test := range []struct {
		retries int
		want    []string
	}{
		{0, []string{"abcdefgh", "abcd", "efgh", "ef", "e", "f", "gh", "i"}},
		{2, []string{"abcdefgh", "abcd", "efgh", "ef", "e", "f", "f", "f", "gh", "i"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1)
			r.cfg.BatchSize, r.cfg.MaximumRetryAttempts, r.cfg.BisectOnFunctionError = 8, test.retries, true
			r.cfg.OnFailureARN = bucketARN
			r.fn = failing("f")
			seqs := r.put(one("abcdefghi")...)
			r.start()
			r.wait(time.Minute)
			r.stop()
			var want [][]string
			for _, w := range test.want {
				want = append(want, one(w))
			}
			r.wantBatches(want...)
			if len(r.failures) != 1 {
				t.Fatalf("%d failures", len(r.failures))
			}
			if b := r.failures[0].KinesisBatchInfo; b.BatchSize != 1 || b.StartSequenceNumber != seqs[5] || b.EndSequenceNumber != seqs[5] {
				t.Errorf("given up: %+v", b)
			}
			// All invocations that it was in: of 8, of 4, of 2, and alone.
			if n := r.failures[0].RequestContext.ApproximateInvokeCount; n != 4+test.retries {
				t.Errorf("approximateInvokeCount = %d", n)
			}
		})
	}
}

func TestPartialFailures(t *testing.T) {
	for _, test := range []struct {
		name    string
		bisect  bool
		retries int
		bad     string
		want    []string
		failed  []string // first letter and size
	}{
		{"lowest is the checkpoint", false, -1, "", []string{"abcdef"}, nil},
		{"what is left is retried", false, 1, "cf", []string{"abcdef", "cdef"}, []string{"c4"}},
		{"with retries", false, 2, "f", []string{"abcdef", "f", "f"}, []string{"f1"}},
		{"bisected at the number, not counted", true, 0, "c", []string{"abcdef", "cdef", "cd", "c", "d", "ef"}, []string{"c1"}},
		{"bisected for both", true, 0, "bf", []string{"abcdef", "bcdef", "bc", "b", "c", "def", "f"}, []string{"b1", "f1"}},
		{"bisected with retries", true, 1, "a", []string{"abcdef", "abc", "a", "a", "bc", "def"}, []string{"a1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1)
				r.cfg.ReportBatchItemFailures, r.cfg.BisectOnFunctionError, r.cfg.MaximumRetryAttempts = true, test.bisect, test.retries
				r.cfg.OnFailureARN = bucketARN
				r.fn = reporting(one(test.bad)...)
				seqs := r.put(one("abcdef")...)
				r.start()
				r.wait(time.Minute)
				r.stop()
				var want [][]string
				for _, w := range test.want {
					want = append(want, one(w))
				}
				r.wantBatches(want...)
				var failed []string
				for _, f := range r.failures {
					i := slices.Index(seqs, f.KinesisBatchInfo.StartSequenceNumber)
					failed = append(failed, fmt.Sprintf("%c%d", "abcdef"[i], f.KinesisBatchInfo.BatchSize))
				}
				if !slices.Equal(failed, test.failed) {
					t.Errorf("given up %v, want %v", failed, test.failed)
				}
				if got := r.checkpoint("shardId-000000000000").Done; got != seqs[5] {
					t.Errorf("checkpoint %s, want %s", got, seqs[5])
				}
			})
		})
	}
}

// TestPartialFailureCheckpoint: what is before the failure is done, and comes no more after a restart.
func TestPartialFailureCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.cfg.ReportBatchItemFailures = true
		r.fn = reporting("c")
		seqs := r.put(one("abcd")...)
		r.start()
		r.wait(5 * time.Second)
		r.stop()
		if got := r.checkpoint("shardId-000000000000").Done; got != seqs[1] {
			t.Errorf("checkpoint %s, want %s", got, seqs[1])
		}
		r.events, r.fn = nil, reporting()
		r.start()
		r.wait(5 * time.Second)
		r.stop()
		r.wantBatches(one("cd"))
	})
}

func TestRecordAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.cfg.MaximumRecordAge, r.cfg.OnFailureARN = time.Minute, bucketARN
		seqs := r.put(one("abc")...)
		time.Sleep(50 * time.Second)
		seqs = append(seqs, r.put("d", "e")...)
		time.Sleep(15 * time.Second)
		r.fn = failing("d")
		r.start()
		r.wait(5 * time.Minute)
		r.put("f")
		r.wait(5 * time.Second)
		r.stop()
		// a to c were too old when they were read; d and e were tried until they were.
		if len(r.failures) != 2 {
			t.Fatalf("%d failures were sent", len(r.failures))
		}
		for i, want := range []struct {
			from, to mapping.SequenceNumber
			size     int
		}{{seqs[0], seqs[2], 3}, {seqs[3], seqs[4], 2}} {
			f := r.failures[i]
			b := f.KinesisBatchInfo
			if f.RequestContext.Condition != "RecordAgeExceeded" || f.ResponseContext != nil || strings.Contains(f.document, "responseContext") ||
				b.StartSequenceNumber != want.from || b.EndSequenceNumber != want.to || b.BatchSize != want.size || len(f.RequestContext.RequestID) != 36 {
				t.Errorf("given up: %s, want %+v", f.document, want)
			}
		}
		if n := r.failures[0].RequestContext.ApproximateInvokeCount; n != 0 {
			t.Errorf("approximateInvokeCount = %d of records that were never given to the function", n)
		}
		last := len(r.events) - 1
		for i, e := range r.events {
			if want := map[bool]string{true: "[f]", false: "[d e]"}[i == last]; fmt.Sprint(e.data()) != want {
				t.Errorf("event %v, want %s", e.data(), want)
			}
		}
		if tooLate := r.times[last-1].Sub(r.stream.created); tooLate > 110*time.Second {
			t.Errorf("the last try came %v after the stream was made", tooLate)
		}
	})
}

// TestRetentionEndsRetries: what the stream has no more is not tried for ever.
func TestRetentionEndsRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.cfg.OnFailureARN = bucketARN
		r.fn = failing("a")
		r.put("a")
		r.start()
		r.wait(23 * time.Hour)
		if len(r.failures) != 0 {
			t.Errorf("given up early: %s", r.failures[0].document)
		}
		r.put("b")
		r.wait(2 * time.Hour)
		r.stop()
		if len(r.failures) != 1 || r.failures[0].RequestContext.Condition != "RecordAgeExceeded" {
			t.Errorf("%d failures", len(r.failures))
		}
		if last := r.batches(); fmt.Sprint(last[len(last)-1]) != "[b]" {
			t.Errorf("the last event is %v", last[len(last)-1])
		}
	})
}

// TestRecordTooLargeForAPayload: one record that no invocation can take does not block the shard.
func TestRecordTooLargeForAPayload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.cfg.OnFailureARN = bucketARN
		seqs := r.put("a", strings.Repeat("b", 5<<20), "c")
		r.start()
		r.wait(5 * time.Second)
		r.stop()
		r.wantBatches(one("a"), one("c"))
		if len(r.failures) != 1 || r.failures[0].KinesisBatchInfo.StartSequenceNumber != seqs[1] {
			t.Errorf("%d failures", len(r.failures))
		}
	})
}

func TestIteratorAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put("a")
		time.Sleep(time.Minute)
		r.put("b")
		time.Sleep(2 * time.Second)
		r.fn = func(*event) (mapping.Result, error) { time.Sleep(time.Second); return success(""), nil }
		r.start()
		r.wait(10 * time.Second)
		r.stop()
		if len(r.ages) != 1 || r.ages[0] != 3*time.Second {
			t.Errorf("ages %v, want that of the last record at the end", r.ages)
		}
	})
}
