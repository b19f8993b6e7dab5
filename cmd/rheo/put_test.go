package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// busyServer answers PutRecords and refuses what refuse says, by the data and
// how often it came.
func busyServer(t *testing.T, refuse func(data string, times int) bool) (url string, taken *[]string) {
	taken = new([]string)
	s := httptest.NewServer(busyHandler(t, refuse, taken))
	t.Cleanup(s.Close)
	return s.URL, taken
}

func busyHandler(t *testing.T, refuse func(data string, times int) bool, taken *[]string) http.Handler {
	times := map[string]int{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	})
}

func runPut(t *testing.T, url, input string, retryFor time.Duration, batch int) (putSummary, error) {
	t.Helper()
	return runNoticedPut(t, url, input, retryFor, batch, io.Discard)
}

func runNoticedPut(t *testing.T, url, input string, retryFor time.Duration, batch int, notices io.Writer) (putSummary, error) {
	t.Helper()
	k, err := (&connection{endpoint: url, region: "us-east-1"}).connect(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	name := "s"
	p := &putter{client: k, name: &name, batchMax: batch, retryFor: retryFor, began: time.Now(), progress: newProgress(io.Discard, true), notices: notices}
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

// A server that is away, as in a restart, is waited for, and that is said at once.
func TestPutWaitsForServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	taken := new([]string)
	var notices strings.Builder
	started := writerFunc(func(p []byte) {
		if notices.Write(p); notices.Len() > len(p) {
			return
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(busyHandler(t, func(string, int) bool { return false }, taken))
		s.Listener.Close()
		s.Listener = l
		s.Start()
		t.Cleanup(s.Close)
	})
	s, err := runNoticedPut(t, "http://"+addr, "a\nb\n", time.Minute, 1, started)
	if want := []string{"a", "b"}; err != nil || s.Line != 2 || !slices.Equal(*taken, want) {
		t.Errorf("%+v, %v; the server took %q, want %q", s, err, *taken, want)
	}
	if n := notices.String(); strings.Count(n, "\n") != 1 || !strings.Contains(n, "connection refused; it is tried again for 1m0s.") {
		t.Errorf("it was said: %q", n)
	}
}

// --retry-for is how long.
func TestPutWaitsNoLongerThanTold(t *testing.T) {
	s, err := runPut(t, "http://127.0.0.1:1", "a\n", time.Nanosecond, 1)
	if !errors.Is(err, syscall.ECONNREFUSED) || s.Records != 0 || s.Line != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

type writerFunc func(p []byte)

func (w writerFunc) Write(p []byte) (int, error) { w(p); return len(p), nil }
