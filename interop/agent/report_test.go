package main

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// What the check finds, and what it lets pass.
func TestReport(t *testing.T) {
	began := time.UnixMilli(1_000_000)
	at := func(ms int) *time.Time { return new(began.Add(time.Duration(ms) * time.Millisecond)) }
	for _, c := range []struct {
		name  string
		came  [][2]int // number and when
		kills []int
		want  string
	}{
		{"all once", [][2]int{{0, 10}, {1, 20}, {2, 30}}, nil, ""},
		{"one is missing", [][2]int{{0, 10}, {2, 30}}, nil, "of 3 records 1 are missing, the first is 1"},
		{"twice without a kill", [][2]int{{0, 10}, {1, 20}, {2, 30}, {1, 9000}}, nil, "1 records came again without a kill between, the first is 1"},
		{"twice, the kill is long after both", [][2]int{{0, 10}, {1, 20}, {2, 30}, {1, 40}}, []int{9000}, "without a kill between"},
		{"twice, the kill is long before both", [][2]int{{0, 9000}, {1, 9000}, {2, 9000}, {1, 9500}}, []int{100}, "without a kill between"},
		{"twice around a kill, whatever is read first", [][2]int{{1, 900}, {0, 10}, {1, 20}, {2, 30}}, []int{100}, ""},
		{"thrice around a kill", [][2]int{{0, 10}, {1, 20}, {2, 30}, {1, 900}, {1, 901}}, []int{100}, "without a kill between"},
		{"thrice around two kills", [][2]int{{0, 10}, {1, 20}, {2, 30}, {1, 900}, {1, 1901}}, []int{100, 1000}, ""},
		{"a call ends after its caller", [][2]int{{0, 10}, {1, 120}, {2, 30}, {1, 900}}, []int{100}, ""},
	} {
		s := &source{name: "s", stream: "x", prefix: "s ", written: 3, want: line("s ")}
		r := newReport([]*source{s}, began)
		for _, a := range c.came {
			if err := r.add("x", []types.Record{{Data: s.want(nil, a[0]), ApproximateArrivalTimestamp: at(a[1])}}); err != nil {
				t.Fatal(err)
			}
		}
		var kills []time.Time
		for _, k := range c.kills {
			kills = append(kills, *at(k))
		}
		err := r.check(kills)
		if err == nil && c.want != "" || err != nil && (c.want == "" || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// A record that is cut, mixed with another, of a number that was not written, or in another stream.
func TestReportRefuses(t *testing.T) {
	s := &source{name: "s", stream: "x", prefix: "s ", written: 3, want: line("s ")}
	for _, c := range []struct{ stream, data string }{
		{"x", string(s.want(nil, 1))[:50]},
		{"x", string(s.want(nil, 1)) + "\n"},
		{"x", string(s.want(nil, 3))},
		{"x", "nothing"},
		{"y", string(s.want(nil, 1))},
	} {
		if err := newReport([]*source{s}, time.Now()).add(c.stream, []types.Record{{Data: []byte(c.data), ApproximateArrivalTimestamp: new(time.Now())}}); err == nil {
			t.Errorf("%.40q is taken in %s", c.data, c.stream)
		}
	}
}
