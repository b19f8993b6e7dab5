package logs

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
	millis   = regexp.MustCompile(`\b1[78]\d{11}\b`)
	cursors  = regexp.MustCompile(`"[fb]/[A-Za-z0-9_-]+"`)
	events   = regexp.MustCompile(`"3(\d{17})(\d{22})(\d{16})"`)
	sequence = regexp.MustCompile(`"4(\d{55})"`)
	variable = regexp.MustCompile(`\$([A-Z]\d*)`)
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
// shown as times of day, with the date if it is not today. Tokens are shown as $T1,
// $T2, and so on, and given like that; ids of events by offset and place. "advance D"
// lets time pass, "restart" opens the service anew.
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
			s := &script{bench: newBench(t, nil), tokens: map[string]string{}, values: map[string]string{}}
			var out []string
			for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
				out = append(out, s.block(t, file, block))
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
	*bench
	tokens map[string]string // by what they are
	values map[string]string // by name
}

// block runs a block and returns it as it would be right.
func (s *script) block(t *testing.T, file, block string) string {
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
		s.restart()
		return block
	case "advance":
		s.clock.advance(parseAge(first))
		return block
	}
	now := s.clock.Wall()
	input := relative.ReplaceAllStringFunc(first+strings.Join(lines[1:], "\n"), func(text string) string {
		if age, ok := strings.CutPrefix(text, "@-"); ok {
			return fmt.Sprint(now.Add(-parseAge(age)).UnixMilli())
		}
		return fmt.Sprint(now.Add(parseAge(text[1:])).UnixMilli())
	})
	input = variable.ReplaceAllStringFunc(input, func(name string) string {
		if v, ok := s.values[name]; ok {
			return v
		}
		return name
	})
	got := s.show(s.do(operation, input))
	if got != strings.TrimSpace(want) && !*rewrite {
		t.Errorf("%s:\n%s\n----\ngot  %s\nwant %s", file, request, got, want)
	}
	return strings.TrimSuffix(request, "\n----") + "\n----\n" + got
}

func (s *script) show(answer string) string {
	answer = cursors.ReplaceAllStringFunc(answer, func(token string) string {
		name, ok := s.tokens[token]
		if !ok {
			name = fmt.Sprintf("$T%d", len(s.tokens)+1)
			s.tokens[token], s.values[name] = name, token
		}
		return name
	})
	answer = events.ReplaceAllStringFunc(answer, func(id string) string {
		parts := events.FindStringSubmatch(id)
		offset, _ := strconv.Atoi(parts[2])
		place, _ := strconv.Atoi(parts[3])
		return fmt.Sprintf("%d.%d", offset, place)
	})
	answer = sequence.ReplaceAllStringFunc(answer, func(token string) string {
		return "sequence" + strings.TrimLeft(sequence.FindStringSubmatch(token)[1], "0")
	})
	return millis.ReplaceAllStringFunc(answer, func(text string) string {
		n, _ := strconv.ParseInt(text, 10, 64)
		at := time.UnixMilli(n).UTC()
		if at.Truncate(24*time.Hour) == s.clock.Wall().Truncate(24*time.Hour) {
			return at.Format("15:04:05.000")
		}
		return at.Format("2006-01-02T15:04:05.000")
	})
}
