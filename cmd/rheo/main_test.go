package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rheostream/rheo"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"rheo": main})
}

// TestScripts runs each script of testdata against a server of its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			s, err := rheo.New(rheo.Config{})
			if err != nil {
				return err
			}
			e.Defer(func() { s.Close() })
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("AWS_ENDPOINT_URL", s.URL())
			return nil
		},
	})
}

// TestManual runs the examples of the manual, one after the other, against one
// server. A block of "console" has commands after "$ " and what they print;
// "..." there stands for anything, a line of it for any lines.
func TestManual(t *testing.T) {
	manual, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	s, err := rheo.New(rheo.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	dir := t.TempDir()
	examples := 0
	for _, block := range regexp.MustCompile("(?ms)^```console\n(.*?)^```").FindAllStringSubmatch(string(manual), -1) {
		for _, example := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			command, want, _ := strings.Cut(example, "\n")
			for strings.HasSuffix(command, "|") { // goes on in the next line
				var more string
				more, want, _ = strings.Cut(strings.TrimPrefix(want, "> "), "\n")
				command += more
			}
			c := exec.Command("sh", "-c", command)
			c.Dir = dir
			c.Env = append(clean(os.Environ()), "AWS_ENDPOINT_URL="+s.URL(), "HOME="+dir)
			got, _ := c.CombinedOutput()
			examples++
			if !matches(strings.TrimSpace(want), strings.TrimSpace(string(got))) {
				t.Errorf("$ %s\n%s\nthe manual says:\n%s", command, got, want)
			}
		}
	}
	if examples < 10 {
		t.Errorf("only %d examples were found", examples)
	}
}

// TestReadme runs the shell commands of the README's first minute: those of Rheo's
// own command line, and where there is an AWS CLI those too. Both leave the same
// text in the stream, and not its base64.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(readme), "\n## The first minute\n")
	text, _, _ = strings.Cut(text, "\n## ")
	s, err := rheo.New(rheo.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "rheo")); err != nil { // the command, as TestMain has it
		t.Skip(err)
	}
	aws := awsCLI()
	sh := func(command string) string {
		c := exec.Command("sh", "-c", command)
		c.Dir = dir
		c.Env = append(clean(os.Environ()), "AWS_ENDPOINT_URL="+s.URL(), "HOME="+dir,
			"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_DEFAULT_REGION=us-east-1", "AWS_PAGER=")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Errorf("$ %s\n%s%v", command, out, err)
		}
		return string(out)
	}
	want := ""
	if aws == "" {
		sh("./rheo streams create orders --shards 2")
	} else {
		want = "hello\n"
	}
	commands := 0
	for _, m := range regexp.MustCompile(`(?m)^    (.*(?:go run \./cmd/rheo|\baws kinesis) .*)$`).FindAllStringSubmatch(text, -1) {
		if strings.Contains(m[1], "aws kinesis") && aws == "" {
			continue
		}
		commands++
		sh(strings.NewReplacer("go run ./cmd/rheo", "./rheo", "aws kinesis", aws+" kinesis").Replace(m[1]))
	}
	if commands < 2 {
		t.Errorf("only %d commands were found", commands)
	}
	got := strings.Split(sh("./rheo tail orders --from trim-horizon --no-follow"), "\n")
	slices.Sort(got)
	if want += "1\n10\n2\n3\n4\n5\n6\n7\n8\n9"; !slices.Equal(got[1:], sorted(strings.Split(want, "\n"))) {
		t.Errorf("the stream has %q", got)
	}
}

func sorted(s []string) []string { slices.Sort(s); return s }

// awsCLI is where `make interop` put it, or RHEO_AWS_CLI; empty if there is none.
func awsCLI() string {
	for _, name := range []string{os.Getenv("RHEO_AWS_CLI"), "../../.cache/awscli/bin/aws"} {
		if abs, err := filepath.Abs(name); err == nil && name != "" {
			if _, err := os.Stat(abs); err == nil {
				return abs
			}
		}
	}
	return ""
}

func clean(environ []string) (kept []string) {
	for _, e := range environ {
		if !strings.HasPrefix(e, "AWS_") && !strings.HasPrefix(e, "HOME=") {
			kept = append(kept, e)
		}
	}
	return kept
}

func matches(want, got string) bool {
	pattern := regexp.QuoteMeta(want)
	pattern = strings.ReplaceAll(pattern, `\.\.\.`, `.*`)
	pattern = regexp.MustCompile(`(?m)\n\.\*$`).ReplaceAllString(pattern, `(?s:\n.*)?`)
	pattern = regexp.MustCompile(`(?m)^\.\*$`).ReplaceAllString(pattern, `(?s:.*)`)
	return regexp.MustCompile(`^` + pattern + `$`).MatchString(got)
}

// TestHelp: every command has a short text, and help is no error.
func TestHelp(t *testing.T) {
	for _, c := range root().Commands() {
		if c.Short == "" {
			t.Errorf("%s has no short text", c.Name())
		}
		var out, errs strings.Builder
		if code := run([]string{c.Name(), "--help"}, strings.NewReader(""), &out, &errs); code != 0 || errs.Len() > 0 || out.Len() == 0 {
			t.Errorf("%s --help: exit %d, stderr %q, %d bytes", c.Name(), code, errs.String(), out.Len())
		}
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		var out, errs strings.Builder
		if code := run([]string{"completion", shell}, strings.NewReader(""), &out, &errs); code != 0 || !strings.Contains(out.String(), "rheo") {
			t.Errorf("%s: exit %d, %s", shell, code, errs.String())
		}
	}
	var out strings.Builder
	run([]string{"__complete", "call", "kinesis", "Subscribe"}, strings.NewReader(""), &out, new(strings.Builder))
	if !strings.Contains(out.String(), "SubscribeToShard\n") {
		t.Errorf("operations are not completed: %s", out.String())
	}
}
