package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
)

const (
	getRecordsMax = 10_000
	getBytesMax   = 10 << 20 // of keys and data
)

// gets serves records that are there from the start. An iterator is
// "shard/offset", a place in the shard's frames.
type gets struct {
	shards []getShard
}

type getShard struct {
	frames []byte   // when served from memory
	f      *os.File // when served from a file
	size   int64
}

func newGets(dir string, shards, records, recordSize int, fromFile bool) (*gets, error) {
	g := &gets{shards: make([]getShard, shards)}
	rng := rand.NewChaCha8([32]byte{})
	for i := range g.shards {
		key := []byte(fmt.Sprintf("key-%016d", i))
		var frames []byte
		var f *os.File
		if fromFile {
			var err error
			if f, err = os.Create(filepath.Join(dir, fmt.Sprintf("records-%d", i))); err != nil {
				return nil, err
			}
		}
		frame := make([]byte, frameHeader+len(key)+recordSize)
		shard := &g.shards[i]
		for n := range records {
			rng.Read(frame[frameHeader+len(key):])
			putHeader(frame, ack{uint32(i), uint64(n)}, 1_700_000_000_000+uint64(n), key)
			frames = append(frames, frame...)
			shard.size += int64(len(frame))
			if f != nil && (len(frames) > 4<<20 || n == records-1) {
				if _, err := f.Write(frames); err != nil {
					return nil, err
				}
				frames = frames[:0]
			}
		}
		if f != nil {
			if err := f.Sync(); err != nil {
				return nil, err
			}
			shard.f = f
		} else {
			shard.frames = frames
		}
	}
	return g, nil
}

var nameIterator = []byte(`"ShardIterator":"`)

func (g *gets) serve(s *server, w http.ResponseWriter, r *http.Request) {
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return
	}
	sha256.Sum256(body)
	shard, off, err := g.iterator(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	const readMax = getBytesMax + getRecordsMax*frameHeader
	frames := shard.frames
	if shard.f != nil {
		buf := slabs.Get().(*[]byte)
		defer slabs.Put(buf)
		frames = sized(buf, readMax)
		n, err := shard.f.ReadAt(frames, off)
		if err != nil && err != io.EOF {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		frames = frames[:n]
	} else {
		frames = frames[min(off, int64(len(frames))):]
	}
	out := answers.Get().(*[]byte)
	defer answers.Put(out)
	b, read, err := appendRecords((*out)[:0], frames)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	b = append(b, `],"MillisBehindLatest":0,"NextShardIterator":"`...)
	b = fmt.Appendf(b, "%d/%d\"}", shard.index(g), off+int64(read))
	*out = b
	s.answer(w, b)
}

func (g *gets) iterator(body []byte) (*getShard, int64, error) {
	i := bytes.Index(body, nameIterator)
	if i < 0 {
		return nil, 0, fmt.Errorf("no iterator")
	}
	text := body[i+len(nameIterator):]
	if i = bytes.IndexByte(text, '"'); i < 0 {
		return nil, 0, io.ErrUnexpectedEOF
	}
	shardText, offText, _ := bytes.Cut(text[:i], []byte("/"))
	n, err := strconv.Atoi(string(shardText))
	if err != nil || n < 0 || n >= len(g.shards) {
		return nil, 0, fmt.Errorf("no shard %q", shardText)
	}
	off, err := strconv.ParseInt(string(offText), 10, 64)
	if err != nil || off < 0 {
		return nil, 0, fmt.Errorf("no offset %q", offText)
	}
	return &g.shards[n], off, nil
}

func (s *getShard) index(g *gets) int {
	for i := range g.shards {
		if s == &g.shards[i] {
			return i
		}
	}
	return -1
}

// appendRecords encodes as many whole frames as one answer may hold and returns how many bytes of frames those are.
func appendRecords(b, frames []byte) ([]byte, int, error) {
	b = append(b, `{"Records":[`...)
	le := binary.LittleEndian
	var read, payload int
	for n := 0; n < getRecordsMax && len(frames)-read >= frameHeader; n++ {
		f := frames[read:]
		length := int(le.Uint32(f[4:]))
		if length > len(f) {
			break
		}
		f = f[:length]
		if payload += length - frameHeader; payload > getBytesMax {
			break
		}
		if crc32.Checksum(f[4:], castagnoli) != le.Uint32(f) {
			return nil, 0, fmt.Errorf("damaged frame")
		}
		keyEnd := frameHeader + int(le.Uint16(f[10:]))
		if n > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"SequenceNumber":"`...)
		b = appendSequence(b, ack{le.Uint32(f[12:]), le.Uint64(f[16:])})
		b = append(b, `","ApproximateArrivalTimestamp":`...)
		ms := le.Uint64(f[24:])
		b = strconv.AppendUint(b, ms/1000, 10)
		b = append(b, '.')
		b = appendPadded(b, ms%1000, 3)
		b = append(b, `,"Data":"`...)
		b = appendEncode(b, f[keyEnd:])
		b = append(b, `","PartitionKey":"`...)
		b = append(b, f[frameHeader:keyEnd]...)
		b = append(b, `"}`...)
		read += length
	}
	return b, read, nil
}
