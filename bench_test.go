package rheo_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/rheostream/rheo"
	"github.com/rheostream/rheo/internal/call"
)

// raw sends one request over a raw connection and reads its answer.
type raw struct {
	conn net.Conn
	in   *bufio.Reader
}

func dial(b *testing.B, s *rheo.Server) *raw {
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return &raw{c, bufio.NewReaderSize(c, 256<<10)}
}

func request(op, body string) []byte {
	return fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: Kinesis_20131202.%s\r\nContent-Type: application/x-amz-json-1.1\r\n"+
		"X-Amz-Date: 20261125T000000Z\r\nAuthorization: AWS4-HMAC-SHA256 Credential=test/20261125/us-east-1/kinesis/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature=%064d\r\nContent-Length: %d\r\n\r\n%s", op, 0, len(body), body)
}

func (r *raw) do(b *testing.B, req []byte) []byte {
	if _, err := r.conn.Write(req); err != nil {
		b.Fatal(err)
	}
	resp, err := http.ReadResponse(r.in, nil)
	if err != nil {
		b.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		b.Fatal(resp.Status, string(body), err)
	}
	return body
}

// BenchmarkPut is the whole way of a put, from the socket to the disk and back.
func BenchmarkPut(b *testing.B) {
	for _, c := range []struct {
		name            string
		shards, records int
		size, conns     int
	}{
		{"PutRecords 500x1KB, 4 shards", 4, 500, 1000, 8},
		{"PutRecords 500x1KB, 1000 shards", 1000, 500, 1000, 8},
		{"PutRecords 500x100B, 4 shards", 4, 500, 100, 8},
		{"PutRecord 1KB, 64 connections", 4, 1, 1000, 64},
	} {
		b.Run(c.name, func(b *testing.B) {
			s, err := rheo.New(rheo.Config{Dir: b.TempDir(), HTTP1Port: -1, Limits: call.Off, Streams: []rheo.InitialStream{{Name: "s", Shards: c.shards}}})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			data := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, c.size))
			var body bytes.Buffer
			op := "PutRecords"
			if c.records == 1 {
				op = "PutRecord"
				fmt.Fprintf(&body, `{"StreamName":"s","PartitionKey":"k","Data":"%s"}`, data)
			} else {
				body.WriteString(`{"StreamName":"s","Records":[`)
				for i := range c.records {
					if i > 0 {
						body.WriteByte(',')
					}
					fmt.Fprintf(&body, `{"PartitionKey":"key-%d","Data":"%s"}`, i, data)
				}
				body.WriteString("]}")
			}
			req := request(op, body.String())
			conns := make(chan *raw, c.conns)
			for range c.conns {
				conns <- dial(b, s)
			}
			b.SetBytes(int64(c.records * c.size))
			b.SetParallelism(c.conns)
			b.ReportAllocs()
			var done atomic.Int64
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r := <-conns
					r.do(b, req)
					conns <- r
					done.Add(int64(c.records))
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(done.Load())/b.Elapsed().Seconds(), "records/s")
		})
	}
}
