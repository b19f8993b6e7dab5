package shardlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/rheostream/rheo/internal/vfs"
)

// Every I/O call of a scenario fails once, in each way that it can. Whatever
// fails: nothing panics, nothing wrong is read, nothing that was acknowledged is
// lost, the log takes records again afterwards without being opened anew, and
// what a power cut then leaves opens without a report of damage.
func TestFaultAtEveryCall(t *testing.T) {
	kinds := []struct {
		name  string
		fault vfs.Fault
	}{
		{"EIO", vfs.Fault{Err: syscall.EIO}},
		{"EIOButDone", vfs.Fault{Err: syscall.EIO, Applied: true}},
		{"Short", vfs.Fault{Err: syscall.EIO, Short: 700}},
		{"ENOSPC", vfs.Fault{Err: syscall.ENOSPC}},
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			var fired int
			calls := int64(1)
			for n := int64(0); n <= calls; n++ {
				w := newWorld(t, 1000+uint64(n))
				fs := vfs.NewFaults(w.disk)
				var armed *vfs.Armed
				if n > 0 {
					f := k.fault
					f.Nth = n
					armed = fs.Add(f)
				}
				opened := w.scenario(fs)
				if n == 0 {
					if !opened {
						t.Fatal("the scenario fails without a fault")
					}
					calls = fs.Calls()
				}
				if armed != nil && armed.Fired() > 0 {
					fired++
				}
				w.check(w.disk.Crash(), false)
				w.check(w.disk.Kill(), true)
			}
			if fired < 200 {
				t.Errorf("only %d of %d faults came about", fired, calls)
			}
		})
	}
}

func newWorld(t *testing.T, seed uint64) *crashWorld {
	w := &crashWorld{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), disk: vfs.NewCrash(seed),
		cfg: smallConfig(), clock: &handClock{}, shards: map[ID]*shardModel{},
	}
	w.cfg.Clock = w.clock
	return w
}

// scenario uses the log in all ways, twice opened, and goes on whatever fails. It tells
// whether the log could be opened both times.
func (w *crashWorld) scenario(fs vfs.FS) bool {
	ctx := context.Background()
	cfg := w.cfg
	cfg.FS = fs
	opened := true
	for range 2 {
		d, err := Open(cfg)
		if err != nil {
			opened = false
			var damage *DamageReport
			if errors.As(err, &damage) {
				w.fail("a fault was taken for damage: %v", err)
			}
			continue
		}
		var shards []Shard
		for _, id := range []ID{"a", "b", "c"} {
			s, err := d.Shard(id)
			if err != nil {
				w.lockedModel(id, func(m *shardModel) { m.exists = max(m.exists, perhaps) })
				if s, err = d.Create(ctx, id, Options{}); err == nil {
					w.lockedModel(id, func(m *shardModel) { m.exists = yes })
				} else if s, err = d.Create(ctx, id, Options{}); err != nil {
					continue // a full disk, until the next look
				} else {
					w.lockedModel(id, func(m *shardModel) { m.exists = yes })
				}
			}
			shards = append(shards, s)
		}
		for i := range 24 {
			if len(shards) == 0 {
				break
			}
			w.append(d, shards, w.rng)
			s := shards[i%len(shards)]
			switch i % 8 {
			case 1:
				s.(*shard).flush()
			case 3:
				d.checkpoint()
			case 5:
				var b Batch
				for from := Offset(0); ; from = b.Next {
					if s.Read(ctx, from, 5, 2000, &b) != nil || b.NextArrival == 0 {
						break
					}
					w.sawAll(s, &b)
				}
				s.Find(ctx, d.Now().UnixMilli()-1)
			case 7:
				at := s.Info().Next / 2
				w.lockedModel(s.ID(), func(m *shardModel) { m.trim = max(m.trim, at) })
				if d.Trim(ctx, s, at) == nil {
					w.lockedModel(s.ID(), func(m *shardModel) { m.trimmed = max(m.trimmed, at) })
				}
				d.expire(d.Now())
				d.scrub(func(int) bool { return true })
			}
		}
		takes := len(shards) == 0
		for range 2 { // the one fault may befall the first try
			d.space.look()
			takes = takes || w.append(d, shards, w.rng)
		}
		if !takes {
			w.fail("the log does not take records any more")
		}
		d.Close()
	}
	return opened
}

