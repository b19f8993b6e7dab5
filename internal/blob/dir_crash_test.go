package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/vfs"
)

func get(t *testing.T, s blob.Store, name string) (string, error) {
	t.Helper()
	r, _, err := s.Get(t.Context(), name, 0, -1)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), nil
}

// What Put and Delete returned from holds after a power cut, whatever the cut
// takes of what was not synced, down to the names of the directories above.
func TestDirSurvivesPowerCuts(t *testing.T) {
	for seed := range uint64(200) {
		fs := vfs.NewCrash(seed)
		d, err := blob.OpenDir(fs, "data/here/blobs")
		if err != nil {
			t.Fatal(err)
		}
		put := func(name, data string) {
			t.Helper()
			if err := d.Put(t.Context(), name, strings.NewReader(data)); err != nil {
				t.Fatal(err)
			}
		}
		put("a/b/c", "one")
		put("a", "two")
		put("a/b/c", "three")
		put("gone", "x")
		if err := d.Delete(t.Context(), "gone"); err != nil {
			t.Fatal(err)
		}
		fs = fs.Crash()
		if d, err = blob.OpenDir(fs, "data/here/blobs"); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"a/b/c": "three", "a": "two"} {
			if got, err := get(t, d, name); got != want {
				t.Fatalf("seed %d: %s is %q (%v), want %q", seed, name, got, err, want)
			}
		}
		if _, err := get(t, d, "gone"); !errors.Is(err, blob.ErrNotFound) {
			t.Fatalf("seed %d: the deleted object: %v", seed, err)
		}
		if err := d.Put(t.Context(), "after", strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
}

// A power cut in the middle of a Put leaves the old object or the new one, never a part.
func TestDirCutAtEveryCall(t *testing.T) {
	old, new := strings.Repeat("old ", 300_000), strings.Repeat("new ", 200_000)
	for nth := int64(1); ; nth++ {
		base := vfs.NewCrash(uint64(nth))
		setup, err := blob.OpenDir(base, "blobs")
		if err != nil {
			t.Fatal(err)
		}
		if err := setup.Put(t.Context(), "x/y", strings.NewReader(old)); err != nil {
			t.Fatal(err)
		}
		faults := vfs.NewFaults(base)
		d, err := blob.OpenDir(faults, "blobs")
		if err != nil {
			t.Fatal(err)
		}
		armed := faults.Add(vfs.Fault{Nth: nth, Err: errors.New("dead")})
		err = d.Put(t.Context(), "x/y", strings.NewReader(new))
		if armed.Fired() == 0 {
			if err != nil {
				t.Fatal(err)
			}
			break // every call has had its turn
		}
		for range 5 {
			after := base.Crash()
			d, err := blob.OpenDir(after, "blobs")
			if err != nil {
				t.Fatal(err)
			}
			if got, err := get(t, d, "x/y"); got != old && got != new {
				t.Fatalf("call %d: %d bytes (%v)", nth, len(got), err)
			}
			left, err := after.List("blobs/tmp")
			if err != nil || len(left) > 0 {
				t.Fatalf("call %d left %v (%v)", nth, left, err)
			}
		}
	}
}

// A call that fails makes Put, Get, Delete and List fail, names the object, and
// leaves the old object whole; once the fault is over all is as before.
func TestDirFaults(t *testing.T) {
	broken := errors.New("the disk is broken")
	for _, op := range []struct {
		name string
		do   func(d *blob.Dir) error
	}{
		{"Put", func(d *blob.Dir) error {
			return d.Put(context.Background(), "x/y", bytes.NewReader(make([]byte, 600_000)))
		}},
		{"Get", func(d *blob.Dir) error {
			r, _, err := d.Get(context.Background(), "x/y", 0, -1)
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = io.Copy(io.Discard, r)
			return err
		}},
		{"Delete", func(d *blob.Dir) error { return d.Delete(context.Background(), "x/y") }},
		{"List", func(d *blob.Dir) error { _, err := d.List(context.Background(), "x/", "", 10); return err }},
	} {
		for nth := int64(1); ; nth++ {
			base := vfs.NewCrash(1)
			faults := vfs.NewFaults(base)
			d, err := blob.OpenDir(faults, "blobs")
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Put(t.Context(), "x/y", strings.NewReader("old")); err != nil {
				t.Fatal(err)
			}
			armed := faults.Add(vfs.Fault{Nth: nth, Err: broken})
			err = op.do(d)
			if armed.Fired() == 0 {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			closing := op.name == "Get" && err == nil // the reader's Close, of which nobody hears
			if !closing && !errors.Is(err, broken) {
				t.Errorf("%s with call %d failing: %v", op.name, nth, err)
			}
			if got, err := get(t, d, "x/y"); err == nil && got != "old" && len(got) != 600_000 || err != nil && op.name != "Delete" {
				t.Errorf("%s with call %d failing leaves %.10q (%v)", op.name, nth, got, err)
			}
			if err := op.do(d); err != nil {
				t.Errorf("%s again: %v", op.name, err)
			}
		}
	}
}

// A source that breaks off leaves nothing behind.
func TestDirSourceFails(t *testing.T) {
	fs := vfs.NewCrash(1)
	d, err := blob.OpenDir(fs, "blobs")
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no more")
	err = d.Put(t.Context(), "x", io.MultiReader(strings.NewReader(strings.Repeat("x", 1000)), failing{broken}))
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := get(t, d, "x"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("the object: %v", err)
	}
	if files := fs.Files(); len(files) != 0 {
		t.Errorf("left %v", files)
	}
	full := vfs.NewFaults(fs)
	d, _ = blob.OpenDir(full, "blobs")
	full.Add(vfs.Fault{Op: vfs.OpWrite, Err: fmt.Errorf("full"), Short: 10})
	if err := d.Put(t.Context(), "x", strings.NewReader("0123456789abcdef")); err == nil {
		t.Error("a short write passed")
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
