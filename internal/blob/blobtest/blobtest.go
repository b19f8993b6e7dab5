// Package blobtest is the contract of blob.Store as a test that every store
// runs. [Run] is its table of contents; each function below is one clause.
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
	for _, clause := range []struct {
		says  string
		check func(s store)
	}{
		{"what was put is read, whole and in ranges", ranges},
		{"a put replaces", replace},
		{"what was deleted is not there, and can be deleted again", deleted},
		{"a name may be the beginning of another", nested},
		{"a list is in order, by prefix and page", lists},
		{"bad names are refused by every method", badNames},
		{"a source that fails leaves the old object", failingSource},
		{"a context that is over leaves the old object", canceled},
		{"puts of one name at once leave one of the objects, whole", racingPuts},
		{"readers and lists see whole objects while they are replaced", readersDuringPuts},
	} {
		t.Run(clause.says, func(t *testing.T) { clause.check(store{open(t), t}) })
	}
}

// store is a store under test.
type store struct {
	blob.Store
	t *testing.T
}

func (s store) put(name, body string) {
	s.t.Helper()
	if err := s.Put(s.t.Context(), name, strings.NewReader(body)); err != nil {
		s.t.Fatal(err)
	}
}

func (s store) want(name string, off, n int64, body string) {
	s.t.Helper()
	got, info := s.get(name, off, n)
	if got != body {
		s.t.Errorf("%s from %d, %d bytes: %.40q (%d), want %.40q (%d)", name, off, n, got, len(got), body, len(body))
	}
	if info.Name != name || info.Modified.IsZero() {
		s.t.Errorf("the info of %s is %+v", name, info)
	}
}

func (s store) get(name string, off, n int64) (string, blob.Info) {
	s.t.Helper()
	r, info, err := s.Get(s.t.Context(), name, off, n)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b), info
}

func (s store) wantNone(name string) {
	s.t.Helper()
	if _, _, err := s.Get(s.t.Context(), name, 0, -1); !errors.Is(err, blob.ErrNotFound) {
		s.t.Errorf("get of %s, which is not there: %v", name, err)
	}
}

func (s store) delete(name string) {
	s.t.Helper()
	if err := s.Delete(s.t.Context(), name); err != nil {
		s.t.Fatal(err)
	}
}

func ranges(s store) {
	s.put("a/b", "hello")
	for _, c := range []struct {
		off, n int64
		want   string
	}{{0, -1, "hello"}, {1, 3, "ell"}, {3, 100, "lo"}, {3, -1, "lo"}, {5, 1, ""}, {9, 1, ""}, {0, 0, ""}} {
		s.want("a/b", c.off, c.n, c.want)
	}
	if _, info := s.get("a/b", 1, 3); info.Size != 5 {
		s.t.Errorf("the size is that of the object, not of the range: %d", info.Size)
	}
	s.put("empty", "")
	s.want("empty", 0, -1, "")
	large := strings.Repeat("0123456789abcde", 200_000) // no multiple of any buffer
	s.put("large", large)
	s.want("large", 0, -1, large)
	s.want("large", 1_000_001, 70_000, large[1_000_001:1_070_001])
}

func replace(s store) {
	s.put("a", "a long one")
	s.put("a", "short")
	s.want("a", 0, -1, "short")
}

func deleted(s store) {
	s.wantNone("a/b")
	s.put("a/b", "x")
	s.delete("a/b")
	s.wantNone("a/b")
	s.delete("a/b")
	s.delete("never/was")
	s.put("a/b", "back")
	s.want("a/b", 0, -1, "back")
}

func nested(s store) {
	s.put("a/b", "below")
	s.put("a", "above")
	s.put("a/b/c", "deeper")
	s.delete("a/b")
	s.wantNone("a/b")
	s.want("a", 0, -1, "above")
	s.want("a/b/c", 0, -1, "deeper")
}

