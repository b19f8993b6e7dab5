package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/rheostream/rheo/interop/contents"
)

// Traffic has sdkKeys keys, each put by the Go SDK with one record on its way at a time,
// and kplKeys keys of the producer library, which promises no order. Keys are
// prefix-0, prefix-1 and so on; the data of a record is key/number and padding.
const (
	sdkPrefix, sdkKeys = "sdk", 16
	kplPrefix, kplKeys = "kpl", 40

	kplPerSecond = 400
	sdkPause     = 50 * time.Millisecond
)

// data is what a record carries.
func data(key string, number int) string {
	return fmt.Sprintf("%s/%d/%0*d", key, number, 20+number%200, 0)
}

// numberOf is the number in a record's data.
func numberOf(r contents.Record) (n int, err error) {
	if _, err := fmt.Sscanf(strings.TrimPrefix(r.Data, r.Key), "/%d/", &n); err != nil {
		return 0, fmt.Errorf("%s of key %s is not what any producer put: %.60q", r.Sequence, r.Key, r.Data)
	}
	return n, nil
}

// A traffic is producers at work.
type traffic struct {
	quit    chan struct{}
	writers sync.WaitGroup
	kpl     *exec.Cmd // nil without
	stdin   io.Closer // of it: closing it ends the traffic
	stdout  bytes.Buffer
	log     string

	mu    sync.Mutex
	acked map[string]int // of each key: numbers 0 to acked-1 are in the stream
	err   error
}

func (r *run) startTraffic(ctx context.Context) (*traffic, error) {
	t := &traffic{quit: make(chan struct{}), acked: map[string]int{}, log: filepath.Join(r.dir, "kpl.log")}
	for i := range sdkKeys {
		t.writers.Go(func() { t.write(ctx, r, fmt.Sprintf("%s-%d", sdkPrefix, i)) })
	}
	if r.kpl == "" {
		fmt.Println("traffic: Go SDK; no producer library")
		return t, nil
	}
	endpoint, err := url.Parse(os.Getenv("AWS_ENDPOINT_URL"))
	if err != nil {
		return nil, fmt.Errorf("AWS_ENDPOINT_URL: %w", err)
	}
	log, err := os.Create(t.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	t.kpl = exec.CommandContext(ctx, "java", "-XX:+UseSerialGC", "-Xmx256m", "-cp", r.kpl, "interop.Producer",
		"stream="+r.stream, "host="+endpoint.Hostname(), "port="+endpoint.Port(), "ca="+r.ca,
		fmt.Sprint("keys=", kplKeys), fmt.Sprint("rate=", kplPerSecond))
	t.kpl.Stdout, t.kpl.Stderr = &t.stdout, log
	if t.stdin, err = t.kpl.StdinPipe(); err != nil {
		return nil, err
	}
	if err := t.kpl.Start(); err != nil {
		return nil, fmt.Errorf("cannot start the producer: %w", err)
	}
	fmt.Println("traffic: Go SDK and Kinesis Producer Library")
	return t, nil
}

// write puts records of one key, in order.
func (t *traffic) write(ctx context.Context, r *run, key string) {
	for n := 0; ; n++ {
		_, err := r.kinesis.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: &r.stream, PartitionKey: &key, Data: []byte(data(key, n))})
		t.mu.Lock()
		if err != nil {
			t.err = errors.Join(t.err, fmt.Errorf("cannot put: %w", err))
			t.mu.Unlock()
			return
		}
		t.acked[key] = n + 1
		t.mu.Unlock()
		select {
		case <-t.quit:
			return
		case <-ctx.Done():
			return
		case <-time.After(sdkPause):
		}
	}
}

// finish ends the traffic and says of each key how many records were acknowledged.
func (t *traffic) finish(ctx context.Context, r *run) (acked map[string]int, err error) {
	close(t.quit)
	t.writers.Wait()
	if t.err != nil {
		return nil, t.err
	}
	acked = maps.Clone(t.acked)
	if t.kpl == nil {
		return acked, nil
	}
	t.stdin.Close()
	if err := t.kpl.Wait(); err != nil {
		log, _ := os.ReadFile(t.log)
		return nil, fmt.Errorf("the producer failed: %w\n%s%s", err, t.stdout.Bytes(), log[max(0, len(log)-3000):])
	}
	lines := bufio.NewScanner(&t.stdout)
	for lines.Scan() {
		var key string
		var n int
		if _, err := fmt.Sscanf(lines.Text(), "acked %s %d", &key, &n); err == nil {
			acked[key] = n
		}
	}
	r.logs = append(r.logs, t.log)
	return acked, nil
}

// checkPut compares what is in the stream with what was acknowledged: every record is
// there, and those of the Go SDK once and in order. Some records of the producer library can be in
// nothing but aggregates that consumers drop, see contents.Record: those that were packed for the
// parent of a split and acknowledged with the child's hash range already known. The library sends only
// their stray companions again. That is a loss between the two libraries, on AWS as here;
// it is counted and told.
func checkPut(shards []contents.Shard, acked map[string]int) (lostByLibraries int, err error) {
	there := map[string]map[int]bool{} // of each key, number to whether consumers see it
	var inOrder []contents.Record
	for _, s := range shards {
		inOrder = append(inOrder, s.Records...)
	}
	sortByPosition(inOrder)
	for _, rec := range inOrder {
		n, err := numberOf(rec)
		if err != nil {
			return 0, err
		}
		of := there[rec.Key]
		if of == nil {
			of = map[int]bool{}
			there[rec.Key] = of
		}
		if strings.HasPrefix(rec.Key, sdkPrefix) && n != len(of) {
			return 0, fmt.Errorf("record %d of %s, at %s, comes after %d others", n, rec.Key, rec.Sequence, len(of))
		}
		of[n] = of[n] || !rec.Dropped
	}
	for key, total := range acked {
		for n := range total {
			seen, stored := there[key][n]
			if !stored {
				return 0, fmt.Errorf("record %d of %s was acknowledged, but is not in the stream", n, key)
			}
			if !seen {
				lostByLibraries++
			}
		}
	}
	return lostByLibraries, nil
}
