package pattern

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPatterns runs testdata/*.txt. A block is a pattern and what is to become of it:
// "yes MESSAGE" and "no MESSAGE" say whether a message matches, "takes JSON" what the
// message above gives, "wrong TEXT" that the pattern cannot be read.
func TestPatterns(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no data, %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var p *Pattern
		var parsed error
		source, last := "", ""
		for n, line := range strings.Split(string(text), "\n") {
			kind, rest, _ := strings.Cut(line, " ")
			switch kind {
			case "", "#":
			case "pattern":
				source = rest
				p, parsed = Parse(rest)
			case "wrong":
				if parsed == nil {
					t.Errorf("%s:%d: %s was read", file, n+1, source)
				} else if parsed.Error() != rest {
					t.Errorf("%s:%d: %s\ngot  %s\nwant %s", file, n+1, source, parsed, rest)
				}
			case "yes", "no":
				if last = rest; parsed != nil {
					t.Fatalf("%s:%d: %s: %v", file, n+1, source, parsed)
				}
				if got := p.Match([]byte(rest)); got != (kind == "yes") {
					t.Errorf("%s:%d: %s: matches is %v for %s", file, n+1, source, got, rest)
				}
				if _, got := p.Extract([]byte(rest)); got != (kind == "yes") {
					t.Errorf("%s:%d: %s: gives values is %v for %s", file, n+1, source, got, rest)
				}
			case "takes":
				values, _ := p.Extract([]byte(last))
				if got, _ := json.Marshal(values); string(got) != rest {
					t.Errorf("%s:%d: %s of %s\ngot  %s\nwant %s", file, n+1, source, last, got, rest)
				}
			default:
				t.Fatalf("%s:%d: what is %q?", file, n+1, kind)
			}
		}
	}
}

func FuzzPattern(f *testing.F) {
	for _, s := range []string{`ERROR -"a b" ?c`, `{ $.a[0]["b"] >= 1e3 && ($.c NOT EXISTS || $.d = %x{2}%) }`, `[a, ..., b=*x* && b!=1, ]`, `%[a-z]+%`} {
		f.Add(s, `{"a":[{"b":2000}]}`)
		f.Add(s, `1 [2 3] "4 5" x1x`)
	}
	f.Fuzz(func(t *testing.T, text, message string) {
		p, err := Parse(text)
		if err != nil {
			if _, ok := err.(*Error); !ok {
				t.Fatalf("%q: %v is a %T", text, err, err)
			}
			return
		}
		if _, ok := p.Extract([]byte(message)); ok != p.Match([]byte(message)) {
			t.Fatalf("%q: match and extract differ for %q", text, message)
		}
	})
}
