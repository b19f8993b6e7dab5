package catalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/vfs"
)

func TestSnapshotIsWholeOrRefused(t *testing.T) {
	s := newState()
	for i := range uint64(20) {
		s.Apply(i+1, write(fmt.Sprint("key/", i%7), strings.Repeat("x", int(i))))
	}
	snap := s.encode()
	if back, err := decodeState(snap); err != nil || !bytes.Equal(back.encode(), snap) {
		t.Fatal(err)
	}
	for n := range snap {
		if _, err := decodeState(snap[:n]); err == nil {
			t.Errorf("the first %d bytes passed", n)
		}
		bad := bytes.Clone(snap)
		bad[n] ^= 1 << (n % 8)
		if _, err := decodeState(bad); err == nil {
			t.Errorf("a flipped bit in byte %d passed", n)
		}
	}
	if _, err := decodeState(append(bytes.Clone(snap), 0)); err == nil {
		t.Error("a byte too many passed")
	}
}

func FuzzDecode(f *testing.F) {
	s := newState()
	s.Apply(1, write("a", 1))
	f.Add(s.encode())
	f.Add([]byte(snapshotMagic))
	f.Add(append([]byte{commandTrees}, make([]byte, 30)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeState(b); err == nil && !bytes.Equal(s.encode(), b) {
			t.Error("a snapshot that we would not write")
		}
		parseCommand(b)
	})
}

// twoSnapshots is a machine without power that has two snapshots and commands
// behind each; blobs says where their files are, oldest first.
func twoSnapshots(t *testing.T) (m *machine, files []string, want []byte) {
	t.Helper()
	m = newMachine(t, 1, 0)
	for range 3 {
		m.fill(30)
		m.restart()
	}
	m.fill(5)
	have := m.have()
	if len(have) != 2 {
		t.Fatalf("there are %v", have)
	}
	for _, s := range have {
		files = append(files, "blobs/objects/"+s.name+".blob")
	}
	want = m.now().encode()
	m.cut()
	return m, files, want
}

func (m *machine) fill(n int) {
	m.t.Helper()
	for i := range n {
		m.set(fmt.Sprint("k", i%10), strings.Repeat("x", 100))
		m.set("last", i)
	}
}

// A snapshot is one that is there, by its name and how far it reaches.
type snapshot struct {
	name   string
	offset uint64
}

// have are the snapshots, oldest first.
func (m *machine) have() (have []snapshot) {
	m.t.Helper()
	infos, err := m.snapshots.Blobs.List(m.t.Context(), "catalog/snapshot-", "", 1000)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, i := range infos {
		offset, err := strconv.ParseUint(strings.TrimPrefix(i.Name, "catalog/snapshot-"), 10, 64)
		if err != nil {
			m.t.Fatal(err)
		}
		have = append(have, snapshot{i.Name, offset})
	}
	return have
}

func (m *machine) shard() shardlog.Shard {
	m.t.Helper()
	sh, err := m.log.Shard(ShardID)
	if err != nil {
		m.t.Fatal(err)
	}
	return sh
}

func (m *machine) first() uint64 { return uint64(m.shard().Info().First) }

// flip damages a file.
func (m *machine) flip(file string) {
	m.t.Helper()
	if err := m.fs.FlipBit(file, 999); err != nil {
		m.t.Fatal(err)
	}
}

// sameState opens the machine and compares.
func (m *machine) sameState(want []byte) {
	m.t.Helper()
	if err := m.start(); err != nil {
		m.t.Fatal(err)
	}
	if !bytes.Equal(m.now().encode(), want) {
		m.t.Error("the state is another one")
	}
}

// refused opens the machine in vain.
func (m *machine) refused(words ...string) {
	m.t.Helper()
	err := m.start()
	if err == nil {
		m.t.Fatal("opened")
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			m.t.Errorf("%q does not say %q", err, w)
		}
	}
	m.stop()
}

// A clean stop leaves a snapshot of everything, two are kept, and the log goes
// back to the older one.
func TestSnapshotsAtStop(t *testing.T) {
	m := newMachine(t, 1, 0)
	for i := range 4 {
		m.fill(10)
		last := m.now().offset
		m.restart()
		have := m.have()
		if len(have) != min(i+1, 2) || have[len(have)-1].offset != last {
			t.Fatalf("after stop %d at %d there are %v", i+1, last, have)
		}
		if i > 0 && m.first() != have[0].offset+1 {
			t.Errorf("the log begins at %d, the older snapshot ends at %d", m.first(), have[0].offset)
		}
	}
	before := m.have()
	m.restart() // nothing new: nothing written
	if after := m.have(); !slices.Equal(before, after) {
		t.Errorf("%v became %v", before, after)
	}
	want := m.now().encode()
	m.cut()
	m.sameState(want)
}

