package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The agent's row: how fast rheo agent sends a file of lines, and how fast a loop of the Go
// SDK puts the same lines from memory, each from start to end, on a server of its own.

const (
	agentShards      = 64
	agentBytesPerSec = 40 << 20 // of the file for each second of the row, about half of what it takes
	agentConnections = 8        // of the loop; more are slower where the server is beside it
)

func agentRate(b *bench, k kind, dir string) ([]found, string, error) {
	lines := filepath.Join(b.workDir, "lines.log")
	defer os.Remove(lines)
	records, size, err := writeLines(lines, int64(b.least.Seconds()*agentBytesPerSec))
	if err != nil {
		return nil, "", err
	}
	loop, _, err := b.onServer(k, dir, func(s *server) (float64, string, error) { return b.sdkLoop(s, lines) })
	if err != nil {
		return nil, "", err
	}
	if err := emptyFolder(dir, false); err != nil {
		return nil, "", err
	}
	rate, note, err := b.onServer(k, dir, func(s *server) (float64, string, error) { return b.agentOnce(s, lines, records, size) })
	if err != nil {
		return nil, "", err
	}
	return []found{{figureAgent, rate / 1e6, loop / 1e6}}, fmt.Sprintf("%d lines of %d bytes on average, %s", records, size/int64(records), note), nil
}

// onServer runs on a fresh server with a stream.
func (b *bench) onServer(k kind, dir string, do func(*server) (float64, string, error)) (float64, string, error) {
	s, err := b.start(k, dir)
	if err != nil {
		return 0, "", err
	}
	defer s.stop()
	if err := createStream(s.addr, agentShards); err != nil {
		return 0, "", err
	}
	return do(s)
}

// writeLines makes a log of lines of 200 to 800 bytes.
func writeLines(name string, least int64) (records int, size int64, err error) {
	f, err := os.Create(name)
	if err != nil {
		return 0, 0, err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	rng := rand.New(rand.NewPCG(1, 1))
	text := make([]byte, 64<<10)
	const letters = `abcdefghijklmnopqrstuvwxyz 0123456789 =[]":,./`
	for i := range text {
		text[i] = letters[rng.IntN(len(letters))]
	}
	for ; size < least; records++ {
		at := rng.IntN(len(text) - 1000)
		n, err := fmt.Fprintf(w, "2026-11-25T18:00:00.000Z INFO request %d %s\n", records, text[at:at+150+rng.IntN(600)])
		if err != nil {
			return 0, 0, err
		}
		size += int64(n)
	}
	return records, size, errors.Join(w.Flush(), f.Close())
}

func clientOf(s *server, c *exec.Cmd) *exec.Cmd {
	c.Env = append(os.Environ(), "AWS_ENDPOINT_URL=http://"+s.addr, "AWS_ACCESS_KEY_ID="+accessKey, "AWS_SECRET_ACCESS_KEY="+secretKey, "AWS_REGION="+region)
	return c
}

func (b *bench) sdkLoop(s *server, lines string) (rate float64, note string, err error) {
	out, err := clientOf(s, exec.Command(b.sdkLoopBinary, "-file", lines, "-stream", streamName, "-connections", strconv.Itoa(agentConnections))).Output()
	if err != nil {
		return 0, "", fmt.Errorf("the SDK's loop: %w", err)
	}
	rate, err = strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	return rate, "", err
}

// agentOnce has the agent send the file, from its start to its end.
func (b *bench) agentOnce(s *server, lines string, records int, size int64) (rate float64, note string, err error) {
	config := filepath.Join(b.workDir, "agent.json")
	file, err := filepath.Abs(lines)
	if err != nil {
		return 0, "", err
	}
	text, err := json.Marshal(map[string]any{"cloudwatch.emitMetrics": false,
		"flows": []any{map[string]any{"filePattern": file, "kinesisStream": streamName, "initialPosition": "START_OF_FILE"}}})
	if err != nil {
		return 0, "", err
	}
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return 0, "", err
	}
	c := clientOf(s, exec.Command(b.rheoBinary, "agent", "-c", config, "--once", "--log-json", "--checkpoints", filepath.Join(s.dir, "checkpoints")))
	var log bytes.Buffer
	c.Stderr = &log
	began := time.Now()
	if err := c.Run(); err != nil {
		return 0, "", fmt.Errorf("the agent: %w: %s", err, log.Bytes())
	}
	took := time.Since(began)
	var last struct{ Sent int }
	for line := range bytes.Lines(log.Bytes()) {
		if bytes.Contains(line, []byte(`"progress"`)) {
			if err := json.Unmarshal(line, &last); err != nil {
				return 0, "", err
			}
		}
	}
	if last.Sent != records {
		return 0, "", fmt.Errorf("the agent sent %d of %d lines: %s", last.Sent, records, log.Bytes())
	}
	cpu := c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	return float64(size) / took.Seconds(), fmt.Sprintf("agent: %.1f s of CPU in %.1f s", cpu.Seconds(), took.Seconds()), nil
}
