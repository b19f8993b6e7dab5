package shardlog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/vfs"
)

// The power fails while a log is repaired, at every call: the next repair does
// the rest, nothing more is lost, and without repair nothing wrong is served meanwhile.
func TestCrashesInRepair(t *testing.T) {
	cases := []struct {
		name   string
		state  state
		damage func(w *whole) (lost []Offset)
	}{
		{"two places in a segment", washed, func(w *whole) []Offset {
			names, frames := w.segmentsOf()
			w.flip(names[1], frames[1][2].at+100)
			w.flip(names[1], frames[1][5].at+100)
			return []Offset{frames[1][2].seq, frames[1][5].seq}
		}},
		{"a segment cut short; in the journal", closed, func(w *whole) []Offset {
			names, frames := w.segmentsOf()
			w.on(names[1], func(f vfs.File) { f.Truncate(frames[1][3].at + 10) })
			return nil
		}},
		{"the active segment removed", washed, func(w *whole) []Offset {
			names, frames := w.segmentsOf()
			k := len(names) - 1
			w.remove(names[k])
			return offsets(frames[k][0].seq, damageRecords)
		}},
		{"both checkpoints", washed, func(w *whole) []Offset {
			w.flip("/log/checkpoint", 90)
			w.flip("/log/checkpoint.copy", 90)
			return nil
		}},
		{"a journal header and its first group", killed, func(w *whole) []Offset {
			name := w.newest()
			_, seqs := w.blocks(name)
			w.on(name, func(f vfs.File) { f.WriteAt(make([]byte, 2*blockAlign), 0) })
			return seqs[0]
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWhole(t, c.state)
			w.t = t
			lost := c.damage(w)
			want := slices.DeleteFunc(slices.Clone(w.have["s"]), func(at Offset) bool { return slices.Contains(lost, at) })
			cuts := int64(0)
			defer func() {
				if cuts < 30 {
					t.Errorf("only %d cuts", cuts)
				}
			}()
			for n, tripped := int64(1), true; tripped; n++ {
				cuts = n
				disk := w.disk.Kill()
				tripped = false
				var left atomic.Int64
				left.Store(n)
				cut := disk
				fs := &tripFS{FS: disk, left: &left, trip: func() { cut, tripped = disk.Crash(), true }}
				cfg := damageConfig(fs)
				cfg.Repair = true
				d, err := Open(cfg)
				if err == nil {
					left.Store(1 << 60) // what it does from now on is not part of it
					d.Close()
				} else if !tripped {
					t.Fatal(err)
				}
				if cut == disk {
					cut = disk.Crash()
				}
				if d, err := Open(damageConfig(cut.Kill())); err == nil {
					got, bad := w.all(t, d, "s")
					for _, at := range w.have["s"] {
						if !slices.Contains(got, at) && len(bad) == 0 && !slices.Contains(lost, at) {
							t.Errorf("cut %d: offset %d is missing without a word", n, at)
						}
					}
					d.Close()
				}
				cfg.FS = cut.Kill()
				if d, err = Open(cfg); err != nil {
					t.Fatalf("cut %d: %v", n, err)
				}
				if got, bad := w.all(t, d, "s"); len(bad) > 0 || !slices.Equal(got, want) {
					t.Fatalf("cut %d: %d records of %d, %v", n, len(got), len(want), bad)
				}
				d.Close()
			}
		})
	}
}

