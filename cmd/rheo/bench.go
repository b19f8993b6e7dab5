package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"
)

func newBench() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench STREAM",
		Short: "Write a load into a stream and measure it",
		Long: "Write random records into a stream for a while and measure what comes of it. Refused records\n" +
			"are counted and not sent again.\n\n" +
			"Without --rate each connection sends its next call when the last one is answered. With --rate\n" +
			"calls are due at fixed times, and a call's latency counts from when it was due: a server that\n" +
			"stalls cannot hide it by being asked less.\n\n" +
			"The records stay in the stream. The client's own work is in the figures; for those of the server\n" +
			"alone see `make bench`.",
		Example: "  rheo bench load --duration 30s --connections 16\n" +
			"  rheo bench load --rate 2000 --size 200 --batch 1 --json",
		Args: cobra.ExactArgs(1),
	}
	conn := new(connection)
	conn.flags(c)
	c.ValidArgsFunction = conn.completeStream
	f := c.Flags()
	duration := f.DurationP("duration", "d", 10*time.Second, "how long")
	connections := f.IntP("connections", "c", 8, "calls at one time")
	batch := f.IntP("batch", "b", 100, "records a call, 1 to 500; 1 is PutRecord")
	size := f.IntP("size", "s", 1024, "`bytes` of a record's data")
	rate := f.Float64P("rate", "r", 0, "records a second; 0 is as many as go")
	keys := f.Int("keys", 10_000, "different partition keys")
	asJSON := f.Bool("json", false, "print the result as JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		switch {
		case *batch < 1 || *batch > putRecordsMax:
			return usagef("--batch %d is not 1 to %d", *batch, putRecordsMax)
		case *size < 0 || *size > recordMax:
			return usagef("--size %d is not 0 to %d", *size, recordMax)
		case *batch*(*size+8) > recordMax:
			return usagef("%d records of %d bytes are more than a call takes, %d", *batch, *size, recordMax)
		case *connections < 1 || *connections > 1024:
			return usagef("--connections %d is not 1 to 1024", *connections)
		case *keys < 1 || *rate < 0 || *duration <= 0:
			return usagef("--keys and --duration are more than 0, --rate is not less")
		}
		ctx := c.Context()
		k, err := conn.connect(ctx)
		if err != nil {
			return err
		}
		if _, err := k.summary(ctx, args[0]); err != nil {
			return err
		}
		b := &workload{client: k, batch: *batch, size: *size, keys: *keys, rate: *rate}
		b.name, b.arn = streamRef(args[0])
		progress := newProgress(c.ErrOrStderr(), false)
		r := b.run(ctx, *connections, *duration, progress)
		progress.clear()
		if *asJSON {
			err = printJSON(c.OutOrStdout(), r)
		} else {
			err = r.print(c.OutOrStdout())
		}
		if err == nil && r.Records == 0 {
			return fmt.Errorf("no record was written: %s", r.Problem)
		}
		return err
	}
	return c
}

// A workload writes random records.
type workload struct {
	client    *client
	name, arn *string
	batch     int
	size      int
	keys      int
	rate      float64 // records a second; 0: no pace

	mu      sync.Mutex // guards what follows
	records int64
	refused int64
	failed  int64 // calls
	calls   int64 // calls that were answered
	problem string
	latency histogram // of calls that were answered
	next    int64     // call, with a pace
}

// loadResult is what a load came to.
type loadResult struct {
	Seconds    float64            `json:"seconds"`
	Records    int64              `json:"records"`       // written
	Rate       float64            `json:"recordsPerSec"` // written
	Bytes      float64            `json:"bytesPerSec"`   // of data written
	Calls      int64              `json:"calls"`         // answered
	Refused    int64              `json:"refused"`       // records
	Failed     int64              `json:"failedCalls"`
	LatencyMS  map[string]float64 `json:"latencyMs"` // of answered calls: p50, p90, p99, p99.9, max
	Problem    string             `json:"lastError,omitempty"`
	percentile []string
}

func (b *workload) run(ctx context.Context, connections int, d time.Duration, p *progress) loadResult {
	began := time.Now()
	until, cancel := context.WithDeadline(ctx, began.Add(d))
	defer cancel()
	var workers sync.WaitGroup
	for range connections {
		workers.Go(func() { b.work(ctx, until, began) })
	}
	finished := make(chan struct{})
	go func() { workers.Wait(); close(finished) }()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	var last int64
	for at := began; ; {
		select {
		case <-finished:
			return b.result(time.Since(began))
		case now := <-tick.C:
			b.mu.Lock()
			n, p50, p99, refused := b.records, b.latency.quantile(0.5), b.latency.quantile(0.99), b.refused
			b.mu.Unlock()
			perSecond := float64(n-last) / now.Sub(at).Seconds()
			p.set("%3.0fs  %s records/s  %s/s  p50 %s  p99 %s  refused %s", now.Sub(began).Seconds(), thousands(int64(perSecond)),
				megabytes(perSecond*float64(b.size)), millis(p50), millis(p99), thousands(refused))
			last, at = n, now
		}
	}
}

