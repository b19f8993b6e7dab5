package shardlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/vfs"
)

var ctx = context.Background()

// handClock is moved by hand.
type handClock struct {
	mu         sync.Mutex
	wall, mono time.Duration
}

func (c *handClock) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Unix(1_800_000_000, 0).Add(c.wall)
}
func (c *handClock) Monotonic() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mono
}
func (c *handClock) advance(wall, mono time.Duration) {
	c.mu.Lock()
	c.wall, c.mono = c.wall+wall, c.mono+mono
	c.mu.Unlock()
}

func mustOpen(t *testing.T, cfg Config) *Disk {
	t.Helper()
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func mustCreate(t *testing.T, d *Disk, id ID, retention time.Duration) *shard {
	t.Helper()
	s, err := d.Create(ctx, id, Options{Retention: retention})
	if err != nil {
		t.Fatal(err)
	}
	return s.(*shard)
}

func tryPut(d *Disk, s Shard, records int, size int) (Offset, error) {
	p := []Put{{Shard: s}}
	for range records {
		p[0].Records = append(p[0].Records, Record{Data: make([]byte, size)})
	}
	d.Append(ctx, p)
	return p[0].Records[0].Offset, p[0].Err
}

// mustPut puts as a client does: what is refused because segments are behind, as on
// a machine that has little time for their writer, is put again.
func mustPut(t *testing.T, d *Disk, s Shard, records int, size int) Offset {
	t.Helper()
	at, err := tryPut(d, s, records, size)
	for deadline := time.Now().Add(30 * time.Second); errors.Is(err, ErrOverloaded) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
		at, err = tryPut(d, s, records, size)
	}
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func memConfig(fs vfs.FS) Config {
	cfg := smallConfig()
	cfg.FS = fs
	return cfg
}

func segmentFiles(fs *vfs.Crash) (n int) {
	for _, name := range fs.Files() {
		if strings.HasSuffix(name, ".seg") {
			n++
		}
	}
	return n
}

// Put, expire all, wrap the journal, restart, put: the number is greater, and no
// arrival goes back, though nothing of the records is left.
func TestOffsetsOutliveRecords(t *testing.T) {
	fs := vfs.NewCrash(1)
	cfg := memConfig(fs)
	clock := &handClock{}
	cfg.Clock = clock
	d := mustOpen(t, cfg)
	s := mustCreate(t, d, "s", time.Hour)
	other := mustCreate(t, d, "other", time.Hour)
	last := mustPut(t, d, s, 20, 1000)
	arrival := s.Info().LastArrival
	clock.advance(2*time.Hour, 2*time.Hour)
	for range 40 {
		mustPut(t, d, other, 10, 1000) // wraps
	}
	if err := d.checkpoint(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first roll asks for a checkpoint
		d.expire(d.Now())
		if err := d.checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Info(); got.Bytes != 0 || got.LastArrival != arrival {
		t.Errorf("after all has expired: %+v", got)
	}
	if st := d.Stats(); st.ExpiredSegments == 0 || st.Checkpoints < 3 {
		t.Errorf("nothing expired: %+v", st)
	}
	clock.advance(-3*time.Hour, 0)
	cfg.FS = fs.Crash()
	d = mustOpen(t, cfg)
	h, err := d.Shard("s")
	if err != nil {
		t.Fatal(err)
	}
	at := mustPut(t, d, h, 1, 10)
	if at < last+20 {
		t.Errorf("offset %d was given out before", at)
	}
	if got := h.Info().LastArrival; got < arrival {
		t.Errorf("arrival %d after %d", got, arrival)
	}
}

// A segment is unlinked once its last record is out of view, and never before.
func TestRetentionUnlinks(t *testing.T) {
	fs := vfs.NewCrash(1)
	cfg := memConfig(fs)
	clock := &handClock{}
	cfg.Clock = clock
	d := mustOpen(t, cfg)
	s := mustCreate(t, d, "s", 10*time.Hour)
	for range 20 {
		clock.advance(time.Hour, time.Hour)
		mustPut(t, d, s, 7, 1000)
		s.flush()
	}
	if err := d.checkpoint(); err != nil {
		t.Fatal(err)
	}
	var b Batch
	read := func() (n int) {
		for from := Offset(0); ; from = b.Next {
			if err := s.Read(ctx, from, 100, 1<<20, &b); err != nil {
				t.Fatal(err)
			}
			n += len(b.Records)
			if b.NextArrival == 0 {
				return n
			}
		}
	}
	before, seen := segmentFiles(fs), read()
	d.journal.retire() // so that a checkpoint has work
	if err := s.settle(1 << 60); err != nil {
		t.Fatal(err)
	}
	if err := d.checkpoint(); err != nil {
		t.Fatal(err)
	}
	d.expire(d.Now())
	if after := segmentFiles(fs); after >= before || after == 0 {
		t.Errorf("%d segments, of %d before", after, before)
	}
	if got := read(); got != seen || got != 11*7 {
		t.Errorf("%d records in view; %d before segments went", got, seen)
	}
	// Whatever an unlink's crash brings back stays out of view.
	cfg.FS = fs.Crash()
	d = mustOpen(t, cfg)
	h, _ := d.Shard("s")
	s = h.(*shard)
	if got := read(); got != seen {
		t.Errorf("%d records in view after a crash; %d before", got, seen)
	}
}

// The disk fills: records are refused, reads and deletes go on, nothing is lost,
// and when there is space again records are accepted without a restart.
func TestDiskFull(t *testing.T) {
	for round := range 5 {
		fs := vfs.NewCrash(uint64(round))
		fs.SetCapacity(3 << 20)
		cfg := memConfig(fs)
		d := mustOpen(t, cfg)
		d.space.look()
		d.space.fillBallast()
		s, victim := mustCreate(t, d, "s", 0), mustCreate(t, d, "victim", 0)
		mustPut(t, d, s, 3, 1000)
		acked := 0
		var err error
		for range 10_000 {
			if _, err = tryPut(d, victim, 10, 1000); errors.Is(err, ErrOverloaded) {
				// On a slow machine the keeper is late; on a full one nothing is freed.
				if d.space.look(); !d.Stats().Full {
					continue
				}
			}
			if err != nil {
				break
			}
			acked++
			if acked%20 == 0 {
				d.space.look()
			}
		}
		if !errors.Is(err, ErrNoSpace) && !errors.Is(err, ErrOverloaded) {
			t.Fatalf("after %d puts: %v", acked, err)
		}
		d.space.look()
		if !d.Stats().Full {
			t.Fatalf("not seen as full: %+v", d.Stats())
		}
		if _, err := tryPut(d, s, 1, 1); !errors.Is(err, ErrNoSpace) {
			t.Fatalf("a put on a full disk: %v", err)
		}
		var b Batch
		n := 0
		for from := Offset(0); ; from = b.Next {
			if err := victim.Read(ctx, from, 500, 1<<20, &b); err != nil {
				t.Fatal(err)
			}
			if n += len(b.Records); b.NextArrival == 0 {
				break
			}
		}
		if n != acked*10 {
			t.Errorf("%d records of %d are there", n, acked*10)
		}
		if err := d.Delete(ctx, victim); err != nil {
			t.Fatalf("delete on a full disk: %v", err)
		}
		for d.Stats().Full { // until the keeper has removed the files
			time.Sleep(time.Millisecond)
			d.space.look()
		}
		d.space.fillBallast()
		mustPut(t, d, s, 1, 1)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Memory is full and segments cannot be written: puts are refused after the longest
// wait, and go on when the disk does.
func TestOverload(t *testing.T) {
	fs := vfs.NewFaults(vfs.NewCrash(1))
	d := mustOpen(t, memConfig(fs))
	s := mustCreate(t, d, "s", 0)
	hold := fs.Hold(vfs.OpWrite, "*.seg")
	defer hold.Release()
	var err error
	n := 0
	for ; err == nil && n < 1000; n++ {
		_, err = tryPut(d, s, 5, 4000)
	}
	if !errors.Is(err, ErrOverloaded) {
		t.Fatalf("after %d puts: %v", n, err)
	}
	if st := d.Stats(); st.MemoryBytes > st.MemoryMax {
		t.Errorf("%d bytes of memory, allowed are %d", st.MemoryBytes, st.MemoryMax)
	}
	hold.Release()
	for range 100 {
		if _, err = tryPut(d, s, 5, 4000); err == nil {
			break
		}
	}
	if err != nil {
		t.Errorf("still refused: %v", err)
	}
}

// A context that ends while a put waits for the disk ends the put.
func TestAppendContext(t *testing.T) {
	fs := vfs.NewFaults(vfs.NewCrash(1))
	d := mustOpen(t, memConfig(fs))
	s := mustCreate(t, d, "s", 0)
	hold := fs.Hold(vfs.OpSync, "*.journal")
	defer hold.Release()
	c, cancel := context.WithCancel(ctx)
	done := make(chan error)
	go func() {
		p := []Put{{Shard: s, Records: []Record{{}}}}
		d.Append(c, p)
		done <- p[0].Err
	}()
	<-hold.Reached()
	var b Batch
	if err := s.Read(ctx, 0, 1, 1, &b); err != nil || len(b.Records) != 0 {
		t.Errorf("readable before it is durable: %v, %v", b.Records, err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}
}

// After a failed sync that file is never synced again, writing goes on in
// another, and what failed stays failed after a restart.
func TestFailedJournalSync(t *testing.T) {
	crash := vfs.NewCrash(1)
	fs := vfs.NewFaults(crash)
	d := mustOpen(t, memConfig(fs))
	s := mustCreate(t, d, "s", 0)
	mustPut(t, d, s, 1, 100)
	fault := fs.Add(vfs.Fault{Op: vfs.OpSync, Name: "*.journal", Nth: 1, Err: syscall.EIO, Applied: true})
	if _, err := tryPut(d, s, 1, 200); err == nil || fault.Fired() != 1 {
		t.Fatalf("put: %v", err)
	}
	third := mustPut(t, d, s, 1, 300)
	if third != 3 {
		t.Errorf("offset %d; the failed one's is not given out again", third)
	}
	if st := d.Stats(); st.FailedGroups != 1 || st.FailedSyncs != 1 {
		t.Errorf("%+v", st)
	}
	for _, disk := range []*vfs.Crash{crash.Kill(), crash.Crash()} {
		d := mustOpen(t, memConfig(disk))
		h, _ := d.Shard("s")
		var b Batch
		if err := h.Read(ctx, 0, 10, 1<<20, &b); err != nil {
			t.Fatal(err)
		}
		if len(b.Records) != 2 || len(b.Records[0].Data) != 100 || len(b.Records[1].Data) != 300 || b.Records[1].Offset != third {
			t.Errorf("%d records: the failed put came back, or another is missing", len(b.Records))
		}
	}
}

// A failed segment sync loses nothing: the segment is written anew from the journal.
func TestFailedSegmentSync(t *testing.T) {
	crash := vfs.NewCrash(1)
	fs := vfs.NewFaults(crash)
	d := mustOpen(t, memConfig(fs))
	s := mustCreate(t, d, "s", 0)
	for range 5 {
		mustPut(t, d, s, 3, 500)
		s.flush()
	}
	fault := fs.Add(vfs.Fault{Op: vfs.OpSync, Name: "*.seg", Nth: 1, Err: syscall.EIO})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if fault.Fired() != 1 || d.Stats().FailedSyncs != 1 {
		t.Fatal("no segment sync failed")
	}
	d = mustOpen(t, memConfig(crash.Crash()))
	h, _ := d.Shard("s")
	var b Batch
	if err := h.Read(ctx, 0, 100, 1<<20, &b); err != nil || len(b.Records) != 15 {
		t.Errorf("%d records, %v", len(b.Records), err)
	}
}

// 50 ms after the last group an empty one stands behind it, so that damage to
// the last acknowledged group is told from a torn tail.
func TestLastGroupIsConfirmed(t *testing.T) {
	fs := vfs.NewCrash(1)
	cfg := memConfig(fs)
	d := mustOpen(t, cfg)
	s := mustCreate(t, d, "s", 0)
	before := d.Stats().Groups
	mustPut(t, d, s, 1, 100)
	for d.Stats().Groups < before+2 { // the put's, and the empty one
		time.Sleep(5 * time.Millisecond)
	}
	disk := fs.Crash()
	cfg.FS = disk
	// Of the put's group; its first frame starts behind the block's header.
	if err := disk.FlipBit("/log/journal/000000.journal", int64((before+1)*blockAlign+blockHeader+50)*8); err != nil {
		t.Fatal(err)
	}
	_, err := Open(cfg)
	var report *DamageReport
	if !errors.As(err, &report) {
		t.Fatalf("Open: %v", err)
	}
	cfg.Repair = true
	d = mustOpen(t, cfg)
	if len(d.Damage()) == 0 {
		t.Error("no damage is listed")
	}
	h, err := d.Shard("s")
	if err != nil {
		t.Fatal(err)
	}
	if at := mustPut(t, d, h, 1, 1); at < 2 {
		t.Errorf("offset %d was acknowledged before", at)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Repair = false
	mustOpen(t, cfg) // once is enough
	found := false
	for _, name := range disk.Files() {
		found = found || strings.Contains(name, "quarantine/")
	}
	if !found {
		t.Error("the damaged range was not put aside")
	}
}

// Damage in the middle of the journal is reported with shards and offsets.
func TestDamageReportIsExact(t *testing.T) {
	fs := vfs.NewCrash(1)
	cfg := memConfig(fs)
	d := mustOpen(t, cfg)
	a, b := mustCreate(t, d, "a", 0), mustCreate(t, d, "b", 0)
	for range 3 { // groups 5 to 10
		mustPut(t, d, a, 2, 100)
		mustPut(t, d, b, 3, 100)
	}
	disk := fs.Crash()
	cfg.FS = disk
	f, err := disk.Open("/log/journal/000000.journal")
	if err != nil {
		t.Fatal(err)
	}
	// The groups 7 and 8, headers and all.
	if _, err := f.WriteAt(make([]byte, 2*blockAlign), 7*blockAlign); err != nil {
		t.Fatal(err)
	}
	f.Close()
	_, err = Open(cfg)
	var report *DamageReport
	if !errors.As(err, &report) {
		t.Fatalf("Open: %v", err)
	}
	got := map[ID][2]Offset{}
	for _, r := range report.Ranges {
		got[r.Shard] = [2]Offset{r.From, r.To}
	}
	if got["a"] != [2]Offset{3, 4} || got["b"] != [2]Offset{4, 6} {
		t.Errorf("reported: %v", err)
	}
}

func TestScrubFindsDamage(t *testing.T) {
	fs := vfs.NewCrash(1)
	cfg := memConfig(fs)
	d := mustOpen(t, cfg)
	s := mustCreate(t, d, "s", 0)
	for range 30 {
		mustPut(t, d, s, 1, 1000)
		s.flush()
	}
	scrub := func() uint64 {
		d.scrub(func(int) bool { return true })
		return d.Stats().DamagedRanges
	}
	if n := scrub(); n != 0 {
		t.Fatalf("%d damaged ranges in a whole log", n)
	}
	s.mu.Lock()
	name := s.segments[1].path
	s.mu.Unlock()
	if err := fs.FlipBit(name, 8*2000); err != nil {
		t.Fatal(err)
	}
	if n := scrub(); n != 1 {
		t.Errorf("%d damaged ranges", n)
	}
	if n := scrub(); n != 1 {
		t.Errorf("the same damage is counted again: %d", n)
	}
	var b Batch
	for from := Offset(0); ; from = b.Next {
		err := s.Read(ctx, from, 3, 1<<20, &b)
		var bad *DamagedError
		if errors.As(err, &bad) {
			if bad.From == 0 || bad.To < bad.From {
				t.Errorf("range: %v", bad)
			}
			break
		}
		if err != nil || b.NextArrival == 0 {
			t.Fatalf("the damage is not met: %v", err)
		}
	}
}

// The journal starts with one file and grows only under load.
func TestJournalGrows(t *testing.T) {
	fs := vfs.NewFaults(vfs.NewCrash(1))
	cfg := memConfig(fs)
	cfg.JournalFilesMax = 4
	d := mustOpen(t, cfg)
	s := mustCreate(t, d, "s", 0)
	for range 5 {
		mustPut(t, d, s, 1, 100)
	}
	if n := d.Stats().JournalFiles; n != 1 {
		t.Errorf("%d files on a quiet log", n)
	}
	hold := fs.Hold(vfs.OpRename, "checkpoint*") // no file is freed
	var err error
	for range 1000 {
		if _, err = tryPut(d, s, 2, 4000); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrOverloaded) {
		t.Errorf("with a journal that is full: %v", err)
	}
	if n := d.Stats().JournalFiles; n != 4 {
		t.Errorf("%d files of at most 4", n)
	}
	hold.Release()
	for range 100 {
		if _, err = tryPut(d, s, 2, 4000); err == nil {
			break
		}
	}
	if err != nil {
		t.Errorf("still refused: %v", err)
	}
}

func TestFormatIsChecked(t *testing.T) {
	fs := vfs.NewCrash(1)
	d := mustOpen(t, memConfig(fs))
	if _, err := Open(memConfig(fs)); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
	d.Close()
	f, err := fs.Open("/log/FORMAT")
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte("rheo shard log\nversion 2\n"), 0)
	f.Close()
	if _, err := Open(memConfig(fs)); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("a newer format: %v", err)
	}
}

// The clock follows the wall clock slowly, whatever that does.
func TestClock(t *testing.T) {
	for _, c := range []struct {
		name  string
		step  time.Duration
		steps uint64
	}{
		{"small gap", 100 * time.Millisecond, 0},
		{"an hour on", time.Hour, 1},
		{"an hour back", -time.Hour, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &handClock{}
			k := newSlewedClock(h, slog.New(slog.DiscardHandler))
			start := k.Now()
			h.advance(c.step, 0)
			for range 10_000 {
				before := k.Now()
				h.advance(100*time.Microsecond, 100*time.Microsecond)
				passed := k.Now().Sub(before)
				if passed < 99_900*time.Nanosecond || passed > 100_100*time.Nanosecond {
					t.Fatalf("%v passed in 100 us", passed)
				}
			}
			drift := k.Now().Sub(start) - time.Second
			if want := 500 * time.Microsecond; drift.Abs() > want || drift.Abs() < want*9/10 || (drift > 0) != (c.step > 0) {
				t.Errorf("slewed by %v in 1 s", drift)
			}
			if k.stepCount() != c.steps {
				t.Errorf("%d steps", k.stepCount())
			}
			h.advance(time.Hour*3000, time.Hour*3000)
			if gap := k.Now().Sub(h.Wall()); gap != 0 {
				t.Errorf("still off by %v", gap)
			}
		})
	}
}

func ExampleDamageReport() {
	fmt.Println(&DamageReport{Ranges: []DamagedError{
		{Where: "000003.journal from 4096 to 12288, groups 17 to 17"},
		{Shard: "s", From: 5, To: 9, Where: "000003.journal from 4096 to 12288, groups 17 to 17"},
	}})
	// Output:
	// 2 damaged ranges; open with repair to go on without them:
	//   000003.journal from 4096 to 12288, groups 17 to 17
	//   shard s, offsets 5 to 9 (000003.journal from 4096 to 12288, groups 17 to 17)
}

func readAll(t *testing.T, d *Disk, id ID) (offsets []Offset) {
	t.Helper()
	h, err := d.Shard(id)
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	for from := Offset(0); ; from = b.Next {
		if err := h.Read(ctx, from, 100, 1<<20, &b); err != nil {
			t.Fatal(err)
		}
		for _, r := range b.Records {
			offsets = append(offsets, r.Offset)
		}
		if b.NextArrival == 0 {
			return offsets
		}
	}
}

// A process dies of a failed sync, the page cache still shows what the disk
// never got, and the next process serves it: then it must also be durable.
func TestPageCacheMayLie(t *testing.T) {
	for seed := range uint64(20) {
		crash := vfs.NewCrash(seed)
		fs := vfs.NewFaults(crash)
		d := mustOpen(t, memConfig(fs))
		s := mustCreate(t, d, "s", 0)
		mustPut(t, d, s, 1, 3000)
		fs.Add(vfs.Fault{Op: vfs.OpSync, Name: "*.journal", Nth: 1, Err: syscall.EIO})
		if _, err := tryPut(d, s, 2, 3000); err == nil {
			t.Fatal("no sync failed")
		}
		disk := crash.Kill()
		seen := readAll(t, mustOpen(t, memConfig(disk)), "s")
		left := readAll(t, mustOpen(t, memConfig(disk.Crash())), "s")
		if len(seen) < 1 || len(left) != len(seen) {
			t.Errorf("seed %d: %d records were read, %d are left after a power cut", seed, len(seen), len(left))
		}
	}
}

// What a failed write left behind the end of a segment is not taken for records
// once the segment is sealed.
func TestRaggedSegment(t *testing.T) {
	crash := vfs.NewCrash(1)
	fs := vfs.NewFaults(crash)
	d := mustOpen(t, memConfig(fs))
	s := mustCreate(t, d, "s", 0)
	mustPut(t, d, s, 3, 1000)
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	mustPut(t, d, s, 4, 1000)
	fs.Add(vfs.Fault{Op: vfs.OpWrite, Name: "*.seg", Nth: 1, Err: syscall.EIO, Short: 3500})
	if err := s.flush(); err == nil {
		t.Fatal("no write failed")
	}
	mustPut(t, d, s, 5, 1000) // does not fit: the segment is sealed
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = mustOpen(t, memConfig(crash))
	if got := readAll(t, d, "s"); len(got) != 12 {
		t.Errorf("%d records of 12: %v", len(got), got)
	}
	d.scrub(func(int) bool { return true })
	if list := d.Damage(); len(list) > 0 {
		t.Errorf("taken for damage: %v", &list[0])
	}
}

// A killed process made a journal file and did not get to sync its name.
func TestKilledWhileGrowing(t *testing.T) {
	for seed := range uint64(40) {
		crash := vfs.NewCrash(seed)
		fs := vfs.NewFaults(crash)
		fs.Add(vfs.Fault{Op: vfs.OpSyncDir, Name: "journal", Err: syscall.EIO})
		fs.Add(vfs.Fault{Op: vfs.OpRemove, Name: "*.journal", Err: syscall.EIO})
		if d, err := Open(memConfig(fs)); err == nil {
			d.Close()
			t.Fatal("opened without syncing the journal's names")
		}
		disk := crash.Kill()
		d := mustOpen(t, memConfig(disk))
		mustPut(t, d, mustCreate(t, d, "s", 0), 1, 10)
		if got := readAll(t, mustOpen(t, memConfig(disk.Crash())), "s"); len(got) != 1 {
			t.Errorf("seed %d: an acknowledged record is lost", seed)
		}
	}
}

// A shard is deleted, its files are gone, durably, and no checkpoint was made
// since: the last one names segments that are not there, and that is no damage.
func TestDeletedSinceTheCheckpoint(t *testing.T) {
	for seed := range uint64(10) {
		fs := vfs.NewCrash(seed)
		d := mustOpen(t, memConfig(fs))
		s, other := mustCreate(t, d, "s", 0), mustCreate(t, d, "other", 0)
		mustPut(t, d, s, 3, 1000)
		mustPut(t, d, other, 1, 1000)
		mustSave(t, d, s)
		if ck, err := d.loadCheckpoint(); err != nil || !ck.shards[0].saved.present {
			t.Fatalf("the checkpoint does not name a segment: %+v, %v", ck, err)
		}
		if err := d.Delete(ctx, s); err != nil {
			t.Fatal(err)
		}
		for segmentFiles(fs) > 1 {
			d.removeGarbage()
		}
		again := mustCreate(t, d, "s", 0)
		mustPut(t, d, again, 2, 1000)
		if seed%2 == 0 {
			if err := fs.SyncDir("/log/shards"); err != nil {
				t.Fatal(err)
			}
		}
		d = mustOpen(t, memConfig(fs.Crash()))
		if got := readAll(t, d, "s"); len(got) != 2 {
			t.Errorf("seed %d: %d records", seed, len(got))
		}
		if list := d.Damage(); len(list) > 0 || len(d.Shards()) != 2 {
			t.Errorf("seed %d: %d shards, %v", seed, len(d.Shards()), list)
		}
	}
}

// Retention takes a segment that an older checkpoint names, once a newer one is in
// the last: no crash makes that look like damage.
func TestExpiredSinceTheCheckpoint(t *testing.T) {
	for seed := range uint64(10) {
		fs := vfs.NewCrash(seed)
		cfg := memConfig(fs)
		clock := &handClock{}
		cfg.Clock = clock
		d := mustOpen(t, cfg)
		s := mustCreate(t, d, "s", time.Hour)
		mustPut(t, d, s, 3, 1000)
		mustSave(t, d, s)
		clock.advance(2*time.Hour, 2*time.Hour)
		last := mustPut(t, d, s, 1, 1000)
		if err := s.flush(); err != nil {
			t.Fatal(err)
		}
		for n, unlinked := 0, false; n < 20 && !unlinked; n++ {
			clock.advance(2*time.Hour, 2*time.Hour)
			d.expire(d.Now())
			unlinked = d.Stats().ExpiredSegments > 0
			again := cfg
			again.FS = fs.Kill()
			if seed%2 == 0 {
				again.FS = fs.Crash()
			}
			d.Close()
			fs = again.FS.(*vfs.Crash)
			cfg = again
			d = mustOpen(t, cfg)
			if list := d.Damage(); len(list) > 0 {
				t.Fatalf("seed %d: %v", seed, &list[0])
			}
			h, err := d.Shard("s")
			if err != nil {
				t.Fatal(err)
			}
			s = h.(*shard)
			if next := s.Info().Next; next <= last {
				t.Fatalf("seed %d: next is %d", seed, next)
			}
			d.expire(d.Now()) // asks for a checkpoint
			mustSave(t, d, s)
		}
		if st := d.Stats(); st.ExpiredSegments == 0 && segmentFiles(fs) > 1 {
			t.Errorf("seed %d: nothing expired: %+v", seed, st)
		}
	}
}

// mustSave makes a checkpoint that names all of the shard's segments.
func mustSave(t *testing.T, d *Disk, s *shard) {
	t.Helper()
	if err := s.settle(1 << 60); err != nil {
		t.Fatal(err)
	}
	if err := d.checkpoint(); err != nil {
		t.Fatal(err)
	}
}
