package metrics

import (
	"io"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

func scrape(r *Registry) string {
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body, _ := io.ReadAll(w.Result().Body)
	return string(body)
}

func TestScrape(t *testing.T) {
	r := New()
	s := r.Stream("123456789012", "us-east-1", "orders")
	s.IncomingBytes.Add(300)
	s.IncomingBytes.AddN(700, 2)
	s.PutRecord.Success.Success(true)
	s.PutRecord.Success.Success(false)
	s.PutRecord.Latency.Add(400 * time.Microsecond)
	s.PutRecord.Latency.Add(1234567 * time.Nanosecond)
	s.GetRecords.IteratorAgeMilliseconds.Add(1500)
	s.Shard("shardId-000000000001").OutgoingBytes.Add(42)
	s.Consumer("app").SubscribeToShardEvent.Records.Add(7)
	r.Operation("kinesis", "PutRecord").Done("", 3*time.Millisecond)
	r.Operation("kinesis", "PutRecord").Done("LimitExceededException", time.Millisecond)
	r.Gauge("rheo_test", "A number.", func() float64 { return 5 })

	const dims = `account="123456789012",`
	body := scrape(r)
	for _, line := range []string{
		`aws_kinesis_incoming_bytes_sum{` + dims + `region="us-east-1",stream_name="orders"} 1000`,
		`aws_kinesis_incoming_bytes_count{` + dims + `region="us-east-1",stream_name="orders"} 3`,
		`aws_kinesis_put_record_success_sum{` + dims + `region="us-east-1",stream_name="orders"} 1`,
		`aws_kinesis_put_record_success_count{` + dims + `region="us-east-1",stream_name="orders"} 2`,
		`aws_kinesis_put_record_latency_sum{` + dims + `region="us-east-1",stream_name="orders"} 1.634567`,
		`aws_kinesis_put_record_latency_count{` + dims + `region="us-east-1",stream_name="orders"} 2`,
		`aws_kinesis_get_records_iterator_age_milliseconds_sum{` + dims + `region="us-east-1",stream_name="orders"} 1500`,
		`aws_kinesis_shard_outgoing_bytes_sum{` + dims + `region="us-east-1",shard_id="shardId-000000000001",stream_name="orders"} 42`,
		`aws_kinesis_subscribe_to_shard_event_records_sum{` + dims + `consumer_name="app",region="us-east-1",stream_name="orders"} 7`,
		`rheo_operations_total{code="OK",operation="PutRecord",service="kinesis"} 1`,
		`rheo_operations_total{code="LimitExceededException",operation="PutRecord",service="kinesis"} 1`,
		`rheo_operation_seconds_count{operation="PutRecord",service="kinesis"} 2`,
		`rheo_test 5`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no %s", line)
		}
	}
	if strings.Contains(body, "aws_kinesis_incoming_records") {
		t.Error("a metric without samples is scraped")
	}
	r.DropStream("123456789012", "us-east-1", "orders")
	if body := scrape(r); strings.Contains(body, "aws_kinesis_") {
		t.Errorf("after the stream was dropped:\n%s", body)
	}
}

// TestTenants: streams of one name in two accounts and regions are apart.
func TestTenants(t *testing.T) {
	r := New()
	a, b, c := r.Stream("1", "us-east-1", "s"), r.Stream("2", "us-east-1", "s"), r.Stream("1", "eu-west-1", "s")
	if a == b || a == c || b == c {
		t.Fatal("shared metrics")
	}
	if r.Stream("1", "us-east-1", "s") != a {
		t.Fatal("made twice")
	}
}

func TestConcurrentUse(t *testing.T) {
	r := New()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				s := r.Stream("1", "r", "s")
				s.IncomingRecords.Add(2)
				s.Shard("a").IncomingRecords.Add(1)
			}
			scrape(r)
		})
	}
	wg.Wait()
	if sum, count := r.Stream("1", "r", "s").IncomingRecords.Values(); sum != 1600 || count != 800 {
		t.Fatalf("sum %d, count %d", sum, count)
	}
}
