package lambda_test

import (
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/companion/lambda"
)

var rewrite = flag.Bool("rewrite", false, "write what is answered into the scripts")

// volatile are the parts of answers that are others each time.
var volatile = regexp.MustCompile(`("RevisionId":|"LastModified":|"UUID":|"EventSourceMappingArn":)("[^"]*"|[0-9.]+)|[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)

// TestScripts runs testdata/*.txt: blocks of a request and what is answered:
//
//	POST /2015-03-31/functions
//	X-Header: value
//	{"FunctionName": ...}
//	----
//	201 X-Amz-Header: value
//	{...}
//
// ZIP stands for a package with a file "bootstrap", ZIP(name) for one with another
// file; {name} for a value that an answer before had: "keep RevisionId as name"
// keeps one of the last answer. "restart" closes the service and opens it again.
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
			e := newEndpoint(t, echo)
			sc := &script{t: t, file: file, kept: map[string]string{}, fs: newFunctions(t, func(c *lambda.Config) { c.Runner = e.runner(t) })}
			var out []string
			for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
				out = append(out, sc.block(block))
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(strings.Join(out, "\n\n")+"\n"), 0o666); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

type script struct {
	t    *testing.T
	fs   *functions
	file string
	last string // body of the last answer
	kept map[string]string
}

var packages = regexp.MustCompile(`ZIP(\(([^)]*)\))?`)

// shown are the headers that the scripts show.
var shown = []string{"X-Amzn-ErrorType", "X-Amz-Function-Error", "X-Amz-Executed-Version", "X-Amz-Log-Result"}

// block runs a block and returns it as it would be right.
func (sc *script) block(block string) string {
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
	var name, as string
	switch n, _ := fmt.Sscanf(lines[0], "keep %s as %s", &name, &as); {
	case lines[0] == "restart":
		sc.fs.restart()
		return block
	case n == 2:
		if sc.kept[as] = member(sc.last, name); sc.kept[as] == "" {
			sc.t.Errorf("%s: there is no %s in %s", sc.file, name, sc.last)
		}
		return block
	}
	for i := range lines {
		for name, value := range sc.kept {
			lines[i] = strings.ReplaceAll(lines[i], "{"+name+"}", value)
		}
		lines[i] = packages.ReplaceAllStringFunc(lines[i], func(s string) string {
			file := packages.FindStringSubmatch(s)[2]
			if file == "" {
				file = "bootstrap"
			}
			return base64.StdEncoding.EncodeToString(zipOf(file, "#!/bin/sh\n"))
		})
	}
	method, path, _ := strings.Cut(lines[0], " ")
	var header []string
	rest := lines[1:]
	for len(rest) > 0 && regexp.MustCompile(`^X-[\w-]+: `).MatchString(rest[0]) {
		name, value, _ := strings.Cut(rest[0], ": ")
		header, rest = append(header, name, value), rest[1:]
	}
	a := sc.fs.do(method, path, strings.Join(rest, "\n"), header...)
	sc.last = a.body
	got := fmt.Sprint(a.status)
	for _, name := range shown {
		if v := a.header.Get(name); v != "" {
			got += " " + name + ": " + v
		}
	}
	if a.body != "" {
		body := strings.ReplaceAll(a.body, `"Architectures":["`+map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]+`"]`, `"Architectures":["ours"]`)
		body = regexp.MustCompile(`endpoint 127\.0\.0\.1:\d+`).ReplaceAllString(body, "endpoint 127.0.0.1:...")
		got += "\n" + volatile.ReplaceAllString(body, `${1}"..."`)
	}
	if got != strings.TrimSpace(want) && !*rewrite {
		sc.t.Errorf("%s:\n%s\n----\ngot  %s\nwant %s", sc.file, request, got, want)
	}
	return strings.TrimSuffix(request, "\n----") + "\n----\n" + got
}
