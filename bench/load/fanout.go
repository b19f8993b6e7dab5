package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// fanOutLoad is puts at a steady rate, spread over the shards. Every record
// carries its request's number, which leads to the time when that was sent.
type fanOutLoad struct {
	shards, conns int
	records       int // in a request
	perSecond     int // requests
	recordBytes   int
}

// fanOutRow is 10 MB/s over ten shards, each shard pushed to a consumer.
var fanOutRow = fanOutLoad{shards: 10, conns: 16, records: 20, perSecond: 500, recordBytes: 1000}

type fanOutRun struct {
	fanOutLoad
	addr     string
	requests [][]byte
	sent     []atomic.Int64 // UnixNano, by request; 0: not yet
	acked    []atomic.Int64
	first    int // request that counts, those before it warm up

	mu        sync.Mutex
	delivered []time.Duration // guarded by mu
}

func fanOut(b *bench, k kind, dir string) ([]found, string, error) {
	s, err := b.start(k, dir)
	if err != nil {
		return nil, "", err
	}
	defer s.stop()
	if err := createStream(s.addr, fanOutRow.shards); err != nil {
		return nil, "", err
	}
	f := newFanOutRun(fanOutRow, s.addr, min(2*time.Second, b.least), b.least)
	cpu, err := f.run()
	if err != nil {
		return nil, "", err
	}
	return f.figures(cpu)
}

// run subscribes to all shards, puts, and waits for what was put. It gives this process's share of the CPU meanwhile.
func (f *fanOutRun) run() (cpu float64, err error) {
	consumer, shards, err := registerConsumer(f.addr)
	if err != nil {
		return 0, err
	}
	var subscribers sync.WaitGroup
	subscribed := make(chan error, len(shards))
	var conns []*conn
	defer func() {
		for _, c := range conns {
			c.close()
		}
		subscribers.Wait()
	}()
	failures := make(chan error, len(shards))
	for _, shard := range shards {
		c, err := dial(f.addr)
		if err != nil {
			return 0, err
		}
		conns = append(conns, c)
		subscribers.Go(func() { failures <- f.subscribe(c, consumer, shard, subscribed) })
	}
	for range shards {
		if err := <-subscribed; err != nil {
			return 0, err
		}
	}
	meter := startCPUMeter()
	putErr := f.put()
	cpu = meter.share()
	time.Sleep(500 * time.Millisecond) // what is under way arrives
	select {
	case err := <-failures:
		return 0, fmt.Errorf("a subscription ended: %w", err)
	default:
	}
	return cpu, putErr
}

func newFanOutRun(load fanOutLoad, addr string, warmUp, least time.Duration) *fanOutRun {
	n := int((warmUp + least).Seconds() * float64(load.perSecond))
	f := &fanOutRun{fanOutLoad: load, addr: addr, requests: make([][]byte, n), sent: make([]atomic.Int64, n), acked: make([]atomic.Int64, n),
		first: int(warmUp.Seconds() * float64(load.perSecond))}
	rng := newRNG(2)
	data := make([]byte, load.recordBytes)
	now := time.Now()
	for i := range f.requests {
		body := []byte(`{"Records":[`)
		for r := range load.records {
			if r > 0 {
				body = append(body, ',')
			}
			rng.Read(data)
			binary.BigEndian.PutUint32(data, uint32(i))
			body = append(appendRecord(body, data, rng.Uint64()), '}')
		}
		f.requests[i] = request(addr, "PutRecords", append(body, `],"StreamName":"`+streamName+`"}`...), now)
	}
	return f
}

// put sends the requests at their times, each on the next free connection. A
// time that was missed is made up for, so a stall shows in what comes after.
func (f *fanOutRun) put() error {
	next := make(chan int, f.conns)
	errs := make(chan error, f.conns)
	var wg sync.WaitGroup
	for range f.conns {
		wg.Go(func() {
			c, err := dial(f.addr)
			if err == nil {
				defer c.close()
				buf := make([]byte, 16<<10)
				for n := range next {
					f.sent[n].Store(time.Now().UnixNano())
					var rsp response
					if rsp, err = c.do(f.requests[n], buf); err == nil {
						err = stored(rsp)
					}
					if err != nil {
						break
					}
					f.acked[n].Store(time.Now().UnixNano())
				}
			}
			if err != nil {
				errs <- err
				for range next { // so that the others end
				}
			}
		})
	}
	began := time.Now()
	for n := range f.requests {
		time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(f.perSecond))))
		next <- n
	}
	close(next)
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

func (f *fanOutRun) figures(cpu float64) ([]found, string, error) {
	delivered, err := f.sorted()
	if err != nil {
		return nil, "", err
	}
	acks := f.acks()
	note := fmt.Sprintf("%.1f MB/s, ack p50 %.2f ms, p99 %.2f ms, generator %.0f %% of the CPU",
		float64(len(delivered))*float64(f.recordBytes)/1e6/f.seconds(), percentile(acks, 0.5), percentile(acks, 0.99), 100*cpu)
	return []found{
		{figureFanOutP50, percentile(delivered, 0.5), percentile(acks, 0.5)},
		{figureFanOutP99, percentile(delivered, 0.99), goalFanOutP99},
	}, note, nil
}

// counted is how many records of the requests that count there are.
func (f *fanOutRun) counted() int { return (len(f.requests) - f.first) * f.records }

