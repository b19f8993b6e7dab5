package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rheostream/rheo"
)

// TestAgentKilled kills the agent at random moments while a log is written to and
// rotated; a last run sends the rest, and every line is in the stream. RHEO_AGENT_KILLS
// is how often (a few times without it), RHEO_AGENT_RATE how many megabytes a second
// are written, into 64 shards.
func TestAgentKilled(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files that are open cannot be renamed")
	}
	kills, linesPerStep, rotateIn, shards := 4, 20, 12, "4"
	if n, err := strconv.Atoi(os.Getenv("RHEO_AGENT_KILLS")); err == nil {
		kills = n
	}
	const step = 10 * time.Millisecond
	if rate, err := strconv.ParseFloat(os.Getenv("RHEO_AGENT_RATE"), 64); err == nil {
		linesPerStep = int(rate * 1e6 * step.Seconds() / float64(len(killedLine(0))))
		rotateIn, shards = 200, "64"
	}
	s, err := rheo.New(rheo.Config{Limits: rheo.LimitsOff})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := filepath.Join(dir, "rheo") // as TestMain has it
	if err := os.Symlink(self, command); err != nil {
		t.Skip(err)
	}
	logs := filepath.Join(dir, "logs")
	if err := os.Mkdir(logs, 0o700); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "agent.json")
	text := fmt.Sprintf(`{"cloudwatch.emitMetrics": false, "checkpointFile": %q, "flows": [{"filePattern": %q, "kinesisStream": "logs",
		"initialPosition": "START_OF_FILE", "maxBufferAgeMillis": 1000, "minTimeBetweenFilePollsMillis": 5}]}`, filepath.Join(dir, "checkpoints"), filepath.Join(logs, "app.log*"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) *exec.Cmd {
		c := exec.Command(command, args...)
		c.Dir = dir
		c.Env = append(clean(os.Environ()), "AWS_ENDPOINT_URL="+s.URL(), "HOME="+dir)
		return c
	}
	if out, err := run("streams", "create", "logs", "--shards", shards).CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	rng := rand.New(rand.NewPCG(uint64(kills), 1))
	current := filepath.Join(logs, "app.log")
	total := 0
	for round := range kills {
		agent := run("agent", "-c", config, "--quiet")
		var said strings.Builder
		agent.Stderr = &said
		if err := agent.Start(); err != nil {
			t.Fatal(err)
		}
		for until := time.Now().Add(time.Duration(200+rng.IntN(1500)) * time.Millisecond); time.Now().Before(until); {
			next := time.Now().Add(step)
			var b strings.Builder
			for range linesPerStep {
				b.WriteString(killedLine(total))
				b.WriteByte('\n')
				total++
			}
			f, err := os.OpenFile(current, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = f.WriteString(b.String()); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			old := filepath.Join(logs, fmt.Sprintf("app.log.%d", total))
			switch rng.IntN(rotateIn) {
			case 0:
				err = os.Rename(current, old)
			case 1:
				var all []byte
				if all, err = os.ReadFile(current); err == nil {
					err = os.WriteFile(old, all, 0o600)
				}
				if err == nil {
					err = os.Truncate(current, 0)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Until(next))
		}
		if err := agent.Process.Kill(); err != nil {
			t.Fatalf("round %d: %v: %s", round, err, said.String())
		}
		agent.Wait()
	}
	if out, err := run("agent", "-c", config, "--once", "--quiet").CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	tail := run("tail", "logs", "--from", "trim-horizon", "--no-follow")
	out, err := tail.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	times := make([]uint8, total)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var n int
		if line := lines.Text(); line == "" {
			continue // a record has its line feed, and tail writes one more
		} else if _, err := fmt.Sscanf(line, "line %d ", &n); err != nil || n >= total || line != killedLine(n) {
			t.Fatalf("a line that was not written: %q", line)
		}
		times[n] = min(times[n]+1, 100)
	}
	if err := tail.Wait(); err != nil || lines.Err() != nil {
		t.Fatal(err, lines.Err())
	}
	missing, again := 0, 0
	for _, n := range times {
		if n == 0 {
			missing++
		} else {
			again += int(n) - 1
		}
	}
	t.Logf("%d lines, %d kills, %d sent again", total, kills, again)
	if missing > 0 {
		t.Errorf("of %d lines %d are missing", total, missing)
	}
}

func killedLine(n int) string {
	return fmt.Sprintf("line %09d of a log that is rotated while its reader is killed", n)
}
