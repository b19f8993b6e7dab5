package agent

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/vfs"
)

func TestStoreKeeps(t *testing.T) {
	name := filepath.Join(t.TempDir(), "new", "checkpoints")
	s, err := openStore(vfs.OS(), name, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, known := s.of("f"); known {
		t.Error("a new store knows a flow")
	}
	want := []entry{{Flow: "f", Path: "/a \"b\"\n", Device: 1 << 63, Inode: 7, Offset: 5, Head: printOf([]byte("hello")), Window: printOf([]byte("hello")), Content: "sha256:c3RhdGU=", Follows: []uint64{8, 9},
		Discarding: true, Copy: true, Size: 9, Modified: time.Unix(1, 2).UTC(), Seen: time.Unix(3, 0).UTC()}}
	s.set("f", want)
	s.set("empty", nil)
	if _, err := openStore(vfs.OS(), name, time.Hour); err == nil {
		t.Error("two agents have the same checkpoints")
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	s, err = openStore(vfs.OS(), name, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if got, known := s.of("f"); !known || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, known := s.of("empty"); !known || len(got) > 0 {
		t.Errorf("%+v, %v", got, known)
	}
}

func TestStoreRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "this is no checkpoint file"},
		{"SQLite format 3\x00", "this is no checkpoint file"},
		{`{"format":"rheo agent checkpoints","version":3}` + "\n", "it has version 3, and this program knows versions 1 to 2"},
		{`{"format":"rheo agent checkpoints","version":1}` + "\n", "it ends in the middle, behind line 1"},
		{`{"format":"rheo agent checkpoints","version":1}` + "\n" + `{"flow":"f"}` + "\n" + `{"end":2}` + "\n", "it has 1 lines of 2"},
		{`{"format":"rheo agent checkpoints","version":1}` + "\n" + `{"flow":` + "\n", "line 2: "},
	} {
		name := filepath.Join(t.TempDir(), "checkpoints")
		if err := os.WriteFile(name, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openStore(vfs.OS(), name, time.Hour); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
	}
}

// Whatever step of a flush a power cut follows, what it leaves is the old or the new.
func TestStoreCrash(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpRemove, vfs.OpCreate, vfs.OpWrite, vfs.OpSync, vfs.OpClose, vfs.OpRename, vfs.OpSyncDir, "none"} {
		for _, applied := range []bool{false, true} {
			for seed := range uint64(20) {
				crash := vfs.NewCrash(seed)
				faults := vfs.NewFaults(crash)
				s, err := openStore(faults, "/state/checkpoints", time.Hour)
				if err != nil {
					t.Fatal(err)
				}
				put := func(offset int64) error {
					s.set("f", []entry{{Flow: "f", Path: "/x", Offset: offset}})
					return s.flush()
				}
				if err := put(1); err != nil {
					t.Fatal(err)
				}
				faults.Add(vfs.Fault{Op: op, Err: syscall.EIO, Applied: applied})
				err = put(2)
				again, err2 := openStore(crash.Crash(), "/state/checkpoints", time.Hour)
				if err2 != nil {
					t.Fatalf("%s, applied %v, seed %d: %v", op, applied, seed, err2)
				}
				got, _ := again.of("f")
				if len(got) != 1 || got[0].Offset != 2 && (err == nil || got[0].Offset != 1) {
					t.Errorf("%s, applied %v, seed %d: %+v after %v", op, applied, seed, got, err)
				}
			}
		}
	}
}

// What cannot be written is said, and tried again.
func TestStoreFailsAndGoesOn(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpCreate, vfs.OpWrite, vfs.OpSync, vfs.OpRename, vfs.OpSyncDir} {
		faults := vfs.NewFaults(vfs.NewCrash(1))
		s, err := openStore(faults, "/state/checkpoints", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		s.set("f", []entry{{Flow: "f", Path: "/x", Offset: 1}})
		armed := faults.Add(vfs.Fault{Op: op, Err: syscall.ENOSPC})
		if err := s.flush(); err == nil || !strings.Contains(err.Error(), "cannot write the checkpoints") {
			t.Errorf("%v: %v", op, err)
		}
		armed.Remove()
		if err := s.close(); err != nil {
			t.Errorf("%v: %v", op, err)
		}
		s, err = openStore(faults, "/state/checkpoints", time.Hour)
		if err != nil {
			t.Fatalf("%v: %v", op, err)
		}
		if got, _ := s.of("f"); len(got) != 1 {
			t.Errorf("%v: %+v", op, got)
		}
		s.close()
	}
}

