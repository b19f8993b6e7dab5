package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// figure is one line of the result.
type figure struct {
	name, unit string
	// lower: smaller values are better, so the ratio is limit/value.
	lower bool
	// goal is the ratio to reach; 0: none is set.
	goal float64
	// against says what the limit column is, where it is not the limit server.
	against string
	// other is the server of the limit column, where it is another one.
	other kind
	// timesPeer, if above 0, is how many times the better peer that keeps data rheo is to be.
	timesPeer float64
}

// found is a figure of one run. limit is set where the limit is no server of its own.
type found struct {
	figure *figure
	value  float64
	limit  float64
}

const (
	goalStartEmpty = 0.1  // s
	goalStartKill  = 3.0  // s
	goalFanOutP99  = 20.0 // ms
	goalIdleRSS    = 40.0 // MB
	memoryBudget   = 1024 // MiB, rheo's default
	goalWritten    = 2.3
	goalKCLMore    = 100.0 // ms
	goalInvokeGo   = 2000.0
	goalInvokeNode = 1000.0
)

var (
	figurePut4        = &figure{name: "PutRecords 500 x 1 KB, 4 shards", unit: "records/s", goal: 0.6}
	figurePut1000     = &figure{name: "PutRecords 500 x 1 KB, 1000 shards", unit: "records/s", goal: 0.6}
	figurePutSmall    = &figure{name: "PutRecords 500 x 100 B, 4 shards", unit: "records/s", goal: 0.5, timesPeer: 20}
	figurePutOne      = &figure{name: "PutRecord 1 KB, 64 connections", unit: "records/s", goal: 0.6}
	figurePutOneP99   = &figure{name: "p99 of one-record puts, 64 connections", unit: "ms", lower: true, goal: 0.5}
	figurePutOneP50   = &figure{name: "p50 of one-record puts, 1 connection", unit: "ms", lower: true, goal: 0.5}
	figureGetTail     = &figure{name: "GetRecords tail, 10,000 a call", unit: "records/s", goal: 0.5}
	figureGetCold     = &figure{name: "GetRecords cold", unit: "records/s", goal: 0.5}
	figureFanOutP50   = &figure{name: "fan-out delivery p50, 10 MB/s over 10 shards", unit: "ms", lower: true, goal: 0.5, against: "the puts' own ack p50"}
	figureFanOutP99   = &figure{name: "fan-out delivery p99, 10 MB/s over 10 shards", unit: "ms", lower: true, goal: 1, against: "the goal"}
	figureAgent       = &figure{name: "agent, lines of 500 B into 64 shards", unit: "MB/s", goal: 0.7, against: "a loop of the Go SDK that puts the same lines from memory"}
	figureInvokeGo    = &figure{name: "Invoke 1 KB, Go function, 16 connections", unit: "invocations/s", goal: 1, against: "the goal"}
	figureInvokeNode  = &figure{name: "Invoke 1 KB, Node function, 16 connections", unit: "invocations/s", goal: 1, against: "the goal"}
	figureMapping     = &figure{name: "mapping through a Go function, backlog of 1,000,000 x 100 B", unit: "records/s"}
	figureKCL         = &figure{name: "KCL 3 end-to-end delay p99, fan-out, 5,000 records/s", unit: "ms", lower: true, goal: 1, against: "a bare SubscribeToShard's p99 + 100 ms"}
	figureStartEmpty  = &figure{name: "start, empty directory", unit: "s", lower: true, goal: 1, against: "the goal"}
	figureStartKilled = &figure{name: "start after kill, 1 GiB of journal", unit: "s", lower: true, goal: 1, against: "the goal"}
	figureLeases1     = &figure{name: "conditional writes of leases, 1 writer", unit: "writes/s", goal: 3, other: dynamoDBLocal, against: "DynamoDB Local on disk"}
	figureLeases64    = &figure{name: "conditional writes of leases, 64 writers", unit: "writes/s", goal: 3, other: dynamoDBLocal, against: "DynamoDB Local on disk"}
	figureRSSIdle     = &figure{name: "RSS 30 s after start, no streams", unit: "MB", lower: true, goal: 1, against: "the goal"}
	figureRSSLoaded   = &figure{name: "RSS after the load rows", unit: "MB", lower: true, goal: 1, against: "the memory budget + 10 %"}
	figureWritten     = &figure{name: "bytes written per payload byte, 500 x 1 KB, after one wrap", unit: "bytes", lower: true, goal: 1, against: "the goal"}
)

var figures = []*figure{
	figurePut4, figurePut1000, figurePutSmall, figurePutOne, figurePutOneP99, figurePutOneP50, figureGetTail, figureGetCold,
	figureFanOutP50, figureFanOutP99, figureKCL, figureLeases1, figureLeases64, figureStartEmpty, figureStartKilled, figureRSSIdle, figureRSSLoaded, figureWritten,
	figureAgent, figureInvokeGo, figureInvokeNode, figureMapping,
}