// work is one connection. It begins no call after until, and finishes the one
// it has: to cut off the slow ones would make the figures better than it was.
func (b *workload) work(ctx, until context.Context, began time.Time) {
	once := func(o *kinesis.Options) { o.Retryer = aws.NopRetryer{} } // a retry would hide a refusal
	data := make([]byte, b.batch*b.size)
	rand.Read(data)
	var serial uint64
	for until.Err() == nil {
		due := time.Now()
		if b.rate > 0 {
			due = b.due(began)
			if sleep(until, time.Until(due)) != nil {
				return
			}
		}
		entries := make([]types.PutRecordsRequestEntry, b.batch)
		for i := range entries {
			d := data[i*b.size : (i+1)*b.size]
			if len(d) >= 8 {
				binary.LittleEndian.PutUint64(d, serial) // no two alike
				serial++
			}
			entries[i] = types.PutRecordsRequestEntry{Data: d, PartitionKey: aws.String(strconv.Itoa(mathrand.IntN(b.keys)))}
		}
		refused, problem, err := b.call(ctx, entries, once)
		if ctx.Err() != nil && err != nil {
			return
		}
		b.count(len(entries), refused, problem, err, time.Since(due))
		if err != nil && sleep(until, 10*time.Millisecond) != nil {
			return
		}
	}
}

// due is when the next call has to be made.
func (b *workload) due(began time.Time) time.Time {
	b.mu.Lock()
	n := b.next
	b.next++
	b.mu.Unlock()
	return began.Add(time.Duration(float64(n) * float64(b.batch) / b.rate * float64(time.Second)))
}

func (b *workload) call(ctx context.Context, entries []types.PutRecordsRequestEntry, once func(*kinesis.Options)) (refused int, problem string, err error) {
	if b.batch == 1 {
		e := entries[0]
		_, err := b.client.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: b.name, StreamARN: b.arn, Data: e.Data, PartitionKey: e.PartitionKey}, once)
		var full *types.ProvisionedThroughputExceededException
		if errors.As(err, &full) {
			return 1, short(err), nil
		}
		return 0, "", err
	}
	out, err := b.client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: b.name, StreamARN: b.arn, Records: entries}, once)
	if err != nil {
		return 0, "", err
	}
	for _, r := range out.Records {
		if r.ErrorCode != nil {
			refused++
			problem = aws.ToString(r.ErrorCode) + ": " + aws.ToString(r.ErrorMessage)
		}
	}
	return refused, problem, nil
}

func (b *workload) count(n, refused int, problem string, err error, took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.failed++
		b.problem = short(err)
		return
	}
	b.calls++
	b.records += int64(n - refused)
	b.refused += int64(refused)
	if problem != "" {
		b.problem = problem
	}
	b.latency.add(took)
}

// short is an error without what the SDK tells of its own working.
func short(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode() + ": " + e.ErrorMessage()
	}
	return rootCause(err).Error()
}

func (b *workload) result(took time.Duration) loadResult {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := took.Seconds()
	r := loadResult{Seconds: s, Records: b.records, Rate: float64(b.records) / s, Calls: b.calls, Refused: b.refused, Failed: b.failed,
		Problem: b.problem, LatencyMS: map[string]float64{}}
	r.Bytes = r.Rate * float64(b.size)
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}} {
		r.LatencyMS[q.name] = float64(b.latency.quantile(q.at).Microseconds()) / 1000
		r.percentile = append(r.percentile, q.name)
	}
	return r
}

func (r loadResult) print(w io.Writer) error {
	s := styleOf(w)
	var out strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&out, "%s %s\n", s.dim(fmt.Sprintf("%-9s", name)), fmt.Sprintf(format, args...))
	}
	line("written", "%s records in %.1f s", thousands(r.Records), r.Seconds)
	line("rate", "%s records/s, %s/s", thousands(int64(r.Rate)), megabytes(r.Bytes))
	text := ""
	for _, p := range r.percentile {
		text += fmt.Sprintf("%s %.1f ms  ", p, r.LatencyMS[p])
	}
	line("latency", "%sof %s calls", text, thousands(r.Calls))
	if r.Refused > 0 {
		line("refused", "%s records", thousands(r.Refused))
	}
	if r.Failed > 0 {
		line("failed", "%s calls", thousands(r.Failed))
	}
	if r.Problem != "" {
		line("error", "%s", r.Problem)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
