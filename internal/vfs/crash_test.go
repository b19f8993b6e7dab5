package vfs_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rheostream/rheo/internal/vfs"
)

// outcomes runs setup on 400 seeds and describes what each power cut left. The
// tests below compare the set of all that happened with the set of all that may.
func outcomes(t *testing.T, setup func(c *vfs.Crash), describe func(c *vfs.Crash) string) []string {
	t.Helper()
	seen := map[string]bool{}
	for seed := range uint64(400) {
		c := vfs.NewCrash(seed)
		setup(c)
		seen[describe(c.Crash())] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

func wantOutcomes(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("a power cut left\n %s\nwant\n %s", strings.Join(got, "\n "), strings.Join(want, "\n "))
	}
}

// tree lists files with their contents, runs of a byte shortened: "a=x*512".
func tree(t *testing.T, c *vfs.Crash) string {
	t.Helper()
	var all []string
	for _, name := range c.Files() {
		f := open(t, c, name)
		all = append(all, name+"="+runs(content(t, f)))
	}
	return strings.Join(all, " ")
}

func runs(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		j := i
		for j < len(s) && s[j] == s[i] {
			j++
		}
		ch := string(s[i])
		if s[i] == 0 {
			ch = "0"
		}
		if j-i > 1 {
			ch = fmt.Sprintf("%s*%d", ch, j-i)
		}
		b.WriteString(ch)
		i = j
	}
	return b.String()
}

func TestPowerCut(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct {
		name  string
		setup func(t *testing.T, c *vfs.Crash)
		want  []string
	}{
		{"synced bytes under a synced name stay", func(t *testing.T, c *vfs.Crash) {
			f := create(t, c, "a")
			write(t, f, "synced", 0)
			must(t, f.Sync())
			must(t, c.SyncDir("."))
		}, []string{"a=synced"}},
		{"a synced file whose name is not synced may be gone", func(t *testing.T, c *vfs.Crash) {
			f := create(t, c, "a")
			write(t, f, "synced", 0)
			must(t, f.Sync())
		}, []string{"", "a=synced"}},
		{"a synced name may be of a file without its bytes", func(t *testing.T, c *vfs.Crash) {
			f := create(t, c, "a")
			must(t, c.SyncDir("."))
			write(t, f, "lost", 0)
		}, []string{"a=", "a=0*4", "a=lost"}},
		{"a write tears between sectors, and the size may be of before, after or between", func(t *testing.T, c *vfs.Crash) {
			f := create(t, c, "a")
			write(t, f, strings.Repeat("o", 512), 0)
			must(t, f.Sync())
			must(t, c.SyncDir("."))
			write(t, f, x(1024), 0)
		}, []string{"a=o*512", "a=o*5120*512", "a=o*512x*512", "a=x*512", "a=x*5120*512", "a=x*1024"}},
		{"a sector is of one moment: the later write brings the earlier along", func(t *testing.T, c *vfs.Crash) {
			f := create(t, c, "a")
			write(t, f, "----", 0)
			must(t, f.Sync())
			must(t, c.SyncDir("."))
			write(t, f, "1", 0)
			write(t, f, "2", 1)
		}, []string{"a=-*4", "a=1-*3", "a=12-*2"}},
		{"a truncate happens or not", func(t *testing.T, c *vfs.Crash) {
			f := create(t, c, "a")
			write(t, f, x(5000), 0)
			must(t, f.Sync())
			must(t, c.SyncDir("."))
			must(t, f.Truncate(10))
		}, []string{"a=x*10", "a=x*5000"}},
		{"a synced truncate stays", func(t *testing.T, c *vfs.Crash) {
			f := create(t, c, "a")
			write(t, f, x(5000), 0)
			must(t, f.Sync())
			must(t, c.SyncDir("."))
			must(t, f.Truncate(10))
			must(t, f.Sync())
		}, []string{"a=x*10"}},
		{"a reserve happens or not", func(t *testing.T, c *vfs.Crash) {
			f := create(t, c, "a")
			must(t, c.SyncDir("."))
			must(t, f.Reserve(10))
		}, []string{"a=", "a=0*10"}},
		{"a rename replaces whole or not at all", func(t *testing.T, c *vfs.Crash) {
			for _, name := range []string{"old", "new"} {
				f := create(t, c, name)
				write(t, f, name, 0)
				must(t, f.Sync())
			}
			must(t, c.SyncDir("."))
			must(t, c.Rename("new", "old"))
		}, []string{"new=new old=old", "old=new"}},
		{"a synced rename stays", func(t *testing.T, c *vfs.Crash) {
			f := create(t, c, "new")
			must(t, f.Sync())
			must(t, c.SyncDir("."))
			must(t, c.Rename("new", "old"))
			must(t, c.SyncDir("."))
		}, []string{"old="}},
		{"a rename of a file that was not synced may leave it empty", func(t *testing.T, c *vfs.Crash) {
			f := create(t, c, "new")
			must(t, c.SyncDir("."))
			write(t, f, "x", 0)
			must(t, c.Rename("new", "old"))
			must(t, c.SyncDir("."))
		}, []string{"old=", "old=0", "old=x"}},
		{"between directories both names are there until both are synced", func(t *testing.T, c *vfs.Crash) {
			must(t, c.MkdirAll("d"))
			f := create(t, c, "a")
			must(t, f.Sync())
			must(t, c.SyncDir("."))
			must(t, c.Rename("a", "d/b"))
			must(t, c.SyncDir("d"))
		}, []string{"a= d/b=", "d/b="}},
		{"a removal happens or not", func(t *testing.T, c *vfs.Crash) {
			f := create(t, c, "a")
			must(t, f.Sync())
			must(t, c.SyncDir("."))
			must(t, c.Remove("a"))
		}, []string{"", "a="}},
		{"a synced removal stays", func(t *testing.T, c *vfs.Crash) {
			create(t, c, "a")
			must(t, c.SyncDir("."))
			must(t, c.Remove("a"))
			must(t, c.SyncDir("."))
		}, []string{""}},
		{"a directory is a name of its parent, and takes all below with it", func(t *testing.T, c *vfs.Crash) {
			must(t, c.MkdirAll("d/e"))
			f := create(t, c, "d/e/a")
			must(t, f.Sync())
			must(t, c.SyncDir("d/e"))
			must(t, c.SyncDir("."))
		}, []string{"", "d/e/a="}},
		{"names are independent", func(t *testing.T, c *vfs.Crash) {
			create(t, c, "a")
			create(t, c, "b")
		}, []string{"", "a=", "b=", "a= b="}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := outcomes(t, func(c *vfs.Crash) { test.setup(t, c) }, func(c *vfs.Crash) string { return tree(t, c) })
			wantOutcomes(t, got, test.want...)
		})
	}
}

