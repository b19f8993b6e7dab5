//go:build linux

package process

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// needs returns what a tool says of its version; a missing tool fails the test, unless
// the environment's SKIP names it.
func needs(t testing.TB, tool, remedy string, args ...string) string {
	t.Helper()
	out, err := exec.Command(tool, args...).Output()
	if err == nil {
		return strings.TrimSpace(string(out))
	}
	if slices.Contains(strings.Split(os.Getenv("SKIP"), ","), tool) {
		t.Skipf("SKIP names %s", tool)
	}
	t.Fatalf("%s is needed: %v. %s, or leave it out by SKIP=%s", tool, err, remedy, tool)
	return ""
}

func nodeRuntime(t testing.TB) string {
	return "nodejs" + needs(t, "node", "Install Node.js (apt-get install nodejs)", "-p", "process.versions.node.split('.')[0]") + ".x"
}

func pythonRuntime(t testing.TB) string {
	return "python" + needs(t, "python3", "Install Python (apt-get install python3)", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
}

// A handlerTest is one call of a function in a language.
type handlerTest struct {
	name    string
	files   map[string]string
	handler string
	event   string
	answer  string // a pattern; or
	kind    string // a pattern of errorType, and
	message string // one of errorMessage
	log     string // a pattern
}

func runHandlers(t *testing.T, runtime string, tests []handlerTest) {
	onEachWall(t, func(t *testing.T, wall Wall) {
		r := newRunner(t, func(c *Config) {
			c.Walls = []Wall{wall}
			if wall == WallLandlock {
				c.Runtimes.Path = "/usr/local/bin:/usr/bin:/bin" // which every user can reach
			}
		})
		if wall == WallLandlock && len(refusals()) == 0 {
			tests = tests[:5] // what runtimes need of the machine is all that differs
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				fn := functionOf(zipped(t, test.files), runtime, test.handler)
				if strings.HasPrefix(test.name, "time") {
					fn.Timeout = 500 * time.Millisecond
				}
				result := invoke(t, r, fn, test.event)
				if test.kind == "" {
					if result.FunctionError != "" || !regexp.MustCompile(test.answer).Match(result.Payload) {
						t.Errorf("answers %s\n%s", result.Payload, result.Log)
					}
				} else if kind, message := failureOf(t, result); !regexp.MustCompile(test.kind).MatchString(kind) || !regexp.MustCompile(test.message).MatchString(message) {
					t.Errorf("fails with %s: %s\n%s", kind, message, result.Log)
				}
				if !regexp.MustCompile(test.log).Match(result.Log) {
					t.Errorf("the log is\n%s", result.Log)
				}
			})
		}
	})
}

