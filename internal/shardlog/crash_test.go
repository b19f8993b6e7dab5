package shardlog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/vfs"
)

// The crash campaign: a machine whose power fails at random calls, again and
// again on the same disk. After each start all that was ever acknowledged, and all
// that any reader ever saw, is there at the same offset, in order, once.
//
// RHEO_CRASH_CYCLES sets how many starts after a crash are tried, RHEO_CRASH_SEED
// the first seed; alone, it tries that one only.

func crashCycles(t *testing.T) int {
	if s := os.Getenv("RHEO_CRASH_CYCLES"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if testing.Short() {
		return 1000
	}
	return 20_000
}

// tripFS cuts the power at the n-th call that changes something.
type tripFS struct {
	vfs.FS
	left *atomic.Int64
	trip func()
}

func (f *tripFS) count() {
	if f.left.Add(-1) == 0 {
		f.trip()
	}
}

func (f *tripFS) Create(name string) (vfs.File, error) { f.count(); return f.file(f.FS.Create(name)) }
func (f *tripFS) Open(name string) (vfs.File, error)   { return f.file(f.FS.Open(name)) }
func (f *tripFS) Remove(name string) error             { f.count(); return f.FS.Remove(name) }
func (f *tripFS) Rename(a, b string) error             { f.count(); return f.FS.Rename(a, b) }
func (f *tripFS) SyncDir(dir string) error {
	f.count()
	err := f.FS.SyncDir(dir)
	f.count()
	return err
}
func (f *tripFS) file(x vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &tripFile{x, f}, nil
}

type tripFile struct {
	vfs.File
	fs *tripFS
}

func (f *tripFile) WriteAt(p []byte, at int64) (int, error) {
	f.fs.count()
	return f.File.WriteAt(p, at)
}
func (f *tripFile) Truncate(n int64) error { f.fs.count(); return f.File.Truncate(n) }
func (f *tripFile) Sync() error {
	f.fs.count()
	err := f.File.Sync()
	f.fs.count() // done, and not yet told
	return err
}

// shardModel is what must be true of a shard.
type shardModel struct {
	id      ID
	exists  maybe
	sealed  maybe
	end     Offset
	trim    Offset // may have been trimmed up to here
	trimmed Offset // was trimmed up to here
	next    Offset // some Info said so

	// By offset: acknowledged, or seen by a reader, or read after a start.
	known map[Offset]itemID
	tried map[uint64]bool // puts whose outcome is unknown

	// The rest is of the shard whose records expire.
	arrived    map[Offset]int64
	retentions []time.Duration // one of these is in force; empty: none ever
	floors     [2]int64        // the floor is one of these, or between; ms
}

// sight tells whether a record must be visible, or must not be. Between the two
// is what an unanswered call leaves open.
func (m *shardModel) sight(at Offset, now time.Time) (must, mustNot bool) {
	arrival, ok := m.arrived[at]
	if len(m.retentions) == 0 || !ok {
		return at >= m.trim, at < m.trimmed
	}
	const slack = 1000 // ms, for the clock
	cut := func(r time.Duration, floor int64) int64 { return max(floor, now.Add(-r).UnixMilli()) }
	return arrival >= cut(slices.Min(m.retentions), m.floors[1])+slack && at >= m.trim,
		arrival < cut(slices.Max(m.retentions), m.floors[0])-slack || at < m.trimmed
}

// forget is what a deletion does.
func (m *shardModel) forget() {
	*m = shardModel{id: m.id, known: map[Offset]itemID{}, tried: map[uint64]bool{}, arrived: map[Offset]int64{}}
}

type maybe int

const (
	no maybe = iota
	perhaps
	yes
)

// itemID is what makes an item: the rest follows from it.
type itemID struct {
	put  uint64
	i, n uint32
}

func idOf(data []byte) itemID {
	le := binary.LittleEndian
	return itemID{le.Uint64(data), le.Uint32(data[8:]), le.Uint32(data[12:])}
}

// sound tells whether an item's filler is what its id makes it.
func (id itemID) sound(data []byte) bool {
	for k, c := range data[16:] {
		if c != byte(id.put*31+uint64(k)*7) {
			return false
		}
	}
	return true
}

// item is one record's data: writer, put, place in the put, how many, and filler that follows from them.
func item(put uint64, i, n int, size int) []byte {
	b := make([]byte, 16, 16+size)
	binary.LittleEndian.PutUint64(b, put)
	binary.LittleEndian.PutUint32(b[8:], uint32(i))
	binary.LittleEndian.PutUint32(b[12:], uint32(n))
	for k := range size {
		b = append(b, byte(put*31+uint64(k)*7))
	}
	return b
}

type crashWorld struct {
	t      *testing.T
	rng    *rand.Rand
	seed   uint64
	disk   *vfs.Crash
	cfg    Config
	clock  *handClock // goes on across lives
	mu     sync.Mutex // guards shards and their fields while writers and readers run
	shards map[ID]*shardModel
	put    uint64
}

func (w *crashWorld) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d: %s", w.seed, fmt.Sprintf(format, args...))
}

