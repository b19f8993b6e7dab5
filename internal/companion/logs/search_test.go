package logs

import (
	"fmt"
	"strings"
	"testing"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/logs"
	"github.com/rheostream/rheo/internal/shardlog"
)

// TestEmptyPages: a search that finds nothing reads a window at a time and says so by a
// page that is empty and has a token; the windows are those that can have something.
func TestEmptyPages(t *testing.T) {
	b := newBench(t, nil)
	b.logs.grain, b.window = 1000, 10_000
	b.must("CreateLogGroup", `{"logGroupName": "g"}`)
	b.must("CreateLogStream", `{"logGroupName": "g", "logStreamName": "busy"}`)
	b.must("CreateLogStream", `{"logGroupName": "g", "logStreamName": "idle"}`)
	b.putLines("g", "idle", "first")
	const lines = 1000
	for i := range lines {
		b.putLines("g", "busy", fmt.Sprintf("%0100d", i))
	}
	b.putLines("g", "idle", "last")

	pages := func(in api.FilterLogEventsInput) (pages, events int) {
		for in.LogGroupName = new("g"); ; {
			out, err := b.FilterLogEvents(b.ctx(), &in)
			if err != nil {
				t.Fatal(err)
			}
			pages, events = pages+1, events+len(out.Events)
			if in.NextToken = out.NextToken; in.NextToken == nil {
				return pages, events
			}
		}
	}
	windows := lines * 110 / 10_000
	if n, found := pages(api.FilterLogEventsInput{FilterPattern: new("nothing")}); found != 0 || n < windows/2 || n > 2*windows {
		t.Errorf("%d pages with %d events, of about %d windows", n, found, windows)
	}
	if n, found := pages(api.FilterLogEventsInput{FilterPattern: new("last")}); found != 1 || n > 2*windows {
		t.Errorf("%d pages with %d events", n, found)
	}
	// Of a stream that is in two chunks only the others are not even looked at.
	if n, found := pages(api.FilterLogEventsInput{LogStreamNames: []string{"idle"}, FilterPattern: new("last")}); found != 1 || n != 1 {
		t.Errorf("%d pages with %d events", n, found)
	}
	if n, found := pages(api.FilterLogEventsInput{StartTime: new(b.clock.Wall().UnixMilli() + 1)}); found != 0 || n != 1 {
		t.Errorf("%d pages with %d events", n, found)
	}
}

// TestPageBytes: a page has no more than 1 MiB of events, but an event that is as large
// comes alone.
func TestPageBytes(t *testing.T) {
	b := newBench(t, nil)
	b.must("CreateLogGroup", `{"logGroupName": "g"}`)
	b.must("CreateLogStream", `{"logGroupName": "g", "logStreamName": "s"}`)
	sizes := []int{300_000, 300_000, 300_000, eventBytesMax - eventOverhead, 10, 600_000, 600_000, 10}
	for _, n := range sizes {
		b.putLines("g", "s", strings.Repeat("x", n))
	}
	in := &api.GetLogEventsInput{LogGroupName: new("g"), LogStreamName: new("s"), StartFromHead: new(true)}
	var pages []int
	for {
		out, err := b.GetLogEvents(b.ctx(), in)
		if err != nil {
			t.Fatal(err)
		}
		if in.NextToken != nil && *in.NextToken == *out.NextForwardToken {
			break
		}
		pages = append(pages, len(out.Events))
		in.NextToken = out.NextForwardToken
	}
	if got := fmt.Sprint(pages); got != "[3 1 2 2]" {
		t.Errorf("pages of %s events", got)
	}
	if got := b.do("PutLogEvents", fmt.Sprintf(`{"logGroupName": "g", "logStreamName": "s", "logEvents": [{"timestamp": %d, "message": %q}]}`, b.clock.Wall().UnixMilli(), strings.Repeat("x", eventBytesMax-eventOverhead+1))); got != "InvalidParameterException: Log event too large: 1048577 bytes exceeds limit of 1048576" {
		t.Error(got)
	}
	half := fmt.Sprintf(`{"timestamp": %d, "message": %q}`, b.clock.Wall().UnixMilli(), strings.Repeat("x", batchBytesMax/2-eventOverhead))
	if got := b.do("PutLogEvents", `{"logGroupName": "g", "logStreamName": "s", "logEvents": [`+half+`, `+half+`]}`); got[0] != '{' {
		t.Error(got)
	}
	if got := b.do("PutLogEvents", `{"logGroupName": "g", "logStreamName": "s", "logEvents": [`+half+`, `+half+`, {"timestamp": 9000000000000, "message": "x"}]}`); got != "InvalidParameterException: Upload too large: 1048603 bytes exceeds limit of 1048576" {
		t.Error(got)
	}
}

// FuzzCursor: a token that somebody made is refused or leads somewhere; nothing is a panic.
func FuzzCursor(f *testing.F) {
	b := newBench(f, nil)
	b.must("CreateLogGroup", `{"logGroupName": "g"}`)
	b.must("CreateLogStream", `{"logGroupName": "g", "logStreamName": "s"}`)
	for i := range 50 {
		b.putLines("g", "s", fmt.Sprint(i))
	}
	g, _ := b.machine.view().groups.Get(groupKey(caller.Account, caller.Region, "g"))
	what := "filter/" + g.doc.ID
	f.Add(true, uint8(3), uint64(1), uint64(5), uint64(9), int64(7), uint64(3), uint32(2), "f/AQ")
	f.Fuzz(func(t *testing.T, backward bool, flags uint8, lo, hi, end uint64, at int64, offset uint64, place uint32, text string) {
		c := cursor{backward: backward, opened: flags&1 != 0, inside: flags&2 != 0, lo: shardlog.Offset(lo), hi: shardlog.Offset(hi), end: shardlog.Offset(end)}
		if c.inside {
			c.at = position{at, offset, place}
		}
		if got, ok := parseCursor(c.encode(what), what); !ok || got != c {
			t.Errorf("%+v came back as %+v", c, got)
		}
		if _, ok := parseCursor(c.encode(what), "filter/other"); ok {
			t.Error("the token of another group is taken")
		}
		for _, token := range []string{c.encode(what), text} {
			_, err := b.FilterLogEvents(rheo.WithCaller(t.Context(), caller), &api.FilterLogEventsInput{LogGroupName: new("g"), NextToken: &token})
			if err != nil && err.Error() != badToken.Error() {
				t.Errorf("%+v: %v", c, err)
			}
		}
	})
}