func TestNode(t *testing.T) {
	one := func(name, code string) map[string]string { return map[string]string{name: code} }
	runHandlers(t, nodeRuntime(t), []handlerTest{
		{name: "async", files: one("index.js", `exports.handler = async (event) => ({ got: event.a + 1 })`), handler: "index.handler", event: `{"a":1}`, answer: `^{"got":2}$`},
		{name: "module", files: one("index.mjs", `export const handler = async (event, context) => context.functionName + event`), handler: "index.handler", event: `7`, answer: `^"f7"$`},
		{name: "module by package.json", files: map[string]string{"index.js": `import fs from 'node:fs'; export const handler = () => Promise.resolve(typeof fs.readFileSync)`, "package.json": `{"type":"module"}`}, handler: "index.handler", event: `1`, answer: `^"function"$`},
		{name: "in a directory", files: one("src/app.cjs", `exports.api = { run: async () => __dirname }`), handler: "src/app.api.run", event: `1`, answer: `/src"$`},
		{name: "with a dependency", files: map[string]string{"index.js": `exports.handler = async () => require('left')`, "node_modules/left/index.js": `module.exports = 'left'`}, handler: "index.handler", event: `1`, answer: `^"left"$`},
		{name: "callback", files: one("index.js", `exports.handler = (event, context, callback) => { setTimeout(() => callback(null, event), 10) }`), handler: "index.handler", event: `{"b":2}`, answer: `^{"b":2}$`},
		{name: "callback that waits for nothing", files: one("index.js", `exports.handler = (event, context, callback) => { context.callbackWaitsForEmptyEventLoop = false; setInterval(() => {}, 1000); callback(null, 'now') }`), handler: "index.handler", event: `0`, answer: `^"now"$`},
		{name: "callback with an error", files: one("index.js", `exports.handler = (event, context, callback) => callback(new TypeError('wrong'))`), handler: "index.handler", event: `0`, kind: `^TypeError$`, message: `^wrong$`, log: `\tERROR\tInvoke Error \t{"errorType":"TypeError","errorMessage":"wrong","stack":\["TypeError: wrong"`},
		{name: "neither", files: one("index.js", `exports.handler = () => {}`), handler: "index.handler", event: `0`, answer: `^null$`},
		{name: "a promise that nobody keeps", files: one("index.js", `exports.handler = () => new Promise(() => {})`), handler: "index.handler", event: `0`, answer: `^null$`},
		{name: "undefined", files: one("index.js", `exports.handler = async () => {}`), handler: "index.handler", event: `0`, answer: `^null$`},
		{name: "throws", files: one("index.js", `class Mine extends Error { constructor(m) { super(m); this.name = 'Mine'; this.code = 42 } }; exports.handler = async () => { throw new Mine('boom') }`), handler: "index.handler", event: `0`, kind: `^Mine$`, message: `^boom$`, log: `"code":42`},
		{name: "throws a string", files: one("index.js", `exports.handler = async () => { throw 'boom' }`), handler: "index.handler", event: `0`, kind: `^string$`, message: `^boom$`},
		{name: "logs", files: one("index.js", `exports.handler = async () => { console.log('a %d\nb', 1); console.error({ x: 1 }) }`), handler: "index.handler", event: `0`, answer: `^null$`,
			log: `(?m)^\d{4}-\d\d-\d\dT\S+Z\t[0-9a-f-]{36}\tINFO\ta 1\rb\n.*\tERROR\t{ x: 1 }$`},
		{name: "context", files: one("index.js", `exports.handler = async (e, c) => [c.memoryLimitInMB, c.functionVersion, c.awsRequestId.length, c.getRemainingTimeInMillis() > 0, c.invokedFunctionArn, process.env._HANDLER]`), handler: "index.handler", event: `0`, answer: `^\["256","\$LATEST",36,true,"arn:aws:lambda:[^"]*:f","index.handler"\]$`},
		{name: "streams", files: one("index.mjs", `export const handler = awslambda.streamifyResponse(async (event, stream) => { stream.setContentType('text/plain'); stream.write('one '); stream.write('two'); stream.end() })`), handler: "index.handler", event: `0`, answer: `^one two$`},
		{name: "streams and fails", files: one("index.mjs", `export const handler = awslambda.streamifyResponse(async (event, stream) => { stream.write('one '); throw new RangeError('half') })`), handler: "index.handler", event: `0`, kind: `^RangeError$`, message: `^half$`},
		{name: "no such module", files: one("main.js", ``), handler: "index.handler", event: `0`, kind: `^Runtime.ImportModuleError$`, message: `^Error: Cannot find module 'index'`},
		{name: "module that needs another", files: one("index.js", `require('nowhere')`), handler: "index.handler", event: `0`, kind: `^Runtime.ImportModuleError$`, message: `^Error: Cannot find module 'nowhere'`},
		{name: "no such function", files: one("index.js", ``), handler: "index.handler", event: `0`, kind: `^Runtime.HandlerNotFound$`, message: `^index.handler is undefined or not exported$`},
		{name: "no function", files: one("index.js", `exports.handler = 5`), handler: "index.handler", event: `0`, kind: `^Runtime.HandlerNotFound$`, message: `^index.handler is not a function$`},
		{name: "syntax error", files: one("index.js", `exports.handler = async ( => 1`), handler: "index.handler", event: `0`, kind: `^Runtime.UserCodeSyntaxError$`, message: `^SyntaxError: `},
		{name: "bad handler name", files: one("index.js", ``), handler: "index", event: `0`, kind: `^Runtime.MalformedHandlerName$`, message: `^Bad handler$`},
		{name: "throws at start", files: one("index.js", `throw new Error('not today')`), handler: "index.handler", event: `0`, kind: `^Error$`, message: `^not today$`},
		{name: "uncaught", files: one("index.js", `exports.handler = async () => { setTimeout(() => { throw new Error('late') }, 1); await new Promise(() => setTimeout(() => {}, 5000)) }`), handler: "index.handler", event: `0`, kind: `^Error$`, message: `^late$`},
		{name: "unhandled", files: one("index.js", `exports.handler = () => new Promise(() => { Promise.reject(new Error('lost')); setTimeout(() => {}, 5000) })`), handler: "index.handler", event: `0`, kind: `^Runtime.UnhandledPromiseRejection$`, message: `lost`},
		{name: "exits", files: one("index.js", `exports.handler = async () => process.exit(3)`), handler: "index.handler", event: `0`, kind: `^Runtime.ExitError$`, message: `exit status 3$`},
		{name: "time runs out", files: one("index.js", `exports.handler = async () => new Promise((r) => setTimeout(r, 10000))`), handler: "index.handler", event: `0`, kind: `^Sandbox.Timedout$`, message: `Task timed out after 0.50 seconds$`},
		{name: "event that is no JSON", files: one("index.js", `exports.handler = async (e) => e`), handler: "index.handler", event: `{`, kind: `^SyntaxError$`, message: `JSON`},
		{name: "answer that is no JSON", files: one("index.js", `exports.handler = async () => { const a = {}; a.a = a; return a }`), handler: "index.handler", event: `0`, kind: `^Error$`, message: `^Unable to stringify response body$`},
		{name: "kills its parent", files: one("index.js", `exports.handler = async () => { try { process.kill(process.ppid, 'SIGKILL'); return 'did' } catch (e) { return e.code } }`), handler: "index.handler", event: `0`, answer: `^"(EPERM|did)"$`},
	})
}

