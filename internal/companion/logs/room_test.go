package logs

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestRoom: names take no more memory than they may; streams whose events have all
// expired make room for others, and no stream that holds something does.
func TestRoom(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MemoryBytes = 2 * (2*groupCost + 50*streamBytes("s00")) })
	b.must("CreateLogGroup", `{"logGroupName": "g"}`)
	b.must("CreateLogGroup", `{"logGroupName": "kept"}`)
	made := 0
	create := func(group string) string {
		made++
		return b.do("CreateLogStream", fmt.Sprintf(`{"logGroupName": %q, "logStreamName": "s%02d"}`, group, made))
	}
	for range 25 {
		create("g")
		create("kept")
	}
	if got := create("g"); !strings.HasPrefix(got, "LimitExceededException: Resource limit exceeded.") {
		t.Fatal(got)
	}
	b.must("PutRetentionPolicy", `{"logGroupName": "g", "retentionInDays": 3}`)
	if got := create("g"); !strings.HasPrefix(got, "LimitExceededException") {
		t.Fatal(got) // they are young
	}
	b.clock.advance(4 * 24 * time.Hour)
	b.putLines("g", "s01", "young")
	if got := create("g"); got != "{}" {
		t.Fatal(got)
	}
	streams := b.must("DescribeLogStreams", `{"logGroupName": "g"}`)
	if n := strings.Count(streams, `"logStreamName"`); n != 2 || !strings.Contains(streams, `"s01"`) {
		t.Errorf("%d streams are left: %s", n, streams)
	}
	if n := strings.Count(b.must("DescribeLogStreams", `{"logGroupName": "kept"}`), `"logStreamName"`); n != 25 {
		t.Errorf("%d streams are left of a group without retention", n)
	}
	if got := b.machine.view().bytes; got != 2*groupCost+27*streamBytes("s00") {
		t.Errorf("names take %d bytes", got)
	}
	b.restart()
	if got := b.machine.view().bytes; got != 2*groupCost+27*streamBytes("s00") {
		t.Errorf("after a restart names take %d bytes", got)
	}
}