// A shard without retention is kept for somebody who needs all of it: what a
// repair gave up is said by every Read that would pass over it, by no other, and not
// once it is trimmed.
func TestLostRecordsOfAShardWithoutRetention(t *testing.T) {
	fs := vfs.NewCrash(1)
	d := mustOpen(t, memConfig(fs))
	s := mustCreate(t, d, "catalog", 0)
	for range 30 {
		mustPut(t, d, s, 1, 1000)
		s.flush()
	}
	other := mustCreate(t, d, "other", 0)
	for range 60 {
		mustPut(t, d, other, 1, 1000) // the journal's files are used again
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	path := s.segments[1].path
	base := Offset(s.segments[1].base)
	if err := fs.FlipBit(path, 8*1500); err != nil { // the second record
		t.Fatal(err)
	}
	for _, repair := range []bool{true, false} {
		cfg := memConfig(fs)
		cfg.Repair = repair
		d, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		h, err := d.Shard("catalog")
		if err != nil {
			t.Fatal(err)
		}
		var b Batch
		n := 0
		for from := Offset(0); ; from = b.Next {
			err := h.Read(ctx, from, 4, 1<<20, &b)
			var lost *DamagedError
			if errors.As(err, &lost) {
				if lost.Shard != "catalog" || lost.From != base+1 || lost.To != base+1 || lost.From != from {
					t.Errorf("at %d: %v", from, lost)
				}
				break
			}
			if err != nil || len(b.Records) == 0 {
				t.Fatalf("at %d: %d records, %v", from, len(b.Records), err)
			}
			n += len(b.Records)
		}
		if n != int(base) {
			t.Errorf("%d records before it", n)
		}
		if err := h.Read(ctx, base+2, 4, 1<<20, &b); err != nil || len(b.Records) != 4 {
			t.Errorf("behind it: %d records, %v", len(b.Records), err)
		}
		if !repair {
			if err := d.Trim(ctx, h, base+2); err != nil {
				t.Fatal(err)
			}
			if err := h.Read(ctx, 0, 4, 1<<20, &b); err != nil || len(b.Records) != 4 || b.Records[0].Offset != base+2 {
				t.Errorf("once trimmed: %d records, %v", len(b.Records), err)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Without a checkpoint, and without a file that says whose they are, segments are kept.
func TestNamelessSegments(t *testing.T) {
	w := newWhole(t, washed)
	w.flip("/log/checkpoint", 90)
	w.flip("/log/checkpoint.copy", 90)
	w.flip(fmt.Sprintf("/log/shards/%08x/%s", w.ref, identityName), identityFixed)
	names, _ := w.segmentsOf()
	cfg := damageConfig(w.disk)
	cfg.Repair = true
	d := mustOpen(t, cfg)
	if _, err := d.Shard("s"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if got, _ := w.all(t, d, "other"); !slices.Equal(got, w.have["other"]) {
		t.Errorf("%d records of the other shard", len(got))
	}
	kept := 0
	for _, name := range w.disk.Files() {
		if strings.Contains(name, fmt.Sprintf("/quarantine/shard-%08x/", w.ref)) {
			kept++
		}
	}
	if kept != len(names) || !slices.ContainsFunc(d.Damage(), func(e DamagedError) bool { return strings.Contains(e.Where, "nothing says") }) {
		t.Errorf("%d segments of %d are kept; %v", kept, len(names), d.Damage())
	}
}

// A record whose data looks like a later record of its own shard is not taken
// for one when its header is damaged.
type parsed = frame

func TestResyncIsNotFooled(t *testing.T) {
	frame := func(seq uint64, data []byte) []byte {
		r := Record{Data: data}
		b := make([]byte, frameSize(&r))
		putFrame(b, &r, 0, 7, seq, 5)
		return b
	}
	for _, fake := range []uint64{1, 2, 3, 4, 9, 100} {
		inner := frame(fake, []byte("I was never written"))
		outer := frame(2, slices.Concat([]byte("padding"), inner))
		tail := frame(2, slices.Concat(inner, inner, []byte("padding")))
		for _, second := range [][]byte{outer, tail} {
			first := frame(1, []byte("first"))
			b := slices.Concat(first, second, frame(3, []byte("third")), frame(4, []byte("fourth")))
			b[len(first)+offLength] ^= 1
			disk := vfs.NewCrash(1)
			file, _ := disk.Create("/s")
			file.WriteAt(b, 0)
			var seen []uint64
			var lost []gap
			err := scanPast(file, 7, 0, int64(len(b)), 0, 4, func(fr parsed, raw []byte) error {
				seen = append(seen, fr.seq)
				if bytes.Contains(fr.data, []byte("never")) {
					t.Errorf("a fake of offset %d is taken for a record", fake)
				}
				return nil
			}, func(g gap) error { lost = append(lost, g); return nil })
			end := int64(len(first) + len(second))
			if err != nil || !slices.Equal(seen, []uint64{1, 3, 4}) || !slices.Equal(lost, []gap{{int64(len(first)), end, 2, 2}}) {
				t.Errorf("a fake of offset %d: %v, %v, %v", fake, seen, lost, err)
			}
		}
	}
}

func TestFillings(t *testing.T) {
	raw := func(n int) []byte { return make([]byte, n) }
	for _, c := range []struct {
		name  string
		gap   gap
		have  []filling
		atEnd bool
		want  string
	}{
		{"nothing in the journal", gap{100, 300, 5, 6}, nil, false, "hole 5-6 of 200"},
		{"all of it", gap{100, 300, 5, 6}, []filling{{raw(200), 200, 5, 6}}, false, "5-6 of 200"},
		{"all bytes, and a gap in the offsets", gap{100, 300, 5, 9}, []filling{{raw(200), 200, 6, 8}}, false, "6-8 of 200"},
		{"the rear part", gap{100, 300, 5, 6}, []filling{{raw(100), 100, 6, 6}}, false, "hole 5-5 of 100, 6-6 of 100"},
		{"the front part", gap{100, 300, 5, 6}, []filling{{raw(100), 100, 5, 5}}, false, "5-5 of 100, hole 6-6 of 100"},
		{"the middle", gap{100, 300, 5, 7}, []filling{{raw(100), 100, 6, 6}}, false, "hole 5-5 of 36, 6-6 of 100, hole 7-7 of 64"},
		{"too much for what was there", gap{100, 300, 5, 7}, []filling{{raw(190), 190, 6, 6}}, false, "hole 5-7 of 200"},
		{"too little, without an offset missing", gap{100, 300, 5, 6}, []filling{{raw(150), 150, 5, 6}}, false, "hole 5-6 of 200"},
		{"two parts", gap{100, 300, 5, 9}, []filling{{raw(50), 50, 5, 6}, {raw(60), 60, 8, 9}}, false, "5-6 of 50, hole 7-7 of 90, 8-9 of 60"},
		{"two parts that are all", gap{100, 300, 5, 9}, []filling{{raw(140), 140, 5, 6}, {raw(60), 60, 8, 9}}, false, "5-6 of 140, 8-9 of 60"},
		{"cut, two parts", gap{280, 300, 5, 9}, []filling{{raw(50), 50, 5, 6}, {raw(60), 60, 8, 8}}, true, "5-6 of 50, hole 7-7 of 36, 8-8 of 60, hole 9-9 of 36"},
		{"gone", gap{300, 300, 5, 6}, nil, true, "hole 5-6 of 36"},
		{"gone, a part in the journal", gap{300, 300, 5, 8}, []filling{{raw(150), 150, 6, 7}}, true, "hole 5-5 of 36, 6-7 of 150, hole 8-8 of 36"},
		{"cut in a record, all in the journal", gap{280, 300, 5, 6}, []filling{{raw(150), 150, 5, 6}}, true, "5-6 of 150"},
		{"cut in a record", gap{280, 300, 5, 6}, nil, true, "hole 5-6 of 36"},
	} {
		var got []string
		for _, f := range fillings(c.gap, c.have, c.atEnd) {
			kind := "hole "
			if f.raw != nil {
				kind = ""
			}
			got = append(got, fmt.Sprintf("%s%d-%d of %d", kind, f.from, f.to, f.size))
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
	}
}

// A stretch longer than the largest frame takes several holes, and reads as one loss.
func TestLongHole(t *testing.T) {
	const size = 2*frameBytesMax + 10
	disk := vfs.NewCrash(1)
	file, _ := disk.Create("/s")
	if err := writeHoles(file, 0, size, 7, 5, 8, 1); err != nil {
		t.Fatal(err)
	}
	seen, n := uint64(4), int64(0)
	err := scanFrames(file, 7, 0, size, seen, func(fr frame, raw []byte) error {
		if fr.holeFrom() != seen+1 {
			t.Errorf("a hole from %d to %d behind %d", fr.holeFrom(), fr.seq, seen)
		}
		seen, n = fr.seq, n+int64(fr.size)
		return nil
	})
	if err != nil || seen != 8 || n != size {
		t.Errorf("holes to %d, of %d bytes, %v", seen, n, err)
	}
}

// What the journal does not have any more of such a shard is said by its reads, too.
func TestLostGroupOfAShardWithoutRetention(t *testing.T) {
	fs := vfs.NewCrash(1)
	d := mustOpen(t, memConfig(fs))
	s := mustCreate(t, d, "catalog", 0) // groups 1 and 2
	for range 6 {
		mustPut(t, d, s, 1, 100)
	}
	disk := fs.Kill()
	d.Close()
	f, err := disk.Open("/log/journal/000000.journal")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, blockAlign), 5*blockAlign); err != nil { // the third record
		t.Fatal(err)
	}
	f.Close()
	cfg := memConfig(disk)
	cfg.Repair = true
	for range 2 {
		d := mustOpen(t, cfg)
		h, err := d.Shard("catalog")
		if err != nil {
			t.Fatal(err)
		}
		var b Batch
		if err := h.Read(ctx, 0, 100, 1<<20, &b); err != nil || len(b.Records) != 2 || b.Next != 3 {
			t.Errorf("%d records, next %d, %v", len(b.Records), b.Next, err)
		}
		var lost *DamagedError
		if err := h.Read(ctx, 3, 100, 1<<20, &b); !errors.As(err, &lost) || lost.From != 3 || lost.To != 3 {
			t.Errorf("at 3: %v", err)
		}
		if err := h.Read(ctx, 4, 100, 1<<20, &b); err != nil || len(b.Records) != 3 {
			t.Errorf("behind it: %d records, %v", len(b.Records), err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		cfg.Repair = false
	}
}

// Of a damaged group all frames that are good are kept, and those that are not are named.
func TestSalvageIsExact(t *testing.T) {
	const group = 4 * blockAlign // with the offsets 3 to 7
	frameAt := func(n int64) int64 { return group + blockHeader + n*(frameFixed+100) }
	for _, c := range []struct {
		name string
		at   []int64 // bytes that are damaged
		lost []Offset
	}{
		{"data of two records", []int64{frameAt(1) + 70, frameAt(3) + 70}, []Offset{4, 6}},
		{"a checksum", []int64{frameAt(1)}, nil},
		{"a length", []int64{frameAt(1) + offLength}, []Offset{4, 5, 6, 7}}, // where the next starts cannot be known
		{"an offset", []int64{frameAt(1) + offSeq}, []Offset{4}},
		{"a shard", []int64{frameAt(4) + offRef}, []Offset{7}},
		{"the group's magic", []int64{group}, nil},
		{"the group's checksum", []int64{group + 4}, nil},
		{"the group's digest", []int64{group + 32}, nil},
		{"the group's length", []int64{group + 40}, nil},
		{"the group's header and a record", []int64{group + 40, frameAt(3) + 70}, []Offset{6, 7}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewCrash(1)
			d := mustOpen(t, memConfig(fs))
			s := mustCreate(t, d, "s", time.Hour)
			mustPut(t, d, s, 2, 100)
			mustPut(t, d, s, 5, 100)
			mustPut(t, d, s, 2, 100)
			disk := fs.Kill()
			d.Close()
			for _, at := range c.at {
				if err := disk.FlipBit("/log/journal/000000.journal", 8*at); err != nil {
					t.Fatal(err)
				}
			}
			check := func(list []DamagedError) {
				t.Helper()
				var named []Offset
				for _, e := range list {
					if e.Shard == "s" {
						named = append(named, offsets(e.From, e.To)...)
					}
				}
				if !slices.Equal(named, c.lost) {
					t.Errorf("named: %v", list)
				}
			}
			cfg := memConfig(disk)
			_, err := Open(cfg)
			var report *DamageReport
			if !errors.As(err, &report) {
				t.Fatal(err)
			}
			check(report.Ranges)
			cfg.Repair = true
			d = mustOpen(t, cfg)
			check(d.Damage())
			want := slices.DeleteFunc(offsets(1, 9), func(at Offset) bool { return slices.Contains(c.lost, at) })
			if got := readAll(t, d, "s"); !slices.Equal(got, want) {
				t.Errorf("left: %v", got)
			}
		})
	}
}

// What is gone had been trimmed: nothing is lost, and the shard goes on.
func TestTrimmedSegmentsAreGone(t *testing.T) {
	fs := vfs.NewCrash(1)
	d := mustOpen(t, memConfig(fs))
	s := mustCreate(t, d, "s", time.Hour)
	mustPut(t, d, s, 5, 100)
	if err := d.Trim(ctx, s, 6); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := fs.Remove(s.segments[0].path); err != nil {
		t.Fatal(err)
	}
	var report *DamageReport
	if _, err := Open(memConfig(fs)); !errors.As(err, &report) {
		t.Fatalf("Open: %v", err)
	}
	cfg := memConfig(fs)
	cfg.Repair = true
	for want := Offset(6); want < 8; want++ {
		d := mustOpen(t, cfg)
		h, err := d.Shard("s")
		if err != nil {
			t.Fatal(err)
		}
		if at := mustPut(t, d, h, 1, 10); at != want {
			t.Errorf("a record is stored at %d", at)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		cfg.Repair = false
	}
}
