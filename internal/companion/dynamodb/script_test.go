package dynamodb_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/api"
	ddb "github.com/rheostream/rheo/internal/api/dynamodb"
	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/companion/dynamodb"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/vfs"
	"github.com/rheostream/rheo/internal/wire"
)

var rewrite = flag.Bool("rewrite", false, "write what is answered into the scripts")

// A tables is a service on a log in memory, that can be started again.
type tables struct {
	*dynamodb.Service
	t   testing.TB
	cfg dynamodb.Config
}

func newTables(t testing.TB, change func(*dynamodb.Config)) *tables {
	t.Helper()
	blobs, err := blob.OpenDir(vfs.NewCrash(0), "blobs")
	if err != nil {
		t.Fatal(err)
	}
	ts := &tables{t: t, cfg: dynamodb.Config{Log: shardlog.NewMemory(), Blobs: blobs}}
	if change != nil {
		change(&ts.cfg)
	}
	ts.start()
	t.Cleanup(func() { ts.Close() })
	return ts
}

func (ts *tables) start() {
	ts.t.Helper()
	s, err := dynamodb.New(ts.t.Context(), ts.cfg)
	if err != nil {
		ts.t.Fatal(err)
	}
	ts.Service = s
}

func (ts *tables) restart() {
	ts.t.Helper()
	ts.Close()
	ts.start()
}

var caller = &api.Caller{Account: "123456789012", Region: "us-east-1", Host: "localhost:4566"}

// do calls an operation with an input as JSON, and returns the answer as JSON or
// the error as text; by the codec and the constraints that requests go through.
func (ts *tables) do(ctx context.Context, operation, input string) string {
	return ts.doAs(ctx, caller, operation, input)
}

func (ts *tables) doAs(ctx context.Context, caller *api.Caller, operation, input string) string {
	op := ddb.Service.Op(operation)
	if op == nil {
		return "no operation " + operation
	}
	in := op.NewInput()
	codec := wire.JSON{Version: "1.0"}
	err := codec.Decode(op, &http.Request{}, []byte(input), in)
	if err == nil {
		err = wire.Validate(op, in)
	}
	var out any
	if err == nil {
		out, err = op.Invoke(api.WithCaller(ctx, caller), ts.Service, in)
	}
	if e, ok := err.(*api.Error); ok {
		text := e.Error()
		if len(e.Fields) > 0 {
			text = fmt.Sprintf("%s: %s", e.Code, codec.EncodeError(nil, op, e, "").Body)
		}
		return text
	}
	if err != nil {
		return "our error: " + err.Error()
	}
	a, err := codec.Encode(nil, op, out)
	if err != nil {
		return "cannot encode: " + err.Error()
	}
	return string(a.Body)
}

// call is do for what must succeed.
func (ts *tables) call(operation, input string) string {
	ts.t.Helper()
	out := ts.do(ts.t.Context(), operation, input)
	if !strings.HasPrefix(out, "{") {
		ts.t.Fatalf("%s %s: %s", operation, input, out)
	}
	return out
}

// volatile are the parts of answers that are others each time.
var volatile = regexp.MustCompile(`("TableId":)"[^"]*"|("\w+DateTime":)[0-9.]+`)

// TestScripts runs testdata/*.txt: blocks of an operation, its input, and what is
// answered. "restart" closes the service and opens it again.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts, %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			ts := newTables(t, nil)
			var out []string
			for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
				out = append(out, ts.block(t, file, block))
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(strings.Join(out, "\n\n")+"\n"), 0o666); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// block runs a block and returns it as it would be right.
func (ts *tables) block(t *testing.T, file, block string) string {
	request, want, _ := strings.Cut(block, "\n----\n")
	var lines []string
	for line := range strings.SplitSeq(request, "\n") {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return block
	}
	if lines[0] == "restart" {
		ts.restart()
		return block
	}
	operation, first, _ := strings.Cut(lines[0], " ")
	got := ts.do(t.Context(), operation, first+strings.Join(lines[1:], "\n"))
	got = volatile.ReplaceAllString(got, `${1}${2}"..."`)
	if got != strings.TrimSpace(want) && !*rewrite {
		t.Errorf("%s:\n%s\n----\ngot  %s\nwant %s", file, request, got, want)
	}
	return strings.TrimSuffix(request, "\n----") + "\n----\n" + got
}