// results holds the values of the rounds by figure and server.
type results map[string]map[kind][]float64

func (r results) add(name string, k kind, v float64) {
	if r[name] == nil {
		r[name] = map[kind][]float64{}
	}
	r[name][k] = append(r[name][k], v)
}

// limitOf returns the samples of the limit column.
func (r results) limitOf(f *figure) []float64 {
	if f == figureRSSLoaded && len(r[f.name]) > 0 {
		return []float64{memoryBudget * 1.1 * (1 << 20) / 1e6}
	}
	if f.other != "" {
		return r[f.name][f.other]
	}
	return r[f.name][limit]
}

func (r results) ratio(f *figure) (float64, bool) {
	l, ok1 := median(r.limitOf(f))
	v, ok2 := median(r[f.name][rheo])
	if !ok1 || !ok2 || l == 0 || v == 0 {
		return 0, false
	}
	if f.lower {
		return l / v, true
	}
	return v / l, true
}

// met tells whether rheo reaches the goal.
func (r results) met(f *figure) bool {
	ratio, ok := r.ratio(f)
	if !ok || ratio < f.goal {
		return false
	}
	peer, ok := median(r[f.name][kinesalite])
	v, _ := median(r[f.name][rheo])
	return f.timesPeer == 0 || !ok || v >= f.timesPeer*peer
}

func (r results) print(w io.Writer, raw, notes []string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nname\tunit\tlimit\trheo\tratio\tgoal\tkinesis-mock\tkinesalite")
	for _, f := range figures {
		if r[f.name] == nil {
			continue
		}
		ratio, goal := "n/a", fmt.Sprintf(">= %.3g", f.goal)
		if v, ok := r.ratio(f); ok {
			ratio = fmt.Sprintf("%.2f", v)
		}
		if f.timesPeer > 0 {
			goal += fmt.Sprintf(", >= %.0f x kinesalite", f.timesPeer)
		}
		if f.goal == 0 {
			goal = "none"
		} else if len(r[f.name][rheo]) > 0 && !r.met(f) {
			goal += " MISSED"
		}
		if f.against != "" {
			goal += " (limit: " + f.against + ")"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.name, f.unit, spread(r.limitOf(f)), spread(r[f.name][rheo]), ratio, goal,
			spread(r[f.name][kinesisMock]), spread(r[f.name][kinesalite]))
	}
	t.Flush()
	fmt.Fprintln(w, "\nmedian (lowest to highest). kinesis-mock keeps data in memory, kinesalite in LevelDB without a sync; rheo and the limit sync before they answer.")
	if r[figureLeases1.name] != nil || r[figureLeases64.name] != nil {
		fmt.Fprintln(w, "DynamoDB Local keeps tables in SQLite, which syncs four times for each write before it is answered; rheo syncs once for all writes that come together.")
	}
	for _, line := range raw {
		fmt.Fprintln(w, "raw,", line)
	}
	for _, line := range notes {
		fmt.Fprintln(w, "failed:", line)
	}
}

// write makes the file for machines: what has no value is null.
func (r results) write(name string) error {
	type line struct {
		Name  string              `json:"name"`
		Unit  string              `json:"unit"`
		Rheo  *float64            `json:"rheo"`
		Limit *float64            `json:"limit"`
		Ratio *float64            `json:"ratio"`
		Peers map[string]*float64 `json:"peers"`
	}
	pointer := func(v float64, ok bool) *float64 {
		if !ok {
			return nil
		}
		return &v
	}
	lines := []line{}
	for _, f := range figures {
		if r[f.name] == nil {
			continue
		}
		l := line{Name: f.name, Unit: f.unit, Rheo: pointer(median(r[f.name][rheo])), Limit: pointer(median(r.limitOf(f))),
			Ratio: pointer(r.ratio(f)), Peers: map[string]*float64{}}
		for _, p := range peers {
			l.Peers[string(p)] = pointer(median(r[f.name][p]))
		}
		lines = append(lines, l)
	}
	text, err := json.MarshalIndent(lines, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}

func median(v []float64) (float64, bool) {
	if len(v) == 0 {
		return 0, false
	}
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2, true
	}
	return s[len(s)/2], true
}

func spread(v []float64) string {
	m, ok := median(v)
	if !ok {
		return "n/a"
	}
	if len(v) == 1 || slices.Min(v) == slices.Max(v) {
		return format(m)
	}
	return fmt.Sprintf("%s (%s to %s)", format(m), format(slices.Min(v)), format(slices.Max(v)))
}

// format keeps three digits, and thousands apart.
func format(v float64) string {
	if v < 1000 {
		return fmt.Sprintf("%.3g", v)
	}
	s := fmt.Sprintf("%.0f", v)
	var parts []string
	for len(s) > 3 {
		parts, s = append(parts, s[len(s)-3:]), s[:len(s)-3]
	}
	parts = append(parts, s)
	slices.Reverse(parts)
	return strings.Join(parts, ",")
}
