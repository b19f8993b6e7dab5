package main

import (
	"strings"
	"testing"
	"time"
)

// What the consumer prints becomes delays of the requests that count, and nothing that it leaves out passes.
func TestKCLDelays(t *testing.T) {
	f := newFanOutRun(fanOutLoad{shards: 1, conns: 1, records: 1, perSecond: 3, recordBytes: 10}, "localhost:1", time.Second, time.Second)
	for n := range f.sent {
		f.sent[n].Store(int64(n) * 1_000_000_000) // request n was sent n seconds after 1970
	}
	for _, test := range []struct {
		name, said string
		want       []time.Duration // nil: an error
	}{
		{"all", "0 1 1 1 2 1 3 3000007 4 4000003 5 5000005", []time.Duration{3 * time.Microsecond, 5 * time.Microsecond, 7 * time.Microsecond}},
		{"one is missing", "3 3000007 4 4000003", nil},
		{"a request that was not sent", "6 6000000", nil},
		{"no number", "3 soon", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &kclConsumer{lines: make(chan string, 10), exited: make(chan struct{})}
			words := strings.Fields(test.said)
			for i := 0; i < len(words); i += 2 {
				c.lines <- words[i] + " " + words[i+1]
			}
			close(c.lines)
			close(c.exited)
			got, err := c.delays(f)
			if (err == nil) != (test.want != nil) || len(got) != len(test.want) {
				t.Fatalf("got %v, %v", got, err)
			}
			for i := range got {
				if got[i] != test.want[i] {
					t.Errorf("got %v, want %v", got, test.want)
				}
			}
		})
	}
}