// Between stops they are written as the log grows.
func TestSnapshotsAsTheLogGrows(t *testing.T) {
	m := newMachine(t, 1, 2000)
	for {
		have := m.have()
		if len(have) == 2 && have[0].offset > 20 && m.first() == have[0].offset+1 {
			break
		}
		m.fill(1) // how far the snapshots have come is seen between commands
	}
	want := m.now().encode()
	m.cut()
	m.sameState(want)
}

// And a while after anything changed.
func TestSnapshotsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, 1, 0)
		count := func(d time.Duration, want int) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if have := m.have(); len(have) != want {
				t.Errorf("%d snapshots, want %d: %v", len(have), want, have)
			}
		}
		count(time.Hour, 0) // of nothing
		m.set("a", 1)
		count(4*time.Minute, 0)
		count(2*time.Minute, 1)
		count(time.Hour, 1)
		m.set("a", 2)
		count(6*time.Minute, 2)
	})
}

// The newest snapshot may be damaged, or out of reach: the one before it and the log have everything.
func TestNewestSnapshotCannotBeRead(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(m *machine, file string)
		says string
	}{
		{"damaged", func(m *machine, file string) { m.flip(file) }, "damaged"},
		{"open fails", func(m *machine, file string) {
			m.faults = []vfs.Fault{{Op: vfs.OpOpen, Name: file, Err: errors.New("broken disk")}}
		}, "broken disk"},
		{"read fails", func(m *machine, file string) {
			m.faults = []vfs.Fault{{Op: vfs.OpRead, Name: file, Err: errors.New("broken disk"), Short: 100}}
		}, "broken disk"},
		{"gone", func(m *machine, file string) {
			m.faults = []vfs.Fault{{Op: vfs.OpOpen, Name: file, Err: errors.New("no such file")}}
		}, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, files, want := twoSnapshots(t)
			c.harm(m, files[1])
			m.sameState(want)
			if !strings.Contains(m.said.String(), c.says) {
				t.Errorf("said %q", m.said.String())
			}
			// It is none of the two that are kept: from now on the older one and a
			// new one are, and then two new ones.
			before := m.have()
			m.fill(5)
			m.restart()
			now := m.have()
			if len(now) != 2 || now[0] != before[0] || now[1].offset <= before[1].offset || m.first() != before[0].offset+1 {
				t.Errorf("the snapshots are %v, were %v; the log begins at %d", now, before, m.first())
			}
			m.fill(5)
			m.crash()
			m.want("last", "4")
		})
	}
}

// With both gone the log alone is not enough. That is said, with what can be
// done, instead of starting with half; and what can be mended can be mended.
func TestNoSnapshotCanBeRead(t *testing.T) {
	t.Run("damaged", func(t *testing.T) {
		m, files, _ := twoSnapshots(t)
		m.flip(files[0])
		m.flip(files[1])
		for range 2 {
			m.refused("the log starts at", "newest readable snapshot", "catalog/snapshot-", "damaged", "from one backup")
		}
	})
	t.Run("broken disk", func(t *testing.T) {
		m, files, want := twoSnapshots(t)
		m.flip(files[0])
		m.faults = []vfs.Fault{{Op: vfs.OpRead, Name: files[1], Err: errors.New("broken disk")}}
		m.refused("damaged", "broken disk", "mend it and start again")
		m.faults = nil
		m.sameState(want)
	})
	t.Run("the list", func(t *testing.T) {
		m, _, want := twoSnapshots(t)
		m.faults = []vfs.Fault{{Op: vfs.OpList, Err: errors.New("broken disk")}}
		m.refused("cannot list snapshots", "broken disk")
		m.faults = nil
		m.sameState(want)
	})
}

// A snapshot of a newer rheo is not damaged: going on without it would in the end remove it.
func TestNewerSnapshotIsRefused(t *testing.T) {
	m, files, _ := twoSnapshots(t)
	f, err := m.fs.Open(files[1])
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size(t, f))
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	f.Close()
	b[len(snapshotMagic)]++
	binary.LittleEndian.PutUint32(b[len(b)-4:], crc32.Checksum(b[:len(b)-4], castagnoli))
	d, err := blob.OpenDir(m.fs, "blobs")
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimSuffix(strings.TrimPrefix(files[1], "blobs/objects/"), ".blob")
	if err := d.Put(t.Context(), name, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	m.refused(name, "newer rheo")
}

