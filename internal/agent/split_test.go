package agent

import (
	"regexp"
	"strings"
	"testing"
)

// Records are shown with | behind each; what stands behind the last | has no end yet.
func TestSplit(t *testing.T) {
	stamped := blocks{regexp.MustCompile(`\A(?:\d+ )`)}
	for _, c := range []struct {
		s          splitter
		g          growth
		data, want string
	}{
		{lines{}, growing, "a\nb\n", "a\n|b\n|"},
		{lines{}, growing, "a\n\nb", "a\n|\n|b"},
		{lines{}, resting, "a\nb", "a\n|b"},
		{lines{}, ended, "a\nb", "a\n|b|"},
		{stamped, growing, "1 a\n b\n2 c\n", "1 a\n b\n|2 c\n"},
		{stamped, resting, "1 a\n b\n2 c\n", "1 a\n b\n|2 c\n|"},
		{stamped, resting, "1 a\n b\n2 c\nhal", "1 a\n b\n|2 c\nhal"},
		{stamped, growing, "1 a\n2 ", "1 a\n2 "}, // half a line may be no start yet
		{stamped, growing, "in between\n1 a\n", "in between\n|1 a\n"},
		{stamped, ended, "1 a\n b\n2 c\nhal", "1 a\n b\n|2 c\nhal|"},
		{stamped, ended, "1 a\n2 b", "1 a\n|2 b|"},
		{stamped, ended, "1 a", "1 a|"},
	} {
		var got strings.Builder
		rest := []byte(c.data)
		for len(rest) > 0 {
			n := c.s.next(rest, c.g)
			if n == 0 {
				break
			}
			got.Write(rest[:n])
			got.WriteByte('|')
			rest = rest[n:]
		}
		got.Write(rest)
		if got.String() != c.want {
			t.Errorf("%T %d %q: %q, want %q", c.s, c.g, c.data, got.String(), c.want)
		}
	}
}

func TestTruncate(t *testing.T) {
	for _, c := range []struct {
		data       string
		limit      int
		terminator string
		want       string
	}{
		{"abcdef", 4, "\n", "abc\n"},
		{"abcdef", 4, "", "abcd"},
		{"aéé", 3, "\n", "a\n"}, // not within a character
		{"aéé", 4, "\n", "aé\n"},
		{"\xff\xff\xff\xff\xff\xff", 4, "..", "\xff\xff.."}, // what is no text is cut anywhere
	} {
		if got := string(truncate([]byte(c.data), c.limit, []byte(c.terminator))); got != c.want {
			t.Errorf("%q to %d: %q, want %q", c.data, c.limit, got, c.want)
		}
	}
}
