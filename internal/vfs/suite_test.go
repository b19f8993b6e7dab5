package vfs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/rheostream/rheo/internal/vfs"
)

// TestFS holds every implementation to the contract of FS and File.
func TestFS(t *testing.T) {
	implementations := []struct {
		name string
		new  func(t *testing.T) (fsys vfs.FS, dir string)
	}{
		{"OS", func(t *testing.T) (vfs.FS, string) { return vfs.OS(), t.TempDir() }},
		{"Crash", func(t *testing.T) (vfs.FS, string) { return vfs.NewCrash(1), string(filepath.Separator) }},
		{"CrashAfterKill", func(t *testing.T) (vfs.FS, string) { return vfs.NewCrash(1).Kill(), "." }},
		{"Faults", func(t *testing.T) (vfs.FS, string) { return vfs.NewFaults(vfs.OS()), t.TempDir() }},
	}
	for _, impl := range implementations {
		t.Run(impl.name, func(t *testing.T) {
			for _, test := range suite {
				t.Run(test.name, func(t *testing.T) {
					fsys, dir := impl.new(t)
					test.run(t, fsys, func(elem ...string) string {
						return filepath.Join(append([]string{dir}, elem...)...)
					})
				})
			}
		})
	}
}

var suite = []struct {
	name string
	run  func(t *testing.T, fsys vfs.FS, at func(...string) string)
}{
	{"a new file is empty and can be read and written anywhere", func(t *testing.T, fsys vfs.FS, at func(...string) string) {
		f := create(t, fsys, at("a"))
		wantSize(t, f, 0)
		write(t, f, "tail", 10000)
		wantSize(t, f, 10004)
		wantContent(t, f, string(make([]byte, 10000))+"tail")
		write(t, f, "head", 0)
		write(t, f, "XY", 4095)
		want := []byte("head" + string(make([]byte, 9996)) + "tail")
		copy(want[4095:], "XY")
		wantContent(t, f, string(want))
	}},
	{"reads past the end get io.EOF", func(t *testing.T, fsys vfs.FS, at func(...string) string) {
		f := create(t, fsys, at("a"))
		write(t, f, "12345", 0)
		b := make([]byte, 4)
		if n, err := f.ReadAt(b, 3); n != 2 || err != io.EOF || string(b[:n]) != "45" {
			t.Errorf("ReadAt across the end = %d, %v", n, err)
		}
		if n, err := f.ReadAt(b, 99); n != 0 || err != io.EOF {
			t.Errorf("ReadAt behind the end = %d, %v", n, err)
		}
	}},
	{"create refuses a name that exists, open one that does not", func(t *testing.T, fsys vfs.FS, at func(...string) string) {
		create(t, fsys, at("a"))
		_, err := fsys.Create(at("a"))
		wantErr(t, err, fs.ErrExist)
		_, err = fsys.Open(at("b"))
		wantErr(t, err, fs.ErrNotExist)
		_, err = fsys.Create(at("nodir", "b"))
		wantErr(t, err, fs.ErrNotExist)
		wantErr(t, fsys.Remove(at("b")), fs.ErrNotExist)
		wantErr(t, fsys.Rename(at("b"), at("c")), fs.ErrNotExist)
		_, err = fsys.Stat(at("b"))
		wantErr(t, err, fs.ErrNotExist)
		_, err = fsys.List(at("nodir"))
		wantErr(t, err, fs.ErrNotExist)
		wantErr(t, fsys.SyncDir(at("nodir")), fs.ErrNotExist)
	}},
	{"two open files of one name are the same file", func(t *testing.T, fsys vfs.FS, at func(...string) string) {
		f := create(t, fsys, at("a"))
		g := open(t, fsys, at("a"))
		write(t, f, "seen", 0)
		wantContent(t, g, "seen")
	}},
	{"directories are listed sorted and removed when empty", func(t *testing.T, fsys vfs.FS, at func(...string) string) {
		must(t, fsys.MkdirAll(at("x", "y", "z")))
		must(t, fsys.MkdirAll(at("x", "y")))
		create(t, fsys, at("x", "y", "b")).Close()
		create(t, fsys, at("x", "y", "a")).Close()
		wantList(t, fsys, at("x", "y"), "a", "b", "z")
		if fsys.Remove(at("x", "y")) == nil {
			t.Error("removed a directory that is not empty")
		}
		must(t, fsys.Remove(at("x", "y", "z")))
		wantList(t, fsys, at("x", "y"), "a", "b")
		must(t, fsys.SyncDir(at("x", "y")))
		fi, err := fsys.Stat(at("x"))
		must(t, err)
		if !fi.IsDir() || fi.Name() != "x" {
			t.Errorf("Stat of a directory: %q, dir %v", fi.Name(), fi.IsDir())
		}
		if fsys.MkdirAll(at("x", "y", "a", "b")) == nil {
			t.Error("made a directory below a file")
		}
	}},
	{"rename replaces, and open files follow their file", func(t *testing.T, fsys vfs.FS, at func(...string) string) {
		a, b := create(t, fsys, at("a")), create(t, fsys, at("b"))
		write(t, a, "from a", 0)
		write(t, b, "from b", 0)
		must(t, fsys.MkdirAll(at("d")))
		must(t, fsys.Rename(at("a"), at("b")))
		wantList(t, fsys, at(), "b", "d")
		wantContent(t, open(t, fsys, at("b")), "from a")
		wantContent(t, b, "from b")
		must(t, fsys.Rename(at("b"), at("d", "c")))
		wantList(t, fsys, at(), "d")
		wantContent(t, open(t, fsys, at("d", "c")), "from a")
	}},
	{"a removed file lives while it is open", func(t *testing.T, fsys vfs.FS, at func(...string) string) {
		f := create(t, fsys, at("a"))
		write(t, f, "still here", 0)
		must(t, fsys.Remove(at("a")))
		wantList(t, fsys, at())
		wantContent(t, f, "still here")
	}},
	{"truncate cuts, and extends with zeros", func(t *testing.T, fsys vfs.FS, at func(...string) string) {
		f := create(t, fsys, at("a"))
		write(t, f, strings.Repeat("x", 9000), 0)
		must(t, f.Truncate(5000))
		must(t, f.Truncate(9000))
		wantContent(t, f, strings.Repeat("x", 5000)+string(make([]byte, 4000)))
		must(t, f.Truncate(0))
		wantSize(t, f, 0)
	}},
	{"reserve extends with zeros and leaves what is there", func(t *testing.T, fsys vfs.FS, at func(...string) string) {
		f := create(t, fsys, at("a"))
		write(t, f, "data", 0)
		must(t, f.Reserve(10000))
		wantContent(t, f, "data"+string(make([]byte, 9996)))
		must(t, f.Reserve(100))
		wantSize(t, f, 10000)
		f.WriteOut(0, 10000)
		f.DontNeed(0, 10000)
		must(t, f.Sync())
		wantContent(t, f, "data"+string(make([]byte, 9996)))
	}},
	{"direct writes of any shape are read back", func(t *testing.T, fsys vfs.FS, at func(...string) string) {
		const block = vfs.DirectAlign
		f := create(t, fsys, at("a"))
		must(t, f.Reserve(8*block))
		write(t, f, strings.Repeat("a", 3*block), 0) // in the page cache, and not yet on the disk
		f.Direct()
		f.Direct()
		pages := make([]byte, 4*block)
		first := int(-uintptr(unsafe.Pointer(&pages[0])) % block) // where a page begins
		for i := range pages {
			pages[i] = 'b'
		}
		for _, w := range []struct{ from, n, off int }{
			{first, 2 * block, block},   // whole blocks
			{first, block, 5*block + 1}, // any of the three out of place
			{first, 100, 4 * block},
			{first + 8, block, 6*block + block/2},
		} {
			if n, err := f.WriteAt(pages[w.from:w.from+w.n], int64(w.off)); n != w.n || err != nil {
				t.Fatalf("writing %+v: %d bytes, %v", w, n, err)
			}
		}
		must(t, f.Sync())
		want := []byte(strings.Repeat("a", block) + strings.Repeat("b", 2*block) + string(make([]byte, 5*block)))
		copy(want[4*block:], pages[first:first+100])
		copy(want[5*block+1:], pages[first:first+block])
		copy(want[6*block+block/2:], pages[first:first+block])
		wantContent(t, f, string(want))
		wantSize(t, f, 8*block)
	}},
	{"a lock is held by one until closed", func(t *testing.T, fsys vfs.FS, at func(...string) string) {
		l, err := fsys.Lock(at("LOCK"))
		must(t, err)
		_, err = fsys.Lock(at("LOCK"))
		wantErr(t, err, vfs.ErrLocked)
		must(t, l.Close())
		l, err = fsys.Lock(at("LOCK"))
		must(t, err)
		must(t, l.Close())
		wantList(t, fsys, at(), "LOCK")
	}},
	{"usage is of a real volume", func(t *testing.T, fsys vfs.FS, at func(...string) string) {
		free, total, err := fsys.Usage(at())
		must(t, err)
		if free <= 0 || free > total {
			t.Errorf("Usage = %d free of %d", free, total)
		}
	}},
	{"a closed file refuses", func(t *testing.T, fsys vfs.FS, at func(...string) string) {
		f := create(t, fsys, at("a"))
		must(t, f.Close())
		_, err := f.WriteAt([]byte("x"), 0)
		wantErr(t, err, fs.ErrClosed)
		wantErr(t, f.Sync(), fs.ErrClosed)
		wantErr(t, f.Close(), fs.ErrClosed)
	}},
	{"concurrent writers and readers", func(t *testing.T, fsys vfs.FS, at func(...string) string) {
		f := create(t, fsys, at("a"))
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				block := bytes.Repeat([]byte{byte('a' + i)}, 5000)
				for range 20 {
					if _, err := f.WriteAt(block, int64(i)*5000); err != nil {
						t.Error(err)
					}
					got := make([]byte, 5000)
					if _, err := f.ReadAt(got, int64(i)*5000); err != nil && err != io.EOF || !bytes.Equal(got, block) {
						t.Errorf("read back something else than was written (%v)", err)
					}
					if err := f.Sync(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		wantSize(t, f, 40000)
	}},
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("error is %v, want %v", got, want)
	}
}

func create(t testing.TB, fsys vfs.FS, name string) vfs.File {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func open(t testing.TB, fsys vfs.FS, name string) vfs.File {
	t.Helper()
	f, err := fsys.Open(name)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func write(t testing.TB, f vfs.File, s string, off int64) {
	t.Helper()
	n, err := f.WriteAt([]byte(s), off)
	must(t, err)
	if n != len(s) {
		t.Fatalf("wrote %d of %d bytes without an error", n, len(s))
	}
}

func content(t testing.TB, f vfs.File) string {
	t.Helper()
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); int64(n) != size || err != nil && err != io.EOF {
		t.Fatalf("read %d of %d bytes: %v", n, size, err)
	}
	return string(b)
}

func wantContent(t testing.TB, f vfs.File, want string) {
	t.Helper()
	if got := content(t, f); got != want {
		t.Errorf("content is %.40q (%d bytes), want %.40q (%d)", got, len(got), want, len(want))
	}
}

func wantSize(t testing.TB, f vfs.File, want int64) {
	t.Helper()
	got, err := f.Size()
	must(t, err)
	if got != want {
		t.Errorf("size is %d, want %d", got, want)
	}
}

func wantList(t testing.TB, fsys vfs.FS, dir string, want ...string) {
	t.Helper()
	got, err := fsys.List(dir)
	must(t, err)
	if !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}