func smallConfig() Config {
	return Config{
		Dir: "/log", JournalFileBytes: 64 << 10, JournalFilesMax: 3, MemoryBytes: 1 << 20, SegmentBytes: 8 << 10,
		OpenFilesMax: 3, ScrubBytesPerSec: -1, Logger: slog.New(slog.DiscardHandler),
		waitMax: 20 * time.Millisecond,
	}
}

func TestCrashes(t *testing.T) {
	cycles := crashCycles(t)
	perSeed := 20
	seed0 := uint64(1)
	if s := os.Getenv("RHEO_CRASH_SEED"); s != "" {
		seed0, _ = strconv.ParseUint(s, 10, 64)
		if os.Getenv("RHEO_CRASH_CYCLES") == "" {
			cycles = perSeed
		}
	}
	var left atomic.Int64
	left.Store(int64(cycles))
	var next atomic.Uint64
	next.Store(seed0)
	// Some lives end with waiting, so several worlds turn at once.
	for n := range 4 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			for left.Load() > 0 && !t.Failed() {
				seed := next.Add(1) - 1
				w := newWorld(t, seed)
				for n := 0; n < perSeed; {
					k := w.life()
					n += k
					left.Add(int64(-k))
				}
			}
		})
	}
}

// life opens the log, works until the power fails, and checks some of the
// states that the disk may be left in. It goes on with the last of them.
func (w *crashWorld) life() (starts int) {
	before := w.disk
	var left atomic.Int64
	var cut *vfs.Crash
	kill := w.rng.IntN(8) == 0
	tripped := make(chan struct{})
	left.Store(1 + w.rng.Int64N(1+w.rng.Int64N(400)))
	fs := &tripFS{FS: before, left: &left}
	fs.trip = func() {
		for range 10 {
			runtime.Gosched() // a last look for those who read
		}
		if kill {
			cut = before.Kill()
		} else {
			cut = before.Crash()
		}
		close(tripped)
	}
	cfg := w.cfg
	cfg.FS = fs
	d, err := Open(cfg)
	if err == nil {
		w.work(d)
		d.Close() // fails, if the power did
	}
	select {
	case <-tripped:
	default:
		if err != nil {
			w.fail("cannot open: %v", err)
		}
		// It lived to its end.
		cut = before.Crash()
	}
	// Several outcomes of the same moment.
	for range w.rng.IntN(3) {
		w.check(before.Crash(), false)
		starts++
	}
	w.disk = cut
	if w.rng.IntN(4) > 0 {
		w.check(cut, true)
		starts++
	} // else: the power fails while recovering, without anybody having looked
	return starts
}

