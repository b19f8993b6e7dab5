package s3

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/keys"
)

var rewriteFormats = flag.Bool("rewrite-formats", false, "write testdata/formats.hex anew; only with a new version of a format")

// TestFormats: what is written is, byte for byte, what was written when the formats
// were made, and what was written then is read.
func TestFormats(t *testing.T) {
	o := &object{blob: "s3/b0b/k.0123456789abcdef", size: 300, modified: 1_764_068_400_123, etag: [16]byte{1, 2, 15: 16}, parts: []int64{200, 100},
		layout: layout{objectFrameBytes, objectFrameBytes + 12}, checksum: checksum{crc32C, true, []byte{1, 2, 3, 4}},
		headers: Headers{CacheControl: "a", ContentDisposition: "b", ContentEncoding: "c", ContentLanguage: "d", ContentType: "e", Expires: "f",
			Metadata: map[string]string{"x": "y", "v": "w"}}, upload: "id"}
	u := &upload{initiated: 1_764_068_400_123, algorithm: sha256Sum, composite: true, headers: Headers{ContentType: "text/plain"}}
	doc := bucketDoc{"123456789012", "us-east-1", 1_764_068_400_123}
	command := txn{
		{kind: putBucket, bucket: "b0b", doc: doc},
		{kind: putObject, bucket: "b0b", id: 1, key: "k", check: true, version: 7, stored: o.encode(), upload: "id", uploadV: 9},
		{kind: deleteObject, bucket: "b0b", id: 1, key: "k", check: true, version: 8},
		{kind: putUpload, bucket: "b0b", id: 1, key: "k", upload: "id", stored: u.encode()},
		{kind: putPart, bucket: "b0b", id: 1, key: "k", upload: "id", number: 10000, stored: o.encode()},
		{kind: dropUpload, bucket: "b0b", id: 1, key: "k", upload: "id"},
		{kind: dropBucket, bucket: "b0b", id: 1},
	}
	st := newState()
	for i, step := range []step{command[0], command[3], command[4], {kind: putObject, bucket: "b0b", id: 1, key: "k", stored: o.encode()}} {
		if err := st.apply(uint64(i+1), txn{step}); err != nil {
			t.Fatal(i, err)
		}
	}
	encoded, err := command.encode([16]byte{15: 1}, keys.Identity{})
	if err != nil {
		t.Fatal(err)
	}
	var snapshot bytes.Buffer
	if err := writeSnapshot(&snapshot, st.view(), keys.Identity{}); err != nil {
		t.Fatal(err)
	}
	got := hex.EncodeToString([]byte(o.encode())) + "\n" + hex.EncodeToString([]byte(u.encode())) + "\n" +
		hex.EncodeToString(encoded) + "\n" + hex.EncodeToString(snapshot.Bytes()) + "\n"
	if *rewriteFormats {
		if err := os.WriteFile("testdata/formats.hex", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/formats.hex")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("formats are\n%s\nand were\n%s", got, want)
	}

	var then [4][]byte
	for i, line := range strings.Split(strings.TrimSpace(string(want)), "\n") {
		if then[i], err = hex.DecodeString(line); err != nil {
			t.Fatal(err)
		}
	}
	if back, err := parseObject(string(then[0])); err != nil || !reflect.DeepEqual(back, o) {
		t.Errorf("%+v, %v", back, err)
	}
	if back, err := parseUpload(string(then[1])); err != nil || !reflect.DeepEqual(back, u) {
		t.Errorf("%+v, %v", back, err)
	}
	if id, back, err := parseCommand(then[2], keys.Identity{}); err != nil || id != [16]byte{15: 1} || !reflect.DeepEqual(back, command) {
		t.Errorf("%+v, %v", back, err)
	}
	back, err := readSnapshot(bytes.NewReader(then[3]), keys.Identity{})
	if err != nil {
		t.Fatal(err)
	}
	if back.offset != 4 || back.bytes != st.bytes || back.usedBy("123456789012") != 600 {
		t.Errorf("offset %d, %d bytes, %d used; of %d bytes", back.offset, back.bytes, back.usedBy("123456789012"), st.bytes)
	}
	for i := range then { // a newer version is told from damage
		newer := bytes.Clone(then[i])
		at := 0
		if i == 3 {
			at = len(snapshotMagic)
		}
		newer[at]++
		if err := parse(i, newer); !errors.Is(err, errNewer) {
			t.Errorf("format %d of another version: %v", i, err)
		}
		for n := range then[i] {
			if err := parse(i, then[i][:n]); err == nil {
				t.Errorf("format %d cut off at %d is read", i, n)
			}
		}
	}
	for n := range then[3] { // a snapshot has a sum
		damaged := bytes.Clone(then[3])
		damaged[n] ^= 0x10
		if err := parse(3, damaged); err == nil {
			t.Errorf("a snapshot damaged at %d is read", n)
		}
	}
}

func parse(format int, b []byte) (err error) {
	switch format {
	case 0:
		_, err = parseObject(string(b))
	case 1:
		_, err = parseUpload(string(b))
	case 2:
		_, _, err = parseCommand(b, keys.Identity{})
	default:
		_, err = readSnapshot(bytes.NewReader(b), keys.Identity{})
	}
	return err
}
