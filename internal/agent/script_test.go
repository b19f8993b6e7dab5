package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestScripts runs the files of testdata/scripts: real files, the time of a bubble.
//
//	key NAME VALUE     a key of the flow, before anything else; the pattern is app.log* unless filePattern is given;
//	                   "key without directory": no directory is made
//	start              the agent
//	stop               it, as SIGTERM does
//	kill               it, as SIGKILL does: what it stored last is what the next one finds
//	append FILE WORD.. a line a word; a1..20 is a1 to a20, all lines have 40 bytes
//	repeat FILE N WORD the same line N times
//	part FILE TEXT     text without a line feed; \n is one, \0 a zero byte
//	mv A B, cp A B, rm FILE, truncate FILE, mkdir DIR, loop NAME (a link to itself)
//	pass DURATION
//	down, up           the stream fails all calls, or takes them again
//	refuse N           it refuses the next N records
//	sent WORD..        what it took since the last sent, in any order
//	taken TEXT         as sent, but one record, in whole
//	records N          it took since the last sent
//	says TEXT          the log has it
//	copies N           files, or parts of them, were passed over since the start
//	lost N             bytes are told to be lost since the start
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/scripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(len(files), err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range strings.Split(string(text), "\n## ") {
			title, body, _ := strings.Cut(strings.TrimPrefix(one, "## "), "\n")
			t.Run(strings.TrimSuffix(filepath.Base(name), ".txt")+"/"+title, func(t *testing.T) {
				dir := t.TempDir()
				synctest.Test(t, func(t *testing.T) {
					s := &script{t: t, dir: dir, keys: map[string]any{}, stream: &memoryStream{}}
					if !strings.Contains(body, "key without directory") {
						if err := os.Mkdir(s.path(""), 0o700); err != nil {
							t.Fatal(err)
						}
					}
					for n, line := range strings.Split(body, "\n") {
						if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
							if s.do(line); t.Failed() {
								t.Logf("%s: line %d of %q: %s\n%s", name, n+1, title, line, s.log.String())
								break
							}
						}
					}
					s.halt()
				})
			})
		}
	}
}

type script struct {
	t      *testing.T
	dir    string
	keys   map[string]any
	stream *memoryStream
	log    lockedBuffer
	agent  *Agent
	cancel context.CancelFunc
	ended  chan error
}

func (s *script) path(name string) string { return filepath.Join(s.dir, "logs", name) }

func (s *script) do(line string) {
	t := s.t
	verb, rest, _ := strings.Cut(line, " ")
	args := strings.Fields(rest)
	must := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	switch verb {
	case "key":
		name, text, _ := strings.Cut(rest, " ")
		var v any
		if json.Unmarshal([]byte(text), &v) != nil {
			v = text
		}
		s.keys[name] = v
	case "start":
		s.start()
	case "stop":
		s.halt()
	case "kill":
		name := filepath.Join(s.dir, "checkpoints")
		before, err := os.ReadFile(name)
		must(err)
		s.stream.set(func(m *memoryStream) { m.dead = true })
		s.halt()
		s.stream.set(func(m *memoryStream) { m.dead = false })
		must(os.WriteFile(name, before, 0o600))
	case "append":
		f, err := os.OpenFile(s.path(args[0]), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Error(err)
			return
		}
		for _, w := range words(args[1:]) {
			_, err := fmt.Fprintf(f, "%s\n", padded(w))
			must(err)
		}
		must(f.Close())
	case "repeat":
		n, err := strconv.Atoi(args[1])
		must(err)
		f, err := os.OpenFile(s.path(args[0]), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Error(err)
			return
		}
		_, err = f.WriteString(strings.Repeat(padded(args[2])+"\n", n))
		must(errors.Join(err, f.Close()))
	case "part":
		name, text, _ := strings.Cut(rest, " ")
		f, err := os.OpenFile(s.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Error(err)
			return
		}
		_, err = io.WriteString(f, strings.NewReplacer(`\n`, "\n", `\0`, "\x00").Replace(text))
		must(errors.Join(err, f.Close()))
	case "mv":
		must(os.Rename(s.path(args[0]), s.path(args[1])))
	case "cp":
		b, err := os.ReadFile(s.path(args[0]))
		must(err)
		must(os.WriteFile(s.path(args[1]), b, 0o600))
	case "rm":
		must(os.Remove(s.path(args[0])))
	case "truncate":
		must(os.Truncate(s.path(args[0]), 0))
	case "mkdir":
		must(os.MkdirAll(s.path(args[0]), 0o700))
	case "loop":
		must(os.Symlink(args[0], s.path(args[0])))
	case "pass":
		d, err := time.ParseDuration(args[0])
		must(err)
		time.Sleep(d)
		synctest.Wait()
	case "down", "up":
		s.stream.set(func(m *memoryStream) { m.down = verb == "down" })
	case "refuse":
		n, err := strconv.Atoi(args[0])
		must(err)
		s.stream.set(func(m *memoryStream) { m.refuse = n })
	case "sent":
		var got []string
		for _, r := range s.stream.take() {
			got = append(got, strings.TrimRight(r, ".\n"))
		}
		want := words(args)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("sent\n got  %.2000q\n want %.2000q", got, want)
		}
	case "taken":
		got := s.stream.take()
		if want := strings.ReplaceAll(rest, `\n`, "\n"); len(got) != 1 || got[0] != want {
			t.Errorf("taken %q, want %q", got, want)
		}
	case "records":
		if got := s.stream.take(); fmt.Sprint(len(got)) != args[0] {
			t.Errorf("%d records are taken, want %s: %q", len(got), args[0], got)
		}
	case "says":
		if !strings.Contains(s.log.String(), rest) {
			t.Errorf("the log does not say %q", rest)
		}
	case "copies":
		if got := s.agent.Status()[0].Copies; fmt.Sprint(got) != args[0] {
			t.Errorf("%d copies, want %s", got, args[0])
		}
	case "lost":
		if got := s.agent.Status()[0].LostBytes; fmt.Sprint(got) != args[0] {
			t.Errorf("%d bytes are lost, want %s", got, args[0])
		}
	default:
		t.Errorf("unknown command %q", verb)
	}
}

