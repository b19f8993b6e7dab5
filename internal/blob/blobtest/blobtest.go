// Package blobtest is the contract of blob.Store as a test that every store runs.
package blobtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/rheostream/rheo/internal/blob"
)

// Run checks a store; open returns an empty one.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	ctx := context.Background()
	put := func(t *testing.T, s blob.Store, name, body string) {
		t.Helper()
		if err := s.Put(ctx, name, strings.NewReader(body)); err != nil {
			t.Fatal(err)
		}
	}
	get := func(t *testing.T, s blob.Store, name string, off, n int64) string {
		t.Helper()
		r, info, err := s.Get(ctx, name, off, n)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if info.Name != name {
			t.Errorf("info.Name = %q, want %q", info.Name, name)
		}
		return string(b)
	}

	t.Run("put, replace, ranges, delete", func(t *testing.T) {
		s := open(t)
		put(t, s, "a/b", "hello")
		put(t, s, "a", "beside its own directory")
		for _, c := range []struct {
			off, n int64
			want   string
		}{{0, -1, "hello"}, {1, 3, "ell"}, {3, 100, "lo"}, {9, 1, ""}, {0, 0, ""}} {
			if got := get(t, s, "a/b", c.off, c.n); got != c.want {
				t.Errorf("get(%d, %d) = %q, want %q", c.off, c.n, got, c.want)
			}
		}
		put(t, s, "a/b", "new")
		if got := get(t, s, "a/b", 0, -1); got != "new" {
			t.Errorf("after replace: %q", got)
		}
		for range 2 {
			if err := s.Delete(ctx, "a/b"); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := s.Get(ctx, "a/b", 0, -1); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("get after delete: %v", err)
		}
		if got := get(t, s, "a", 0, 6); got != "beside" {
			t.Errorf("neighbour: %q", got)
		}
	})

	t.Run("list in order, by prefix and page", func(t *testing.T) {
		s := open(t)
		for _, n := range []string{"x/2", "x/1", "x/10", "x", "xy", "y/1"} {
			put(t, s, n, n)
		}
		for _, c := range []struct {
			prefix, after string
			limit         int
			want          string
		}{
			{"", "", 100, "[x x/1 x/10 x/2 xy y/1]"},
			{"x/", "", 100, "[x/1 x/10 x/2]"},
			{"x/1", "", 100, "[x/1 x/10]"},
			{"x", "x/1", 2, "[x/10 x/2]"},
			{"none/", "", 100, "[]"},
		} {
			got, err := s.List(ctx, c.prefix, c.after, c.limit)
			if err != nil {
				t.Fatal(err)
			}
			names := []string{}
			for _, i := range got {
				names = append(names, i.Name)
				if i.Size != int64(len(i.Name)) {
					t.Errorf("size of %s is %d", i.Name, i.Size)
				}
			}
			if fmt.Sprint(names) != c.want {
				t.Errorf("list(%q, %q, %d) = %v, want %s", c.prefix, c.after, c.limit, names, c.want)
			}
		}
	})

	t.Run("names that are refused", func(t *testing.T) {
		s := open(t)
		for _, n := range []string{"", "/a", "a/", "a//b", "../a", "a/./b", "a\x00", "ü", `a\b`, strings.Repeat("x", 1025)} {
			if err := s.Put(ctx, n, strings.NewReader("x")); !errors.Is(err, blob.ErrBadName) {
				t.Errorf("put %q: %v", n, err)
			}
		}
	})

	t.Run("a reader that fails leaves the old object", func(t *testing.T) {
		s := open(t)
		put(t, s, "a", "old")
		boom := errors.New("boom")
		err := s.Put(ctx, "a", io.MultiReader(strings.NewReader("half"), errReader{boom}))
		if !errors.Is(err, boom) {
			t.Errorf("put: %v", err)
		}
		if got := get(t, s, "a", 0, -1); got != "old" {
			t.Errorf("after failed put: %q", got)
		}
	})

	t.Run("concurrent puts of one name leave one whole object", func(t *testing.T) {
		s := open(t)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() { put(t, s, "same", strings.Repeat(string(rune('a'+i)), 100_000)) })
		}
		wg.Wait()
		got := get(t, s, "same", 0, -1)
		if len(got) != 100_000 || strings.Trim(got, got[:1]) != "" {
			t.Errorf("mixed object of %d bytes", len(got))
		}
	})
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
