package dynamodb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
	"github.com/rheostream/rheo/internal/keys"
	"github.com/rheostream/rheo/internal/statelog"
)

func testTable() tableDoc {
	return tableDoc{ID: "id1", Account: "123456789012", Region: "us-east-1", Name: "leases", Created: 1, OnDemand: true,
		Types: map[string]string{"k": "S", "v": "N"}, Key: keySchema{Hash: "k"},
		Indexes: []indexDoc{{Name: "byV", Key: keySchema{Hash: "v"}, Projection: "ALL", Created: 1}}}
}

func put(d *tableDoc, k string, v int64, version uint64) step {
	it := item.Item{"k": item.String(k), "v": {Type: item.N, Num: item.Int(v)}}
	key, _ := d.keyOf(d.Key, it)
	return step{kind: putItem, table: d.key(), id: d.ID, key: key, version: version, stored: string(it.Append(nil))}
}

// TestApply: a command is done whole if all that it expects is so, and otherwise
// not at all.
func TestApply(t *testing.T) {
	d := testTable()
	s := newState()
	apply := func(offset uint64, want error, steps ...step) {
		t.Helper()
		if err := s.apply(offset, int64(offset), steps); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("command %d: %v, want %v", offset, err, want)
		}
	}
	items := func(n, entries int) {
		t.Helper()
		tb, ok := s.view().tables.Get(d.key())
		if !ok || tb.items.Len() != n || tb.indexes[0].entries.Len() != entries {
			t.Errorf("%d items and %d entries, want %d and %d", tb.items.Len(), tb.indexes[0].entries.Len(), n, entries)
		}
	}
	apply(1, errConflict, put(&d, "a", 1, 0)) // no table yet
	apply(2, nil, step{kind: putTable, table: d.key(), doc: d})
	apply(3, errConflict, step{kind: putTable, table: d.key(), doc: d})
	apply(4, nil, put(&d, "a", 1, 0), put(&d, "b", 1, 0))
	items(2, 2)
	apply(5, errConflict, put(&d, "c", 1, 0), put(&d, "a", 2, 0)) // a is there: c does not come to be
	items(2, 2)
	apply(6, errConflict, put(&d, "a", 2, 3))
	apply(7, nil, put(&d, "a", 2, 4))
	apply(8, errConflict, step{kind: checkItem, table: d.key(), id: d.ID, key: put(&d, "a", 0, 0).key, version: 4}, put(&d, "c", 1, 0))
	apply(9, errConflict, step{kind: deleteItem, table: d.key(), id: "another", key: put(&d, "b", 0, 0).key, version: 4})
	apply(10, nil, step{kind: deleteItem, table: d.key(), id: d.ID, key: put(&d, "b", 0, 0).key, version: 4})
	items(1, 1)
	apply(10, nil, put(&d, "b", 1, 0)) // part of it already
	items(1, 1)
	before := s.view()
	bytes := s.bytes
	apply(11, nil, put(&d, "c", 3, 0))
	if tb, _ := before.tables.Get(d.key()); tb.items.Len() != 1 {
		t.Error("a view changed")
	}
	apply(12, nil, step{kind: deleteItem, table: d.key(), id: d.ID, key: put(&d, "c", 0, 0).key, version: 11})
	if s.bytes != bytes {
		t.Errorf("%d bytes are counted, %d before an item came and went", s.bytes, bytes)
	}
	apply(13, errConflict, step{kind: dropTable, table: d.key(), version: 1})
	apply(14, nil, step{kind: dropTable, table: d.key(), version: 2})
	if s.bytes != 0 || s.view().tables.Len() != 0 {
		t.Errorf("%d bytes are counted for nothing", s.bytes)
	}
}