// work does random things until the log fails or it has done enough.
func (w *crashWorld) work(d *Disk) {
	var shards []Shard
	ids := []ID{"a", "b", "c", "d"}
	for _, id := range ids {
		s, err := d.Shard(id)
		if err == nil {
			shards = append(shards, s)
			continue
		}
		w.lockedModel(id, func(m *shardModel) { m.exists = perhaps })
		s, err = d.Create(context.Background(), id, Options{})
		if err != nil {
			return
		}
		w.lockedModel(id, func(m *shardModel) { m.exists = yes })
		shards = append(shards, s)
	}
	var wg sync.WaitGroup
	for _, do := range []func(d *Disk, rng *rand.Rand){
		func(d *Disk, rng *rand.Rand) { w.write(d, shards, rng) },
		func(d *Disk, rng *rand.Rand) { w.write(d, shards, rng) },
		w.comeAndGo,
		w.age,
	} {
		seed, idle := w.rng.Uint64(), w.rng.IntN(5) < 2
		if idle {
			continue
		}
		wg.Go(func() { do(d, rand.New(rand.NewPCG(seed, 2))) })
	}
	ctx, stop := context.WithCancel(context.Background())
	var readers sync.WaitGroup
	followed, poll := shards[w.rng.IntN(len(shards))], w.rng.IntN(6) == 0
	readers.Go(func() { w.read(ctx, followed, poll) })
	wg.Wait()
	stop()
	readers.Wait()
}

func (w *crashWorld) lockedModel(id ID, f func(m *shardModel)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.shards[id]
	if m == nil {
		m = &shardModel{id: id}
		m.forget()
		w.shards[id] = m
	}
	f(m)
}

func (w *crashWorld) write(d *Disk, shards []Shard, rng *rand.Rand) {
	for range 5 + rng.IntN(40) {
		s := shards[rng.IntN(len(shards))]
		switch k := rng.IntN(60); {
		case k < 45:
			if !w.append(d, shards, rng) {
				return
			}
		case k < 49:
			s.(*shard).flush()
		case k < 51:
			d.checkpoint()
		case k < 53:
			d.relieve()
		case k < 54:
			next := s.Info().Next
			var at Offset
			w.lockedModel(s.ID(), func(m *shardModel) {
				if next > 1 {
					at = 1 + Offset(rng.Uint64N(uint64(next)))
				}
				m.trim = max(m.trim, at)
			})
			if d.Trim(context.Background(), s, at) != nil {
				return
			}
			w.lockedModel(s.ID(), func(m *shardModel) { m.trimmed = max(m.trimmed, at) })
			d.expire(d.Now())
		case k < 55 && rng.IntN(4) == 0:
			w.lockedModel(s.ID(), func(m *shardModel) {
				if m.sealed == no {
					m.sealed = perhaps
				}
			})
			end, err := d.Seal(context.Background(), s)
			if err != nil {
				return
			}
			w.lockedModel(s.ID(), func(m *shardModel) { m.sealed, m.end = yes, end })
		}
	}
}

// comeAndGo makes a shard, writes to it and deletes it, again and again. Nobody else uses it.
func (w *crashWorld) comeAndGo(d *Disk, rng *rand.Rand) {
	const id = "comes and goes"
	s, err := d.Shard(id)
	w.lockedModel(id, func(m *shardModel) {
		if err != nil { // the deletion came through
			m.forget()
		} else {
			m.exists = yes
		}
	})
	for range 1 + rng.IntN(6) {
		if err != nil {
			w.lockedModel(id, func(m *shardModel) { m.exists = perhaps })
			if s, err = d.Create(context.Background(), id, Options{}); err != nil {
				return
			}
			w.lockedModel(id, func(m *shardModel) { m.exists = yes })
		}
		for range rng.IntN(5) {
			if !w.append(d, []Shard{s}, rng) {
				return
			}
			if rng.IntN(3) == 0 {
				s.(*shard).flush()
			}
			if rng.IntN(6) == 0 {
				d.checkpoint()
			}
		}
		if rng.IntN(3) == 0 {
			continue
		}
		w.lockedModel(id, func(m *shardModel) { m.exists = perhaps })
		if d.Delete(context.Background(), s) != nil {
			return
		}
		w.lockedModel(id, func(m *shardModel) { m.forget() })
		if rng.IntN(2) == 0 {
			d.removeGarbage()
		}
		_, err = d.Shard(id)
	}
}

