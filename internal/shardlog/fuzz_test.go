package shardlog

import (
	"bytes"
	"errors"
	"testing"

	"github.com/rheostream/rheo/internal/vfs"
)

// What a parser accepts is what a writer writes: built anew from its parts, it is the same bytes.

func FuzzFrame(f *testing.F) {
	for _, r := range []Record{
		{}, {PartitionKey: []byte("key"), Data: []byte("data")},
		{Encrypted: true, KeyEpoch: 3, Data: []byte("x")}, {Producer: &ProducerMark{Epoch: 1}, Encrypted: true},
	} {
		b := make([]byte, frameSize(&r))
		putFrame(b, &r, 0, 1, 2, 3)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fixFrame(b)
		fr, err := parseFrame(b)
		if err != nil {
			return
		}
		var r Record
		var marks []ProducerMark
		fr.record(&r, &marks)
		if framePayload(b[:fr.size]) != len(r.PartitionKey)+len(r.Data) || frameSize(&r) != fr.size {
			t.Fatalf("sizes differ: %+v", fr)
		}
		again := make([]byte, frameSize(&r))
		putFrame(again, &r, fr.flags, fr.ref, fr.seq, fr.arrival)
		if !bytes.Equal(again, b[:fr.size]) {
			t.Fatalf("%x is parsed as %x", b[:fr.size], again)
		}
	})
}

// fixFrame gives a frame the right checksum, or no input would pass it.
func fixFrame(b []byte) {
	if n := frameLength(b); n > 0 && n <= len(b) {
		le.PutUint32(b, checksum(b[4:n]))
	}
}

func FuzzBlock(f *testing.F) {
	b := make([]byte, blockAlign)
	r := Record{Data: []byte("data")}
	crc := putFrame(b[blockHeader:blockHeader+frameSize(&r)], &r, 0, 1, 2, 3)
	k := block{gen: 1, group: 2, length: uint32(frameSize(&r)), count: 1, digest: mix(0, crc)}
	k.put(b)
	f.Add(b)
	head := make([]byte, fileHeaderBytes)
	(&fileHeader{gen: 1, use: 2, prevUse: 1}).put(head)
	f.Add(head)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= blockHeader {
			fixed := bytes.Clone(b)
			le.PutUint32(fixed[4:], checksum(fixed[8:blockHeader]))
			if k, err := parseBlock(fixed); err == nil {
				k.check(fixed[blockHeader:min(len(fixed), blockHeader+int(k.length))])
			}
			fixed = bytes.Clone(b)
			le.PutUint32(fixed[8:], checksum(fixed[12:fileHeaderBytes]))
			parseFileHeader(fixed)
		}
		if fr, err := parseFrame(b); err == nil && fr.flags&flagControl != 0 {
			decodeCommand(fr.data)
		}
		decodeCommand(b)
		// As a journal file: no panic, and no block where none was written.
		disk := vfs.NewCrash(1)
		file, _ := disk.Create("/j")
		file.WriteAt(b, blockAlign)
		size := int64(blockAlign + alignUp(len(b)))
		file.Truncate(size)
		br := newBlockReader(file, size)
		for group := uint64(1); ; group++ {
			_, _, err := br.next(1, group)
			var bad *badBlock
			if errors.As(err, &bad) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		br.later(blockAlign, 0, 0)
	})
}

func FuzzIndex(f *testing.F) {
	f.Add(encodeIndex(1000, 5, []indexEntry{{1, 2, 0}, {3, 4, 500}}))
	c := checkpoint{number: 1, replayFrom: 2, nextRef: 3, shards: []shardState{{ref: 1, id: "a", sealed: true}}}
	f.Add(c.encode())
	f.Add((&ring{map[int]int64{0: 1 << 20, 7: 1 << 30}, true}).encode())
	i := identity{ref: 3, retention: 1 << 40, id: "a shard"}
	f.Add(i.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 12 {
			return
		}
		le.PutUint32(b[8:], checksum(b[12:]))
		if size, last, entries, err := decodeIndex(b); err == nil {
			if again := encodeIndex(size, last, entries); len(again) != len(b) {
				t.Fatalf("%x is parsed as %x", b, again)
			}
			placeOf(entries, last)
			placeAt(entries, 7)
		}
		if i, err := decodeIdentity(b); err == nil && !bytes.Equal(i.encode(), b) {
			t.Fatalf("%x is parsed as %+v", b, i)
		}
		if r, err := decodeRing(b); err == nil {
			if again, err := decodeRing(r.encode()); err != nil || len(again.files) != len(r.files) {
				t.Fatalf("%v is written as %v, %v", r, again, err)
			}
		}
		if c, err := decodeCheckpoint(b); err == nil {
			again, err := decodeCheckpoint(c.encode())
			if err != nil || len(again.shards) != len(c.shards) {
				t.Fatalf("%+v is written as %+v, %v", c, again, err)
			}
		}
	})
}

func FuzzSegment(f *testing.F) {
	var b []byte
	for i := range 3 {
		r := Record{Data: []byte("data"), PartitionKey: []byte("k")}
		fr := make([]byte, frameSize(&r))
		putFrame(fr, &r, 0, 1, uint64(i+1), 5)
		b = append(b, fr...)
	}
	f.Add(b)
	f.Add(b[:len(b)-3])
	f.Fuzz(func(t *testing.T, b []byte) {
		disk := vfs.NewCrash(1)
		file, _ := disk.Create("/s")
		file.WriteAt(b, 0)
		var got []byte
		seen := uint64(0)
		err := scanFrames(file, 1, 0, int64(len(b)), 0, func(fr frame, raw []byte) error {
			if fr.seq <= seen || fr.ref != 1 {
				t.Fatalf("offset %d of shard %d after %d", fr.seq, fr.ref, seen)
			}
			seen = fr.seq
			got = append(got, raw...)
			return nil
		})
		if !bytes.HasPrefix(b, got) || err == nil && len(got) != len(b) {
			t.Fatalf("read %d of %d bytes, %v", len(got), len(b), err)
		}
	})
}
