package lambda

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"strings"
	"testing"
)

// TestCheckZip: what cannot be a function's code is refused before it is kept.
func TestCheckZip(t *testing.T) {
	type entry struct {
		name  string
		mode  fs.FileMode
		bytes uint64 // that the directory says it has unpacked
	}
	const unpack, empty, large = "Could not unzip uploaded file", "must be a non-empty zip", "Unzipped size must be smaller than 262144000 bytes"
	for _, tt := range []struct {
		what    string
		entries []entry
		want    string // in the error; empty: it is taken
	}{
		{"files and folders", []entry{{"bootstrap", 0o755, 1}, {"lib/", fs.ModeDir | 0o755, 0}, {"lib/a.js", 0o644, 1}, {"./b", 0o644, 1}}, ""},
		{"a link", []entry{{"current", fs.ModeSymlink | 0o777, 1}}, ""},
		{"nothing in it", nil, empty},
		{"a way up", []entry{{"../a", 0o644, 1}}, unpack},
		{"a way up later", []entry{{"a/../../b", 0o644, 1}}, unpack},
		{"a way up and back", []entry{{"a/../b", 0o644, 1}}, unpack},
		{"an absolute name", []entry{{"/etc/passwd", 0o644, 1}}, unpack},
		{"a name of another system", []entry{{`..\a`, 0o644, 1}}, unpack},
		{"a zero byte", []entry{{"a\x00b", 0o644, 1}}, unpack},
		{"no name", []entry{{"", 0o644, 1}}, unpack},
		{"the folder itself", []entry{{"./", fs.ModeDir | 0o755, 0}}, ""},
		{"a file in the place of the folder", []entry{{".", 0o644, 1}}, unpack},
		{"a long name", []entry{{strings.Repeat("a", 1025), 0o644, 1}}, unpack},
		{"a device", []entry{{"null", fs.ModeDevice | fs.ModeCharDevice | 0o666, 0}}, unpack},
		{"a pipe", []entry{{"p", fs.ModeNamedPipe | 0o644, 0}}, unpack},
		{"as large as may be", []entry{{"a", 0o644, 250 << 20}}, ""},
		{"too large", []entry{{"a", 0o644, 250<<20 + 1}}, large},
		{"too large together", []entry{{"a", 0o644, 200 << 20}, {"b", 0o644, 51 << 20}}, large},
		{"larger than numbers are", []entry{{"a", 0o644, 1<<64 - 1}, {"b", 0o644, 2}}, large},
	} {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for _, e := range tt.entries {
			h := &zip.FileHeader{Name: e.name, Method: zip.Store, UncompressedSize64: e.bytes}
			h.SetMode(e.mode)
			if _, err := z.CreateRaw(h); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		err := checkZip(b.Bytes())
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.what, err, tt.want)
		}
	}
	for _, text := range []string{"x", "PK\x03\x04", strings.Repeat("PK\x05\x06", 10)} {
		if err := checkZip([]byte(text)); err == nil || !strings.Contains(err.Error(), unpack) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := checkZip(nil); err == nil || !strings.Contains(err.Error(), empty) {
		t.Errorf("no bytes: %v", err)
	}
}

func FuzzCheckZip(f *testing.F) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	z.Create("a")
	z.Close()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) { checkZip(b) })
}
