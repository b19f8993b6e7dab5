package mapping_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostream/rheo/internal/companion/lambda/mapping"
)

// TestAnswers is what ReportBatchItemFailures takes for a success and a failure, as recorded of AWS where it was.
func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		payload string // %s is the second record's sequence number
		done    int    // of two; 0: complete failure
	}{
		{``, 2}, {`null`, 2}, {`""`, 2}, {`[]`, 2}, {`{}`, 2}, {" {}\n", 2},
		{`{"batchItemFailures":[]}`, 2}, {`{"batchItemFailures":null}`, 2}, {`{"statusCode":200}`, 2},
		{`{"BatchItemFailures":[{"itemIdentifier":"%s"}]}`, 2},
		{`{"batchItemFailures":[{"itemIdentifier":"%s"}]}`, 1},
		{`{"batchItemFailures":[{"itemIdentifier":%s}]}`, 1},
		{`{"batchItemFailures":[{"itemIdentifier":"%s","why":"x"},{"itemIdentifier":"%[1]s"}]}`, 1},
		{`{"batchItemFailures":[{"itemIdentifier":""}]}`, 0},
		{`{"batchItemFailures":[{"itemIdentifier":null}]}`, 0},
		{`{"batchItemFailures":[{"foo":"%s"}]}`, 0},
		{`{"batchItemFailures":[{"foo":null}]}`, 0},
		{`{"batchItemFailures":[{}]}`, 0},
		{`{"batchItemFailures":["%s"]}`, 0},
		{`{"batchItemFailures":"%s"}`, 0},
		{`{"batchItemFailures":[{"itemIdentifier":"1"}]}`, 0},
		{`{"batchItemFailures":[{"itemIdentifier":"%s"},{"itemIdentifier":"1"}]}`, 0},
		{`"done"`, 0}, {`[1]`, 0}, {`true`, 0}, {`{"batchItemFailures":`, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1)
			r.cfg.ReportBatchItemFailures, r.cfg.MaximumRetryAttempts = true, 0
			seqs := r.put("a", "b")
			r.cfg.OnFailureARN = bucketARN
			payload := test.payload
			if strings.Contains(payload, "%") {
				payload = fmt.Sprintf(payload, seqs[1])
			}
			r.fn = func(*event) (mapping.Result, error) { return success(payload), nil }
			r.start()
			r.wait(5 * time.Second)
			r.stop()
			done := 2
			if len(r.failures) > 0 {
				done = 2 - r.failures[0].KinesisBatchInfo.BatchSize
			}
			if done != test.done {
				t.Errorf("%s: %d of 2 records are done, want %d", test.payload, done, test.done)
			}
		})
	}
}

// TestAnswersUnasked: without ReportBatchItemFailures an answer does not matter.
func TestAnswersUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		seqs := r.put("a", "b")
		r.fn = func(*event) (mapping.Result, error) {
			return success(`{"batchItemFailures":[{"itemIdentifier":"` + string(seqs[0]) + `"}]}`), nil
		}
		r.start()
		r.wait(5 * time.Second)
		r.stop()
		r.wantBatches(one("ab"))
	})
}
