package cloudwatch

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write what is answered into the scripts")

var (
	relative = regexp.MustCompile(`@(-?)(\d+[dhms][0-9hms]*)`)
	seconds  = regexp.MustCompile(`\b1[78]\d{8}\b`)
)

// parseAge reads a duration that may be in days.
func parseAge(text string) time.Duration {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil {
			panic(err)
		}
		return time.Duration(n) * 24 * time.Hour
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		panic(err)
	}
	return d
}

// TestScripts runs testdata/*.txt: blocks of an operation, its input, and what is
// answered. Times in inputs are relative to now (@-5m, @0s), in answers they are
// shown as dates. "advance D" lets time pass, "flush" writes what there is into
// segments and moves them on as they have aged, "restart" opens the service anew.
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
			b := newBench(t, nil)
			var out []string
			for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
				out = append(out, b.block(t, file, block))
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
func (b *bench) block(t *testing.T, file, block string) string {
	request, want, _ := strings.Cut(block, "\n----\n")
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSuffix(request, "\n----"), "\n") {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return block
	}
	operation, first, _ := strings.Cut(lines[0], " ")
	switch operation {
	case "restart":
		b.restart()
		return block
	case "flush":
		if err := b.flush(); err != nil {
			t.Errorf("%s: flush: %v", file, err)
		}
		return block
	case "advance":
		b.clock.advance(parseAge(first))
		return block
	}
	now := b.clock.Wall()
	input := relative.ReplaceAllStringFunc(first+strings.Join(lines[1:], "\n"), func(text string) string {
		if age, ok := strings.CutPrefix(text, "@-"); ok {
			return fmt.Sprint(now.Add(-parseAge(age)).Unix())
		}
		return fmt.Sprint(now.Add(parseAge(text[1:])).Unix())
	})
	got := seconds.ReplaceAllStringFunc(b.do(operation, input), func(text string) string {
		n, _ := strconv.ParseInt(text, 10, 64)
		return time.Unix(n, 0).UTC().Format("2006-01-02T15:04:05Z")
	})
	if got != strings.TrimSpace(want) && !*rewrite {
		t.Errorf("%s:\n%s\n----\ngot  %s\nwant %s", file, request, got, want)
	}
	return strings.TrimSuffix(request, "\n----") + "\n----\n" + got
}