func TestPython(t *testing.T) {
	one := func(name, code string) map[string]string { return map[string]string{name: code} }
	runHandlers(t, pythonRuntime(t), []handlerTest{
		{name: "answers", files: one("app.py", "def handler(event, context):\n  return {'got': event['a'] + 1, 'f': context.function_name}"), handler: "app.handler", event: `{"a":1}`, answer: `^{"got": 2, "f": "f"}$`},
		{name: "in a package", files: map[string]string{"pkg/__init__.py": "", "pkg/app.py": "from . import other\ndef run(e, c): return other.x", "pkg/other.py": "x = 'ü'"}, handler: "pkg/app.run", event: `0`, answer: `^"ü"$`},
		{name: "by dots", files: map[string]string{"pkg/__init__.py": "", "pkg/app.py": "def run(e, c): return __name__"}, handler: "pkg.app.run", event: `0`, answer: `^"pkg.app"$`},
		{name: "None", files: one("app.py", "def handler(e, c): pass"), handler: "app.handler", event: `0`, answer: `^null$`},
		{name: "decimals", files: one("app.py", "import decimal\ndef handler(e, c): return [decimal.Decimal('1.5'), decimal.Decimal(2)]"), handler: "app.handler", event: `0`, answer: `^\[1.5, 2\]$`},
		{name: "raises", files: one("app.py", "class Mine(Exception): pass\ndef handler(e, c):\n  raise Mine('boom')"), handler: "app.handler", event: `0`, kind: `^Mine$`, message: `^boom$`, log: `\[ERROR\] Mine: boom\nTraceback \(most recent call last\):\n  File "[^"]*/app.py", line 3, in handler\n    raise Mine`},
		{name: "logs", files: one("app.py", "import logging\nlogging.getLogger().setLevel('INFO')\ndef handler(e, c):\n  print('plain')\n  logging.info('hello %d', 1)"), handler: "app.handler", event: `0`, answer: `^null$`, log: `(?m)^plain\n\[INFO\]\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t[0-9a-f-]{36}\thello 1$`},
		{name: "context", files: one("app.py", "import os\ndef handler(e, c): return [c.memory_limit_in_mb, c.function_version, len(c.aws_request_id), c.get_remaining_time_in_millis() > 0, c.invoked_function_arn, os.environ['_HANDLER']]"), handler: "app.handler", event: `0`, answer: `^\["256", "\$LATEST", 36, true, "arn:aws:lambda:[^"]*:f", "app.handler"\]$`},
		{name: "no such module", files: one("main.py", ""), handler: "app.handler", event: `0`, kind: `^Runtime.ImportModuleError$`, message: `^Unable to import module 'app': No module named 'app'$`},
		{name: "no such function", files: one("app.py", ""), handler: "app.handler", event: `0`, kind: `^Runtime.HandlerNotFound$`, message: `^Handler 'handler' missing on module 'app'$`},
		{name: "syntax error", files: one("app.py", "def handler(:"), handler: "app.handler", event: `0`, kind: `^Runtime.UserCodeSyntaxError$`, message: `^Syntax error in module 'app': `},
		{name: "bad handler name", files: one("app.py", ""), handler: "app", event: `0`, kind: `^Runtime.MalformedHandlerName$`, message: `^Bad handler 'app': not enough values`},
		{name: "module of Python's own", files: one("app.py", ""), handler: "sys.exit", event: `0`, kind: `^Runtime.BuiltInModuleConflict$`, message: `built-in module sys`},
		{name: "raises at start", files: one("app.py", "raise ValueError('not today')"), handler: "app.handler", event: `0`, kind: `^ValueError$`, message: `^not today$`},
		{name: "exits", files: one("app.py", "import sys\ndef handler(e, c): sys.exit(3)"), handler: "app.handler", event: `0`, kind: `^Runtime.ExitError$`, message: `exit status 3$`},
		{name: "time runs out", files: one("app.py", "import time\ndef handler(e, c): time.sleep(10)"), handler: "app.handler", event: `0`, kind: `^Sandbox.Timedout$`, message: `Task timed out after 0.50 seconds$`},
		{name: "event that is no JSON", files: one("app.py", "def handler(e, c): return e"), handler: "app.handler", event: `{`, kind: `^Runtime.UnmarshalError$`, message: `^Unable to unmarshal input: `},
		{name: "answer that is no JSON", files: one("app.py", "def handler(e, c): return {1, 2}"), handler: "app.handler", event: `0`, kind: `^Runtime.MarshalError$`, message: `^Unable to marshal response: Object of type set is not JSON serializable$`},
		{name: "a large answer", files: one("app.py", "def handler(e, c): return 'x' * (5 << 20)"), handler: "app.handler", event: `0`, answer: `^"x{100}`},
	})
}

