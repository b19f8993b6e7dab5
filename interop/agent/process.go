package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// An agent is rheo agent with one configuration and one file of checkpoints, whatever process runs it.
type agent struct {
	binary, config, home string

	kills []time.Time // when it was killed
	asked int         // how often it was asked to end
	cpu   time.Duration
	rss   int64 // highest, in bytes
	log   strings.Builder
}

// A process is one life of the agent.
type process struct {
	cmd   *exec.Cmd
	said  bytes.Buffer
	ended chan struct{}
	err   error // once ended is closed
}

func newAgent(binary, dir string, all []*source) (*agent, error) {
	a := &agent{binary: binary, config: filepath.Join(dir, "agent.json"), home: dir}
	var flows []string
	patterns := map[string]bool{}
	for _, s := range all {
		if !patterns[s.pattern] {
			flows = append(flows, fmt.Sprintf(`{"filePattern": %q, "kinesisStream": %q, "initialPosition": "START_OF_FILE", "maxBufferAgeMillis": 1000%s}`,
				filepath.Join(s.dir, s.pattern), s.stream, s.options))
		}
		patterns[s.pattern] = true
	}
	text := fmt.Sprintf(`{
  // Half-sent batches are given time: what is not sent when the agent must end comes twice.
  "shutdownTimeoutMillis": 120000, "cloudwatch.metricsBufferTimeMillis": 1000,
  "checkpointFile": %q,
  "flows": [
    %s
  ]
}`, filepath.Join(dir, "checkpoints"), strings.Join(flows, ",\n    "))
	return a, os.WriteFile(a.config, []byte(text), 0o600)
}

func (a *agent) start(ctx context.Context, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, a.binary, append([]string{"agent", "-c", a.config, "--quiet"}, args...)...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "HOME="+a.home)
	p.cmd.Stderr = &p.said
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// end ends a process. One that is asked to must do so with the status 0.
func (a *agent) end(p *process, how syscall.Signal) error {
	at := time.Now()
	if err := p.cmd.Process.Signal(how); err != nil {
		return err
	}
	<-p.ended
	a.account(p)
	if how == syscall.SIGKILL {
		a.kills = append(a.kills, at)
		return nil
	}
	a.asked++
	return p.failure()
}

func (a *agent) runOnce(ctx context.Context) error {
	p, err := a.start(ctx, "--once")
	if err != nil {
		return err
	}
	<-p.ended
	a.account(p)
	return p.failure()
}

func (a *agent) account(p *process) {
	a.log.Write(p.said.Bytes())
	a.cpu += p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	if u, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		a.rss = max(a.rss, u.Maxrss<<10)
	}
}

func (p *process) failure() error {
	if p.err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", p.err, p.said.Bytes())
}

func (a *agent) tell() {
	fmt.Printf("killed %d times, asked to end %d times; %.1f s of CPU time, %d MB at most\n", len(a.kills), a.asked, a.cpu.Seconds(), a.rss/1e6)
}

// checkLog is whether the agent said that anything was lost. The file that is truncated is
// left out: where the agent was killed before it stored what it sent, it cannot know.
func (a *agent) checkLog() error {
	var lost []string
	for l := range strings.Lines(a.log.String()) {
		if strings.Contains(l, "lost") && !strings.Contains(l, "truncate.log") {
			lost = append(lost, l)
		}
	}
	if lost != nil {
		return fmt.Errorf("the agent says that something was lost:\n%s", strings.Join(lost, ""))
	}
	return nil
}