func TestWhatAPowerCutLeftIsDurable(t *testing.T) {
	for seed := range uint64(200) {
		c := vfs.NewCrash(seed)
		f := create(t, c, "a")
		write(t, f, strings.Repeat("x", 20000), 0)
		first := c.Crash()
		left := tree(t, first)
		if again := tree(t, first.Crash()); again != left {
			t.Fatalf("seed %d: the first boot saw %q, the second %q", seed, left, again)
		}
	}
}

func TestKillKeepsAllButDoesNotSync(t *testing.T) {
	got := outcomes(t, func(c *vfs.Crash) {}, func(*vfs.Crash) string { return "" })
	wantOutcomes(t, got, "")
	seen := map[string]bool{}
	for seed := range uint64(200) {
		c := vfs.NewCrash(seed)
		f := create(t, c, "kept")
		write(t, f, "synced", 0)
		must(t, f.Sync())
		must(t, c.SyncDir("."))
		write(t, f, "+", 6)
		create(t, c, "new")
		must(t, c.Remove("kept"))
		killed := c.Kill()
		if got := tree(t, killed); got != "new=" {
			t.Fatalf("after a kill: %q", got)
		}
		seen[tree(t, killed.Crash())] = true
	}
	wantOutcomes(t, slices.Sorted(maps.Keys(seen)),
		"", "new=", "kept=synced", "kept=synced+", "kept=synced0", "kept=synced new=", "kept=synced+ new=", "kept=synced0 new=")
}

func TestSyncAfterKillCoversWhatTheDeadProcessWrote(t *testing.T) {
	for seed := range uint64(50) {
		c := vfs.NewCrash(seed)
		f := create(t, c, "a")
		write(t, f, "from the dead", 0)
		c = c.Kill()
		must(t, open(t, c, "a").Sync())
		must(t, c.SyncDir("."))
		if got := tree(t, c.Crash()); got != "a=from the dead" {
			t.Fatalf("seed %d: %q", seed, got)
		}
	}
}

