package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
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
	every int64
	// faults befall the blobs from the next start on.
	faults []vfs.Fault
	said   bytes.Buffer // what the catalog logged; it does not while nothing goes wrong
}

func newMachine(t *testing.T, seed uint64, every int64) *machine {
	m := &machine{t: t, fs: vfs.NewCrash(seed), every: every}
	if err := m.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.stop)
	return m
}

func (m *machine) start() (err error) {
	m.t.Helper()
	m.Catalog = nil
	if m.log, err = shardlog.Open(shardlog.Config{FS: m.fs, Dir: "log", JournalFileBytes: 1 << 20, MemoryBytes: 4 << 20, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		m.t.Fatal(err)
	}
	faulty := vfs.NewFaults(m.fs)
	blobs, err := blob.OpenDir(faulty, "blobs")
	if err != nil {
		m.t.Fatal(err)
	}
	for _, f := range m.faults {
		faulty.Add(f)
	}
	m.Catalog, err = Open(m.t.Context(), Config{Log: m.log, Blobs: blobs, SnapshotEvery: m.every, Logger: slog.New(slog.NewTextHandler(&m.said, nil))})
	return err
}

func (m *machine) stop() {
	if m.Catalog != nil {
		m.Catalog.Close()
	}
	if m.log != nil {
		m.log.Close()
	}
	m.log = nil
}

// restart stops and starts as an operator does.
func (m *machine) restart() {
	m.t.Helper()
	m.stop()
	if err := m.start(); err != nil {
		m.t.Fatal(err)
	}
}

// cut is the end of the power.
func (m *machine) cut() {
	next := m.fs.Crash()
	m.stop()
	m.fs = next
}

func (m *machine) crash() {
	m.t.Helper()
	m.cut()
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
// TestOwnShard: catalogs on log shards of their own keep apart, documents and
// snapshots, before and after a restart.
func TestOwnShard(t *testing.T) {
	log := shardlog.NewMemory()
	blobs, err := blob.OpenDir(vfs.NewCrash(0), "blobs")
	if err != nil {
		t.Fatal(err)
	}
	open := func(shard shardlog.ID) *Catalog {
		t.Helper()
		c, err := Open(t.Context(), Config{Log: log, Blobs: blobs, Shard: shard})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for round := range 3 {
		for i, shard := range []shardlog.ID{"functions", "checkpoints"} {
			c := open(shard)
			if doc, _, ok := c.Get("key"); round > 0 && (!ok || string(doc) != fmt.Sprint(10*(round-1)+i)) {
				t.Errorf("round %d: %s has %s", round, shard, doc)
			}
			if err := c.Commit(t.Context(), write("key", 10*round+i)); err != nil {
				t.Fatal(err)
			}
			c.Close()
			infos, err := blobs.List(t.Context(), string(shard)+"/snapshot-", "", 10)
			if err != nil || len(infos) == 0 || len(infos) > 2 {
				t.Errorf("round %d: snapshots of %s: %v, %v", round, shard, infos, err)
			}
		}
	}
}

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

// Commands of a newer rheo are not skipped.
func TestNewerCommandStopsTheCatalog(t *testing.T) {
	m := newMachine(t, 1, 0)
	m.set("a", 1)
	put := []shardlog.Put{{Shard: m.shard(), Records: []shardlog.Record{{Data: append([]byte{commandTrees + 1}, make([]byte, 40)...)}}}}
	m.log.Append(t.Context(), put)
	if put[0].Err != nil {
		t.Fatal(put[0].Err)
	}
	if err := m.Commit(t.Context(), write("a", 2)); err == nil || errors.Is(err, ErrConflict) {
		t.Errorf("committed behind it: %v", err)
	}
	m.want("a", "1")
	m.stop()
	m.refused("version 3", "newer rheo")
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

// Whoever learns of a change from a view that a watcher keeps finds it in the
// catalog, and the other way round: they are of one moment.
func TestCatalogAndViewsAgree(t *testing.T) {
	m := newMachine(t, 1, 0)
	var view atomic.Uint64
	news := make(chan uint64, 100)
	m.Watch("a", func(changes []Change) {
		view.Store(changes[0].Version)
		news <- changes[0].Version
		time.Sleep(time.Millisecond) // whoever heard of it is quicker than the rest of the view
	})
	var g sync.WaitGroup
	g.Go(func() {
		for i := range 20 {
			m.set("a", i)
		}
	})
	for range 20 {
		heard := <-news
		_, version, _ := m.Get("a")
		if version < heard {
			t.Fatalf("heard of %d, and found %d", heard, version)
		}
		if seen := view.Load(); seen < version {
			t.Fatalf("found %d, and the view is at %d", version, seen)
		}
	}
	g.Wait()
}

// A command that is being synced holds up no reader.
func TestReadersDuringSync(t *testing.T) {
	slow := vfs.NewFaults(vfs.NewCrash(1))
	log, err := shardlog.Open(shardlog.Config{FS: slow, Dir: "log", JournalFileBytes: 1 << 20, MemoryBytes: 4 << 20, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	blobs, err := blob.OpenDir(vfs.NewCrash(1), "blobs")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), Config{Log: log, Blobs: blobs})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Commit(t.Context(), write("a", 1)); err != nil {
		t.Fatal(err)
	}
	hold := slow.Hold(vfs.OpSync, "*")
	defer hold.Release()
	done := make(chan error, 1)
	go func() { done <- c.Commit(t.Context(), write("a", 2)) }()
	<-hold.Reached()
	if doc, _, _ := c.Get("a"); string(doc) != "1" || len(c.List("")) != 1 {
		t.Errorf("a is %s before it is durable", doc)
	}
	hold.Release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if doc, _, _ := c.Get("a"); string(doc) != "2" {
		t.Errorf("a is %s", doc)
	}
}
