package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The row of the Kinesis Client Library: the time from sending a put until the
// library hands its records to the application, beside the time until a bare
// subscription has read them, of the same records in the same run.
var kclRow = fanOutLoad{shards: 4, conns: 8, records: 20, perSecond: 250, recordBytes: 1000} // 5,000 records/s

// kclWarmUp is for the virtual machine to compile what is used most.
const kclWarmUp = 15 * time.Second

// kclStartMax is how long the library may take for its leases: it waits up to 30 s before it creates
// them, and looks for some that nobody has each 20 s.
const kclStartMax = 3 * time.Minute

func kclDelay(b *bench, k kind, dir string) ([]found, string, error) {
	s, err := b.start(k, dir)
	if err != nil {
		return nil, "", err
	}
	defer s.stop()
	if err := createStream(s.addr, kclRow.shards); err != nil {
		return nil, "", err
	}
	f := newFanOutRun(kclRow, s.addr, kclWarmUp, b.least)
	consumer, err := b.startKCL(s.addr, len(f.requests)*f.records)
	if err != nil {
		return nil, "", err
	}
	defer consumer.kill()
	if err := consumer.awaitShards(f.shards); err != nil {
		return nil, "", err
	}
	cpu, err := f.run()
	if err != nil {
		return nil, "", err
	}
	bare, err := f.sorted()
	if err != nil {
		return nil, "", fmt.Errorf("bare subscriptions: %w", err)
	}
	delays, err := consumer.delays(f)
	if err != nil {
		return nil, "", err
	}
	acks := f.acks()
	note := fmt.Sprintf("%.0f records/s; p50, p99 and max in ms: KCL %.1f, %.1f, %.1f, bare SubscribeToShard %.1f, %.1f, %.1f, puts %.1f, %.1f, %.1f; generator %.0f %% of the CPU",
		float64(len(delays))/f.seconds(), percentile(delays, 0.5), percentile(delays, 0.99), ms(delays[len(delays)-1]),
		percentile(bare, 0.5), percentile(bare, 0.99), ms(bare[len(bare)-1]),
		percentile(acks, 0.5), percentile(acks, 0.99), ms(acks[len(acks)-1]), 100*cpu)
	return []found{{figureKCL, percentile(delays, 0.99), percentile(bare, 0.99) + goalKCLMore}}, note, nil
}

// A kclConsumer is kcl/src/main/java/bench/Consumer.java at work.
type kclConsumer struct {
	cmd    *exec.Cmd
	stdin  io.Closer   // it ends when this is closed
	lines  chan string // of its output; closed at its end
	log    string
	exited chan struct{}
	err    error // once exited is closed
}

func (b *bench) startKCL(addr string, records int) (*kclConsumer, error) {
	classpath, err := os.ReadFile(filepath.Join(b.kclDir, "classpath"))
	if err != nil {
		return nil, fmt.Errorf("the consumer is not built: %w", err)
	}
	c := &kclConsumer{lines: make(chan string, 100), log: filepath.Join(b.workDir, "kcl.log"), exited: make(chan struct{})}
	log, err := os.Create(c.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.cmd = exec.Command("java", "-Xmx512m", "-cp", filepath.Join(b.kclDir, "classes")+":"+strings.TrimSpace(string(classpath)),
		"bench.Consumer", streamName, fmt.Sprint(records))
	c.cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL=http://"+addr, "AWS_ACCESS_KEY_ID="+accessKey, "AWS_SECRET_ACCESS_KEY="+secretKey,
		"AWS_REGION="+region, "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
	c.cmd.Stderr = log
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start the consumer: %w", err)
	}
	go func() {
		for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
			c.lines <- scanner.Text()
		}
		close(c.lines)
		c.err = c.cmd.Wait()
		close(c.exited)
	}()
	return c, nil
}

// kill ends the consumer where it has not ended.
func (c *kclConsumer) kill() {
	c.stdin.Close()
	c.cmd.Process.Kill()
	for range c.lines {
	}
	<-c.exited
}

// failure says why the consumer ended, with the end of its log.
func (c *kclConsumer) failure() error {
	<-c.exited
	log, _ := os.ReadFile(c.log)
	return fmt.Errorf("the consumer ended (%v): %s", c.err, log[max(0, len(log)-1000):])
}

func (c *kclConsumer) awaitShards(n int) error {
	late := time.After(kclStartMax)
	for range n {
		select {
		case line, ok := <-c.lines:
			if !ok {
				return c.failure()
			}
			if !strings.HasPrefix(line, "started ") {
				return fmt.Errorf("the consumer said %.100q", line)
			}
		case <-late:
			return fmt.Errorf("the consumer did not begin %d shards within %v", n, kclStartMax)
		}
	}
	return nil
}

var errConsumerSlow = errors.New("the consumer has not been given all records within a minute after the last put")

// delays gives the sorted delays of all records that count.
func (c *kclConsumer) delays(f *fanOutRun) (delays []time.Duration, err error) {
	late := time.After(time.Minute)
	for {
		select {
		case line, ok := <-c.lines:
			if !ok {
				if <-c.exited; c.err != nil {
					return nil, c.failure()
				}
				if len(delays) != f.counted() {
					return nil, fmt.Errorf("the consumer was given %d records of %d", len(delays), f.counted())
				}
				slices.Sort(delays)
				return delays, nil
			}
			var n int
			var micros int64
			if _, err := fmt.Sscan(line, &n, &micros); err != nil || n < 0 || n >= len(f.sent) {
				return nil, fmt.Errorf("the consumer said %.100q", line)
			}
			if n >= f.first {
				delays = append(delays, time.Duration(micros*1000-f.sent[n].Load()))
			}
		case <-late:
			return nil, errConsumerSlow
		}
	}
}
