package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// TestStop: a server under load that is told to stop exits with 0, and what it
// acknowledged is there at the next start.
func TestStop(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	rheo := filepath.Join(t.TempDir(), "rheo")
	if err := os.Symlink(self, rheo); err != nil { // the command, as TestMain has it
		t.Fatal(err)
	}
	data := t.TempDir()
	serve := func() (server *exec.Cmd, call func(args ...string) (string, error)) {
		server = exec.Command(rheo, "serve", "--data", data, "--port", "0", "--http1-port", "-1", "--limits", "off", "--streams", "s:1")
		server.Env = clean(os.Environ())
		out, err := server.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Process.Kill() })
		url := ""
		for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "Ready."; {
			if _, u, ok := strings.Cut(lines.Text(), "AWS_ENDPOINT_URL="); ok {
				url = u
			}
		}
		return server, func(args ...string) (string, error) {
			c := exec.Command(rheo, append([]string{"call", "kinesis"}, args...)...)
			c.Env = append(clean(os.Environ()), "AWS_ENDPOINT_URL="+url, "HOME="+data)
			b, err := c.Output()
			return string(b), err
		}
	}

	server, call := serve()
	var acked sync.Map
	var count atomic.Int32
	enough := make(chan struct{})
	var writers sync.WaitGroup
	for range 3 {
		writers.Go(func() {
			for {
				answer, err := call("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"YQ=="}`)
				if err != nil { // the server is gone
					return
				}
				acked.Store(sequenceNumbers(answer)[0], true)
				if count.Add(1) == 10 {
					close(enough)
				}
			}
		})
	}
	<-enough
	server.Process.Signal(syscall.SIGTERM)
	if err := server.Wait(); err != nil {
		t.Errorf("told to stop, the server ended with %v", err)
	}
	writers.Wait()

	_, call = serve()
	answer, err := call("GetShardIterator", `{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"TRIM_HORIZON"}`)
	if err != nil {
		t.Fatal(err)
	}
	iterator := strings.Split(answer, `"`)[3]
	if answer, err = call("GetRecords", `{"ShardIterator":"`+iterator+`"}`); err != nil {
		t.Fatal(err)
	}
	for _, n := range sequenceNumbers(answer) {
		acked.Delete(n)
	}
	acked.Range(func(n, _ any) bool {
		t.Errorf("record %s was acknowledged and is not there", n)
		return true
	})
}

// sequenceNumbers are those in an answer.
func sequenceNumbers(answer string) (all []string) {
	for _, part := range strings.Split(answer, `"SequenceNumber":"`)[1:] {
		n, _, _ := strings.Cut(part, `"`)
		all = append(all, n)
	}
	return all
}
