//go:build linux

package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestInvoke(t *testing.T) {
	onEachWall(t, func(t *testing.T, wall Wall) {
		r := newRunner(t, func(c *Config) { c.Walls = []Wall{wall} })
		fn := goFunction(t, "echo")
		for _, event := range []string{`{"a":1}`, `"two"`, `[3]`, `"` + strings.Repeat("x", 5<<20) + `"`} {
			if got := mustSucceed(t, r, fn, event); got != event {
				t.Errorf("%.20s came back as %.20s", event, got)
			}
		}
	})
}

// TestWarm: one instance serves one event after the other; two at once take two.
func TestWarm(t *testing.T) {
	r := newRunner(t, nil)
	fn := goFunction(t, "count")
	first := invoke(t, r, fn, "null")
	second := invoke(t, r, fn, "null")
	if string(first.Payload) != "1" || string(second.Payload) != "2" || first.LogStream != second.LogStream {
		t.Errorf("%s in %s, then %s in %s", first.Payload, first.LogStream, second.Payload, second.LogStream)
	}
	if first.InitDuration == 0 || second.InitDuration != 0 {
		t.Errorf("InitDuration: first %v, then %v", first.InitDuration, second.InitDuration)
	}
	if first.ExecutedVersion != "$LATEST" || first.Billed < first.Duration+first.InitDuration || first.MaxMemoryMiB == 0 {
		t.Errorf("%+v", first)
	}

	sleeper := goFunction(t, "sleep")
	streams := map[string]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			result := invoke(t, r, sleeper, "0.5")
			mu.Lock()
			defer mu.Unlock()
			streams[result.LogStream] = true
		})
	}
	wg.Wait()
	if len(streams) != 2 {
		t.Errorf("two events at once were served by %d instances", len(streams))
	}
}

// TestNewRevision: a changed function does not run in an old instance, and Retire ends those.
func TestNewRevision(t *testing.T) {
	r := newRunner(t, nil)
	fn := goFunction(t, "count")
	mustSucceed(t, r, fn, "null")
	changed := *fn
	changed.Revision = "changed"
	if got := mustSucceed(t, r, &changed, "null"); got != "1" {
		t.Errorf("the changed function counts from %s", got)
	}
	r.Retire(fn.ARN, "")
	if got := mustSucceed(t, r, &changed, "null"); got != "1" {
		t.Errorf("after Retire the function counts from %s", got)
	}
}

