package process

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// An entry of a zip that a test makes.
type entry struct {
	name    string
	content string
	mode    fs.FileMode
}

func zipOf(t *testing.T, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(e.mode)
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = f.Write([]byte(e.content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestUnpack(t *testing.T) {
	dir := t.TempDir()
	b := zipOf(t, []entry{
		{"bootstrap", "#!/bin/sh", 0o755},
		{"lib/", "", fs.ModeDir | 0o700},
		{"lib/deep/a.txt", "a", 0o600},
		{"lib/link", "deep/a.txt", fs.ModeSymlink | 0o777},
		{"up", "lib/../bootstrap", fs.ModeSymlink | 0o777},
		{"empty", "", 0o4777},
	})
	size, err := unpack(bytes.NewReader(b), int64(len(b)), dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(len("#!/bin/sh") + 1); size != want {
		t.Errorf("%d bytes were unpacked, not %d", size, want)
	}
	for name, mode := range map[string]fs.FileMode{
		"bootstrap": 0o755, "lib": fs.ModeDir | 0o755, "lib/deep": fs.ModeDir | 0o755, "lib/deep/a.txt": 0o644, "empty": 0o755,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		} else if info.Mode() != mode {
			t.Errorf("%s has mode %v, not %v", name, info.Mode(), mode)
		}
	}
	for name, want := range map[string]string{"lib/link": "a", "up": "#!/bin/sh"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestUnpackRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		entries []entry
		says    string
	}{
		"parent":              {[]entry{{"../evil", "x", 0o644}}, "leads out"},
		"parent in the midst": {[]entry{{"a/../../evil", "x", 0o644}}, "leads out"},
		"parent that returns": {[]entry{{"a/../b", "x", 0o644}}, "leads out"},
		"absolute":            {[]entry{{"/etc/evil", "x", 0o644}}, "leads out"},
		"backslash":           {[]entry{{`..\evil`, "x", 0o644}}, "backslash"},
		"empty name":          {[]entry{{"", "x", 0o644}}, "neither a file"},
		"link out":            {[]entry{{"l", "../../etc/passwd", fs.ModeSymlink | 0o777}}, "leads out"},
		"absolute link":       {[]entry{{"l", "/etc/passwd", fs.ModeSymlink | 0o777}}, "leads out"},
		"empty link":          {[]entry{{"l", "", fs.ModeSymlink | 0o777}}, "leads out"},
		"through a link":      {[]entry{{"l", ".", fs.ModeSymlink | 0o777}, {"l/a", "x", 0o644}}, "twice"},
		"link over a file":    {[]entry{{"a", "x", 0o644}, {"a", "b", fs.ModeSymlink | 0o777}}, "twice"},
		"twice":               {[]entry{{"a", "x", 0o644}, {"a", "y", 0o644}}, "twice"},
		"file as directory":   {[]entry{{"a", "x", 0o644}, {"a/b", "y", 0o644}}, `"a"`},
		"device":              {[]entry{{"d", "", fs.ModeDevice | 0o644}}, "neither a file"},
		"pipe":                {[]entry{{"p", "", fs.ModeNamedPipe | 0o644}}, "neither a file"},
		"long name":           {[]entry{{strings.Repeat("n", 300), "x", 0o644}}, "too long"},
		"very long name":      {[]entry{{strings.Repeat("n/", 600) + "n", "x", 0o644}}, "too long"},
		"deep":                {[]entry{{strings.Repeat("d/", 70) + "f", "x", 0o644}}, "too deep"},
	} {
		t.Run(name, func(t *testing.T) {
			outside := t.TempDir()
			dir := filepath.Join(outside, "a", "b")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			b := zipOf(t, test.entries)
			_, err := unpack(bytes.NewReader(b), int64(len(b)), dir)
			var code *CodeError
			if !errors.As(err, &code) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v; it should say %q", err, test.says)
			}
			filepath.WalkDir(outside, func(path string, d fs.DirEntry, _ error) error {
				if !strings.HasPrefix(path, filepath.Join(outside, "a")) && path != outside {
					t.Errorf("%s was made", path)
				}
				return nil
			})
		})
	}
}

// TestUnpackOfBomb: 251 MiB in a few kilobytes.
func TestUnpackOfBomb(t *testing.T) {
	var packed bytes.Buffer
	deflate, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	deflate.Write(zeros)
	deflate.Close()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := range 251 {
		f, err := w.CreateRaw(&zip.FileHeader{Name: strconv.Itoa(i), Method: zip.Deflate, CRC32: crc32.ChecksumIEEE(zeros),
			CompressedSize64: uint64(packed.Len()), UncompressedSize64: uint64(len(zeros))})
		if err == nil {
			_, err = f.Write(packed.Bytes())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	_, err = unpack(bytes.NewReader(b.Bytes()), int64(b.Len()), t.TempDir())
	var code *CodeError
	if !errors.As(err, &code) || !strings.Contains(err.Error(), "more than 262144000 bytes") {
		t.Errorf("%d bytes: %v", b.Len(), err)
	}
}

func TestUnpackOfLies(t *testing.T) {
	good := zipOf(t, []entry{{"a", strings.Repeat("a", 10_000), 0o644}})
	for name, change := range map[string]func([]byte) []byte{
		"no zip":  func([]byte) []byte { return []byte("#!/bin/sh\necho no zip") },
		"empty":   func([]byte) []byte { return nil },
		"cut":     func(b []byte) []byte { return b[:len(b)-10] },
		"corrupt": func(b []byte) []byte { b[40] ^= 0xff; return b },
		"small size in the directory": func(b []byte) []byte {
			at := bytes.LastIndex(b, []byte("PK\x01\x02"))
			binary.LittleEndian.PutUint32(b[at+24:], 5) // uncompressed size
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := change(bytes.Clone(good))
			_, err := unpack(bytes.NewReader(b), int64(len(b)), t.TempDir())
			var code *CodeError
			if !errors.As(err, &code) {
				t.Errorf("got %v, no CodeError", err)
			}
		})
	}
}

// FuzzUnpack: whatever the zip says, nothing comes to stand outside, and no error but the zip's own.
func FuzzUnpack(f *testing.F) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range []string{"a", "b/c", "../d", "/e"} {
		if e, err := w.Create(name); err == nil {
			e.Write([]byte("x"))
		}
	}
	w.Close()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		outside := t.TempDir()
		dir := filepath.Join(outside, "in")
		os.Mkdir(dir, 0o755)
		_, err := unpack(bytes.NewReader(b), int64(len(b)), dir)
		var code *CodeError
		if err != nil && !errors.As(err, &code) {
			t.Fatalf("not the zip's fault: %v", err)
		}
		if entries, _ := os.ReadDir(outside); len(entries) != 1 {
			t.Fatalf("something was made outside: %v", entries)
		}
	})
}