func size(t *testing.T, f vfs.File) int64 {
	t.Helper()
	n, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A log that ends before its snapshot is another log: commands written to it
// would be taken for old ones and ignored. It is the snapshot's name that
// counts, whether it can be read or not.
func TestLogBehindSnapshot(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		m, files, _ := twoSnapshots(t)
		for _, f := range m.fs.Files() {
			if strings.HasPrefix(f, "log/") || strings.HasPrefix(f, "/log/") {
				if err := m.fs.Remove(f); err != nil {
					t.Fatal(err)
				}
			}
		}
		if damaged {
			m.flip(files[1])
			m.flip(files[0])
		}
		m.refused("the log is not the one that belongs to these blobs")
	}
}

// Damage to commands that the newest snapshot covers does not matter, as after
// every clean stop; damage to those behind it does, and is said with what can be done.
func TestDamagedCommands(t *testing.T) {
	for _, c := range []struct {
		name    string
		harm    func(m *machine)
		refused bool
	}{
		{"covered", func(m *machine) { m.set("mark", "damage me"); m.fill(10); m.stop() }, false},
		{"behind the newest snapshot", func(m *machine) {
			m.faults = []vfs.Fault{{Op: vfs.OpSync, Err: errors.New("broken disk")}} // no snapshot at the stop
			m.restart()
			m.set("mark", "damage me")
			m.fill(10)
			m.stop()
			m.faults = nil
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t, 1, 0)
			m.fill(10)
			m.restart()
			c.harm(m)
			if n := m.flipText("damage me"); n == 0 {
				t.Fatal("it is not in the segments")
			}
			if c.refused {
				m.refused("damaged records in shard catalog", "from one backup")
				return
			}
			if err := m.start(); err != nil {
				t.Fatal(err)
			}
			m.want("mark", `"damage me"`)
			m.fill(10)
			m.restart()
			m.want("last", "9")
		})
	}
}

// flipText damages a text wherever segments of the log have it.
func (m *machine) flipText(text string) (n int) {
	m.t.Helper()
	for _, name := range m.fs.Files() {
		if !strings.HasSuffix(name, ".seg") {
			continue
		}
		f, err := m.fs.Open(name)
		if err != nil {
			m.t.Fatal(err)
		}
		b := make([]byte, size(m.t, f))
		f.ReadAt(b, 0)
		f.Close()
		if at := bytes.Index(b, []byte(text)); at >= 0 {
			if err := m.fs.FlipBit(name, int64(at)*8); err != nil {
				m.t.Fatal(err)
			}
			n++
		}
	}
	return n
}

// A snapshot that cannot be written costs a longer log, nothing else.
func TestSnapshotFails(t *testing.T) {
	m := newMachine(t, 1, 500)
	m.faults = []vfs.Fault{{Op: vfs.OpSync, Err: errors.New("broken disk")}}
	m.restart()
	m.fill(50)
	m.restart()
	if !strings.Contains(m.said.String(), "cannot write a snapshot") {
		t.Fatal("no snapshot was tried")
	}
	if m.first() > 1 || len(m.have()) > 0 {
		t.Errorf("the log was trimmed to %d, with the snapshots %v", m.first(), m.have())
	}
	m.want("last", "49")
	m.faults = nil
	m.restart()
	m.want("last", "49")
}

// A snapshot under way holds up neither commands nor readers.
func TestCommandsDuringSnapshot(t *testing.T) {
	fs := vfs.NewCrash(1)
	slow := vfs.NewFaults(fs)
	log, err := shardlog.Open(shardlog.Config{FS: fs, Dir: "log", JournalFileBytes: 1 << 20, MemoryBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	blobs, err := blob.OpenDir(slow, "blobs")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), Config{Log: log, Blobs: blobs, SnapshotEvery: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	hold := slow.Hold(vfs.OpSync, "*")
	defer hold.Release()
	if err := c.Commit(t.Context(), write("a", 1)); err != nil {
		t.Fatal(err)
	}
	<-hold.Reached()
	for i := range 10 {
		if err := c.Commit(t.Context(), write("a", i)); err != nil {
			t.Fatal(err)
		}
	}
	if doc, _, _ := c.Get("a"); string(doc) != "9" {
		t.Errorf("a is %s", doc)
	}
}