func TestContext(t *testing.T) {
	r := newRunner(t, nil)
	id := requestID()
	result, err := r.Invoke(context.Background(), goFunction(t, "context"), Invocation{
		RequestID: id, Payload: []byte("{}"), InvokedARN: "arn:aws:lambda:eu-central-1:123456789012:function:f:live",
		ClientContext: `{"custom":{"k":"v"}}`, TraceID: "Root=1-5759e988-bd862e3fe1be46a994272793",
	})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		RequestID, ARN, Trace string
		Client                map[string]string
		Left                  float64
	}
	if err := json.Unmarshal(result.Payload, &got); err != nil {
		t.Fatal(err)
	}
	if got.RequestID != id || !strings.HasSuffix(got.ARN, ":function:f:live") || got.Trace != "Root=1-5759e988-bd862e3fe1be46a994272793" || got.Client["k"] != "v" || got.Left < 10 || got.Left > 20 {
		t.Errorf("%s", result.Payload)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("RHEO_MASTER_KEY", "secret")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte("-----BEGIN CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	onEachWall(t, func(t *testing.T, wall Wall) {
		r := newRunner(t, func(c *Config) {
			c.Walls = []Wall{wall}
			c.Endpoint = mustURL(t, "http://127.0.0.1:4566")
			c.CAFile = ca
			c.Credentials = func(_ context.Context, fn *Function) (Credentials, error) {
				return Credentials{AccessKeyID: "AKIA" + fn.Account, SecretAccessKey: "s", SessionToken: "t"}, nil
			}
		})
		fn := goFunction(t, "env")
		fn.Env = map[string]string{"TABLE": "a=b", "_HANDLER": "evil", "AWS_REGION": "evil", "AWS_LAMBDA_RUNTIME_API": "evil", "LANG": "C"}
		result := invoke(t, r, fn, "null")
		var list []string
		if err := json.Unmarshal(result.Payload, &list); err != nil {
			t.Fatalf("%v: %s", err, result.Payload)
		}
		got := map[string]string{}
		for _, kv := range list {
			k, v, _ := strings.Cut(kv, "=")
			got[k] = v
		}
		for k, want := range map[string]string{
			"_HANDLER": "^env$", "AWS_REGION": "^eu-central-1$", "AWS_DEFAULT_REGION": "^eu-central-1$",
			"AWS_LAMBDA_RUNTIME_API": `^127\.0\.0\.1:\d+$`, "LAMBDA_TASK_ROOT": "^/", "LAMBDA_RUNTIME_DIR": "^/",
			"AWS_LAMBDA_FUNCTION_NAME": "^f$", "AWS_LAMBDA_FUNCTION_VERSION": `^\$LATEST$`, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "^256$",
			"AWS_LAMBDA_LOG_GROUP_NAME": "^/aws/lambda/f$", "AWS_LAMBDA_LOG_STREAM_NAME": `^\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}$`,
			"AWS_EXECUTION_ENV": "^AWS_Lambda_provided.al2023$", "AWS_LAMBDA_INITIALIZATION_TYPE": "^on-demand$", "TZ": "^:UTC$",
			"AWS_ACCESS_KEY_ID": "^AKIA123456789012$", "AWS_SECRET_ACCESS_KEY": "^s$", "AWS_SESSION_TOKEN": "^t$",
			"AWS_ENDPOINT_URL": "^http://127.0.0.1:4566$", "NODE_EXTRA_CA_CERTS": "/ca.pem$", "AWS_CA_BUNDLE": "/bundle.pem$", "SSL_CERT_FILE": "/bundle.pem$",
			"PATH": "/usr/bin", "LANG": "^C$", "TABLE": "^a=b$",
		} {
			if v, ok := got[k]; !ok || !regexp.MustCompile(want).MatchString(v) {
				t.Errorf("%s is %q, not %s", k, v, want)
			}
		}
		if v, ok := got["RHEO_MASTER_KEY"]; ok {
			t.Errorf("rheo's own RHEO_MASTER_KEY is there: %q", v)
		}
	})
}

// A memorySink keeps lines by stream.
type memorySink struct {
	mu    sync.Mutex
	lines map[string][]LogLine
	hold  chan struct{} // PutLogs waits for it to be closed, if not nil
}