// age writes to a shard whose records expire, lets time pass and changes its
// retention. Nobody else uses it.
func (w *crashWorld) age(d *Disk, rng *rand.Rand) {
	const id = "ages"
	s, err := d.Shard(id)
	if err != nil {
		w.lockedModel(id, func(m *shardModel) { m.exists, m.retentions = perhaps, []time.Duration{time.Hour} })
		if s, err = d.Create(context.Background(), id, Options{Retention: time.Hour}); err != nil {
			return
		}
	}
	w.lockedModel(id, func(m *shardModel) { m.exists = yes })
	for range 5 + rng.IntN(20) {
		switch rng.IntN(8) {
		case 0, 1, 2:
			if !w.append(d, []Shard{s}, rng) {
				return
			}
		case 3:
			s.(*shard).flush()
		case 4:
			passed := time.Duration(rng.IntN(40)) * time.Minute
			w.clock.advance(passed, passed)
		case 5:
			d.checkpoint()
		case 6:
			d.expire(d.Now())
		case 7:
			r := time.Duration(1+rng.IntN(4)) * time.Hour
			now := d.Now()
			w.lockedModel(id, func(m *shardModel) {
				m.floors[1] = max(m.floors[1], now.Add(-slices.Min(m.retentions)).UnixMilli())
				m.retentions = append(m.retentions, r)
			})
			if d.SetRetention(context.Background(), s, r) != nil {
				return
			}
			w.lockedModel(id, func(m *shardModel) {
				old := m.retentions[:len(m.retentions)-1]
				m.floors[0] = max(m.floors[0], now.Add(-slices.Max(old)).UnixMilli())
				m.retentions = []time.Duration{r}
			})
		}
	}
}

func (w *crashWorld) append(d *Disk, shards []Shard, rng *rand.Rand) bool {
	var puts []Put
	w.mu.Lock()
	for range 1 + rng.IntN(3) {
		s := shards[rng.IntN(len(shards))]
		w.put++
		n := 1 + rng.IntN(3)
		size := rng.IntN(300)
		if rng.IntN(20) == 0 {
			size = rng.IntN(6000)
		}
		p := Put{Shard: s}
		for i := range n {
			p.Records = append(p.Records, Record{Data: item(w.put, i, n, size), PartitionKey: []byte("key")})
		}
		w.shards[s.ID()].tried[w.put] = true
		puts = append(puts, p)
	}
	w.mu.Unlock()
	d.Append(context.Background(), puts)
	w.mu.Lock()
	defer w.mu.Unlock()
	good := true
	for _, p := range puts {
		m := w.shards[p.Shard.ID()]
		switch {
		case p.Err == nil:
			for _, r := range p.Records {
				if was, ok := m.known[r.Offset]; ok && was != idOf(r.Data) {
					w.t.Errorf("seed %d: shard %s offset %d given out twice", w.seed, m.id, r.Offset)
				}
				m.known[r.Offset], m.arrived[r.Offset] = idOf(r.Data), r.Arrival
				m.next = max(m.next, r.Offset+1)
			}
			delete(m.tried, idOf(p.Records[0].Data).put)
		case errors.Is(p.Err, ErrSealed):
			delete(m.tried, idOf(p.Records[0].Data).put)
		default:
			good = false
		}
	}
	return good
}

// read follows a shard and remembers what it sees.
func (w *crashWorld) read(ctx context.Context, s Shard, poll bool) {
	var b Batch
	from := Offset(0)
	for {
		// Some do not wait to be called: they would see what is published too early.
		if poll {
			runtime.Gosched()
		} else if s.Wait(ctx, from) != nil {
			return
		}
		if s.Read(ctx, from, 10, 5000, &b) != nil {
			return
		}
		w.mu.Lock()
		m := w.shards[s.ID()]
		for _, r := range b.Records {
			if was, ok := m.known[r.Offset]; ok && was != idOf(r.Data) {
				w.t.Errorf("seed %d: shard %s offset %d reads differently", w.seed, m.id, r.Offset)
			}
			m.known[r.Offset] = idOf(r.Data)
		}
		w.mu.Unlock()
		if b.End || ctx.Err() != nil {
			return
		}
		from = b.Next
	}
}

