package logs

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	api "github.com/rheostream/rheo/internal/api/logs"
)

// rounds is how long random tests run.
func rounds(t *testing.T, few int) int {
	if n, err := strconv.Atoi(os.Getenv("LOGS_ROUNDS")); err == nil {
		return n
	}
	return few
}

// A line of the model: what was put, in the order in which it was.
type line struct {
	stream  string
	at      int64
	message string
	put     int // which PutLogEvents, from 0
}

// A model is what a group holds.
type model struct {
	*bench
	r     *rand.Rand
	lines []line
	puts  int
	live  map[string]int // the put at which a stream began
}

func (m *model) put() {
	stream := "s" + strconv.Itoa(m.r.IntN(6))
	if _, ok := m.live[stream]; !ok {
		m.must("CreateLogStream", `{"logGroupName": "g", "logStreamName": %q}`, stream)
		m.live[stream] = m.puts
	}
	// Mostly near now, and at times anywhere in two weeks.
	// Half of the time many have the same.
	grid := 1 + 999*m.r.Int64N(2)
	at := m.clock.Wall().UnixMilli() - m.r.Int64N(10_000)
	if m.r.IntN(8) == 0 {
		at -= m.r.Int64N(13 * dayMillis)
	}
	at -= at % grid
	in := &api.PutLogEventsInput{LogGroupName: new("g"), LogStreamName: &stream}
	for i := range 1 + m.r.IntN(5) {
		l := line{stream, at, fmt.Sprintf("%s %d.%d %0*d", stream, m.puts, i, m.r.IntN(200), 0), m.puts}
		in.LogEvents = append(in.LogEvents, api.InputLogEvent{Timestamp: &l.at, Message: &l.message})
		m.lines = append(m.lines, l)
		at += m.r.Int64N(3) * m.r.Int64N(2000) / grid * grid
	}
	if _, err := m.PutLogEvents(m.ctx(), in); err != nil {
		m.t.Fatal(err)
	}
	m.puts++
}

// drop deletes a stream with its lines.
func (m *model) drop() {
	for stream := range m.live {
		m.must("DeleteLogStream", `{"logGroupName": "g", "logStreamName": %q}`, stream)
		delete(m.live, stream)
		m.lines = slices.DeleteFunc(m.lines, func(l line) bool { return l.stream == stream })
		return
	}
}

// want are the lines of a stream, or of all, between two times, that were put before
// a put.
func (m *model) want(stream string, from, to int64, before int) (out []line) {
	for _, l := range m.lines {
		if (stream == "" || l.stream == stream) && l.at >= from && l.at < to && l.put < before {
			out = append(out, l)
		}
	}
	return out
}

func byTime(lines []line) []string {
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	return messages(lines)
}

func messages(lines []line) (out []string) {
	for _, l := range lines {
		out = append(out, l.message)
	}
	return out
}

// times are two times, or none.
func (m *model) times() (start, end *int64, from, to int64) {
	to = 1 << 60
	if m.r.IntN(2) == 0 {
		from = m.clock.Wall().UnixMilli() - m.r.Int64N(20_000)
		start = &from
	}
	if m.r.IntN(3) == 0 {
		to = m.clock.Wall().UnixMilli() - m.r.Int64N(5000)
		end = &to
	}
	return start, end, from, to
}

// filter reads by pages while others put: it has to give just what was there at its
// first page. Where the window takes in all, that is in the order of times.
func (m *model) filter(whole bool) {
	before := m.puts
	in := api.FilterLogEventsInput{LogGroupName: new("g"), Limit: new(int32(1 + m.r.IntN(50)))}
	var from, to int64
	in.StartTime, in.EndTime, from, to = m.times()
	stream := ""
	if m.r.IntN(2) == 0 && len(m.live) > 0 {
		for stream = range m.live {
			break
		}
		in.LogStreamNames = []string{stream}
	}
	want := byTime(m.want(stream, from, to, before))
	var got []string
	ids := map[string]bool{}
	for pages := 0; ; pages++ {
		out, err := m.FilterLogEvents(m.ctx(), &in)
		if err != nil {
			m.t.Fatal(err)
		}
		last := int64(0)
		for _, e := range out.Events {
			if got = append(got, *e.Message); *e.Timestamp < last || ids[*e.EventId] {
				m.t.Fatalf("%s at %d comes behind %d, or twice", *e.Message, *e.Timestamp, last)
			}
			last, ids[*e.EventId] = *e.Timestamp, true
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			break
		}
		if m.r.IntN(3) == 0 {
			m.put()
		}
		if pages > 10_000 {
			m.t.Fatal("pages do not end")
		}
	}
	m.compare(got, want, whole)
}