// TestCommands: a command is read as it was written.
func TestCommands(t *testing.T) {
	d := testTable()
	for _, want := range []txn{
		nil,
		{{kind: putTable, table: "t", version: 7, doc: d}, {kind: dropTable, table: "u", version: 8}},
		{put(&d, "a", 1, 0), {kind: deleteItem, table: "t", id: "i", key: "k\x00", version: 1 << 40}, {kind: checkItem, table: "t", id: "i", key: "k"}},
		{{kind: remember, key: "token", stored: "hash"}},
	} {
		id := [16]byte{1, 2, 3}
		b, err := want.encode(id, keys.Identity{})
		if err != nil {
			t.Fatal(err)
		}
		gotID, got, err := parseCommand(b, keys.Identity{})
		if err != nil || gotID != id || len(got) != len(want) {
			t.Fatalf("%v, %v, %v", gotID, got, err)
		}
		for i := range got {
			a, b := got[i], want[i]
			if a.doc.Name != b.doc.Name || len(a.doc.Indexes) != len(b.doc.Indexes) {
				t.Errorf("%+v is read as %+v", b.doc, a.doc)
			}
			a.doc, b.doc = tableDoc{}, tableDoc{}
			if a.kind != b.kind || a.table != b.table || a.id != b.id || a.key != b.key || a.version != b.version || a.stored != b.stored {
				t.Errorf("%+v is read as %+v", b, a)
			}
		}
		for i := range b {
			if _, _, err := parseCommand(b[:i], keys.Identity{}); err == nil {
				t.Errorf("the first %d bytes of %d are a command", i, len(b))
			}
		}
		b[0] = 2
		if _, _, err := parseCommand(b, keys.Identity{}); !errors.Is(err, statelog.ErrNewer) {
			t.Errorf("version 2: %v", err)
		}
	}
}

// FuzzParseCommand: no bytes make the parser panic.
func FuzzParseCommand(f *testing.F) {
	d := testTable()
	b, err := txn{{kind: putTable, table: "t", doc: d}, put(&d, "a", 1, 0), {kind: remember, key: "k", stored: "h"}}.encode([16]byte{}, keys.Identity{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, steps, err := parseCommand(b, keys.Identity{}); err == nil {
			newState().apply(1, 1, steps)
		}
	})
}

// TestLatches: two that take the same keys wait for each other, in any order;
// others do not, and nothing is kept of those that are gone.
// TestMakesRoom: what is taken on a full disk and by a full memory.
func TestMakesRoom(t *testing.T) {
	for _, tt := range []struct {
		kinds []stepKind
		want  bool
	}{
		{[]stepKind{deleteItem}, true},
		{[]stepKind{dropTable}, true},
		{[]stepKind{deleteItem, checkItem, remember}, true},
		{[]stepKind{checkItem}, true},
		{[]stepKind{checkItem, remember}, false},
		{[]stepKind{remember}, false},
		{[]stepKind{deleteItem, putItem}, false},
		{[]stepKind{putTable}, false},
	} {
		var x txn
		for _, k := range tt.kinds {
			x = append(x, step{kind: k})
		}
		if x.makesRoom() != tt.want {
			t.Errorf("%v: %v", tt.kinds, !tt.want)
		}
	}
}

