package s3

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/btree"
)

// TestPages lists random keys by random prefixes, delimiters and sizes of pages: the
// pages together are what a walk over all keys finds, each entry once, in order.
func TestPages(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	text := func(most int) string {
		var b strings.Builder
		for range rnd.IntN(most + 1) {
			b.WriteString([]string{"a", "b", "/", "//", "\xc3\xbf", "0"}[rnd.IntN(6)])
		}
		return b.String()
	}
	for range 3000 {
		var tree btree.Map[string, int]
		for range rnd.IntN(30) {
			if key := text(5); key != "" {
				tree.Set(key, len(key))
			}
		}
		prefix, delimiter, after, most := text(2), []string{"", "/", "a", "//", "b/"}[rnd.IntN(5)], text(3), 1+rnd.IntN(4)
		want := walk(&tree, prefix, delimiter, after)
		var got []string
		for at := after; ; {
			p := listPage(&tree, prefix, delimiter, at, most)
			entries := slices.Concat(p.keys, p.prefixes)
			slices.Sort(entries)
			if len(entries) > most || len(p.keys) != len(p.values) {
				t.Fatalf("a page of %q", entries)
			}
			got = append(got, entries...)
			if !p.truncated {
				break
			}
			if p.last != entries[len(entries)-1] {
				t.Fatalf("page %q goes on behind %q", entries, p.last)
			}
			at = p.last
		}
		if !slices.Equal(got, want) {
			t.Fatalf("prefix %q, delimiter %q, after %q, %d a page, of %q:\n%q, want\n%q", prefix, delimiter, after, most, tree.Keys(), got, want)
		}
	}
}

// walk is what a listing is, in so many words: what sorts behind after, rolled up.
func walk(tree *btree.Map[string, int], prefix, delimiter, after string) []string {
	var entries []string
	for _, key := range tree.Keys() {
		entry := key
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		if i := strings.Index(key[len(prefix):], delimiter); delimiter != "" && i >= 0 {
			entry = key[:len(prefix)+i+len(delimiter)]
		}
		isAfter := key > after // a key by itself, and a prefix by any key in it, but the one that is after itself
		if entry != key || strings.HasSuffix(entry, delimiter) && delimiter != "" {
			isAfter = key > after && entry != after
		}
		if isAfter && !slices.Contains(entries, entry) {
			entries = append(entries, entry)
		}
	}
	return entries
}
