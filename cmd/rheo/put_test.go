package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// busyServer answers PutRecords and refuses what refuse says, by the data and
// how often it came.
func busyServer(t *testing.T, refuse func(data string, times int) bool) (url string, taken *[]string) {
	taken = new([]string)
	times := map[string]int{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Records []struct{ Data []byte } }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		var out struct {
			FailedRecordCount int
			Records           []map[string]string
		}
		for _, rec := range in.Records {
			data := string(rec.Data)
			times[data]++
			if refuse(data, times[data]) {
				out.FailedRecordCount++
				out.Records = append(out.Records, map[string]string{"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "busy"})
				continue
			}
			*taken = append(*taken, data)
			out.Records = append(out.Records, map[string]string{"SequenceNumber": "1", "ShardId": "shardId-000000000000"})
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(s.Close)
	return s.URL, taken
}

func runPut(t *testing.T, url, input string, retryFor time.Duration, batch int) (putSummary, error) {
	t.Helper()
	k, err := (&connection{endpoint: url, region: "us-east-1"}).connect(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	name := "s"
	p := &putter{client: k, name: &name, batchMax: batch, retryFor: retryFor, began: time.Now(), progress: newProgress(io.Discard, true)}
	err = p.run(context.Background(), &lineReader{key: "k"}, strings.NewReader(input))
	return p.summary(), err
}

func TestPutSendsRefusedRecordsAgain(t *testing.T) {
	url, taken := busyServer(t, func(data string, times int) bool { return times == 1 && (data == "b" || data == "d") })
	s, err := runPut(t, url, "a\nb\nc\nd\ne\n", time.Minute, 500)
	if err != nil || s.Records != 5 || s.Retried != 2 || s.Line != 5 || s.Bytes != 5 {
		t.Errorf("%+v, %v", s, err)
	}
	if want := []string{"a", "c", "e", "b", "d"}; !slices.Equal(*taken, want) {
		t.Errorf("the server took %q, want %q", *taken, want)
	}
}

func TestPutOneByOneKeepsOrder(t *testing.T) {
	url, taken := busyServer(t, func(data string, times int) bool { return times == 1 && data == "b" })
	s, err := runPut(t, url, "a\nb\nc\n", time.Minute, 1)
	if want := []string{"a", "b", "c"}; err != nil || s.Retried != 1 || !slices.Equal(*taken, want) {
		t.Errorf("%+v, %v; the server took %q, want %q", s, err, *taken, want)
	}
}

// What is told to be written is written, whatever else was.
func TestPutGivesUp(t *testing.T) {
	url, taken := busyServer(t, func(data string, _ int) bool { return data == "c" })
	s, err := runPut(t, url, "a\n\nb\nc\nd\n", time.Nanosecond, 500)
	if err == nil || !strings.Contains(err.Error(), "line 4 was refused") || !strings.Contains(hint(err), "reshard") {
		t.Errorf("error %v", err)
	}
	if s.Line != 3 || s.Records != 3 || !slices.Equal(*taken, []string{"a", "b", "d"}) {
		t.Errorf("%+v; the server took %q", s, *taken)
	}
}