func (w *crashWorld) sawAll(s Shard, b *Batch) {
	w.lockedModel(s.ID(), func(m *shardModel) {
		for _, r := range b.Records {
			if was, ok := m.known[r.Offset]; ok && was != idOf(r.Data) || !idOf(r.Data).sound(r.Data) {
				w.fail("shard %s offset %d reads wrong", m.id, r.Offset)
			}
		}
	})
}

// Bits flip in every file. Whatever is served is right: damage shows as an error
// of Open, or of Read for the records concerned, or does no harm.
func TestBitFlips(t *testing.T) {
	flips := 4000
	if testing.Short() {
		flips = 400
	}
	var detected, harmless, healed atomic.Int64
	for worker := range 4 {
		t.Run(fmt.Sprint(worker), func(t *testing.T) {
			t.Parallel()
			for n := worker; n < flips; n += 4 * 20 {
				w := newWorld(t, uint64(n))
				w.scenario(w.disk)
				// Half of the disks are of a process that was killed when the last
				// group was confirmed, so that the journal counts.
				if n%8 >= 4 {
					w.killed()
				}
				for range 20 {
					disk := w.disk.Kill()
					files := disk.Files()
					name := files[w.rng.IntN(len(files))]
					info, err := disk.Stat(name)
					if err != nil || info.Size() == 0 {
						continue
					}
					bit := w.rng.Int64N(info.Size() * 8)
					if err := disk.FlipBit(name, bit); err != nil {
						t.Fatal(err)
					}
					switch w.afterDamage(disk, fmt.Sprintf("flip of bit %d in %s", bit, name)) {
					case "detected":
						detected.Add(1)
					case "healed":
						healed.Add(1)
					default:
						harmless.Add(1)
					}
				}
			}
		})
	}
	t.Cleanup(func() {
		t.Logf("%d detected, %d without effect", detected.Load(), harmless.Load())
		if detected.Load() == 0 || harmless.Load() == 0 {
			t.Error("the flips did not reach what they should")
		}
	})
}

// killed runs a little and kills the process after an empty group confirmed the last.
func (w *crashWorld) killed() {
	cfg := w.cfg
	cfg.FS = w.disk
	d, err := Open(cfg)
	if err != nil {
		w.fail("cannot open: %v", err)
	}
	var shards []Shard
	shards = append(shards, d.Shards()...)
	for range 5 {
		w.append(d, shards, w.rng)
	}
	d.commit.stop() // nothing is under way now
	d.commit.confirmLast()
	after := w.disk.Kill()
	d.Close()
	w.disk = after
}