func (m *model) compare(got, want []string, ordered bool) {
	m.t.Helper()
	if !ordered {
		slices.Sort(got)
		slices.Sort(want)
	}
	if !slices.Equal(got, want) {
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				m.t.Fatalf("%d lines, want %d; the first that differ are %.80q, want %.80q", len(got), len(want), at(got, i), at(want, i))
			}
		}
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// tail follows a stream forward from its head while others put: it has to see each
// line once.
func (m *model) tail() {
	if len(m.live) == 0 {
		return
	}
	var stream string
	for stream = range m.live {
		break
	}
	in := &api.GetLogEventsInput{LogGroupName: new("g"), LogStreamName: &stream, StartFromHead: new(true), Limit: new(int32(1 + m.r.IntN(20)))}
	var got []string
	puts := m.r.IntN(10)
	for pages := 0; ; pages++ {
		out, err := m.GetLogEvents(m.ctx(), in)
		if err != nil {
			m.t.Fatal(err)
		}
		for _, e := range out.Events {
			got = append(got, *e.Message)
		}
		same := in.NextToken != nil && *in.NextToken == *out.NextForwardToken
		if in.NextToken = out.NextForwardToken; same && puts == 0 {
			break
		}
		if puts > 0 {
			puts--
			m.put()
		}
		if pages > 10_000 {
			m.t.Fatal("pages do not end")
		}
	}
	m.compare(got, messages(m.want(stream, 0, 1<<60, m.puts)), false)

	// And back again to the head, behind which the token stays as it is.
	var back []string
	for pages := 0; ; pages++ {
		out, err := m.GetLogEvents(m.ctx(), in)
		if err != nil {
			m.t.Fatal(err)
		}
		var page []string
		for _, e := range out.Events {
			page = append(page, *e.Message)
		}
		back = append(page, back...)
		if pages > 0 && *in.NextToken == *out.NextBackwardToken {
			break
		}
		in.NextToken = out.NextBackwardToken
		if pages > 10_000 {
			m.t.Fatal("pages do not end")
		}
	}
	m.compare(back, got, false)
}

// TestModel: what is read is what was put, by whatever pages, times and streams, with
// chunks and windows of any size, across restarts, and with others that put meanwhile.
func TestModel(t *testing.T) {
	for seed := range rounds(t, 8) {
		r := rand.New(rand.NewPCG(7, uint64(seed)))
		m := &model{bench: newBench(t, nil), r: r, live: map[string]int{}}
		whole := seed%2 == 0
		tune := func() {
			m.logs.grain = 300 + r.Int64N(3000)
			if m.window = 1 + r.Int64N(20_000); whole {
				m.window = windowBytes
			}
		}
		tune()
		m.must("CreateLogGroup", `{"logGroupName": "g"}`)
		for range 150 {
			switch r.IntN(12) {
			case 0:
				m.clock.advance(time.Duration(r.IntN(5000)) * time.Millisecond)
			case 1:
				m.filter(whole)
			case 2:
				m.tail()
			case 3:
				if r.IntN(4) == 0 {
					m.restart()
					tune()
				}
			case 4:
				if r.IntN(6) == 0 {
					m.drop()
				}
			case 5:
				for _, gl := range m.logs.all() {
					if r.IntN(2) == 0 && m.logs.save(t.Context(), gl) {
						gl.forget()
					}
				}
			default:
				m.put()
			}
		}
		m.filter(whole)
		m.tail()
		m.Close()
	}
}
