package agent

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
)

// A run that ends when all is sent sends the last line too, if it has no line feed, and
// the next run what was written since.
func TestOnceSendsTheLastLine(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		name := filepath.Join(dir, "logs", "app.log")
		if err := os.Mkdir(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		stream := &memoryStream{}
		run := agentFor(t, dir, stream, `"initialPosition": "START_OF_FILE"`)
		for _, c := range []struct {
			text string
			want []string
		}{
			{"one\ntwo", []string{"one\n", "two"}},
			{"", nil},
			{"\nthree", []string{"\n", "three"}},
			{"one\ntwo\n", []string{"one\n", "two\n"}},
		} {
			f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString(c.text); err != nil {
				t.Fatal(err)
			}
			f.Close()
			if err := run(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			if got := stream.take(); !slices.Equal(got, c.want) {
				t.Errorf("behind %q: sent %q, want %q", c.text, got, c.want)
			}
		}
	})
}
