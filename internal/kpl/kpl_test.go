package kpl

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// aggregate writes as a producer does: each key once, records pointing at it.
func aggregate(records ...Record) []byte { return seal(marshal(records)) }

func seal(body []byte) []byte {
	sum := md5.Sum(body)
	return append(append(append([]byte(nil), magic[:]...), body...), sum[:]...)
}

func marshal(records []Record) []byte {
	var body []byte
	intern := func(table map[string]uint64, field protowire.Number, s string) uint64 {
		i, ok := table[s]
		if !ok {
			i = uint64(len(table))
			table[s] = i
			body = protowire.AppendString(protowire.AppendTag(body, field, protowire.BytesType), s)
		}
		return i
	}
	keys, hashes := map[string]uint64{}, map[string]uint64{}
	for _, r := range records {
		var m []byte
		m = protowire.AppendVarint(protowire.AppendTag(m, 1, protowire.VarintType), intern(keys, 1, r.PartitionKey))
		if r.ExplicitHashKey != "" {
			m = protowire.AppendVarint(protowire.AppendTag(m, 2, protowire.VarintType), intern(hashes, 2, r.ExplicitHashKey))
		}
		m = protowire.AppendBytes(protowire.AppendTag(m, 3, protowire.BytesType), r.Data)
		for _, t := range r.Tags {
			var tm []byte
			tm = protowire.AppendString(protowire.AppendTag(tm, 1, protowire.BytesType), t.Key)
			tm = protowire.AppendString(protowire.AppendTag(tm, 2, protowire.BytesType), t.Value)
			m = protowire.AppendBytes(protowire.AppendTag(m, 4, protowire.BytesType), tm)
		}
		body = protowire.AppendBytes(protowire.AppendTag(body, 3, protowire.BytesType), m)
	}
	return body
}

func collect(data []byte) (all []Record, err error) {
	for r, err := range Records(data) {
		if err != nil {
			return all, err
		}
		all = append(all, r)
	}
	return all, nil
}

func TestRecords(t *testing.T) {
	want := []Record{
		{PartitionKey: "a", Data: []byte("one")},
		{PartitionKey: "b", ExplicitHashKey: "340282366920938463463374607431768211455", Data: []byte("two")},
		{PartitionKey: "a", ExplicitHashKey: "0", Data: []byte{}},
		{PartitionKey: "ключ", Data: []byte{0, 255}, Tags: []Tag{{"k", "v"}, {"", ""}}},
	}
	data := aggregate(want...)
	if !Aggregated(data) {
		t.Fatal("an aggregate is not seen as one")
	}
	got, err := collect(data)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
	for range Records(data) { // a reader may stop early
		break
	}
}

// An aggregate put together by hand from the format's description, so that
// reader and writer of this test cannot agree on the same mistake.
func TestRecordsBytes(t *testing.T) {
	body := unhex(t, "0a 03 6b 65 79"+ // partition_key_table: "key"
		"12 01 37"+ // explicit_hash_key_table: "7"
		"1a 08 08 00 10 00 1a 02 68 69"+ // record: key 0, hash 0, "hi"
		"1a 05 08 00 1a 01 21") // record: key 0, "!"
	got, err := collect(seal(body))
	want := []Record{{PartitionKey: "key", ExplicitHashKey: "7", Data: []byte("hi")}, {PartitionKey: "key", Data: []byte("!")}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
}

func TestPlain(t *testing.T) {
	whole := aggregate(Record{PartitionKey: "a", Data: []byte("x")})
	flipped := append([]byte(nil), whole...)
	flipped[len(flipped)-1] ^= 1
	for name, data := range map[string][]byte{
		"empty":           nil,
		"text":            []byte("hello"),
		"magic only":      magic[:],
		"magic and noise": append(magic[:], make([]byte, 100)...),
		"wrong MD5":       flipped,
		"cut short":       whole[:len(whole)-1],
	} {
		if Aggregated(data) {
			t.Errorf("%s: is an aggregate", name)
		}
		if _, err := collect(data); !errors.Is(err, ErrPlain) {
			t.Errorf("%s: %v, want ErrPlain", name, err)
		}
	}
}

func TestBroken(t *testing.T) {
	for _, c := range []struct{ name, body, err string }{
		{"no such key", "1a 04 08 05 1a 00", "user record 0: partition key 5 of a table of 0"},
		{"no such hash key", "0a 01 61 1a 06 08 00 10 01 1a 00", "explicit hash key 1 of a table of 0"},
		{"no key", "1a 02 1a 00", "no partition key"},
		{"no data", "0a 01 61 1a 02 08 00", "no data"},
		{"key is not UTF-8", "0a 01 ff 1a 04 08 00 1a 00", "partition key 0 is not UTF-8"},
		{"record of a wrong type", "18 00", "field 3 has wire type 0"},
		{"data of a wrong type", "0a 01 61 1a 04 08 00 18 00", "field 3 has wire type 0"},
		{"length beyond the end", "1a 7f 00", "unexpected EOF"},
		{"second record broken", "0a 01 61 1a 04 08 00 1a 00 1a 04 08 01 1a 00", "user record 1"},
	} {
		_, err := collect(seal(unhex(t, c.body)))
		if err == nil || errors.Is(err, ErrPlain) || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		}
	}
}

func TestUnknownFieldsAreSkipped(t *testing.T) {
	body := marshal([]Record{{PartitionKey: "a", Data: []byte("x")}})
	body = protowire.AppendFixed64(protowire.AppendTag(body, 9, protowire.Fixed64Type), 1)
	if got, err := collect(seal(body)); err != nil || len(got) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
}

func FuzzRecords(f *testing.F) {
	f.Add(marshal([]Record{{PartitionKey: "a", ExplicitHashKey: "1", Data: []byte("x"), Tags: []Tag{{"k", "v"}}}}))
	f.Add([]byte{0x1a, 0x7f})
	f.Fuzz(func(t *testing.T, body []byte) {
		collect(body) // as it is: nearly always plain
		records, err := collect(seal(body))
		if errors.Is(err, ErrPlain) {
			t.Fatal("sealed, yet plain")
		}
		if err != nil {
			return
		}
		for i := range records {
			if records[i].Data == nil {
				records[i].Data = []byte{}
			}
		}
		again, err := collect(aggregate(records...))
		if err != nil || !reflect.DeepEqual(again, records) {
			t.Fatalf("%q, written and read again: %q, %v", records, again, err)
		}
	})
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
