//go:build linux

package process

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestFunctionFails: what a function does to itself is its error, in Lambda's words,
// and the next event finds it well.
func TestFunctionFails(t *testing.T) {
	for name, test := range map[string]struct {
		handler, event string
		timeout        time.Duration
		memoryMiB      int
		kind, message  string // patterns
		log            string // a pattern
	}{
		"error":           {"fail", "null", 0, 0, `^errorString$`, `^no luck today$`, `REPORT .*Memory Used: \d+ MB\t(Init Duration: [0-9.]+ ms\t)?$`},
		"panic":           {"panic", "null", 0, 0, `^string$`, `^all is lost$`, ``},
		"exits with 0":    {"exit", "0", 0, 0, `^Runtime.ExitError$`, `^RequestId: [0-9a-f-]{36} Error: Runtime exited without providing a reason$`, ``},
		"exits with 7":    {"exit", "7", 0, 0, `^Runtime.ExitError$`, `^RequestId: [0-9a-f-]{36} Error: Runtime exited with error: exit status 7$`, `RequestId: .* Error: Runtime exited with error: exit status 7\nRuntime.ExitError\nEND .*\nREPORT .*Status: error\tError Type: Runtime.ExitError$`},
		"times out":       {"sleep", "15", time.Second, 0, `^Sandbox.Timedout$`, `^RequestId: [0-9a-f-]{36} Error: Task timed out after 1.00 seconds$`, `\n\S+Z [0-9a-f-]{36} Task timed out after 1.00 seconds\n\nEND .*\nREPORT .*Duration: 1\d\d\d\.\d\d ms\tBilled .*Status: timeout$`},
		"exits at start":  {"exit-at-start", "0", 0, 0, `^Runtime.ExitError$`, `exit status 3$`, `START .*\ngoing down\nINIT_REPORT Init Duration: [0-9.]+ ms\tPhase: invoke\tStatus: error\tError Type: Runtime.ExitError\n`},
		"hangs at start":  {"hang-at-start", "0", 700 * time.Millisecond, 0, `^Sandbox.Timedout$`, `Task timed out after 0.70 seconds$`, `INIT_REPORT Init Duration: [0-9.]+ ms\tPhase: invoke\tStatus: timeout\n`},
		"fails at start":  {"init-error", "0", 0, 0, `^Runtime.NoLuck$`, `^cannot begin$`, `Error Type: Runtime.NoLuck`},
		"answers 6 MB":    {"big", "7000000", 0, 0, `^Function.ResponseSizeTooLarge$`, `^Response payload size exceeded maximum allowed payload size \(6291556 bytes\).$`, ``},
		"takes memory":    {"memory", "1000", 0, 128, `^Runtime.OutOfMemory$`, `^RequestId: [0-9a-f-]{36} Error: Runtime exited with error: signal: killed$`, `Max Memory Used: 128 MB.*Error Type: Runtime.OutOfMemory$`},
		"is no such name": {"unheard-of", "0", 0, 0, `^Runtime.ExitError$`, `exit status 9$`, `no such handler`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRunner(t, func(c *Config) { c.Limits.InitTimeout = 2 * time.Second })
			fn := goFunction(t, test.handler)
			if test.timeout != 0 {
				fn.Timeout = test.timeout
			}
			if test.memoryMiB != 0 {
				fn.MemoryMiB = test.memoryMiB
			}
			if test.handler == "hang-at-start" {
				r.limits.InitTimeout = 300 * time.Millisecond
			}
			for range 2 { // the second time is no different
				result := invoke(t, r, fn, test.event)
				kind, message := failureOf(t, result)
				if !regexp.MustCompile(test.kind).MatchString(kind) || !regexp.MustCompile(test.message).MatchString(message) {
					t.Errorf("%s: %s", kind, message)
				}
				if !regexp.MustCompile(test.log).Match(result.Log[:len(result.Log)-1]) {
					t.Errorf("the log is\n%s", result.Log)
				}
			}
		})
	}
}

// TestExitBetweenEvents: the next event is served all the same.
func TestExitBetweenEvents(t *testing.T) {
	r := newRunner(t, nil)
	fn := goFunction(t, "exit-after-answer")
	for range 3 {
		if got := mustSucceed(t, r, fn, "null"); got != "1" {
			t.Errorf("counted %s", got)
		}
		waitFor(t, "the instance to end", func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return len(r.live) == 0
		})
	}
}

// TestGarbage: what makes no sense is refused, and the invocation goes on.
func TestGarbage(t *testing.T) {
	r := newRunner(t, nil)
	fn := goFunction(t, "garbage")
	for range 2 {
		// next with an event in hand, another's id, no such call, init error afterwards, no such path, no length
		if got := mustSucceed(t, r, fn, "null"); got != "[403,400,404,403,404,400]" {
			t.Errorf("the statuses are %s", got)
		}
	}
	if got := mustSucceed(t, r, fn, `"raw"`); got != "\x00\xffno JSON" {
		t.Errorf("an answer that is no JSON comes as %q", got)
	}
}