func (s *script) start() {
	keys := map[string]any{"filePattern": "app.log*", "kinesisStream": "s", "maxBufferAgeMillis": 1000}
	maps.Copy(keys, s.keys)
	keys["filePattern"] = s.path(keys["filePattern"].(string))
	delete(keys, "without")
	config, err := json.Marshal(map[string]any{"flows": []any{keys}})
	if err != nil {
		s.t.Fatal(err)
	}
	name := filepath.Join(s.dir, "agent.json")
	if err := os.WriteFile(name, config, 0o600); err != nil {
		s.t.Fatal(err)
	}
	settings, err := Load(name)
	if err != nil {
		s.t.Fatal(err)
	}
	s.agent, err = New(Config{Settings: settings, Checkpoints: filepath.Join(s.dir, "checkpoints"), Destination: func(*Flow) Destination { return s.stream },
		Logger: slog.New(slog.NewTextHandler(&s.log, nil))})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	s.cancel, s.ended = cancel, make(chan error, 1)
	go func() { s.ended <- s.agent.Run(ctx) }()
	synctest.Wait()
}

func (s *script) halt() {
	if s.cancel == nil {
		return
	}
	s.cancel()
	if err := <-s.ended; err != nil {
		s.t.Error(err)
	}
	s.cancel = nil
}

// words writes a1..3 out as a1 a2 a3.
func words(args []string) (all []string) {
	for _, a := range args {
		first, last, ok := strings.Cut(a, "..")
		if !ok {
			all = append(all, a)
			continue
		}
		name := strings.TrimRight(first, "0123456789")
		from, _ := strconv.Atoi(first[len(name):])
		to, _ := strconv.Atoi(last)
		for i := from; i <= to; i++ {
			all = append(all, name+strconv.Itoa(i))
		}
	}
	return all
}

func padded(word string) string { return word + strings.Repeat(".", max(0, 39-len(word))) }

// A memoryStream keeps what it takes, and may be down, dead, or busy.
type memoryStream struct {
	mu      sync.Mutex
	records []string
	calls   int
	keys    []string
	down    bool
	dead    bool // no call returns before its context ends
	refuse  int
}

var errBusy = errors.New("ProvisionedThroughputExceededException: busy")

func (m *memoryStream) Put(ctx context.Context, records []Record) ([]error, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if m.dead {
		return nil, errors.New("dead")
	}
	if m.down {
		return nil, errors.New("connection refused")
	}
	var refused []error
	for i, r := range records {
		if m.refuse > 0 {
			m.refuse--
			if refused == nil {
				refused = make([]error, len(records))
			}
			refused[i] = errBusy
			continue
		}
		m.records = append(m.records, string(r.Data))
		m.keys = append(m.keys, r.Key)
	}
	return refused, nil
}

func (m *memoryStream) set(change func(*memoryStream)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

func (m *memoryStream) take() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.records
	m.records = nil
	return all
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
