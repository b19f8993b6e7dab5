package logs

import (
	"bytes"
	"encoding/hex"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/keys"
	"github.com/rheostream/rheo/internal/shardlog"
)

// TestFormats pins what is written to disk: commands, records, a snapshot and an index
// of version 1 stay as they are, or get another version and a way to read these. To
// write the file anew is -rewrite.
func TestFormats(t *testing.T) {
	doc := groupDoc{ID: "0123", Account: "123456789012", Region: "us-east-1", Name: "g", Created: begin.UnixMilli(), Class: "STANDARD", Days: 7, Floor: 1,
		Tags: map[string]string{"a": "b"}, Protected: true, Filters: []filterDoc{{ID: "45", Name: "f", Pattern: "ERROR", Destination: streamARN, Role: roleARN,
			Distribution: "ByLogStream", Created: begin.UnixMilli(), From: 3}}}
	steps := []step{
		{kind: putGroup, group: doc.key(), doc: doc},
		{kind: putStream, group: doc.key(), id: doc.ID, name: "s"},
		{kind: putStream, group: doc.key(), id: doc.ID, name: "t"},
		{kind: dropStream, group: doc.key(), id: doc.ID, name: "t", number: 3},
		{kind: moveCursor, group: doc.key(), id: doc.ID, name: "45", number: 300, done: progress{2: {offset: 310, place: 4}}},
		{kind: dropGroup, group: "x", version: 7},
	}
	var lines []string
	add := func(what string, b []byte) { lines = append(lines, what+" "+hex.EncodeToString(b)) }
	st := newState()
	for i := range steps {
		b, err := steps[i].encode([16]byte{1, 2, byte(i)}, keys.Identity{})
		if err != nil {
			t.Fatal(err)
		}
		add("command", b)
		id, again, err := parseCommand(b, keys.Identity{})
		if err != nil || !reflect.DeepEqual(again, steps[i]) || id != [16]byte{1, 2, byte(i)} {
			t.Errorf("read %+v, wrote %+v, %v", again, steps[i], err)
		}
		for n := range b {
			parseCommand(b[:n], keys.Identity{}) // no panic
		}
		if i < len(steps)-1 {
			if err := st.apply(uint64(i+1), begin.UnixMilli(), &steps[i]); err != nil {
				t.Fatal(err)
			}
		}
	}

	rec, err := encodeRecord(2, []event{{begin.UnixMilli(), "one"}, {begin.UnixMilli() - 5, "zwei ü"}}, keys.Identity{})
	if err != nil {
		t.Fatal(err)
	}
	add("record", rec)
	parsed, err := parseRecord(rec)
	if err != nil || parsed.stream != 2 || parsed.least != begin.UnixMilli()-5 || parsed.most != begin.UnixMilli() || parsed.bytes != 10 {
		t.Errorf("read %+v, %v", parsed, err)
	}
	for n := range rec {
		if p, err := parseRecord(rec[:n]); err == nil && p.events(keys.Identity{}, func(uint32, int64, []byte) bool { return true }) == nil {
			t.Errorf("a record of %d of %d bytes was taken", n, len(rec))
		}
	}

	var snapshot bytes.Buffer
	if err := writeSnapshot(&snapshot, st.view(), keys.Identity{}); err != nil {
		t.Fatal(err)
	}
	add("snapshot", snapshot.Bytes())
	again, err := readSnapshot(bytes.NewReader(snapshot.Bytes()), keys.Identity{})
	if err != nil {
		t.Fatal(err)
	}
	g, _ := again.view().groups.Get(doc.key())
	if sm, ok := g.streams.Get("s"); !ok || sm.number != 2 || sm.created != begin.UnixMilli() || g.streams.Len() != 1 ||
		!reflect.DeepEqual(g.doc, doc) || !reflect.DeepEqual(g.cursor(&g.doc.Filters[0]), reached{300, steps[4].done}) || again.offset != st.offset || again.bytes != st.bytes {
		t.Errorf("read %+v, %d bytes, wrote %d", g, again.bytes, st.bytes)
	}

	x := newIndex(chunkBytes)
	x.add(7, begin.UnixMilli(), len(rec), &parsed)
	for n := range uint64(20) {
		x.streams[2].to = shardlog.Offset(7 + n)
		x.chunks[0].streams.add(n)
	}
	var index bytes.Buffer
	if err := writeIndex(&index, x, keys.Identity{}); err != nil {
		t.Fatal(err)
	}
	add("index", index.Bytes())

	got := strings.Join(lines, "\n") + "\n"
	const file = "testdata/formats.hex"
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || got != string(want) {
		t.Errorf("%v, written is\n%s", err, got)
	}
}
