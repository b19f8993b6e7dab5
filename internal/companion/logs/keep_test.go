package logs

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/shardlog"
)

// TestKeep: indexes that take too much memory go into blobs and come back with the same
// answers; so they do without their blobs, with damaged ones, and with those of another
// log.
func TestKeep(t *testing.T) {
	b := newBench(t, nil)
	b.logs.grain = 500
	want := map[string][]string{}
	for g := range 4 {
		group := fmt.Sprint("g", g)
		b.must("CreateLogGroup", `{"logGroupName": %q}`, group)
		b.must("CreateLogStream", `{"logGroupName": %q, "logStreamName": "s"}`, group)
		for i := range 40 {
			lines := numbered(group, 5*i, 5*i+5)
			b.putLines(group, "s", lines...)
			want[group] = append(want[group], lines...)
		}
	}
	check := func(when string) {
		t.Helper()
		for group, lines := range want {
			if got := b.linesOf(group, "s"); !slices.Equal(got, lines) {
				t.Errorf("%s: %s has %d lines, want %d", when, group, len(got), len(lines))
			}
		}
	}
	indexes := func() (names []string) {
		t.Helper()
		infos, err := b.cfg.Blobs.List(t.Context(), indexPrefix, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range infos {
			names = append(names, i.Name)
		}
		return names
	}
	check("at first")
	before := b.logs.usage()
	b.logs.keep(t.Context(), before/2)
	if n, blobs := b.logs.usage(), len(indexes()); n > before/2 || blobs == 0 || blobs == 4 {
		t.Errorf("%d bytes of %d are left in memory, and %d indexes written", n, before, blobs)
	}
	check("after some were forgotten")
	b.logs.keep(t.Context(), 0)
	if n, blobs := b.logs.usage(), len(indexes()); n != 0 || blobs != 4 {
		t.Errorf("%d bytes are left in memory, and %d indexes written", n, blobs)
	}
	check("after all were forgotten")

	b.logs.keep(t.Context(), 0)
	names := indexes()
	for i, name := range names {
		text := "nonsense"
		if i == 0 { // as of a log that is further
			var x strings.Builder
			other := newIndex(chunkBytes)
			other.next = 1 << 40
			if err := writeIndex(&x, other, b.sealer); err != nil {
				t.Fatal(err)
			}
			text = x.String()
		}
		if err := b.cfg.Blobs.Put(t.Context(), name, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	check("with damaged blobs")
	b.logs.keep(t.Context(), 0)
	b.must("DeleteLogGroup", `{"logGroupName": "g3"}`)
	delete(want, "g3")
	if n := len(indexes()); n != 3 {
		t.Errorf("%d indexes are left of three groups", n)
	}
	for _, name := range indexes() {
		if err := b.cfg.Blobs.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	b.restart()
	check("without blobs")
}

// TestReconcile: what a crash leaves of a group that was being made or deleted is
// cleared away by the next start, and a group whose log is lost starts empty; but all of
// it is kept if it is the groups that are lost.
func TestReconcile(t *testing.T) {
	b := newBench(t, nil)
	b.must("CreateLogGroup", `{"logGroupName": "g"}`)
	b.must("CreateLogStream", `{"logGroupName": "g", "logStreamName": "s"}`)
	b.must("PutRetentionPolicy", `{"logGroupName": "g", "retentionInDays": 3}`)
	b.putLines("g", "s", "one")
	if _, err := b.cfg.Log.Create(t.Context(), groupShard("left"), shardlog.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := b.cfg.Blobs.Put(t.Context(), indexName("left"), strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	g, _ := b.machine.view().groups.Get(groupKey(caller.Account, caller.Region, "g"))
	sh, err := b.cfg.Log.Shard(groupShard(g.doc.ID))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.cfg.Log.SetRetention(t.Context(), sh, retentionOf(7)); err != nil { // as it was before the policy
		t.Fatal(err)
	}
	b.restart()
	if _, err := b.cfg.Log.Shard(groupShard("left")); err == nil {
		t.Error("the log of a group that is not there is left")
	}
	if infos, _ := b.cfg.Blobs.List(t.Context(), indexName("left"), "", 1); len(infos) > 0 {
		t.Error("its index is left")
	}
	if got := sh.Info().Retention; got != retentionOf(3) {
		t.Errorf("the retention is %v", got)
	}
	if got := b.linesOf("g", "s"); !slices.Equal(got, []string{"one"}) {
		t.Errorf("the group has %q", got)
	}

	b.Close()
	if err := b.cfg.Log.Delete(t.Context(), sh); err != nil {
		t.Fatal(err)
	}
	b.start()
	if got := b.linesOf("g", "s"); len(got) != 0 {
		t.Errorf("the group has %q", got)
	}
	b.putLines("g", "s", "two")
	b.restart()
	if got := b.linesOf("g", "s"); !slices.Equal(got, []string{"two"}) {
		t.Errorf("the group has %q", got)
	}

	b.Close()
	commands, err := b.cfg.Log.Shard(ShardID)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.cfg.Log.Delete(t.Context(), commands); err != nil {
		t.Fatal(err)
	}
	infos, _ := b.cfg.Blobs.List(t.Context(), snapshotPrefix, "", 100)
	for _, i := range infos {
		if err := b.cfg.Blobs.Delete(t.Context(), i.Name); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := New(t.Context(), b.cfg); err == nil {
		s.Close()
		t.Error("groups that are lost were taken for deleted")
	}
}