// TestManyConnections: of those to its Runtime API, few are served at once.
func TestManyConnections(t *testing.T) {
	r := newRunner(t, nil)
	got, _ := strconv.Atoi(mustSucceed(t, r, goFunction(t, "connections"), "200"))
	if got < 1 || got >= apiConnectionsMax {
		t.Errorf("%d of 200 connections were answered, beside the runtime's own", got)
	}
}

func TestDisk(t *testing.T) {
	const limit = 40 << 20
	onEachWall(t, func(t *testing.T, wall Wall) {
		r := newRunner(t, func(c *Config) { c.Walls = []Wall{wall}; c.Limits.TempBytes = limit })
		fn := goFunction(t, "disk")
		result := invoke(t, r, fn, "null")
		if wall == WallLandlock {
			if kind, message := failureOf(t, result); kind != "Runtime.ExitError" || !strings.Contains(message, "wrote more than 40 MiB to ") {
				t.Errorf("%s: %s", kind, message)
			}
		} else {
			var got struct {
				Written int64
				Error   string
			}
			if err := json.Unmarshal(result.Payload, &got); err != nil || !strings.Contains(got.Error, "no space left") || got.Written > limit || got.Written < limit-(4<<20) {
				t.Errorf("%s", result.Payload)
			}
		}
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(r.tempDir); len(left) > 0 {
			t.Errorf("%v was left behind", left)
		}
	})
}

// TestTempMemory: /tmp is in memory, and all of them together have a limit of their own.
func TestTempMemory(t *testing.T) {
	if err := refusals()[walls()[0]]; err != nil {
		t.Skip(err)
	}
	r := newRunner(t, func(c *Config) { c.Limits.TempBytes, c.Limits.TempMemoryBytes = 1<<30, 24<<20 })
	other := goFunction(t, "count")
	mustSucceed(t, r, other, "1")
	if kind, message := failureOf(t, invoke(t, r, goFunction(t, "disk"), "null")); kind != "Runtime.ExitError" || !strings.Contains(message, "/tmp of all functions have more than 24 MiB") {
		t.Errorf("%s: %s", kind, message)
	}
	if got := mustSucceed(t, r, other, "1"); got != "2" {
		t.Errorf("the function that has nothing in /tmp counts %s", got)
	}
}

// TestForkBomb: it comes to its limit, and nothing of it survives its instance.
func TestForkBomb(t *testing.T) {
	onEachWall(t, func(t *testing.T, wall Wall) {
		r := newRunner(t, func(c *Config) { c.Walls = []Wall{wall}; c.Limits.Processes = 150 })
		fn := goFunction(t, "fork")
		fn.MemoryMiB = 4096 // so that it is the processes that are too many
		result := invoke(t, r, fn, "null")
		var got struct {
			Children int
			Error    string
		}
		if err := json.Unmarshal(result.Payload, &got); err != nil || got.Error != "resource temporarily unavailable" || got.Children == 0 || got.Children > 150 {
			t.Errorf("%s\n%s", result.Payload, result.Log)
		}
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
		nothingLeft(t)
	})
}

// TestLeftBehind: a process that has left its parent and its session ends with its
// instance all the same, also when that is killed.
func TestLeftBehind(t *testing.T) {
	onEachWall(t, func(t *testing.T, wall Wall) {
		r := newRunner(t, func(c *Config) { c.Walls = []Wall{wall} })
		mustSucceed(t, r, goFunction(t, "leave"), "null")
		if !functionsRun() {
			t.Error("the process is not there")
		}
		r.Retire("arn:aws:lambda:eu-central-1:123456789012:function:f", "")
		nothingLeft(t)
	})
}

// TestServerKilled: what functions have started ends when rheo is killed.
func TestServerKilled(t *testing.T) {
	onEachWall(t, func(t *testing.T, wall Wall) {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), "RHEO_TEST_SERVER="+filepath.Join(openTemp(t), "functions"), "RHEO_TEST_WALL="+string(wall), "RHEO_TEST_SERVER_RUN="+run)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer cmd.Process.Kill()
		if said, err := bufio.NewReader(out).ReadString('\n'); said != "running\n" {
			t.Fatalf("the server says %q, %v", said, err)
		}
		if !functionsRun() {
			t.Error("no function is running")
		}
		cmd.Process.Kill()
		nothingLeft(t)
	})
}

