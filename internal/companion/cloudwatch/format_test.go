package cloudwatch

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/keys"
)

// TestFormats pins what is written to disk: a command, a manifest and a segment of
// version 1 stay as they are, or get another version and a way to read these. To
// write the file anew is -rewrite.
func TestFormats(t *testing.T) {
	p := &put{tenant: tenantKey("123456789012", "us-east-1"), namespace: "app", data: []datum{
		{name: "m", unit: unitOf("Bytes"), tier: standard, at: begin.Unix(), summary: single(1.5, 2)},
		{name: "m", dimensions: []dimension{{"a", "1"}, {"b", "2"}}, tier: highResolution, at: begin.Unix() - 1, summary: of([]value{{1, 2}, {3, 4}})},
		{name: "n", tier: standard, at: 60, summary: summary{count: 3, sum: 10, min: 1, max: 5, opaque: true}}}}
	command, err := p.encode([16]byte{1, 2, 3}, keys.Identity{})
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, nil)
	b.store.apply(1, begin.UnixMilli(), p)
	floors := floorsAt(begin.Unix() - 100_000*day)
	at := b.store.freeze(floors)
	w := &pass{keeper: b.keeper, ctx: t.Context(), next: &manifest{generation: 1}}
	w.frozenAt = at
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	encoded, err := encodeManifest(w.next, b.store, keys.Identity{})
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{"command " + hex.EncodeToString(command), "manifest " + hex.EncodeToString(encoded)}
	for _, name := range b.blobNames(segmentPrefix) {
		r, _, err := b.cfg.Blobs.Get(t.Context(), name, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, name+" "+hex.EncodeToString(body))
	}
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

	_, again, err := parseCommand(command, keys.Identity{})
	if err != nil || fmt.Sprint(again.data) != fmt.Sprint(p.data) || again.tenant != p.tenant || again.namespace != p.namespace {
		t.Errorf("read %+v, wrote %+v, %v", again, p, err)
	}
	m, s, err := parseManifest(encoded, 1, keys.Identity{})
	if err != nil || m.offset != 1 || len(m.segments) != 3 || s.series.Len() != 3 || s.nextID != 4 {
		t.Errorf("read %+v, %v", m, err)
	}
	// Whatever is cut off or changed is noticed, or is another valid one; nothing is a panic.
	for i := range command {
		parseCommand(command[:i], keys.Identity{})
	}
	for i := range encoded {
		if _, _, err := parseManifest(encoded[:i], 1, keys.Identity{}); err == nil {
			t.Errorf("a manifest of %d of %d bytes was taken", i, len(encoded))
		}
		changed := append([]byte(nil), encoded...)
		changed[i] ^= 0x10
		if _, _, err := parseManifest(changed, 1, keys.Identity{}); err == nil && i != len(manifestMagic)+1 {
			t.Errorf("a manifest with another byte %d was taken", i)
		}
	}
}
