//go:build linux

package process

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain makes the test binary what rheo is: its own helper. It is the test's Go
// function as well: a package of code has it as bootstrap.
func TestMain(m *testing.M) {
	Become()
	if filepath.Base(os.Args[0]) == "bootstrap" {
		function(os.Getenv("_HANDLER"))
		return
	}
	if dir := os.Getenv("RHEO_TEST_SERVER"); dir != "" {
		serveUntilKilled(dir)
		return
	}
	os.Exit(m.Run())
}

// walls are those that the user who runs the tests may have, best first.
func walls() []Wall {
	if os.Getuid() == 0 {
		return []Wall{WallNamespaces, WallLandlock}
	}
	return []Wall{WallUserNamespaces, WallLandlock}
}

// refusals say why a kind of wall cannot be had on this machine.
var refusals = sync.OnceValue(func() map[Wall]error {
	refused := map[Wall]error{}
	for _, w := range walls() {
		dir, err := os.MkdirTemp("", "rheo-functions")
		if err == nil {
			err = os.Chmod(dir, 0o755)
		}
		if err == nil {
			var r *Runner
			if r, err = New(Config{Dir: dir, Walls: []Wall{w}, Logger: slog.New(slog.DiscardHandler)}); err == nil {
				err = r.Close(context.Background())
			}
		}
		os.RemoveAll(dir)
		if err != nil {
			refused[w] = err
		}
	}
	return refused
})

// onEachWall runs a test behind every kind of wall that can be had, which must be one at
// least. (Containers and some distributions refuse namespaces.)
func onEachWall(t *testing.T, test func(t *testing.T, wall Wall)) {
	if len(refusals()) == len(walls()) {
		t.Fatal(refusals())
	}
	for _, w := range walls() {
		t.Run(string(w), func(t *testing.T) {
			if err := refusals()[w]; err != nil {
				t.Skip(err)
			}
			test(t, w)
		})
	}
}

// newRunner returns a Runner in a directory of its own, closed at the end.
func newRunner(t testing.TB, change func(*Config)) *Runner {
	t.Helper()
	c := Config{Dir: filepath.Join(openTemp(t), "functions"), Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	if change != nil {
		change(&c)
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return r
}

// openTemp is a temporary directory that every user can pass through to: t.TempDir's
// parent is 0700 to others under some settings.
func openTemp(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// zipped is a zip of files by name; a name that ends in "*" is executable.
func zipped(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range files {
		h := &zip.FileHeader{Name: strings.TrimSuffix(name, "*"), Method: zip.Deflate}
		mode := fs.FileMode(0o644)
		if strings.HasSuffix(name, "*") {
			mode = 0o755
		}
		h.SetMode(mode)
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = io.WriteString(f, content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// goZip is the test binary as a Go function, zipped once.
var goZip = sync.OnceValues(func() ([]byte, error) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	h := &zip.FileHeader{Name: "bootstrap", Method: zip.Store}
	h.SetMode(0o755)
	f, err := w.CreateHeader(h)
	if err == nil {
		_, err = f.Write(self)
	}
	if err == nil {
		err = w.Close()
	}
	return b.Bytes(), err
})

var revisions struct {
	sync.Mutex
	n int
}

// functionOf is a Function of a zip.
func functionOf(zip []byte, runtime, handler string) *Function {
	revisions.Lock()
	revisions.n++
	revision := strconv.Itoa(revisions.n)
	revisions.Unlock()
	sum := sha256.Sum256(zip)
	return &Function{
		ARN: "arn:aws:lambda:eu-central-1:123456789012:function:f", Name: "f", Version: "$LATEST", Revision: revision,
		Account: "123456789012", Region: "eu-central-1",
		CodeSHA256: hex.EncodeToString(sum[:]),
		Code:       func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(zip)), nil },
		Runtime:    runtime, Handler: handler, MemoryMiB: 256, Timeout: 20 * time.Second,
	}
}

// goFunction is the test's own Function; handler names what it does (function_test.go).
func goFunction(t testing.TB, handler string) *Function {
	t.Helper()
	zip, err := goZip()
	if err != nil {
		t.Fatal(err)
	}
	fn := functionOf(zip, "provided.al2023", handler)
	fn.Env = map[string]string{"RHEO_TEST_RUN": run}
	return fn
}

var requests struct {
	sync.Mutex
	n int
}

// requestID is another one for each call.
func requestID() string {
	requests.Lock()
	defer requests.Unlock()
	requests.n++
	return fmt.Sprintf("00000000-0000-4000-8000-%012d", requests.n)
}

// invoke runs fn and returns what came of it; an error of ours ends the test.
func invoke(t testing.TB, r *Runner, fn *Function, payload string) Result {
	t.Helper()
	result, err := r.Invoke(context.Background(), fn, Invocation{RequestID: requestID(), Payload: []byte(payload)})
	if err != nil {
		t.Fatalf("%s: %v", fn.Handler, err)
	}
	return result
}

// mustSucceed is invoke for functions that do not fail.
func mustSucceed(t testing.TB, r *Runner, fn *Function, payload string) string {
	t.Helper()
	result := invoke(t, r, fn, payload)
	if result.FunctionError != "" {
		t.Fatalf("%s(%s): %s\n%s", fn.Handler, payload, result.Payload, result.Log)
	}
	return string(result.Payload)
}

// failure is the error that a result must have.
func failureOf(t testing.TB, result Result) (kind, message string) {
	t.Helper()
	var e struct{ ErrorType, ErrorMessage string }
	if result.FunctionError != "Unhandled" {
		t.Fatalf("FunctionError is %q, payload %.200s", result.FunctionError, result.Payload)
	}
	if err := json.Unmarshal(result.Payload, &e); err != nil {
		t.Fatalf("the error is no JSON: %.200q", result.Payload)
	}
	return e.ErrorType, e.ErrorMessage
}

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