// serveUntilKilled is the server of TestServerKilled.
func serveUntilKilled(dir string) {
	r, err := New(Config{Dir: dir, Walls: []Wall{Wall(os.Getenv("RHEO_TEST_WALL"))}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	zip, err := goZip()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, handler := range []string{"leave", "echo"} {
		fn := functionOf(zip, "provided.al2023", handler)
		fn.Env = map[string]string{"RHEO_TEST_RUN": os.Getenv("RHEO_TEST_SERVER_RUN")}
		if _, err := r.Invoke(context.Background(), fn, Invocation{RequestID: requestID(), Payload: []byte("1")}); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println("running")
	select {}
}

// run marks the functions of this run of the tests: others may run them too.
var run = strconv.Itoa(os.Getpid())

// functionsRun tells whether any process of this run's functions is there.
func functionsRun() bool {
	procs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, p := range procs {
		if b, err := os.ReadFile(p); err == nil && strings.Contains(string(b), "RHEO_TEST_RUN="+run+"\x00") {
			return true
		}
	}
	return false
}

func nothingLeft(t *testing.T) {
	t.Helper()
	waitFor(t, "all processes to end", func() bool { return !functionsRun() })
}

func TestEntrypoint(t *testing.T) {
	for name, test := range map[string]struct {
		files   map[string]string
		message string
	}{
		"none":           {map[string]string{"main": "x"}, `Couldn't find valid bootstrap\(s\): \[/\S*bootstrap\]$`},
		"not executable": {map[string]string{"bootstrap": "#!/bin/sh\n"}, `Couldn't find valid bootstrap\(s\): \[/\S*bootstrap\]$`},
		"no interpreter": {map[string]string{"bootstrap*": "#!/no/such/shell\n"}, `fork/exec /\S*bootstrap: no such file or directory$`},
		"garbage":        {map[string]string{"bootstrap*": "\x00\x01\x02\x03"}, `fork/exec /\S*bootstrap: exec format error$`},
	} {
		t.Run(name, func(t *testing.T) {
			onEachWall(t, func(t *testing.T, wall Wall) {
				r := newRunner(t, func(c *Config) { c.Walls = []Wall{wall} })
				result := invoke(t, r, functionOf(zipped(t, test.files), "provided.al2023", "x"), "null")
				if kind, message := failureOf(t, result); kind != "Runtime.InvalidEntrypoint" || !regexp.MustCompile(test.message).MatchString(message) {
					t.Errorf("%s: %s", kind, message)
				}
			})
		})
	}
}

// TestNotRun: what is wrong before a function runs is an error, by name.
func TestNotRun(t *testing.T) {
	r := newRunner(t, nil)
	good := goFunction(t, "echo")
	with := func(change func(*Function)) *Function {
		fn := *good
		fn.Revision = t.Name() + requestID()
		change(&fn)
		return &fn
	}
	event := Invocation{RequestID: requestID(), Payload: []byte("1")}
	for name, test := range map[string]struct {
		fn    *Function
		event Invocation
		as    any
		says  string
	}{
		"large event": {good, Invocation{RequestID: requestID(), Payload: make([]byte, 6<<20+1)}, new(*EventError), "6291457 bytes"},
		"no id":       {good, Invocation{}, new(*EventError), "request id"},
		"header":      {good, Invocation{RequestID: requestID(), TraceID: "a\r\nb: c"}, new(*EventError), "control characters"},
		"runtime":     {with(func(f *Function) { f.Runtime = "ruby3.2" }), event, new(*RuntimeError), "ruby3.2"},
		"old Node":    {with(func(f *Function) { f.Runtime = "nodejs4.x" }), event, new(*RuntimeError), "Install Node.js 4"},
		"new Python":  {with(func(f *Function) { f.Runtime = "python3.99" }), event, new(*RuntimeError), "Install Python 3.99"},
		"Java":        {with(func(f *Function) { f.Runtime = "java99" }), event, new(*RuntimeError), "Install Java 99"},
		"escape":      {functionOf(zipped(t, map[string]string{"../evil": "x"}), "provided.al2023", "x"), event, new(*CodeError), "leads out"},
		"other bytes": {with(func(f *Function) { f.CodeSHA256 = strings.Repeat("ab", 32) }), event, nil, "has the SHA-256"},
		"no code": {with(func(f *Function) {
			f.CodeSHA256 = strings.Repeat("cd", 32)
			f.Code = func(context.Context) (io.ReadCloser, error) { return nil, errors.New("the disk is on fire") }
		}), event, nil, "the disk is on fire"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.Invoke(context.Background(), test.fn, test.event)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("got %v, which should say %q", err, test.says)
			}
			if test.as != nil && !errors.As(err, test.as) {
				t.Errorf("%v is a %T", err, err)
			}
		})
	}
	if len(r.live) != 0 || len(r.pools) != 0 || r.memoryMiB != 0 {
		t.Errorf("%d instances, %d pools, %d MiB are still counted", len(r.live), len(r.pools), r.memoryMiB)
	}
	if left, _ := os.ReadDir(r.code.dir); len(left) > 1 { // good's
		t.Errorf("%v was left behind", left)
	}
	mustSucceed(t, r, good, "1")
}
