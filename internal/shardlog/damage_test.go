package shardlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/vfs"
)

// What damage does, kind by kind: without repair and with it. Whatever the kind,
// nothing wrong is served, nothing is missing that a report does not name, and after a
// repair all the rest is there, for good.

// whole is a log before it is damaged: shards "s" and "other", with record i of
// "s" at offset i+1.
type whole struct {
	t    *testing.T
	disk *vfs.Crash
	ref  uint32 // of s
	have map[ID][]Offset
}

type state int

const (
	closed state = iota // cleanly; the journal still has all
	washed              // cleanly, and the journal's files have been used again since
	killed              // with records in segments, and in the journal only
)

const damageRecords = 40 // of 1,000 bytes, in segments of 8 KiB

func newWhole(t *testing.T, st state) *whole {
	w := &whole{t: t, have: map[ID][]Offset{}}
	fs := vfs.NewCrash(1)
	faults := vfs.NewFaults(fs)
	d := mustOpen(t, damageConfig(faults))
	s, other := mustCreate(t, d, "s", time.Hour), mustCreate(t, d, "other", time.Hour)
	w.ref = s.ref
	put := func(s Shard, n int) {
		for range n {
			p := []Put{{Shard: s}}
			at := s.Info().Next
			p[0].Records = []Record{{Data: damageRecord(at), PartitionKey: []byte("k")}}
			if d.Append(ctx, p); p[0].Err != nil || p[0].Records[0].Offset != at {
				t.Fatal(p[0].Err, p[0].Records[0].Offset, at)
			}
			w.have[s.ID()] = append(w.have[s.ID()], at)
			if st != killed {
				s.(*shard).flush() // or segments would be of any size
			}
		}
	}
	switch st {
	case killed:
		put(s, damageRecords/2)
		s.flush()
		hold := faults.Hold(vfs.OpWrite, "*.seg") // so there is no checkpoint
		defer hold.Release()
		put(other, 1)
		put(s, damageRecords/2) // in the second journal file
		d.commit.stop()
		d.commit.confirmLast()
		w.disk = fs.Kill()
		hold.Release()
		d.Close()
		return w
	case washed:
		put(s, damageRecords)
		s.flush()
		put(other, 150)
	default:
		put(s, damageRecords)
		put(other, 1)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	w.disk = fs.Kill()
	return w
}

func damageConfig(fs vfs.FS) Config {
	cfg := memConfig(fs)
	cfg.JournalFileBytes = 128 << 10
	return cfg
}

func damageRecord(at Offset) []byte {
	b := make([]byte, 900+100*(at%2))
	for i := range b {
		b[i] = byte(uint64(at)*7 + uint64(i)*13)
	}
	return b
}

// placed is where a frame lies.
type placed struct {
	seq      Offset
	at, size int64
}

// segmentsOf lists a shard's segments and the frames in them.
func (w *whole) segmentsOf() (names []string, frames [][]placed) {
	for _, name := range w.disk.Files() {
		if strings.HasSuffix(name, ".seg") && strings.Contains(name, fmt.Sprintf("/shards/%08x/", w.ref)) {
			b := w.read(name)
			var list []placed
			for at := 0; at < len(b); {
				fr, err := parseFrame(b[at:])
				if err != nil {
					w.t.Fatal(name, at, err)
				}
				list = append(list, placed{Offset(fr.seq), int64(at), int64(fr.size)})
				at += fr.size
			}
			names, frames = append(names, name), append(frames, list)
		}
	}
	return names, frames
}

func (w *whole) read(name string) []byte {
	f, err := w.disk.Open(name)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	n, _ := f.Size()
	b := make([]byte, n)
	f.ReadAt(b, 0)
	return b
}

// on changes a file durably.
func (w *whole) on(name string, change func(f vfs.File)) {
	f, err := w.disk.Open(name)
	if err != nil {
		w.t.Fatal(err)
	}
	change(f)
	if err := f.Sync(); err != nil {
		w.t.Fatal(err)
	}
	f.Close()
}

func (w *whole) flip(name string, at int64) {
	if err := w.disk.FlipBit(name, at*8+3); err != nil {
		w.t.Fatal(err)
	}
}

func (w *whole) remove(names ...string) {
	for _, name := range names {
		if err := w.disk.Remove(name); err != nil {
			w.t.Fatal(err)
		}
		if err := w.disk.SyncDir(filepath.Dir(name)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// blocks lists the good blocks of a journal file's use, by what they hold of shard s.
func (w *whole) blocks(name string) (at []int64, seqs [][]Offset) {
	b := w.read(name)
	head, err := parseFileHeader(b)
	if err != nil {
		w.t.Fatal(name, err)
	}
	for pos := blockAlign; pos < len(b); {
		k, err := parseBlock(b[pos:])
		if err != nil || k.gen != head.gen {
			break
		}
		var list []Offset
		for rest := b[pos+blockHeader:][:k.length]; len(rest) > 0; rest = rest[frameLength(rest):] {
			if fr, err := parseFrame(rest); err == nil && fr.flags&flagControl == 0 && fr.ref == w.ref {
				list = append(list, Offset(fr.seq))
			}
		}
		at, seqs = append(at, int64(pos)), append(seqs, list)
		pos += k.size()
	}
	return at, seqs
}

// newest is the journal file used last that has records of s.
func (w *whole) newest() (name string) {
	use := uint64(0)
	for _, n := range w.disk.Files() {
		if strings.HasSuffix(n, ".journal") {
			head, err := parseFileHeader(w.read(n))
			if _, seqs := w.blocks(n); err == nil && head.use > use && len(slices.Concat(seqs...)) > 0 {
				name, use = n, head.use
			}
		}
	}
	return name
}

type outcome int

const (
	opens   outcome = iota // as if nothing were
	errs                   // opens, and a Read there says what is damaged
	refuses                // Open returns a DamageReport
)

func offsets(from, to Offset) (list []Offset) {
	for ; from <= to; from++ {
		list = append(list, from)
	}
	return list
}

func TestDamage(t *testing.T) {
	const sealed, active = 1, -1
	segment := func(which int, do func(w *whole, name string, frames []placed) (lost []Offset)) func(w *whole) []Offset {
		return func(w *whole) []Offset {
			names, frames := w.segmentsOf()
			if which < 0 {
				which = len(names) + which
			}
			return do(w, names[which], frames[which])
		}
	}
	nothing := func(do func(w *whole)) func(w *whole) []Offset {
		return func(w *whole) []Offset { do(w); return nil }
	}
	flipIn := func(n int, byteOf func(p placed) int64) func(w *whole, name string, frames []placed) []Offset {
		return func(w *whole, name string, frames []placed) []Offset {
			p := frames[(n+len(frames))%len(frames)]
			w.flip(name, p.at+byteOf(p))
			return []Offset{p.seq}
		}
	}
	inData := func(p placed) int64 { return p.size / 2 }
	field := func(off int64) func(placed) int64 { return func(placed) int64 { return off } }
	cut := func(w *whole, name string, frames []placed) []Offset {
		p := frames[len(frames)-2]
		w.on(name, func(f vfs.File) { f.Truncate(p.at + p.size/2) })
		return []Offset{p.seq, p.seq + 1}
	}
	gone := func(w *whole, name string, frames []placed) []Offset {
		w.remove(name)
		return offsets(frames[0].seq, frames[len(frames)-1].seq)
	}
	zeros := func(w *whole, name string, frames []placed) []Offset {
		p := frames[2]
		w.on(name, func(f vfs.File) { f.WriteAt(make([]byte, p.size+frames[3].size/2), p.at) })
		return []Offset{p.seq, p.seq + 1}
	}
	all := func(w *whole, name string, frames []placed) []Offset {
		last := len(frames) - 1
		w.on(name, func(f vfs.File) { f.WriteAt(make([]byte, frames[last].at+frames[last].size), 0) })
		return offsets(frames[0].seq, frames[last].seq)
	}
	none := func(do func(w *whole, name string, frames []placed) []Offset) func(w *whole, name string, frames []placed) []Offset {
		return func(w *whole, name string, frames []placed) []Offset { do(w, name, frames); return nil }
	}
	checkpoints := nothing(func(w *whole) {
		w.flip("/log/checkpoint", 90)
		w.flip("/log/checkpoint.copy", 90)
	})
	cases := []struct {
		name   string
		state  state
		damage func(w *whole) (lost []Offset) // of s, after a repair
		plain  outcome                        // without repair
	}{
		{"sealed segment, data", washed, segment(sealed, flipIn(3, inData)), errs},
		{"sealed segment, checksum", washed, segment(sealed, flipIn(3, field(0))), errs},
		{"sealed segment, length", washed, segment(sealed, flipIn(3, field(offLength+1))), errs},
		{"sealed segment, huge length", washed, segment(sealed, flipIn(3, field(offLength+3))), errs},
		{"sealed segment, version", washed, segment(sealed, flipIn(3, field(offVersion))), errs},
		{"sealed segment, ref", washed, segment(sealed, flipIn(3, field(offRef))), errs},
		{"sealed segment, offset", washed, segment(sealed, flipIn(3, field(offSeq))), errs},
		{"sealed segment, first record", washed, segment(0, flipIn(0, inData)), errs},
		{"sealed segment, last record", washed, segment(sealed, flipIn(-1, inData)), errs},
		{"sealed segment, zeros", washed, segment(sealed, zeros), errs},
		{"sealed segment, all of it", washed, segment(sealed, all), errs},
		{"sealed segment, cut short", washed, segment(sealed, cut), errs},
		{"sealed segment, removed", washed, segment(sealed, gone), errs},
		{"active segment, data", washed, segment(active, flipIn(1, inData)), errs},
		{"active segment, last record", washed, segment(active, flipIn(-1, inData)), errs},
		{"active segment, cut short", washed, segment(active, cut), refuses},
		{"active segment, removed", washed, segment(active, gone), refuses},
		{"all segments, removed", washed, func(w *whole) []Offset {
			names, _ := w.segmentsOf()
			w.remove(names...)
			return w.have["s"]
		}, refuses},

		{"sealed segment, data; in the journal", closed, segment(sealed, none(flipIn(3, inData))), errs},
		{"sealed segment, zeros; in the journal", closed, segment(sealed, none(zeros)), errs},
		{"sealed segment, cut short; in the journal", closed, segment(sealed, none(cut)), errs},
		{"sealed segment, removed; in the journal", closed, segment(sealed, none(gone)), errs},
		{"active segment, data; in the journal", closed, segment(active, none(flipIn(1, inData))), errs},
		{"active segment, cut short; in the journal", closed, segment(active, none(cut)), refuses},
		{"active segment, removed; in the journal", closed, segment(active, none(gone)), refuses},
		{"unsynced segment, data", killed, segment(0, none(flipIn(3, inData))), opens},

		{"one checkpoint", washed, nothing(func(w *whole) { w.flip("/log/checkpoint", 90) }), opens},
		{"both checkpoints, closed", closed, checkpoints, refuses},
		{"both checkpoints, washed", washed, checkpoints, refuses},
		{"both checkpoints, killed", killed, nothing(func(w *whole) {
			for _, name := range []string{"/log/checkpoint", "/log/checkpoint.copy"} {
				f, err := w.disk.Create(name)
				if err != nil {
					w.t.Fatal(err)
				}
				f.WriteAt([]byte("garbage"), 0)
				f.Sync()
				w.disk.SyncDir("/log")
			}
		}), refuses},
		{"both checkpoints, removed", washed, nothing(func(w *whole) {
			w.remove("/log/checkpoint", "/log/checkpoint.copy")
		}), refuses},

		{"journal, header", killed, nothing(func(w *whole) { w.flip(w.newest(), 20) }), refuses},
		{"journal, header of the first file", killed, nothing(func(w *whole) { w.flip("/log/journal/000000.journal", 20) }), refuses},
		{"journal, first group", killed, nothing(func(w *whole) {
			// It says the name of s.
			w.flip("/log/journal/000000.journal", blockAlign+blockHeader+20)
		}), refuses},
		{"journal, header and first group", killed, nothing(func(w *whole) {
			w.on("/log/journal/000000.journal", func(f vfs.File) { f.WriteAt(make([]byte, 2*blockAlign), 0) })
		}), refuses},
		{"journal, header and the groups that name shards", killed, nothing(func(w *whole) {
			w.on("/log/journal/000000.journal", func(f vfs.File) { f.WriteAt(make([]byte, 5*blockAlign), 0) })
		}), refuses},
		{"journal, header and first group of the newest", killed, func(w *whole) []Offset {
			name := w.newest()
			_, seqs := w.blocks(name)
			w.on(name, func(f vfs.File) { f.WriteAt(make([]byte, 2*blockAlign), 0) })
			return seqs[0]
		}, refuses},
		{"journal, a group", killed, func(w *whole) []Offset {
			name := w.newest()
			at, seqs := w.blocks(name)
			w.on(name, func(f vfs.File) { f.WriteAt(make([]byte, blockAlign), at[2]) })
			return seqs[2]
		}, refuses},
		{"journal, newest file removed", killed, func(w *whole) []Offset {
			name := w.newest()
			_, seqs := w.blocks(name)
			w.remove(name)
			return slices.Concat(seqs...)
		}, refuses},
		{"journal, newest file cut short", killed, func(w *whole) []Offset {
			name := w.newest()
			at, seqs := w.blocks(name)
			w.on(name, func(f vfs.File) { f.Truncate(at[3] + 100) })
			return slices.Concat(seqs[3:]...)
		}, refuses},
		{"journal, newest file emptied", killed, func(w *whole) []Offset {
			name := w.newest()
			_, seqs := w.blocks(name)
			w.on(name, func(f vfs.File) { f.Truncate(0) })
			return slices.Concat(seqs...)
		}, refuses},
		{"journal, newest file zeroed", killed, func(w *whole) []Offset {
			name := w.newest()
			_, seqs := w.blocks(name)
			w.on(name, func(f vfs.File) {
				n, _ := f.Size()
				f.WriteAt(make([]byte, n), 0)
			})
			return slices.Concat(seqs...)
		}, refuses},
		{"format", closed, nothing(func(w *whole) { w.flip("/log/FORMAT", 3) }), refuses},
		{"format, removed", closed, nothing(func(w *whole) { w.remove("/log/FORMAT") }), refuses},
		{"journal, list of files", killed, nothing(func(w *whole) { w.flip("/log/journal.files", 22) }), refuses},
		{"journal, list of files removed", killed, nothing(func(w *whole) { w.remove("/log/journal.files") }), opens},
		{"journal, removed after a close", closed, nothing(func(w *whole) { w.remove("/log/journal/000000.journal") }), refuses},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWhole(t, c.state)
			w.t = t
			lost := c.damage(w)
			t.Run("plain", func(t *testing.T) { w.plain(t, c.plain, lost) })
			t.Run("repair", func(t *testing.T) { w.repair(t, lost) })
		})
	}
}

// plain opens the log as it is.
func (w *whole) plain(t *testing.T, want outcome, lost []Offset) {
	cfg := damageConfig(w.disk.Kill())
	d, err := Open(cfg)
	var report *DamageReport
	if want == refuses {
		if !errors.As(err, &report) || len(report.Ranges) == 0 {
			t.Fatalf("Open: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	got, bad := w.all(t, d, "s")
	if want == opens {
		if len(bad) > 0 || !slices.Equal(got, w.have["s"]) {
			t.Errorf("%d records, %v", len(got), bad)
		}
		return
	}
	if len(bad) == 0 {
		t.Fatal("no Read fails")
	}
	if len(lost) > 0 {
		w.exact(t, got, lost, bad)
	}
	d.scrub(func(int) bool { return true })
	if len(d.Damage()) == 0 {
		t.Error("the scrub finds nothing")
	}
	if got, bad := w.all(t, d, "other"); len(bad) > 0 || len(got) != len(w.have["other"]) {
		t.Errorf("of another shard there are %d records, %v", len(got), bad)
	}
}

// repair opens the log with repair, and then once more without.
func (w *whole) repair(t *testing.T, lost []Offset) {
	cfg := damageConfig(w.disk.Kill())
	cfg.Repair = true
	for _, again := range []bool{false, true} {
		d, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if !again {
			reported := d.Damage()
			got, bad := w.all(t, d, "s")
			if len(bad) > 0 {
				t.Error(&bad[0])
			}
			w.exact(t, got, lost, reported)
			if len(lost) > 0 && len(reported) == 0 {
				t.Error("nothing is reported")
			}
		}
		for id, all := range w.have {
			want := all
			if id == "s" {
				want = slices.DeleteFunc(slices.Clone(all), func(at Offset) bool { return slices.Contains(lost, at) })
			}
			if got, bad := w.all(t, d, id); len(bad) > 0 || !slices.Equal(got, want) {
				t.Errorf("shard %s: %d records of %d, %v", id, len(got), len(want), bad)
			}
			h, err := d.Shard(id)
			if err != nil {
				t.Fatal(err)
			}
			if at, err := tryPut(d, h, 1, 10); err != nil || at <= all[len(all)-1] {
				t.Errorf("a record is stored at %d, %v", at, err)
			}
			w.have[id] = slices.Clone(all) // what was put now is left out by all
		}
		before := len(d.Damage())
		d.scrub(func(int) bool { return true })
		if list := d.Damage(); len(list) > before {
			t.Errorf("damage after a repair: %v", &list[before])
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		cfg.Repair = false
	}
}

// exact checks that what is missing was named, and nothing else.
func (w *whole) exact(t *testing.T, got, lost []Offset, ranges []DamagedError) {
	t.Helper()
	named := func(at Offset) bool {
		return slices.ContainsFunc(ranges, func(e DamagedError) bool { return e.Shard == "s" && e.From <= at && at <= e.To })
	}
	journal := slices.ContainsFunc(ranges, func(e DamagedError) bool { return e.Shard == "" })
	for _, at := range lost {
		if !named(at) && !journal {
			t.Errorf("the loss of offset %d is not named", at)
		}
	}
	for _, at := range got {
		if named(at) {
			t.Errorf("offset %d is named as lost, and there", at)
		}
	}
	if len(got)+len(lost) != len(w.have["s"]) {
		t.Errorf("%d records are there, %d of %d are lost", len(got), len(lost), len(w.have["s"]))
	}
}

// all reads a shard's records, past the damage, and checks what they hold.
func (w *whole) all(t *testing.T, d *Disk, id ID) (got []Offset, bad []DamagedError) {
	t.Helper()
	h, err := d.Shard(id)
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	for from := Offset(0); ; from = b.Next {
		err := h.Read(ctx, from, 7, 1<<20, &b)
		var e *DamagedError
		if errors.As(err, &e) {
			if e.To < e.From || e.To < from {
				t.Fatalf("at %d: %v", from, e)
			}
			bad = append(bad, *e)
			b.Next = e.To + 1
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range b.Records {
			if len(r.Data) == 10 {
				continue // put after a repair
			}
			if string(r.Data) != string(damageRecord(r.Offset)) {
				t.Fatalf("shard %s offset %d is not what was written", id, r.Offset)
			}
			got = append(got, r.Offset)
		}
		if len(b.Records) == 0 {
			return got, bad
		}
	}
}
