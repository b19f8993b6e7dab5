package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// row is one run on one server, which may give several figures.
type row struct {
	name string
	run  map[kind]runFunc // absent: this server cannot run the row, or has no part in it
}

type runFunc func(b *bench, k kind, dir string) (found []found, note string, err error)

// onAll runs the same on every server.
func onAll(run runFunc) map[kind]runFunc {
	return map[kind]runFunc{limit: run, rheo: run, kinesisMock: run, kinesalite: run}
}

func allRows() []row {
	return []row{
		{"start, empty directory", map[kind]runFunc{rheo: startEmpty, kinesisMock: startEmpty, kinesalite: startEmpty}},
		{"RSS without streams", map[kind]runFunc{rheo: idleMemory, kinesisMock: idleMemory, kinesalite: idleMemory}},
		{figurePut4.name, onAll(puts{figure: figurePut4, records: 500, bytes: 1024, shards: 4, conns: 8}.run)},
		{figurePut1000.name, onAll(puts{figure: figurePut1000, records: 500, bytes: 1024, shards: 1000, conns: 8, twice: true}.run)},
		{figurePutSmall.name, onAll(puts{figure: figurePutSmall, records: 500, bytes: 100, shards: 4, conns: 8}.run)},
		{figurePutOne.name, onAll(puts{figure: figurePutOne, p99: figurePutOneP99, records: 1, bytes: 1024, shards: 4, conns: 64}.run)},
		{figurePutOneP50.name, onAll(puts{p50: figurePutOneP50, records: 1, bytes: 1024, shards: 4, conns: 1}.run)},
		{figureGetTail.name, onAll(getTail)},
		// kinesis-mock has no files to read from.
		{figureGetCold.name, map[kind]runFunc{limit: getCold, rheo: getCold, kinesalite: getCold}},
		// The emulators do not push: kinesalite has no fan-out, and kinesis-mock's has no HTTP/1.1 stream.
		{"fan-out delivery", map[kind]runFunc{rheo: fanOut, kinesisMock: fanOut}},
		{figureLeases1.name, leases{figureLeases1, 1}.onBoth()},
		{figureLeases64.name, leases{figureLeases64, 64}.onBoth()},
		{figureKCL.name, map[kind]runFunc{rheo: kclDelay}},
		{figureStartKilled.name, map[kind]runFunc{rheo: startKilled}},
		{figureAgent.name, map[kind]runFunc{rheo: agentRate}},
		{figureInvokeGo.name, map[kind]runFunc{rheo: invokes{figureInvokeGo, goalInvokeGo, makeGo}.run}},
		{figureInvokeNode.name, map[kind]runFunc{rheo: invokes{figureInvokeNode, goalInvokeNode, makeNode}.run}},
		{figureMapping.name, map[kind]runFunc{rheo: mappingRate}},
	}
}

// puts is a row of PutRecords, or of PutRecord where records is 1.
type puts struct {
	figure, p99, p50              *figure
	records, bytes, shards, conns int
	twice                         bool // the limit writes every byte a second time
}

