package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// The rows of Lambda: functions that run as local processes.

const (
	invokeConnections = 16
	invokeBytes       = 1024

	backlogRecords = 1_000_000
	backlogBytes   = 100
	backlogShards  = 4
	backlogTime    = 5 * time.Minute
)

// invokes is a row of Invoke: synchronous, signed, with an answer as large as the event.
type invokes struct {
	figure *figure
	goal   float64
	make   func(b *bench, addr string) error // of the function
}

func (i invokes) run(b *bench, _ kind, dir string) ([]found, string, error) {
	s, err := b.startFunctions(dir)
	if err != nil {
		return nil, "", err
	}
	defer s.stop()
	if err := i.make(b, s.addr); err != nil {
		return nil, "", err
	}
	event := []byte(`"` + strings.Repeat("x", invokeBytes-2) + `"`)
	requests := make([][][]byte, invokeConnections)
	for c := range requests {
		requests[c] = [][]byte{restRequest(s.addr, "POST", invocations, event, time.Now())}
	}
	l := loop{addr: s.addr, requests: requests, units: 1, bodyMax: invokeBytes + 1, warmUp: 3 * time.Second, least: b.least,
		check: func(r response) error {
			if !bytes.Equal(r.head, event) {
				return fmt.Errorf("the function answered %.200q", r.head)
			}
			return nil
		}}
	res, err := l.run()
	if err != nil {
		return nil, "", err
	}
	note := fmt.Sprintf("%d connections, p50 %v, p99 %v, generator %.0f %% of the CPU", invokeConnections, res.percentile(0.5), res.percentile(0.99), 100*res.cpu)
	if res.failed > 0 {
		return nil, "", fmt.Errorf("%d of %d invocations failed, the first: %w", res.failed, res.failed+res.requests, res.firstErr)
	}
	return []found{{i.figure, res.perSecond, i.goal}}, note, nil
}

// mappingRate has a mapping begin at the start of a stream that holds a backlog. The
// clock runs from the answer to CreateEventSourceMapping until the function has
// been given all of it.
func mappingRate(b *bench, _ kind, dir string) ([]found, string, error) {
	s, err := b.startFunctions(dir)
	if err != nil {
		return nil, "", err
	}
	defer s.stop()
	if err := createStream(s.addr, backlogShards); err != nil {
		return nil, "", err
	}
	const each = 500
	put := request(s.addr, "PutRecords", putRecordsBody(newRNG(1), each, backlogBytes), time.Now())
	c, err := dial(s.addr)
	if err != nil {
		return nil, "", err
	}
	defer c.close()
	buf := make([]byte, 256*each)
	for range backlogRecords / each {
		r, err := c.do(put, buf)
		if err == nil && r.status != 200 {
			err = fmt.Errorf("status %d: %.300s", r.status, r.head)
		}
		if err == nil {
			err = stored(r)
		}
		if err != nil {
			return nil, "", fmt.Errorf("the backlog: %w", err)
		}
	}
	if err := makeGo(b, s.addr); err != nil {
		return nil, "", err
	}
	d, err := describeStream(s.addr)
	if err != nil {
		return nil, "", err
	}
	err = rest(s.addr, "POST", "/2015-03-31/event-source-mappings", map[string]any{"FunctionName": functionName, "EventSourceArn": d.StreamARN,
		"StartingPosition": "TRIM_HORIZON", "BatchSize": 10_000})
	if err != nil {
		return nil, "", err
	}
	began := time.Now()
	for {
		invoked, err := metric(s.addr, "rheo_lambda_invoked_events_total")
		if err != nil {
			return nil, "", err
		}
		if invoked >= backlogRecords {
			break
		}
		if time.Since(began) > backlogTime {
			return nil, "", fmt.Errorf("%.0f of %d records in %v", invoked, backlogRecords, backlogTime)
		}
		time.Sleep(20 * time.Millisecond)
	}
	took := time.Since(began)
	for name, want := range map[string]float64{"rheo_lambda_invoked_events_total": backlogRecords, "rheo_lambda_failed_invoke_events_total": 0} {
		if n, err := metric(s.addr, name); err != nil || n != want {
			return nil, "", fmt.Errorf("%s is %v, want %v (%v)", name, n, want, err)
		}
	}
	rss, peak, err := processRSS(s.pid())
	return []found{{figure: figureMapping, value: backlogRecords / took.Seconds()}},
		fmt.Sprintf("records of %d bytes in %d shards, server RSS %d MB (peak %d)", backlogBytes, backlogShards, rss/1e6, peak/1e6), err
}

const (
	functionName = "f"
	invocations  = "/2015-03-31/functions/" + functionName + "/invocations"
)

func makeGo(b *bench, addr string) error {
	code, err := os.ReadFile(b.counterBinary)
	if err != nil {
		return err
	}
	return makeFunction(addr, "provided.al2023", "bootstrap", "bootstrap", code)
}

func makeNode(_ *bench, addr string) error {
	version, err := exec.Command("node", "-p", "'nodejs' + process.versions.node.split('.')[0] + '.x'").Output()
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	return makeFunction(addr, strings.TrimSpace(string(version)), "index.handler", "index.mjs", []byte("export const handler = async (event) => event;\n"))
}

func makeFunction(addr, runtime, handler, file string, code []byte) error {
	var pack bytes.Buffer
	z := zip.NewWriter(&pack)
	h := &zip.FileHeader{Name: file, Method: zip.Deflate}
	h.SetMode(0o755)
	w, err := z.CreateHeader(h)
	if err != nil {
		return err
	}
	if _, err := w.Write(code); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return rest(addr, "POST", "/2015-03-31/functions", map[string]any{"FunctionName": functionName, "Runtime": runtime, "Handler": handler,
		"Role": "arn:aws:iam::000000000000:role/bench", "Timeout": 30, "MemorySize": 512, "Code": map[string]any{"ZipFile": pack.Bytes()}})
}

// rest does an operation of Lambda outside the clock.
func rest(addr, method, path string, in any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer c.close()
	r, err := c.do(restRequest(addr, method, path, body, time.Now()), make([]byte, 64<<10))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if r.status/100 != 2 {
		return fmt.Errorf("%s: status %d: %.300s", path, r.status, r.head)
	}
	return nil
}

// metric reads one of the server's own.
func metric(addr, name string) (float64, error) {
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(v), 64)
		}
	}
	return 0, fmt.Errorf("no metric %s in %d bytes (%s)", name, len(text), resp.Status)
}