func TestFrozen(t *testing.T) {
	c := vfs.NewCrash(1)
	f := create(t, c, "a")
	must(t, c.SyncDir("."))
	next := c.Crash()
	_, err := f.WriteAt([]byte("late"), 0)
	wantErr(t, err, vfs.ErrFrozen)
	wantErr(t, f.Sync(), vfs.ErrFrozen)
	wantErr(t, f.Truncate(9), vfs.ErrFrozen)
	wantErr(t, c.Remove("a"), vfs.ErrFrozen)
	wantErr(t, c.MkdirAll("d"), vfs.ErrFrozen)
	_, err = c.Create("b")
	wantErr(t, err, vfs.ErrFrozen)
	_, err = f.ReadAt(make([]byte, 1), 0)
	wantErr(t, err, vfs.ErrFrozen)
	if got := tree(t, next); got != "a=" {
		t.Errorf("the dead process wrote into the new state: %q", got)
	}
}

func TestSameSeedSameOutcome(t *testing.T) {
	run := func() string {
		c := vfs.NewCrash(7)
		for i := range 20 {
			f := create(t, c, fmt.Sprintf("f%d", i))
			write(t, f, strings.Repeat("x", 3000), 100)
			write(t, f, strings.Repeat("y", 3000), 2000)
		}
		return tree(t, c.Crash()) + tree(t, c.Crash())
	}
	if a, b := run(), run(); a != b {
		t.Errorf("two runs of one seed differ:\n%s\n%s", a, b)
	}
}

func TestCapacity(t *testing.T) {
	c := vfs.NewCrash(1)
	c.SetCapacity(3 * 4096)
	f := create(t, c, "a")
	n, err := f.WriteAt(make([]byte, 5*4096), 100)
	wantErr(t, err, syscall.ENOSPC)
	if n != 3*4096-100 {
		t.Errorf("a write took %d bytes where %d fit", n, 3*4096-100)
	}
	write(t, f, "overwriting needs no space", 50)
	g := create(t, c, "b")
	wantErr(t, g.Reserve(1), syscall.ENOSPC)
	if free, total, _ := c.Usage("."); free != 0 || total != 3*4096 {
		t.Errorf("usage is %d free of %d", free, total)
	}
	must(t, f.Truncate(4096))
	must(t, g.Reserve(8192))
	must(t, c.Remove("b"))
	if free, _, _ := c.Usage("."); free != 0 {
		t.Errorf("%d bytes free while the removed file is open", free)
	}
	must(t, g.Close())
	if free, _, _ := c.Usage("."); free != 8192 {
		t.Errorf("%d bytes free after its close", free)
	}
	if free, total, _ := c.Kill().Usage("."); free != 8192 || total != 3*4096 {
		t.Errorf("after a kill %d bytes free of %d", free, total)
	}
}

func TestFlipBit(t *testing.T) {
	c := vfs.NewCrash(1)
	f := create(t, c, "a")
	write(t, f, "abc", 0)
	must(t, f.Sync())
	must(t, c.SyncDir("."))
	must(t, c.FlipBit("a", 8*1+0))
	wantContent(t, f, "acc")
	wantErr(t, c.FlipBit("b", 0), fs.ErrNotExist)
	if c.FlipBit("a", 24) == nil {
		t.Error("flipped a bit behind the end")
	}
	if got := tree(t, c.Crash()); got != "a=ac*2" {
		t.Errorf("after a power cut %q", got)
	}
}

// BenchmarkCrashCycle is one round of a crash campaign: a mebibyte written in
// pieces, some of it synced, a power cut, and all of it read back.
func BenchmarkCrashCycle(b *testing.B) {
	block := bytes.Repeat([]byte("x"), 16<<10)
	back := make([]byte, 1<<20)
	c := vfs.NewCrash(1)
	for n := 0; b.Loop(); n++ {
		name := fmt.Sprintf("f%d", n)
		f, err := c.Create(name)
		must(b, err)
		must(b, c.SyncDir("."))
		for i := range 64 {
			f.WriteAt(block, int64(i)*int64(len(block)))
			if i%8 == 0 {
				f.Sync()
			}
		}
		c = c.Crash()
		f, err = c.Open(name)
		must(b, err)
		f.ReadAt(back, 0)
		must(b, f.Close())
		must(b, c.Remove(name))
		must(b, c.SyncDir("."))
	}
}