// Sectors turn to zeros, files are cut short or removed, two at a time: the
// same holds, and a repair always leads to a log that opens, and opens again without.
// RHEO_DAMAGE_ROUNDS sets how often.
func TestRandomDamage(t *testing.T) {
	rounds := 1500
	if testing.Short() {
		rounds = 150
	}
	if s := os.Getenv("RHEO_DAMAGE_ROUNDS"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	for worker := range 4 {
		t.Run(fmt.Sprint(worker), func(t *testing.T) {
			t.Parallel()
			for n := worker; n < rounds; n += 4 * 20 {
				w := newWorld(t, uint64(n))
				w.scenario(w.disk)
				if n%8 >= 4 {
					w.killed()
				}
				for range 20 {
					disk := w.disk.Kill()
					what := w.harm(disk, "")
					if w.rng.IntN(2) == 0 {
						what += ", " + w.harm(disk, "log/journal")
					}
					w.afterDamage(disk, what)
				}
			}
		})
	}
}

// harm damages a file whose name does not start with except, in a way that can be told from a crash.
func (w *crashWorld) harm(disk *vfs.Crash, except string) string {
	files := slices.DeleteFunc(disk.Files(), func(name string) bool {
		return except != "" && strings.HasPrefix(name, except) || strings.HasSuffix(name, "LOCK") || strings.HasSuffix(name, "ballast")
	})
	name := files[w.rng.IntN(len(files))]
	f, err := disk.Open(name)
	if err != nil {
		w.fail("%v", err)
	}
	defer f.Close()
	size, _ := f.Size()
	if size == 0 {
		return "nothing"
	}
	sector := w.rng.Int64N(size) &^ 511
	kind := w.rng.IntN(3)
	if name == "log/journal.files" {
		kind = 0
	}
	if i := slices.Index(files, name); strings.HasSuffix(name, ".seg") && i+1 < len(files) && filepath.Dir(files[i+1]) == filepath.Dir(name) {
		kind = min(kind, 1) // without it, the oldest would look expired
	}
	switch kind {
	case 0:
		f.WriteAt(make([]byte, min(512, size-sector)), sector)
		f.Sync()
		return fmt.Sprintf("zeros at %d of %d in %s", sector, size, name)
	case 1:
		f.Truncate(sector)
		f.Sync()
		return fmt.Sprintf("%s cut from %d to %d", name, size, sector)
	}
	disk.Remove(name)
	disk.SyncDir(filepath.Dir(name))
	return name + " removed"
}

// names tells whether damage concerns an offset, or something of the journal.
func names(damage []DamagedError, id ID, at Offset) bool {
	for _, e := range damage {
		if e.Shard == id && e.From <= at && at <= e.To || e.Shard == "" {
			return true
		}
	}
	return false
}

// afterDamage opens a log that is damaged, without repair and with it.
func (w *crashWorld) afterDamage(disk *vfs.Crash, what string) string {
	for _, repair := range []bool{false, true} {
		cfg := w.cfg
		cfg.FS, cfg.Repair = disk, repair
		d, err := Open(cfg)
		if err != nil {
			var damage *DamageReport
			if errors.As(err, &damage) && !repair {
				continue
			}
			if repair {
				w.fail("%s: repair fails: %v", what, err)
			}
			return "detected"
		}
		result := "harmless"
		if repair {
			result = "detected"
		}
		for id, m := range w.shards {
			s, err := d.Shard(id)
			if err != nil {
				if !repair {
					w.fail("%s: shard %s is gone, without a word", what, id)
				}
				continue
			}
			found := map[Offset]bool{}
			var b Batch
			errs := 0
			for from := Offset(0); ; from = b.Next {
				if err := s.Read(context.Background(), from, 20, 5000, &b); err != nil {
					var damage *DamagedError
					if !errors.As(err, &damage) {
						w.fail("%s: %v", what, err)
					}
					errs++
					result = "detected"
					if damage.To < from || damage.To == 0 {
						break
					}
					b.Next = damage.To + 1
					continue
				}
				for _, r := range b.Records {
					if was, ok := m.known[r.Offset]; !idOf(r.Data).sound(r.Data) || ok && was != idOf(r.Data) {
						w.fail("%s: shard %s offset %d is served wrong", what, id, r.Offset)
					}
					found[r.Offset] = true
				}
				if b.NextArrival == 0 && len(b.Records) == 0 {
					break
				}
			}
			for at := range m.known {
				if !found[at] && at >= m.trim && errs == 0 && !repair {
					w.fail("%s: shard %s offset %d is missing, without a word", what, id, at)
				}
				if repair && !found[at] && at >= m.trim && !names(d.Damage(), id, at) {
					w.fail("%s: shard %s offset %d is missing after a repair, which does not name it", what, id, at)
				}
			}
		}
		d.Close()
		if repair {
			cfg.Repair = false
			if d, err = Open(cfg); err != nil {
				w.fail("%s: after a repair: %v", what, err)
			}
			d.Close()
		}
		if result == "detected" && !repair {
			continue // and what does a repair make of it?
		}
		return result
	}
	return ""
}
