package agent

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// Checkpoints of version 1 have no digests: the same inode is gone on with, and another
// file that begins and ends alike is sent.
func TestVersion1(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		name := filepath.Join(dir, "logs", "app.log")
		if err := os.Mkdir(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		alike := func(day string) string {
			return strings.Repeat("head\n", 100) + strings.Repeat(day+"\n", 100) + strings.Repeat("foot\n", 100)
		}
		if err := os.WriteFile(name, []byte(alike("mon")), 0o600); err != nil {
			t.Fatal(err)
		}
		stream := &memoryStream{}
		run := agentFor(t, dir, stream, `"initialPosition": "START_OF_FILE"`)
		if err := run(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if n := len(stream.take()); n != 300 {
			t.Fatalf("%d lines", n)
		}
		checkpoints := filepath.Join(dir, "checkpoints")
		b, err := os.ReadFile(checkpoints)
		if err != nil {
			t.Fatal(err)
		}
		old := regexp.MustCompile(`"content":"[^"]*",`).ReplaceAll(b, nil)
		if len(old) == len(b) {
			t.Fatalf("no digest in %s", b)
		}
		old = []byte(strings.Replace(string(old), `"version":2`, `"version":1`, 1))
		if err := os.WriteFile(checkpoints, old, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("more\n"); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if err := os.WriteFile(name+".tue", []byte(alike("tue")), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := run(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		got := stream.take()
		if i := slices.Index(got, "more\n"); len(got) != 301 || i < 0 || !slices.Contains(got, "tue\n") {
			t.Errorf("%d lines, want more and 300 of tue", len(got))
		}
	})
}