func (s *memorySink) PutLogs(ctx context.Context, to LogTarget, lines []LogLine) error {
	if s.hold != nil {
		select {
		case <-s.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lines == nil {
		s.lines = map[string][]LogLine{}
	}
	s.lines[to.Group+" "+to.Stream] = append(s.lines[to.Group+" "+to.Stream], lines...)
	return nil
}

func TestLog(t *testing.T) {
	sink := &memorySink{}
	r := newRunner(t, func(c *Config) { c.Logs = sink })
	fn := goFunction(t, "log")
	fn.LogGroup = "/my/group"
	id := requestID()
	result, err := r.Invoke(context.Background(), fn, Invocation{RequestID: id, Payload: []byte(`{"lines":3,"bytes":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	want := `^START RequestId: ` + id + ` Version: \$LATEST
line 0 x
line 1 x
line 2 x
END RequestId: ` + id + `
REPORT RequestId: ` + id + `\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms\tMemory Size: 256 MB\tMax Memory Used: \d+ MB\tInit Duration: \d+\.\d\d ms\t
$`
	if !regexp.MustCompile(want).Match(result.Log) {
		t.Errorf("the log is\n%s", result.Log)
	}
	// The tail is that of one invocation, and 4 KiB at most.
	long := invoke(t, r, fn, `{"lines":100,"bytes":200}`)
	if len(long.Log) != 4096 || strings.Contains(string(long.Log), id) || !strings.Contains(string(long.Log), "line 99 ") {
		t.Errorf("%d bytes:\n%s", len(long.Log), long.Log)
	}
	if err := r.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	lines := sink.lines["/my/group "+result.LogStream]
	if len(lines) != 3+3+100+3 {
		t.Fatalf("%d lines came to the sink", len(lines))
	}
	for i := range 100 {
		if want := fmt.Sprintf("line %d ", i); !strings.HasPrefix(lines[7+i].Message, want) {
			t.Errorf("line %d is %.20s", 7+i, lines[7+i].Message)
		}
	}
}

// TestSlowSink: a function does not wait for its log, and what is missing is said.
func TestSlowSink(t *testing.T) {
	sink := &memorySink{hold: make(chan struct{})}
	r := newRunner(t, func(c *Config) { c.Logs = sink; c.Limits.LogQueueBytes = 4 << 10 })
	fn := goFunction(t, "log")
	result := invoke(t, r, fn, `{"lines":1000,"bytes":100}`)
	if result.FunctionError != "" {
		t.Fatalf("%s", result.Payload)
	}
	close(sink.hold)
	// The next lines come with the account of those that are missing.
	deadline := time.Now().Add(10 * time.Second)
	for said := false; !said; {
		if time.Now().After(deadline) {
			t.Fatal("nothing was said of missing lines")
		}
		invoke(t, r, fn, `{"lines":1,"bytes":1}`)
		sink.mu.Lock()
		for _, l := range sink.lines["/aws/lambda/f "+result.LogStream] {
			said = said || strings.Contains(l.Message, "lines of this log are missing here")
		}
		sink.mu.Unlock()
	}
}

func TestStreamedAnswer(t *testing.T) {
	r := newRunner(t, nil)
	fn := goFunction(t, "stream")
	if got := mustSucceed(t, r, fn, `"whole"`); got != `"one two"` {
		t.Errorf("the pieces make %s", got)
	}
	broken := invoke(t, r, fn, `"broken"`)
	if kind, message := failureOf(t, broken); kind != "Function.Broken" || message != "half-way" || broken.ErrorType != "Function.Broken" {
		t.Errorf("an error in trailers is %s: %s", kind, message)
	}
	if kind, _ := failureOf(t, invoke(t, r, fn, `"cut"`)); kind != "Runtime.TruncatedResponse" {
		t.Errorf("an answer that is cut off is %s", kind)
	}
	if got := mustSucceed(t, r, fn, `"whole"`); got != `"one two"` {
		t.Errorf("afterwards the pieces make %s", got)
	}
}

// TestLimits: what does not fit is throttled; idle instances make room.
func TestLimits(t *testing.T) {
	for name, limits := range map[string]Limits{
		"instances":              {Instances: 1},
		"instances per function": {InstancesPerFunction: 1},
		"memory":                 {MemoryMiB: 300},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRunner(t, func(c *Config) { c.Limits = limits })
			sleeper, other := goFunction(t, "sleep"), goFunction(t, "echo")
			started := make(chan Result)
			go func() { started <- invoke(t, r, sleeper, "1") }()
			waitFor(t, "an instance", func() bool {
				r.mu.Lock()
				defer r.mu.Unlock()
				return len(r.live) == 1
			})
			second := other
			if name == "instances per function" {
				second = sleeper
			}
			if _, err := r.Invoke(context.Background(), second, Invocation{RequestID: requestID(), Payload: []byte("0")}); !errors.Is(err, ErrThrottled) {
				t.Errorf("beside a busy instance: %v", err)
			}
			<-started
			if name != "instances per function" {
				mustSucceed(t, r, other, "0") // the idle one goes
			}
			mustSucceed(t, r, sleeper, "0")
		})
	}
}

// TestThrottledInVain: where ending idle instances would not help, they stay.
func TestThrottledInVain(t *testing.T) {
	for name, limits := range map[string]Limits{
		"instances per function": {InstancesPerFunction: 1},
		"memory":                 {MemoryMiB: 700}, // one of 256 idle, one of 256 busy: no room for one of 512
	} {
		t.Run(name, func(t *testing.T) {
			r := newRunner(t, func(c *Config) { c.Limits = limits })
			other, sleeper := goFunction(t, "count"), goFunction(t, "sleep")
			mustSucceed(t, r, other, "null")
			started := make(chan Result)
			go func() { started <- invoke(t, r, sleeper, "1") }()
			waitFor(t, "two instances", func() bool {
				r.mu.Lock()
				defer r.mu.Unlock()
				return len(r.live) == 2
			})
			next := sleeper
			if name == "memory" {
				next = goFunction(t, "echo")
				next.MemoryMiB = 512
			}
			if _, err := r.Invoke(context.Background(), next, Invocation{RequestID: requestID(), Payload: []byte("0")}); !errors.Is(err, ErrThrottled) {
				t.Errorf("got %v", err)
			}
			if got := mustSucceed(t, r, other, "null"); got != "2" {
				t.Errorf("the idle instance was ended in vain: its successor counts %s", got)
			}
			<-started
		})
	}
}

func TestIdle(t *testing.T) {
	r := newRunner(t, func(c *Config) { c.Limits.IdleAfter = 200 * time.Millisecond })
	mustSucceed(t, r, goFunction(t, "echo"), "0")
	waitFor(t, "the idle instance to end", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.live) == 0 && len(r.pools) == 0 && r.memoryMiB == 0
	})
}

// TestExpiredCredentials: an instance whose credentials would expire in mid-flight is not used again.
func TestExpiredCredentials(t *testing.T) {
	n := 0
	r := newRunner(t, func(c *Config) {
		c.Credentials = func(context.Context, *Function) (Credentials, error) {
			n++
			return Credentials{AccessKeyID: strconv.Itoa(n), SecretAccessKey: "s", Expires: time.Now().Add(10 * time.Second)}, nil
		}
	})
	fn := goFunction(t, "count") // with a timeout of 20 s
	mustSucceed(t, r, fn, "null")
	if got := mustSucceed(t, r, fn, "null"); got != "1" || n != 2 {
		t.Errorf("counted %s, credentials were asked %d times", got, n)
	}
}

func TestClose(t *testing.T) {
	r := newRunner(t, nil)
	fn := goFunction(t, "sleep")
	done := make(chan Result)
	go func() { done <- invoke(t, r, fn, "0.5") }()
	waitFor(t, "an instance", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.live) == 1
	})
	if err := r.Close(context.Background()); err != nil {
		t.Error(err)
	}
	select {
	case result := <-done:
		if result.FunctionError != "" {
			t.Errorf("%s", result.Payload)
		}
	default:
		t.Error("Close returned before the invocation did")
	}
	if _, err := r.Invoke(context.Background(), fn, Invocation{RequestID: requestID()}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestCloseInAHurry: what runs is ended when the context is.
func TestCloseInAHurry(t *testing.T) {
	r := newRunner(t, nil)
	fn := goFunction(t, "sleep")
	done := make(chan Result)
	go func() { done <- invoke(t, r, fn, "15") }()
	waitFor(t, "the function to run", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for in := range r.live {
			in.mu.Lock()
			delivered := in.delivered
			in.mu.Unlock()
			return delivered
		}
		return false
	})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v", err)
	}
	if kind, _ := failureOf(t, <-done); kind != "Runtime.ExitError" {
		t.Errorf("the invocation ended as %s", kind)
	}
}

// TestCallerGone: the function goes on when its caller has left.
func TestCallerGone(t *testing.T) {
	r := newRunner(t, nil)
	fn := goFunction(t, "count")
	mustSucceed(t, r, fn, "null")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Invoke(ctx, fn, Invocation{RequestID: requestID(), Payload: []byte("null")}); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	r.inFlight.Wait()
	if got := mustSucceed(t, r, fn, "null"); got != "3" {
		t.Errorf("counted to %s", got)
	}
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for " + what)
		}
	}
}