func TestFingerprint(t *testing.T) {
	f := strings.NewReader("0123456789")
	for _, c := range []struct {
		p    fingerprint
		end  int64
		want bool
	}{
		{printOf([]byte("012")), -1, true},
		{printOf([]byte("012")), 3, true},
		{printOf([]byte("012")), 4, false},
		{printOf([]byte("789")), 10, true},
		{printOf([]byte("789")), 11, false},
		{printOf([]byte("789")), 2, false},
		{"", 0, true},
		{"nonsense", 3, false},
		{"999999999:00", 3, false},
	} {
		if got, err := c.p.matches(f, c.end); got != c.want || err != nil {
			t.Errorf("%s before %d: %v, %v", c.p, c.end, got, err)
		}
	}
	if _, err := printOf([]byte("x")).matches(failingReader{}, -1); err == nil {
		t.Error("a file that cannot be read is another one")
	}
}

type failingReader struct{}

func (failingReader) ReadAt([]byte, int64) (int, error) { return 0, fs.ErrPermission }

var _ io.ReaderAt = failingReader{}

// The Kinesis Agent's database, as SQLite wrote it: rows enough for a tree of pages, a
// path that overflows its page, rows that were deleted.
func TestReadForeign(t *testing.T) {
	entries, err := readForeign("testdata/checkpoints.db")
	if err != nil {
		t.Fatal(err)
	}
	byPath := map[string]entry{}
	for _, e := range entries {
		byPath[e.Path] = e
	}
	if len(entries) != 151 || len(byPath) != 151 {
		t.Fatalf("%d rows, %d paths", len(entries), len(byPath))
	}
	for i := 1; i <= 150; i++ {
		path := fmt.Sprintf("/var/log/app.log.%d", i)
		want := entry{Flow: "kinesis:yourstream:/var/log/app.log*", Path: path, Device: 0xfd01, Inode: uint64(1000 + i), Offset: int64(i) * 1_000_003, Size: int64(i)*1_000_003 + 5,
			Modified: time.UnixMilli(1_700_000_000_000 + int64(i))}
		if got := byPath[path]; !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	long := "/var/log/" + strings.Repeat("x", 9000)
	if e := byPath[long]; e.Flow != "fh:d:/var/log/x*" || e.Offset != 0 || e.Inode != 1 {
		t.Errorf("%+v", e)
	}
}

func TestReadForeignRefuses(t *testing.T) {
	if entries, err := readForeign(filepath.Join(t.TempDir(), "none")); entries != nil || err != nil {
		t.Errorf("%v, %v", entries, err)
	}
	whole, err := os.ReadFile("testdata/checkpoints.db")
	if err != nil {
		t.Fatal(err)
	}
	try := func(data []byte) error {
		name := filepath.Join(t.TempDir(), "checkpoints")
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := readForeign(name)
		return err
	}
	if err := try([]byte("no database")); err == nil || !strings.Contains(err.Error(), "it is no SQLite file") {
		t.Error(err)
	}
	if err := try(whole[:len(whole)/2]); err == nil {
		t.Error("half a database is read")
	}
	for i := 16; i < len(whole); i += 37 { // whatever is damaged, it ends
		damaged := append([]byte(nil), whole...)
		damaged[i] ^= 0xff
		try(damaged)
	}
	name := filepath.Join(t.TempDir(), "checkpoints")
	if err := os.WriteFile(name, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name+"-journal", []byte("hot"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readForeign(name); err == nil || !strings.Contains(err.Error(), "a transaction is not finished") {
		t.Error(err)
	}
}
