package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/vfs"
)

// machine is a catalog on a disk that can lose power.
type machine struct {
	*Catalog
	t     *testing.T
	fs    *vfs.Crash
	log   *shardlog.Disk
	blobs *blob.Dir
	every int64
}

func newMachine(t *testing.T, seed uint64, every int64) *machine {
	m := &machine{t: t, fs: vfs.NewCrash(seed), every: every}
	if err := m.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.stop() })
	return m
}

func (m *machine) start() (err error) {
	m.t.Helper()
	if m.log, err = shardlog.Open(shardlog.Config{FS: m.fs, Dir: "log", JournalFileBytes: 1 << 20, MemoryBytes: 4 << 20, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		m.t.Fatal(err)
	}
	if m.blobs, err = blob.OpenDir(m.fs, "blobs"); err != nil {
		m.t.Fatal(err)
	}
	m.Catalog, err = Open(m.t.Context(), Config{Log: m.log, Blobs: m.blobs, SnapshotEvery: m.every})
	return err
}

func (m *machine) stop() {
	if m.Catalog != nil {
		m.Catalog.Close()
	}
	m.log.Close()
}

func (m *machine) crash() {
	m.t.Helper()
	next := m.fs.Crash()
	m.stop()
	m.fs = next
	if err := m.start(); err != nil {
		m.t.Fatal(err)
	}
}

func write(key string, doc any) Txn {
	b, _ := json.Marshal(doc)
	return Txn{Write: map[string]json.RawMessage{key: b}}
}

func (m *machine) set(key string, doc any) {
	m.t.Helper()
	if err := m.Commit(m.t.Context(), write(key, doc)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) want(key, doc string) {
	m.t.Helper()
	got, _, ok := m.Get(key)
	if ok != (doc != "") || string(got) != doc {
		m.t.Errorf("%s is %s, want %s", key, got, doc)
	}
}

func TestTransactions(t *testing.T) {
	m := newMachine(t, 1, 0)
	expect := func(versions map[string]uint64, writes string) error {
		txn := Txn{Expect: versions}
		if err := json.Unmarshal([]byte(writes), &txn.Write); err != nil {
			t.Fatal(err)
		}
		return m.Commit(t.Context(), txn)
	}
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	conflict := func(err error) {
		t.Helper()
		if !errors.Is(err, ErrConflict) {
			t.Errorf("got %v, want a conflict", err)
		}
	}
	version := func(key string) uint64 {
		_, v, _ := m.Get(key)
		return v
	}
	ok(expect(map[string]uint64{"a": 0}, `{"a": 1, "b": 1}`))
	conflict(expect(map[string]uint64{"a": 0}, `{"a": 2}`)) // there is one now
	m.want("a", "1")
	if version("a") != version("b") || version("a") == 0 {
		t.Error("documents of one command have its offset as their version")
	}
	first := version("a")
	ok(expect(map[string]uint64{"a": first, "b": first}, `{"a": 2}`))
	conflict(expect(map[string]uint64{"a": first}, `{"a": 3, "c": 3}`)) // changed meanwhile: nothing of it is done
	m.want("a", "2")
	m.want("c", "")
	conflict(expect(map[string]uint64{"never": 7}, `{"c": 3}`))
	ok(expect(map[string]uint64{"b": first}, `{"a": null, "b": null, "never": null}`))
	m.want("a", "")
	conflict(expect(map[string]uint64{"b": first}, `{"b": 1}`)) // deleted is not there
	ok(expect(map[string]uint64{"a": 0, "b": 0}, `{"a": {"x": "back"}}`))
	m.want("a", `{"x":"back"}`)
	if version("a") <= first {
		t.Error("a version came again")
	}
}

// Of many who expect the same version one succeeds, and a watcher sees all commands in order before their issuer goes on.
func TestConcurrentCommits(t *testing.T) {
	m := newMachine(t, 1, 2000)
	var seen []string
	m.Watch("n/", func(changes []Change) {
		for _, ch := range changes {
			seen = append(seen, string(ch.Doc))
		}
	})
	m.set("other", "not watched")
	var g sync.WaitGroup
	for range 8 {
		g.Go(func() {
			for range 25 {
				for {
					doc, version, _ := m.Get("n/counter")
					n, _ := strconv.Atoi(string(doc))
					txn := write("n/counter", n+1)
					txn.Expect = map[string]uint64{"n/counter": version}
					err := m.Commit(t.Context(), txn)
					if err == nil {
						break
					}
					if !errors.Is(err, ErrConflict) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	g.Wait()
	m.want("n/counter", "200")
	if len(seen) != 200 || seen[0] != "1" || seen[199] != "200" || !slices.IsSortedFunc(seen, func(a, b string) int {
		x, _ := strconv.Atoi(a)
		y, _ := strconv.Atoi(b)
		return x - y
	}) {
		t.Errorf("the watcher saw %v", seen)
	}
	got := []string{}
	m.Watch("n/", func(changes []Change) { got = append(got, changes[0].Key) })
	if len(got) != 1 {
		t.Error("a late watcher is told what there is")
	}
}

// Apply depends on nothing but the commands: whatever the path, the same log makes the same snapshot, byte by byte.
func TestApplyIsDeterministic(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var commands []Txn
	version := map[string]uint64{}
	for i := range 500 {
		txn := Txn{Expect: map[string]uint64{}, Write: map[string]json.RawMessage{}}
		for range 1 + rnd.IntN(5) {
			key := fmt.Sprint("k", rnd.IntN(40))
			txn.Expect[key] = version[key] + uint64(rnd.IntN(10)/9) // one in ten is wrong
			txn.Write[key] = json.RawMessage(strconv.Itoa(i))
			if rnd.IntN(4) == 0 {
				txn.Write[key] = json.RawMessage("null")
			}
		}
		commands = append(commands, txn)
		ok := true
		for k, v := range txn.Expect {
			ok = ok && version[k] == v
		}
		if ok {
			for k, d := range txn.Write {
				version[k] = uint64(i + 1)
				if string(d) == "null" {
					version[k] = 0
				}
			}
		}
	}
	play := func(s *State, from int) []byte {
		for i := from; i < len(commands); i++ {
			// Through the log's format, as every process gets them.
			b, _ := json.Marshal(commands[i])
			cmd, err := parseCommand(append(append([]byte{commandVersion}, make([]byte, 16)...), b...))
			if err != nil {
				t.Fatal(err)
			}
			s.Apply(uint64(i+1), cmd.txn)
		}
		return s.encode()
	}
	want := play(newState(), 0)
	s := newState()
	for i := range commands {
		if i%50 == 7 { // from a snapshot on, with commands that it covers already
			back, err := decodeState(s.encode())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(play(back, i/2), want) {
				t.Fatalf("the snapshot at %d leads elsewhere", i)
			}
		}
		s.Apply(uint64(i+1), commands[i])
	}
	if !bytes.Equal(s.encode(), want) {
		t.Error("two runs differ")
	}
}

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
	f.Add(append([]byte{commandVersion}, make([]byte, 30)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeState(b); err == nil && !bytes.Equal(s.encode(), b) {
			t.Error("a snapshot that we would not write")
		}
		parseCommand(b)
	})
}

// TestCrashes cuts the power at random moments while commands and snapshots are
// written: what was committed is there, what was refused is not, and no command
// is done in part. CATALOG_CYCLES=n makes n cuts with another seed.
func TestCrashes(t *testing.T) {
	cycles, seed := 60, uint64(1)
	if n, err := strconv.Atoi(os.Getenv("CATALOG_CYCLES")); err == nil {
		cycles, seed = n, uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
	}
	rnd := rand.New(rand.NewPCG(seed, 0))
	m := newMachine(t, seed, 3000)
	const writers = 4
	var done [writers]int // the last number that each has seen committed
	var tried [writers]int
	for cycle := range cycles {
		ctx, cancel := context.WithCancel(t.Context())
		c := m.Catalog
		var g sync.WaitGroup
		for i := range writers {
			g.Go(func() {
				for ctx.Err() == nil {
					tried[i]++
					// Two documents that belong together, and one that only some commands have.
					txn := write(fmt.Sprint("w/", i, "/a"), tried[i])
					txn.Write[fmt.Sprint("w/", i, "/b")] = json.RawMessage(strconv.Itoa(tried[i]))
					txn.Write[fmt.Sprint("w/", i, "/", tried[i]%5)] = json.RawMessage([]string{"null", `"` + strings.Repeat("y", 50) + `"`}[tried[i]%2])
					if c.Commit(ctx, txn) == nil {
						done[i] = tried[i]
					}
				}
			})
		}
		time.Sleep(time.Duration(rnd.IntN(4000)) * time.Microsecond) // the power goes at a random moment
		next := m.fs.Crash()
		cancel()
		g.Wait()
		m.stop()
		m.fs = next
		if err := m.start(); err != nil {
			t.Fatalf("cut %d: %v", cycle+1, err)
		}
		for i := range writers {
			a, _, _ := m.Get(fmt.Sprint("w/", i, "/a"))
			b, _, _ := m.Get(fmt.Sprint("w/", i, "/b"))
			n, _ := strconv.Atoi(string(a))
			if string(a) != string(b) || n < done[i] || n > tried[i] {
				t.Fatalf("cut %d: writer %d has %s and %s; %d was committed, %d tried", cycle+1, i, a, b, done[i], tried[i])
			}
		}
	}
	have, err := m.snapshots(t.Context())
	if err != nil || len(have) < 1 || len(have) > 3 {
		t.Errorf("%d snapshots, %v", len(have), err)
	}
	t.Logf("committed %v", done)
}

func (m *machine) fill(n int) {
	m.t.Helper()
	for i := range n {
		m.set(fmt.Sprint("k", i%10), strings.Repeat("x", 100))
		m.set("last", i)
	}
}

// settleSnapshots waits until the apply loop is past its last snapshot: it
// takes the log to be trimmed to the older of the two.
func (m *machine) settleSnapshots() []snapshotBlob {
	m.t.Helper()
	for {
		have, err := m.snapshots(m.t.Context())
		if err != nil {
			m.t.Fatal(err)
		}
		if len(have) == 2 && uint64(m.shard.Info().First) == have[0].offset+1 {
			return have
		}
		m.fill(1)
	}
}

func TestTwoSnapshotsAndTheLogBehindThem(t *testing.T) {
	m := newMachine(t, 1, 2000)
	m.fill(100)
	have := m.settleSnapshots()
	if first := uint64(m.shard.Info().First); first != have[0].offset+1 {
		t.Errorf("the log begins at %d, the older snapshot ends at %d", first, have[0].offset)
	}
	last, _, _ := m.Get("last")
	before := m.state.encode()
	m.crash()
	m.want("last", string(last))
	if !bytes.Equal(m.state.encode(), before) {
		t.Error("the state changed by a restart")
	}
}

// The newest snapshot may be damaged: the one before it and the log have everything.
func TestDamagedNewestSnapshot(t *testing.T) {
	m := newMachine(t, 1, 2000)
	m.fill(100)
	have := m.settleSnapshots()
	before := m.state.encode()
	m.stop()
	if err := m.fs.FlipBit("blobs/objects/"+have[1].name+".blob", 999); err != nil {
		t.Fatal(err)
	}
	if err := m.start(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.state.encode(), before) {
		t.Error("the state is another one")
	}
	m.fill(50) // and it goes on
	m.crash()
	m.want("last", "49")
}

// With both gone the log alone is not enough, and that is said instead of starting with half.
func TestBothSnapshotsDamaged(t *testing.T) {
	m := newMachine(t, 1, 2000)
	m.fill(100)
	have := m.settleSnapshots()
	m.stop()
	for _, s := range have {
		if err := m.fs.FlipBit("blobs/objects/"+s.name+".blob", 999); err != nil {
			t.Fatal(err)
		}
	}
	m.Catalog = nil
	if err := m.start(); err == nil || !strings.Contains(err.Error(), "newest readable snapshot") {
		t.Errorf("opened: %v", err)
	}
	m.Catalog = nil
}

// A log that ends before its snapshot is another log: commands written to it
// would be taken for old ones and ignored.
func TestLogBehindSnapshot(t *testing.T) {
	m := newMachine(t, 1, 2000)
	m.fill(100)
	m.settleSnapshots()
	m.stop()
	for _, f := range m.fs.Files() {
		if strings.HasPrefix(f, "log/") || strings.HasPrefix(f, "/log/") {
			if err := m.fs.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	m.Catalog = nil
	err := m.start()
	if err == nil {
		err = m.Commit(t.Context(), write("last", "new"))
		t.Errorf("opened, and a commit said %v while the document is still %s", err, m.state.Docs["last"].Doc)
		return
	}
	m.Catalog = nil
}

// Commands of a newer rheo are not skipped.
func TestNewerCommandStopsTheCatalog(t *testing.T) {
	m := newMachine(t, 1, 0)
	m.set("a", 1)
	put := []shardlog.Put{{Shard: m.shard, Records: []shardlog.Record{{Data: append([]byte{commandVersion + 1}, make([]byte, 40)...)}}}}
	m.log.Append(t.Context(), put)
	if put[0].Err != nil {
		t.Fatal(put[0].Err)
	}
	if err := m.Commit(t.Context(), write("a", 2)); err == nil || errors.Is(err, ErrConflict) {
		t.Errorf("committed behind it: %v", err)
	}
	m.want("a", "1")
	m.stop()
	m.Catalog = nil
	if err := m.start(); err == nil {
		t.Error("opened")
	}
	m.Catalog = nil
}

// A snapshot that cannot be written costs a longer log, nothing else.
func TestSnapshotFails(t *testing.T) {
	fs := vfs.NewCrash(1)
	faults := vfs.NewFaults(fs)
	log, err := shardlog.Open(shardlog.Config{FS: fs, Dir: "log", JournalFileBytes: 1 << 20, MemoryBytes: 4 << 20, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	blobs, err := blob.OpenDir(faults, "blobs")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), Config{Log: log, Blobs: blobs, SnapshotEvery: 500})
	if err != nil {
		t.Fatal(err)
	}
	armed := faults.Add(vfs.Fault{Op: vfs.OpSync, Err: errors.New("no")})
	for i := range 50 {
		if err := c.Commit(t.Context(), write("a", i)); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	if armed.Fired() == 0 {
		t.Fatal("no snapshot was tried")
	}
	if first := c.shard.Info().First; first > 1 {
		t.Errorf("the log was trimmed to %d without a snapshot", first)
	}
	c, err = Open(t.Context(), Config{Log: log, Blobs: blobs})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if doc, _, _ := c.Get("a"); string(doc) != "49" {
		t.Errorf("a is %s", doc)
	}
}

// Whoever waits for a command when its catalog or the log goes, is told.
func TestCloseWhileCommitting(t *testing.T) {
	m := newMachine(t, 1, 0)
	m.set("a", 1)
	m.Catalog.Close()
	if err := m.Commit(t.Context(), write("a", 2)); !errors.Is(err, shardlog.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Commit(ctx, write("a", 3)); err == nil {
		t.Error("committed with a context that is over")
	}
}
