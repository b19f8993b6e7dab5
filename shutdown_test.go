package rheo_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rheostream/rheo"
)

// A reader that does not take its answer, and a sender that stopped half way, get
// the time that Shutdown is given and no more. They are no failure of the stop,
// and what was acknowledged is there at the next start.
func TestShutdownWithStalledClients(t *testing.T) {
	c := rheo.Config{Dir: t.TempDir(), HTTP1Port: -1, Limits: rheo.LimitsOff, Streams: []rheo.InitialStream{{Name: "s", Shards: 1}}}
	srv, err := rheo.New(c)
	if err != nil {
		t.Fatal(err)
	}
	post(t, srv, "UpdateMaxRecordSize", `{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s","MaxRecordSizeInKiB":10240}`)
	data := base64.StdEncoding.EncodeToString(make([]byte, 9<<20))
	put := post(t, srv, "PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"`+data+`"}`)
	iterator := post(t, srv, "GetShardIterator", `{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"TRIM_HORIZON"}`)["ShardIterator"]

	reader := stall(t, srv, "GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, iterator), 0)
	if _, err := io.ReadFull(reader, make([]byte, 100)); err != nil { // the answer has begun
		t.Fatal(err)
	}
	stall(t, srv, "PutRecord", `{"StreamName":"s"`, 1000)

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if srv, err = rheo.New(c); err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	records := post(t, srv, "GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, iterator))["Records"].([]any)
	if len(records) != 1 || records[0].(map[string]any)["SequenceNumber"] != put["SequenceNumber"] {
		t.Errorf("%d records are there after the stop", len(records))
	}
}

func signed(op, url, body string) *http.Request {
	r, err := http.NewRequest("POST", url, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "Kinesis_20131202."+op)
	r.Header.Set("X-Amz-Date", "20261125T110000Z")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20261125/us-east-1/kinesis/aws4_request, SignedHeaders=host;x-amz-date, Signature=00")
	return r
}

func post(t *testing.T, srv *rheo.Server, op, body string) map[string]any {
	t.Helper()
	return answer(t, signed(op, srv.URL(), body))
}

func answer(t *testing.T, r *http.Request) (out map[string]any) {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil && err != io.EOF || resp.StatusCode != 200 {
		t.Fatalf("%s: %s %v %v", r.Header.Get("X-Amz-Target"), resp.Status, out, err)
	}
	return out
}

// stall sends a request and leaves its answer; if length is given, only a part
// of a body of that length.
func stall(t *testing.T, srv *rheo.Server, op, body string, length int) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.(*net.TCPConn).SetReadBuffer(4 << 10)
	head := fmt.Sprintf("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n", max(length, len(body)))
	for name, values := range signed(op, srv.URL(), body).Header {
		head += name + ": " + values[0] + "\r\n"
	}
	if _, err := io.WriteString(c, head+"\r\n"+body); err != nil {
		t.Fatal(err)
	}
	return c
}