// sorted gives the delays of all records that count.
func (f *fanOutRun) sorted() ([]time.Duration, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.Sort(f.delivered)
	if len(f.delivered) != f.counted() {
		return nil, fmt.Errorf("%d records of %d were delivered", len(f.delivered), f.counted())
	}
	return f.delivered, nil
}

func (f *fanOutRun) acks() (acks []time.Duration) {
	for n := f.first; n < len(f.sent); n++ {
		acks = append(acks, time.Duration(f.acked[n].Load()-f.sent[n].Load()))
	}
	slices.Sort(acks)
	return acks
}

// seconds is the time from the first request that counts to the last.
func (f *fanOutRun) seconds() float64 {
	return float64(f.sent[len(f.sent)-1].Load()-f.sent[f.first].Load()) / 1e9
}

// percentile of sorted durations, in ms.
func percentile(d []time.Duration, of float64) float64 { return ms(d[int(float64(len(d))*of)]) }

func registerConsumer(addr string) (arn string, shards []string, err error) {
	d, err := describeStream(addr)
	if err != nil {
		return "", nil, err
	}
	for _, shard := range d.Shards {
		shards = append(shards, shard.ShardId)
	}
	var registered struct {
		Consumer struct{ ConsumerARN string }
	}
	err = call(addr, "RegisterStreamConsumer", map[string]any{"StreamARN": d.StreamARN, "ConsumerName": "bench"}, &registered)
	if err != nil {
		return "", nil, err
	}
	arn = registered.Consumer.ConsumerARN
	for range 600 {
		var out struct {
			ConsumerDescription struct{ ConsumerStatus string }
		}
		if err := call(addr, "DescribeStreamConsumer", map[string]any{"ConsumerARN": arn}, &out); err != nil {
			return "", nil, err
		}
		if out.ConsumerDescription.ConsumerStatus == "ACTIVE" {
			return arn, shards, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return "", nil, errors.New("the consumer does not become ACTIVE")
}

// subscribe reads a shard's events until the connection is closed. It tells on
// ready when the subscription stands, or why it does not.
func (f *fanOutRun) subscribe(c *conn, consumer, shard string, ready chan<- error) error {
	stream, err := f.openSubscription(c, consumer, shard)
	ready <- err
	if err != nil {
		return err
	}
	var payload []byte
	var mine []time.Duration
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.delivered = append(f.delivered, mine...)
	}()
	for {
		if payload, err = readEvent(stream, payload); err != nil {
			return err
		}
		now := time.Now().UnixNano()
		for rest := payload; ; {
			i := bytes.Index(rest, []byte(`"Data":"`))
			if i < 0 || len(rest) < i+8+8 {
				break
			}
			rest = rest[i+8:]
			var id [6]byte
			if _, err := base64.StdEncoding.Decode(id[:], rest[:8]); err != nil {
				return err
			}
			n := int(binary.BigEndian.Uint32(id[:]))
			if n >= len(f.sent) || f.sent[n].Load() == 0 {
				return fmt.Errorf("a record of request %d, which was never sent", n)
			}
			if n >= f.first {
				mine = append(mine, time.Duration(now-f.sent[n].Load()))
			}
		}
	}
}

func (f *fanOutRun) openSubscription(c *conn, consumer, shard string) (*bufio.Reader, error) {
	body, err := json.Marshal(map[string]any{"ConsumerARN": consumer, "ShardId": shard, "StartingPosition": map[string]any{"Type": "LATEST"}})
	if err != nil {
		return nil, err
	}
	if _, err := c.c.Write(request(f.addr, "SubscribeToShard", body, time.Now())); err != nil {
		return nil, err
	}
	c.c.SetReadDeadline(time.Now().Add(10 * time.Second))
	status, length, chunked, err := c.readHeader()
	if err != nil {
		return nil, fmt.Errorf("SubscribeToShard: %w", err)
	}
	if status != 200 || !chunked {
		text := make([]byte, max(0, min(length, 300)))
		io.ReadFull(c.r, text)
		return nil, fmt.Errorf("SubscribeToShard: status %d, chunked %v: %s", status, chunked, text)
	}
	stream := bufio.NewReaderSize(&chunkReader{c: c}, 256<<10)
	// The first event is the initial response: from then on, LATEST is settled.
	if _, err := readEvent(stream, nil); err != nil {
		return nil, fmt.Errorf("SubscribeToShard: no initial response: %w", err)
	}
	c.c.SetReadDeadline(time.Time{})
	return stream, nil
}

// readEvent returns the payload of the next event stream message, in buf if it fits.
func readEvent(r *bufio.Reader, buf []byte) ([]byte, error) {
	var prelude [12]byte
	if _, err := io.ReadFull(r, prelude[:]); err != nil {
		return nil, err
	}
	total, headers := binary.BigEndian.Uint32(prelude[:]), binary.BigEndian.Uint32(prelude[4:])
	if crc32.ChecksumIEEE(prelude[:8]) != binary.BigEndian.Uint32(prelude[8:]) || total < headers+16 || total > 24<<20 {
		return nil, errors.New("not an event stream message")
	}
	if cap(buf) < int(total-12) {
		buf = make([]byte, total-12)
	}
	buf = buf[:total-12]
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, err
	}
	if bytes.Contains(buf[:headers], []byte(":exception-type")) {
		return nil, fmt.Errorf("exception: %s", buf[headers:len(buf)-4])
	}
	return buf[headers : len(buf)-4], nil
}