func TestLatches(t *testing.T) {
	var l latches
	release, err := l.take(t.Context(), []string{"b", "a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	other, err := l.take(t.Context(), []string{"c"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error)
	go func() {
		_, err := l.take(ctx, []string{"a", "d"})
		waiting <- err
	}()
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Errorf("taken twice: %v", err)
	}
	done := make(chan struct{})
	go func() {
		release, err := l.take(t.Context(), []string{"a", "c"})
		if err == nil {
			release()
		}
		close(done)
	}()
	release()
	other()
	<-done
	if len(l.held) != 0 {
		t.Errorf("%d latches are kept for nobody", len(l.held))
	}
}

// TestAfter: the end of a range of keys.
func TestAfter(t *testing.T) {
	for prefix, want := range map[string]string{"a": "b", "a\xff": "b", "\xff\xff": "", "": "", "ab\x00": "ab\x01"} {
		if got := after(prefix); got != want {
			t.Errorf("after %q comes %q, want %q", prefix, got, want)
		}
	}
}

// TestFormats: what is stored is read by every later rheo, so these bytes change
// only with their version.
func TestFormats(t *testing.T) {
	d := testTable()
	s := newState()
	steps := txn{{kind: putTable, table: d.key(), doc: d}, put(&d, "a", -120, 0), {kind: remember, key: "token", stored: "hash"}}
	command, err := steps[1:].encode([16]byte{15: 1}, keys.Identity{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.apply(1, 5, steps[:1]); err != nil {
		t.Fatal(err)
	}
	if err := s.apply(2, 6, steps[1:]); err != nil {
		t.Fatal(err)
	}
	var snapshot bytes.Buffer
	if err := writeSnapshot(&snapshot, s.view(), keys.Identity{}); err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		name string
		got  []byte
		want string
	}{
		{"command", command, `"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x02\x03\x1d123456789012/us-east-1/leases\x03id1\a\xecϦTa\x00\x01\x00\x0e\x02\x01k\x01\x01a\x01v\x02\x01\x06\x0212\x06\x05token\x04hash"`},
		{"snapshot", snapshot.Bytes(), `"RHEODDB\x01\x02\x00\x00\x00\x00\x00\x00\x00O\x01\x00\x00\x00\x00\x00\x00\x01\x01\xa4\x02{\"id\":\"id1\",\"account\":\"123456789012\",\"region\":\"us-east-1\",\"name\":\"leases\",\"created\":1,\"types\":{\"k\":\"S\",\"v\":\"N\"},\"key\":{\"hash\":\"k\"},\"indexes\":[{\"name\":\"byV\",\"key\":{\"hash\":\"v\"},\"projection\":\"ALL\",\"created\":1,\"throughput\":{\"read\":0,\"write\":0}}],\"onDemand\":true,\"throughput\":{\"read\":0,\"write\":0}}\x02\x02\a\xecϦTa\x00\x01\x0e\x02\x01k\x01\x01a\x01v\x02\x01\x06\x0212\x03\x02\f\x05token\x04hash\x00\x00\x00\x00C<\x1fn"`},
	} {
		if got := fmt.Sprintf("%q", f.got); got != f.want {
			t.Errorf("the format of the %s is\n%s\nand was\n%s", f.name, got, f.want)
		}
	}
	again, err := readSnapshot(bytes.NewReader(snapshot.Bytes()), keys.Identity{})
	if err != nil || again.offset != 2 || again.bytes != s.bytes {
		t.Fatalf("a snapshot at 2 of %d bytes is read as one at %d of %d, %v", s.bytes, again.offset, again.bytes, err)
	}
	sum := int64(0)
	again.view().accounts.Scan(func(account string, bytes int64) bool {
		if was, _ := s.accounts.Get(account); was != bytes {
			t.Errorf("account %s has %d bytes, and had %d", account, bytes, was)
		}
		sum += bytes
		return true
	})
	if sum != s.bytes {
		t.Errorf("accounts have %d bytes, all together %d", sum, s.bytes)
	}
	tb, _ := again.view().tables.Get(d.key())
	if tb.items.Len() != 1 || tb.indexes[0].entries.Len() != 1 || again.tokens.Len() != 1 {
		t.Errorf("%d items, %d entries, %d tokens", tb.items.Len(), tb.indexes[0].entries.Len(), again.tokens.Len())
	}
	for i := range snapshot.Len() {
		damaged := bytes.Clone(snapshot.Bytes())
		damaged[i] ^= 0x40
		if _, err := readSnapshot(bytes.NewReader(damaged), keys.Identity{}); err == nil {
			t.Errorf("a snapshot whose byte %d was damaged is read", i)
		}
		if _, err := readSnapshot(bytes.NewReader(damaged[:i]), keys.Identity{}); err == nil {
			t.Errorf("the first %d bytes of %d are a snapshot", i, len(damaged))
		}
	}
}
