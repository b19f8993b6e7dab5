package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	getShards  = 4
	tailCount  = 10_000 // records in each shard, and in each answer
	recordSize = 1024
)

// getTail asks again and again for the same ten thousand records of each shard,
// which were put just before.
func getTail(b *bench, k kind, dir string) ([]found, string, error) {
	s, err := b.start(k, dir, "-shards", strconv.Itoa(getShards), "-records", strconv.Itoa(tailCount))
	if err != nil {
		return nil, "", err
	}
	defer s.stop()
	if k != limit {
		if err := createStream(s.addr, getShards); err != nil {
			return nil, "", err
		}
		if err := fill(s.addr, getShards, tailCount); err != nil {
			return nil, "", err
		}
	}
	iterators, err := horizon(s)
	if err != nil {
		return nil, "", err
	}
	l := loop{addr: s.addr, warmUp: min(time.Second, b.least), least: b.least}
	var least int64 // the shortest answer that can hold all records
	for _, it := range iterators {
		page, err := getPage(s.addr, it)
		if err != nil {
			return nil, "", err
		}
		if l.units == 0 {
			l.units = page.records
		}
		if page.records != l.units || page.records == 0 {
			return nil, "", fmt.Errorf("answers of %d and %d records", l.units, page.records)
		}
		least = int64(l.units) * (recordSize*4/3 + keyBytes)
		l.requests = append(l.requests, [][]byte{request(s.addr, "GetRecords", getRecordsBody(it), time.Now())})
	}
	l.check = func(rsp response) error {
		if rsp.length < least {
			return fmt.Errorf("an answer of %d bytes cannot hold %d records", rsp.length, l.units)
		}
		return nil
	}
	res, err := l.run()
	if err != nil {
		return nil, "", err
	}
	note := fmt.Sprintf("%d a call, %d calls, p50 %v, p99 %v, generator %.0f %% of the CPU", l.units, res.requests, res.percentile(0.5), res.percentile(0.99), 100*res.cpu)
	if res.failed > 0 {
		note += fmt.Sprintf(", %d FAILED, the first: %v", res.failed, res.firstErr)
	}
	return []found{{figure: figureGetTail, value: res.perSecond}}, note, nil
}

// getCold reads all records of all shards once, from files that are in nobody's
// memory: the server was restarted, and before each pass the page cache was
// emptied. The requests are those of a first pass, signed again.
func getCold(b *bench, k kind, dir string) ([]found, string, error) {
	perShard := int(b.coldBytes / getShards / recordSize)
	if k == kinesalite {
		perShard = min(perShard, 16<<10) // the full set would take it a quarter of an hour to store
	}
	args := []string{"-shards", strconv.Itoa(getShards), "-records", strconv.Itoa(perShard), "-from-file"}
	s, err := b.start(k, dir, args...)
	if err != nil {
		return nil, "", err
	}
	defer func() { s.stop() }()
	if k != limit {
		if err := createStream(s.addr, getShards); err != nil {
			return nil, "", err
		}
		if err := fill(s.addr, getShards, perShard); err != nil {
			return nil, "", err
		}
		if err := s.stop(); err != nil {
			return nil, "", err
		}
		if s, err = b.start(k, dir, args...); err != nil {
			return nil, "", err
		}
	}
	iterators, err := horizon(s)
	if err != nil {
		return nil, "", err
	}
	var pages [][]getResult
	var total int
	for _, it := range iterators {
		var of []getResult
		for {
			page, err := getPage(s.addr, it)
			if err != nil {
				return nil, "", err
			}
			if page.records == 0 {
				break
			}
			of, it = append(of, page), page.next
			total += page.records
		}
		pages = append(pages, of)
	}
	now := time.Now()
	requests := make([][][]byte, len(pages))
	for i, of := range pages {
		for _, p := range of {
			requests[i] = append(requests[i], request(s.addr, "GetRecords", getRecordsBody(p.iterator), now))
		}
	}
	cpu := startCPUMeter()
	before, err := processIO(s.pid())
	if err != nil {
		return nil, "", err
	}
	var took time.Duration
	passes := 0
	// Iterators live for five minutes.
	for took < b.least && time.Since(now) < 4*time.Minute {
		if err := dropCache(dir); err != nil {
			return nil, "", err
		}
		began := time.Now()
		if err := readPass(s.addr, requests, pages); err != nil {
			return nil, "", err
		}
		took += time.Since(began)
		passes++
	}
	after, err := processIO(s.pid())
	if err != nil {
		return nil, "", err
	}
	payload := float64(passes) * float64(total) * recordSize
	note := fmt.Sprintf("%d passes of %d records, %.2f bytes read from the disk per payload byte, generator %.0f %% of the CPU",
		passes, total, float64(after.readBytes-before.readBytes)/payload, 100*cpu.share())
	return []found{{figure: figureGetCold, value: float64(passes) * float64(total) / took.Seconds()}}, note, nil
}

// readPass reads each shard on a connection of its own.
func readPass(addr string, requests [][][]byte, pages [][]getResult) error {
	var wg sync.WaitGroup
	errs := make([]error, len(requests))
	for i := range requests {
		wg.Go(func() { errs[i] = readShard(addr, requests[i], pages[i]) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func readShard(addr string, requests [][]byte, pages []getResult) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer c.close()
	buf := make([]byte, 512)
	for n, req := range requests {
		rsp, err := c.do(req, buf)
		if err != nil {
			return err
		}
		if least := int64(pages[n].records) * (recordSize*4/3 + keyBytes); rsp.status != 200 || rsp.length < least {
			return fmt.Errorf("status %d, %d bytes for %d records: %.200s", rsp.status, rsp.length, pages[n].records, rsp.head)
		}
	}
	return nil
}

// getResult is an answer to GetRecords and the iterator that gave it.
type getResult struct {
	iterator, next string
	records        int
}

func getPage(addr, iterator string) (getResult, error) {
	var out struct {
		NextShardIterator string
		Records           []json.RawMessage
	}
	err := call(addr, "GetRecords", map[string]any{"ShardIterator": iterator, "Limit": 10000}, &out)
	return getResult{iterator, out.NextShardIterator, len(out.Records)}, err
}

// horizon returns an iterator at the start of every shard.
func horizon(s *server) ([]string, error) {
	var iterators []string
	if s.kind == limit {
		for i := range getShards {
			iterators = append(iterators, strconv.Itoa(i)+"/0")
		}
		return iterators, nil
	}
	d, err := describeStream(s.addr)
	if err != nil {
		return nil, err
	}
	for _, shard := range d.Shards {
		it, err := shardIterator(s.addr, strings.TrimSpace(shard.ShardId), "TRIM_HORIZON")
		if err != nil {
			return nil, err
		}
		iterators = append(iterators, it)
	}
	return iterators, nil
}