// check starts the log on a disk and compares it with the model. With adopt the
// model becomes what was found: it was seen, so it must stay.
func (w *crashWorld) check(disk *vfs.Crash, adopt bool) {
	w.t.Helper()
	cfg := w.cfg
	cfg.FS = disk
	d, err := Open(cfg)
	if err != nil {
		w.fail("cannot open after a crash: %v", err)
	}
	for id, m := range w.shards {
		h, err := d.Shard(id)
		if err != nil {
			if m.exists == yes {
				w.fail("shard %s is gone", id)
			}
			if adopt {
				m.forget()
			}
			continue
		}
		if m.exists == no {
			w.fail("shard %s was never made, or is back after its deletion", id)
		}
		found := map[Offset]itemID{}
		puts := map[uint64][2]uint32{} // seen, of
		last, lastAt, from := Offset(0), int64(0), Offset(0)
		var b Batch
		for {
			if err := h.Read(context.Background(), from, 200, 20_000, &b); err != nil {
				w.fail("shard %s, read at %d: %v", id, from, err)
			}
			for _, r := range b.Records {
				if r.Offset <= last || r.Arrival < lastAt {
					w.fail("shard %s: offset %d at %d after %d at %d", id, r.Offset, r.Arrival, last, lastAt)
				}
				last, lastAt = r.Offset, r.Arrival
				it := idOf(r.Data)
				if !it.sound(r.Data) {
					w.fail("shard %s offset %d: wrong bytes", id, r.Offset)
				}
				if was, ok := m.known[r.Offset]; ok {
					if was != it {
						w.fail("shard %s offset %d changed", id, r.Offset)
					}
				} else if !m.tried[it.put] {
					w.fail("shard %s offset %d: put %d was refused, or is there twice", id, r.Offset, it.put)
				}
				found[r.Offset], m.arrived[r.Offset] = it, r.Arrival
				puts[it.put] = [2]uint32{puts[it.put][0] + 1, it.n}
			}
			if b.NextArrival == 0 {
				break
			}
			from = b.Next
		}
		info := h.Info()
		for put, c := range puts {
			if c[0] != c[1] && m.trim == 0 { // records of one put expire together
				w.fail("shard %s: %d of the %d records of put %d", id, c[0], c[1], put)
			}
		}
		for at := range m.known {
			must, _ := m.sight(at, d.Now())
			if _, ok := found[at]; !ok && must {
				w.fail("shard %s offset %d is lost (next %d, trim %d)", id, at, info.Next, m.trim)
			}
		}
		for at := range found {
			if _, mustNot := m.sight(at, d.Now()); mustNot {
				w.fail("shard %s offset %d is back after a trim to %d, or after it expired", id, at, m.trimmed)
			}
		}
		if info.Next < m.next {
			w.fail("shard %s: next is %d, was %d", id, info.Next, m.next)
		}
		if m.sealed == yes && (!info.Sealed || info.End != m.end || !b.End) {
			w.fail("shard %s: %+v, was sealed at %d", id, info, m.end)
		}
		if m.sealed == no && info.Sealed {
			w.fail("shard %s was never sealed", id)
		}
		if adopt {
			m.exists = yes
			m.known = found
			m.tried = map[uint64]bool{}
			m.next = info.Next
			m.trim = max(m.trimmed, min(info.First, m.trim))
			m.sealed, m.end = no, info.End
			if info.Sealed {
				m.sealed = yes
			}
		}
	}
	if adopt && w.rng.IntN(2) == 0 {
		d.Close()
		return
	}
	// The process dies without a word: nothing of it may matter any more.
	after := disk.Kill()
	d.Close()
	if adopt {
		w.disk = after
	}
}