// TestConfiguredClients: a client in a configured directory is the one that runs, wherever
// that is (below /tmp, which is an instance's own). The clients are ours in the places of
// AWS's; publicclients_test.go has those.
func TestConfiguredClients(t *testing.T) {
	dir := openTemp(t)
	for to, from := range map[string]string{"awslambdaric/__main__.py": "python.py", "awslambdaric/__init__.py": "", "ric/bin/index.mjs": "node.mjs"} {
		b, err := []byte(nil), os.MkdirAll(filepath.Dir(filepath.Join(dir, to)), 0o755)
		if err == nil && from != "" {
			b, err = clients.ReadFile("client/" + from)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, to), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r := newRunner(t, func(c *Config) {
		c.Runtimes = Runtimes{NodeClient: filepath.Join(dir, "ric"), PythonClient: dir}
	})
	node := functionOf(zipped(t, map[string]string{"index.js": `exports.handler = async () => process.argv[1]`}), nodeRuntime(t), "index.handler")
	if got, want := mustSucceed(t, r, node, "0"), strconv.Quote(filepath.Join(dir, "ric/bin/index.mjs")); got != want {
		t.Errorf("Node runs %s, not %s", got, want)
	}
	python := functionOf(zipped(t, map[string]string{"app.py": "import sys\ndef handler(e, c): return sys.argv[0]"}), pythonRuntime(t), "app.handler")
	if got, want := mustSucceed(t, r, python, "0"), strconv.Quote(filepath.Join(dir, "awslambdaric/__main__.py")); got != want {
		t.Errorf("Python runs %s, not %s", got, want)
	}
}

// TestRuntimeErrors: what is missing, what was found instead, and what to do.
func TestRuntimeErrors(t *testing.T) {
	bin := t.TempDir()
	write := func(name, script string) {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("node", "printf '/opt/node/bin/node\\n18.1.0\\n'")
	write("python3", "echo 'no such thing' >&2; exit 1")
	write("java", "echo '    java.home = /opt/jdk'; echo '    java.version = 17.0.1'")
	r := newRunner(t, func(c *Config) { c.Runtimes.Path = bin })
	for runtime, want := range map[string]string{
		"nodejs20.x": `it needs Node.js 20, and \S+/node is Node.js 18.1.0. Install Node.js 20, and put it on the path or name its directory`,
		"python3.12": `it needs Python 3.12, and \S+/python3: exit status 1 no such thing. Install Python 3.12`,
		"java17":     `the runtime client com.amazonaws:aws-lambda-java-runtime-interface-client is in none of the configured directories`,
		"java5":      `it needs Java 5, and \S+/java is Java 17.0.1`,
		"nodejs":     `there is no such runtime`, "python3": `there is no such runtime`, "go1.x": `it is none that rheo knows`, "provided": `there is no such runtime`,
	} {
		err := r.Check(context.Background(), &Function{Runtime: runtime, MemoryMiB: 128})
		var re *RuntimeError
		if !errors.As(err, &re) || re.Runtime != runtime || !regexp.MustCompile(want).MatchString(err.Error()) {
			t.Errorf("%s: %v", runtime, err)
		}
	}
}

// BenchmarkInvoke is warm invocations of 1 KB, one after the other through one process.
func BenchmarkInvoke(b *testing.B) {
	event, _ := json.Marshal(map[string]string{"text": strings.Repeat("x", 1000)})
	for name, fn := range map[string]func() *Function{
		"go": func() *Function { return goFunction(b, "echo") },
		"node": func() *Function {
			return functionOf(zipped(b, map[string]string{"index.js": `exports.handler = async (event) => event`}), nodeRuntime(b), "index.handler")
		},
		"python": func() *Function {
			return functionOf(zipped(b, map[string]string{"app.py": "def handler(event, context): return event"}), pythonRuntime(b), "app.handler")
		},
	} {
		b.Run(name, func(b *testing.B) {
			r := newRunner(b, nil)
			f := fn()
			mustSucceed(b, r, f, string(event))
			used := ownCPU(b)
			for b.Loop() {
				if got := mustSucceed(b, r, f, string(event)); len(got) < 1000 {
					b.Fatal(got)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "invokes/s")
			b.ReportMetric(float64((ownCPU(b)-used).Microseconds())/float64(b.N), "rheo-µs/op")
		})
	}
}

// ownCPU is the processor time that this process has taken: rheo's part, without the functions'.
func ownCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkColdStart is a Go function's start and first answer.
func BenchmarkColdStart(b *testing.B) {
	r := newRunner(b, nil)
	fn := goFunction(b, "echo")
	mustSucceed(b, r, fn, "1")
	for b.Loop() {
		r.Retire(fn.ARN, "")
		mustSucceed(b, r, fn, "1")
	}
}
