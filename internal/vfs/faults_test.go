package vfs_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/rheostream/rheo/internal/vfs"
)

var errInjected = errors.New("injected")

func TestFaultOnCreate(t *testing.T) {
	for _, applied := range []bool{false, true} {
		disk := vfs.NewCrash(1)
		f := vfs.NewFaults(disk)
		a := f.Add(vfs.Fault{Op: vfs.OpCreate, Name: "*.seg", Err: errInjected, Applied: applied})
		_, err := f.Create("x.seg")
		wantErr(t, err, errInjected)
		if made := len(disk.Files()) == 1; made != applied {
			t.Errorf("applied %v: the file was made: %v", applied, made)
		}
		create(t, f, "x.idx")
		if a.Fired() != 1 {
			t.Errorf("fired %d times", a.Fired())
		}
		a.Remove()
		create(t, f, "y.seg")
	}
}

func TestFaultOnWrite(t *testing.T) {
	tests := []struct {
		name    string
		fault   vfs.Fault
		n       int
		content string
	}{
		{"not applied", vfs.Fault{}, 0, "...."},
		{"applied", vfs.Fault{Applied: true}, 0, "abcd"},
		{"short", vfs.Fault{Short: 3}, 3, "abc."},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := vfs.NewFaults(vfs.NewCrash(1))
			file := create(t, f, "a")
			write(t, file, "....", 0)
			test.fault.Op, test.fault.Err = vfs.OpWrite, syscall.ENOSPC
			f.Add(test.fault)
			n, err := file.WriteAt([]byte("abcd"), 0)
			wantErr(t, err, syscall.ENOSPC)
			if n != test.n {
				t.Errorf("n is %d, want %d", n, test.n)
			}
			wantContent(t, file, test.content)
		})
	}
}

// A failed fsync is believed at once or never: the kernel may have dropped the
// pages, a second fsync reports success, and the bytes are not there.
func TestFaultOnSyncLosesWrites(t *testing.T) {
	var lost, kept int
	for seed := range uint64(100) {
		disk := vfs.NewCrash(seed)
		f := vfs.NewFaults(disk)
		file := create(t, f, "a")
		write(t, file, strings.Repeat("o", 512), 0)
		must(t, file.Sync())
		must(t, f.SyncDir("."))
		f.Add(vfs.Fault{Op: vfs.OpSync, Nth: 1, Err: syscall.EIO})
		write(t, file, strings.Repeat("n", 512), 0)
		wantErr(t, file.Sync(), syscall.EIO)
		must(t, file.Sync())
		wantContent(t, file, strings.Repeat("n", 512))
		file.DontNeed(0, 512)
		evicted := runs(content(t, file))
		switch left := tree(t, disk.Crash()); left {
		case "a=o*512":
			lost++
		case "a=n*512":
			kept++
		default:
			t.Fatalf("seed %d left %q", seed, left)
		}
		if evicted != "o*512" && evicted != "n*512" {
			t.Fatalf("without its cached pages the file holds %q", evicted)
		}
	}
	if lost == 0 || kept == 0 {
		t.Errorf("%d lost, %d kept: one never happens", lost, kept)
	}
}

func TestFaultOnSyncApplied(t *testing.T) {
	disk := vfs.NewCrash(1)
	f := vfs.NewFaults(disk)
	file := create(t, f, "a")
	must(t, f.SyncDir("."))
	write(t, file, "x", 0)
	f.Add(vfs.Fault{Op: vfs.OpSync, Err: syscall.EIO, Applied: true})
	wantErr(t, file.Sync(), syscall.EIO)
	if got := tree(t, disk.Crash()); got != "a=x" {
		t.Errorf("left %q", got)
	}
}

// Every call of a scenario can be made to fail: Calls of a run without faults
// are the sites.
func TestEveryCallSite(t *testing.T) {
	scenario := func(fsys vfs.FS) error {
		if err := fsys.MkdirAll("d"); err != nil {
			return err
		}
		file, err := fsys.Create("d/a")
		if err != nil {
			return err
		}
		_, err = file.WriteAt([]byte("x"), 0)
		if err == nil {
			_, err = file.ReadAt(make([]byte, 1), 0)
		}
		_, sizeErr := file.Size()
		_, statErr := fsys.Stat("d/a")
		_, listErr := fsys.List("d")
		_, _, usageErr := fsys.Usage("d")
		lock, lockErr := fsys.Lock("d/LOCK")
		if lock != nil {
			lock.Close()
		}
		return errors.Join(err, sizeErr, statErr, listErr, usageErr, lockErr, file.Reserve(9), file.Truncate(1), file.Sync(),
			file.Close(), fsys.SyncDir("d"), fsys.Rename("d/a", "d/b"), fsys.Remove("d/b"))
	}
	whole := vfs.NewFaults(vfs.NewCrash(1))
	must(t, scenario(whole))
	if whole.Calls() != 16 {
		t.Errorf("%d calls counted, want 16", whole.Calls())
	}
	for n := int64(1); n <= whole.Calls(); n++ {
		f := vfs.NewFaults(vfs.NewCrash(1))
		a := f.Add(vfs.Fault{Nth: n, Err: errInjected})
		wantErr(t, scenario(f), errInjected)
		if a.Fired() != 1 {
			t.Errorf("call %d: fired %d times", n, a.Fired())
		}
	}
}

func TestFaultMatching(t *testing.T) {
	tests := []struct {
		glob, name string
		want       bool
	}{
		{"", "any/where", true},
		{"*.seg", "shards/1/a.seg", true},
		{"*.seg", "shards/1/a.idx", false},
		{"shards/*/a.seg", "shards/1/a.seg", true},
		{"journal/*", "shards/a", false},
	}
	for _, test := range tests {
		f := vfs.NewFaults(vfs.NewCrash(1))
		f.Add(vfs.Fault{Op: vfs.OpStat, Name: test.glob, Err: errInjected})
		if _, err := f.Stat(test.name); errors.Is(err, errInjected) != test.want {
			t.Errorf("glob %q, name %q: %v", test.glob, test.name, err)
		}
	}
	f := vfs.NewFaults(vfs.NewCrash(1))
	f.Add(vfs.Fault{Op: vfs.OpRename, Name: "new", Err: errInjected})
	wantErr(t, f.Rename("old", "new"), errInjected)
}

func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := vfs.NewFaults(vfs.NewCrash(1))
		file := create(t, f, "a")
		h := f.Hold(vfs.OpSync, "a")
		defer h.Release()
		var done bool
		go func() {
			file.Sync()
			done = true
		}()
		<-h.Reached()
		synctest.Wait()
		if done {
			t.Error("the held call went on")
		}
		write(t, file, "others go on", 0)
		h.Release()
		h.Release()
		synctest.Wait()
		if !done {
			t.Error("the released call still waits")
		}
	})
}

func TestCounts(t *testing.T) {
	f := vfs.NewFaults(vfs.NewCrash(1))
	file := create(t, f, "a")
	for range 3 {
		write(t, file, "x", 0)
	}
	if _, err := file.ReadAt(make([]byte, 2), 0); err != io.EOF {
		t.Error(err)
	}
	got := []int64{f.Calls(), f.CallsOf(vfs.OpWrite), f.CallsOf(vfs.OpRead), f.CallsOf(vfs.OpSync)}
	if !slices.Equal(got, []int64{5, 3, 1, 0}) {
		t.Errorf("counts %v", got)
	}
}