func lists(s store) {
	for _, name := range []string{"x/2", "x/1", "x/10", "x", "xy", "y/1"} {
		s.put(name, name)
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
		{"x", "x/11", 2, "[x/2 xy]"},
		{"x/", "y", 100, "[]"},
		{"none/", "", 100, "[]"},
	} {
		infos, err := s.List(s.t.Context(), c.prefix, c.after, c.limit)
		if err != nil {
			s.t.Fatal(err)
		}
		names := []string{}
		for _, i := range infos {
			names = append(names, i.Name)
			if i.Size != int64(len(i.Name)) || i.Modified.IsZero() {
				s.t.Errorf("the info of %s is %+v", i.Name, i)
			}
		}
		if fmt.Sprint(names) != c.want {
			s.t.Errorf("list(%q, %q, %d) = %v, want %s", c.prefix, c.after, c.limit, names, c.want)
		}
	}
}

func badNames(s store) {
	for _, name := range []string{"", "/a", "a/", "a//b", "..", "../a", "a/./b", "a\x00", "a\n", "ü", `a\b`, "c:a", strings.Repeat("x", 1025)} {
		if err := s.Put(s.t.Context(), name, strings.NewReader("x")); !errors.Is(err, blob.ErrBadName) {
			s.t.Errorf("put %q: %v", name, err)
		}
		if _, _, err := s.Get(s.t.Context(), name, 0, -1); !errors.Is(err, blob.ErrBadName) {
			s.t.Errorf("get %q: %v", name, err)
		}
		if err := s.Delete(s.t.Context(), name); !errors.Is(err, blob.ErrBadName) {
			s.t.Errorf("delete %q: %v", name, err)
		}
	}
	if infos, err := s.List(s.t.Context(), "", "", 100); err != nil || len(infos) > 0 {
		s.t.Errorf("there is %v, %v", infos, err)
	}
}

func failingSource(s store) {
	s.put("a", "old")
	for _, boom := range []error{errors.New("boom"), io.ErrUnexpectedEOF} { // the second as of a body that broke off
		for _, name := range []string{"a", "new"} {
			if err := s.Put(s.t.Context(), name, io.MultiReader(strings.NewReader("half"), errReader{boom})); !errors.Is(err, boom) {
				s.t.Errorf("put from a source that fails with %v: %v", boom, err)
			}
		}
	}
	s.want("a", 0, -1, "old")
	s.wantNone("new")
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func canceled(s store) {
	s.put("a", "old")
	ctx, cancel := context.WithCancel(s.t.Context())
	cancel()
	if err := s.Put(ctx, "a", strings.NewReader("new")); !errors.Is(err, context.Canceled) {
		s.t.Errorf("put: %v", err)
	}
	s.want("a", 0, -1, "old")
}

func racingPuts(s store) {
	var g sync.WaitGroup
	for i := range 8 {
		g.Go(func() {
			if err := s.Put(s.t.Context(), "same", strings.NewReader(letters(i))); err != nil {
				s.t.Error(err)
			}
		})
	}
	g.Wait()
	s.wantLetters()
}

func readersDuringPuts(s store) {
	s.put("same", letters(0))
	var g sync.WaitGroup
	g.Go(func() {
		for i := range 20 {
			if err := s.Put(s.t.Context(), "same", strings.NewReader(letters(i))); err != nil {
				s.t.Error(err)
			}
		}
	})
	for range 20 {
		s.wantLetters()
		infos, err := s.List(s.t.Context(), "", "", 100)
		if err != nil || len(infos) != 1 || infos[0].Size != lettersBytes {
			s.t.Errorf("the list is %v, %v", infos, err)
		}
	}
	g.Wait()
}

const lettersBytes = 100_000

func letters(i int) string { return strings.Repeat(string(rune('a'+i)), lettersBytes) }

func (s store) wantLetters() {
	s.t.Helper()
	got, info := s.get("same", 0, -1)
	if len(got) != lettersBytes || strings.Trim(got, got[:1]) != "" || info.Size != lettersBytes {
		s.t.Errorf("a mixed object of %d bytes, %+v", len(got), info)
	}
}