func (p puts) run(b *bench, k kind, dir string) ([]found, string, error) {
	journal := max(b.wrap, 64<<20)
	if p.records == 1 {
		journal /= 4 // so that its end is reached in the time
	}
	args := []string{"-journal", strconv.FormatInt(journal, 10), "-shards", strconv.Itoa(p.shards)}
	if p.twice {
		args = append(args, "-twice")
	}
	s, err := b.start(k, dir, args...)
	if err != nil {
		return nil, "", err
	}
	defer s.stop()
	if k != limit {
		if err := createStream(s.addr, p.shards); err != nil {
			return nil, "", err
		}
	}
	each := 4
	if p.records == 1 {
		each = 16
	}
	written := &writtenMeter{s: s, payload: int64(p.records * p.bytes), journaled: int64(p.records * p.bytes)}
	if p.conns == 1 {
		written.journaled = 4096 // each put is a group, and groups are padded to blocks
	}
	l := loop{
		addr:     s.addr,
		requests: putRequests(s.addr, p.conns, each, p.records, p.bytes, p.records == 1),
		units:    p.records,
		check:    stored,
		bodyMax:  256 * p.records,
		warmUp:   min(3*time.Second, b.least),
		least:    b.least,
		most:     10 * b.least,
		begun:    written.begin,
		served:   func() { written.requests.Add(1) },
	}
	if b.wrap > 0 && (k == limit || k == rheo) {
		l.until = written.wrapped
	}
	res, err := l.run()
	if err != nil {
		return nil, "", err
	}
	rss, peak, err := processRSS(s.pid())
	if err != nil {
		return nil, "", err
	}
	b.rss[k] = max(b.rss[k], float64(rss)/1e6)
	note := fmt.Sprintf("%d requests in %.1f s, p50 %v, p99 %v, generator %.0f %% of the CPU, server RSS %d MB (peak %d)",
		res.requests, res.took.Seconds(), res.percentile(0.5), res.percentile(0.99), 100*res.cpu, rss/1e6, peak/1e6)
	if res.failed > 0 {
		note += fmt.Sprintf(", %d FAILED, the first: %v", res.failed, res.firstErr)
	}
	var all []found
	if p.figure != nil {
		all = append(all, found{figure: p.figure, value: res.perSecond})
	}
	if p.p99 != nil {
		all = append(all, found{figure: p.p99, value: ms(res.percentile(0.99))})
	}
	if p.p50 != nil {
		all = append(all, found{figure: p.p50, value: ms(res.percentile(0.5))})
	}
	perByte, device, whole := written.perByte()
	note += fmt.Sprintf(", %.2f bytes written per payload byte (%.2f by the device's count, which has all processes)", perByte, device)
	if p.figure == figurePut4 && k == rheo && whole {
		all = append(all, found{figure: figureWritten, value: perByte, limit: goalWritten})
	}
	return all, note, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

var errRecordFailed = errors.New("a record failed")

// stored checks the answer to a put.
func stored(rsp response) error {
	if bytes.Contains(rsp.head, []byte(`"ErrorCode":"`)) || !bytes.Contains(rsp.head, []byte(`"SequenceNumber"`)) {
		return fmt.Errorf("%w: %.300s", errRecordFailed, rsp.head)
	}
	return nil
}

func startEmpty(b *bench, k kind, dir string) ([]found, string, error) {
	s, err := b.start(k, dir)
	if err != nil {
		return nil, "", err
	}
	defer s.stop()
	return []found{{figureStartEmpty, s.started.Seconds(), goalStartEmpty}}, "", nil
}

func idleMemory(b *bench, k kind, dir string) ([]found, string, error) {
	s, err := b.start(k, dir)
	if err != nil {
		return nil, "", err
	}
	defer s.stop()
	time.Sleep(b.idle)
	rss, peak, err := processRSS(s.pid())
	if err != nil {
		return nil, "", err
	}
	return []found{{figureRSSIdle, float64(rss) / 1e6, goalIdleRSS}}, fmt.Sprintf("peak %d MB", peak/1e6), nil
}

// startKilled kills rheo under load once its journal has the size, and starts it
// again. The journal only grows when the segments cannot keep up, so the load
// goes to a thousand shards, which are dear to write out and to recover.
func startKilled(b *bench, k kind, dir string) ([]found, string, error) {
	s, err := b.start(k, dir)
	if err != nil {
		return nil, "", err
	}
	defer func() { s.kill() }()
	if err := createStream(s.addr, 1000); err != nil {
		return nil, "", err
	}
	l := loop{addr: s.addr, requests: putRequests(s.addr, 16, 4, 500, 1024, false), units: 500, check: stored, bodyMax: 128 << 10, most: 4 * b.least}
	var size int64
	l.until = func() bool {
		size = filesSize(dir, "/journal/")
		return size >= b.killBytes
	}
	// While the load goes on: once asked to end, the loop waits for answers.
	killed := make(chan struct{})
	l.ending = func() {
		s.kill()
		close(killed)
	}
	if _, err := l.run(); err != nil {
		return nil, "", err
	}
	<-killed
	if s, err = b.start(k, dir); err != nil {
		return nil, "", err
	}
	if _, err := describeStream(s.addr); err != nil {
		return nil, "", err
	}
	if size < b.killBytes {
		return nil, "", fmt.Errorf("the journal grew to %d MiB in %v; a start after the kill took %v", size>>20, l.most, s.started)
	}
	return []found{{figureStartKilled, s.started.Seconds(), goalStartKill}}, fmt.Sprintf("journal of %d MiB, 1000 shards", size>>20), nil
}

// fillMax is how long a server may take to be filled for a row of reads; one that
// takes longer (kinesis-mock: nine minutes for 44,000 records) cannot run the row.
const fillMax = 2 * time.Minute

// fill puts at least so many records of 1 KB for each shard.
func fill(addr string, shards, perShard int) error {
	// Random keys spread evenly but not exactly.
	total := shards * (perShard + perShard/20 + 500)
	const conns = 4
	requests := putRequests(addr, conns, 8, 500, 1024, false)
	var wg sync.WaitGroup
	errs := make([]error, conns)
	began := time.Now()
	for i := range conns {
		wg.Go(func() {
			c, err := dial(addr)
			if err != nil {
				errs[i] = err
				return
			}
			defer c.close()
			buf := make([]byte, 128<<10)
			for n := i * 500; n < total; n += conns * 500 {
				if time.Since(began) > fillMax {
					errs[i] = fmt.Errorf("it takes longer than %v to fill the stream", fillMax)
					return
				}
				rsp, err := c.do(requests[i][n/500/conns%len(requests[i])], buf)
				if err == nil && rsp.status != 200 {
					err = fmt.Errorf("status %d: %.200s", rsp.status, rsp.head)
				}
				if err == nil {
					err = stored(rsp)
				}
				if err != nil {
					errs[i] = fmt.Errorf("cannot fill the stream: %w", err)
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
