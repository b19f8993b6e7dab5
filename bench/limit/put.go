package main

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"math/bits"
	"net/http"
	"time"
)

// A frame is: crc32c u32 | length u32 | version u16 | pkLen u16 | shard u32 |
// sequence u64 | arrival ms u64 | partition key | data. The CRC covers all after itself.
const frameHeader = 32

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *server) put(w http.ResponseWriter, r *http.Request, single bool) {
	bodyP := bodies.Get().(*[]byte)
	defer bodies.Put(bodyP)
	body := sized(bodyP, int(r.ContentLength))
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return
	}
	sum := sha256.Sum256(body)
	var hexSum [64]byte
	hex.Encode(hexSum[:], sum[:])

	slabP := slabs.Get().(*[]byte)
	defer slabs.Put(slabP)
	// Base64 makes 4 of 3, and a record's JSON is about as long as a frame's header.
	slab := sized(slabP, len(body)+501*frameHeader)
	now := uint64(time.Now().UnixMilli())
	var ackBuf [500]ack
	acks := ackBuf[:0]
	used := 0
	rest := body
	for len(acks) < len(ackBuf) {
		var rec record
		var err error
		rec, rest, err = nextRecord(rest)
		if err == io.EOF {
			break
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		n, a, err := s.frame(slab[used:], rec, now)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		used += n
		acks = append(acks, a)
		if single {
			break
		}
	}
	if len(acks) == 0 {
		http.Error(w, "no records", http.StatusBadRequest)
		return
	}
	if err := s.journal.commit(slab[:used]); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if s.second != nil {
		if err := s.second.add(slab[:used]); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	out := answers.Get().(*[]byte)
	defer answers.Put(out)
	*out = appendAcks((*out)[:0], acks, single)
	s.answer(w, *out)
}

type ack struct {
	shard uint32
	seq   uint64
}

// frame decodes rec into dst and returns the length of the frame.
func (s *server) frame(dst []byte, rec record, now uint64) (int, ack, error) {
	hash := md5.Sum(rec.key)
	hi, _ := bits.Mul64(binary.BigEndian.Uint64(hash[:]), uint64(len(s.shards)))
	a := ack{uint32(hi), s.shards[hi].next.Add(1)}
	data := frameHeader + len(rec.key)
	if len(dst) < data+len(rec.data)/4*3 {
		return 0, a, errors.New("records larger than their body")
	}
	n, err := decode(dst[data:], rec.data)
	if err != nil {
		return 0, a, err
	}
	f := dst[:data+n]
	putHeader(f, a, now, rec.key)
	return len(f), a, nil
}

// putHeader completes a frame whose data is in place.
func putHeader(f []byte, a ack, now uint64, key []byte) {
	le := binary.LittleEndian
	le.PutUint32(f[4:], uint32(len(f)))
	le.PutUint16(f[8:], 1)
	le.PutUint16(f[10:], uint16(len(key)))
	le.PutUint32(f[12:], a.shard)
	le.PutUint64(f[16:], a.seq)
	le.PutUint64(f[24:], now)
	copy(f[frameHeader:], key)
	le.PutUint32(f, crc32.Checksum(f[4:], castagnoli))
}

type record struct{ key, data []byte }

var (
	nameData = []byte(`"Data":"`)
	nameKey  = []byte(`"PartitionKey":"`)
)

// nextRecord finds the next record's two strings, in the generator's order and without escapes.
func nextRecord(b []byte) (rec record, rest []byte, err error) {
	i := bytes.Index(b, nameData)
	if i < 0 {
		return rec, nil, io.EOF
	}
	b = b[i+len(nameData):]
	if i = bytes.IndexByte(b, '"'); i < 0 {
		return rec, nil, io.ErrUnexpectedEOF
	}
	rec.data, b = b[:i], b[i+1:]
	if i = bytes.Index(b, nameKey); i < 0 {
		return rec, nil, io.ErrUnexpectedEOF
	}
	b = b[i+len(nameKey):]
	if i = bytes.IndexByte(b, '"'); i < 0 {
		return rec, nil, io.ErrUnexpectedEOF
	}
	rec.key = b[:i]
	return rec, b[i+1:], nil
}

func appendAcks(b []byte, acks []ack, single bool) []byte {
	if single {
		return append(appendAck(b, acks[0]), '}')
	}
	b = append(b, `{"FailedRecordCount":0,"Records":[`...)
	for i, a := range acks {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendAck(b, a), '}')
	}
	return append(b, `]}`...)
}

// appendAck leaves the object open.
func appendAck(b []byte, a ack) []byte {
	b = append(b, `{"SequenceNumber":"`...)
	b = appendSequence(b, a)
	b = append(b, `","ShardId":"shardId-`...)
	b = appendPadded(b, uint64(a.shard), 12)
	return append(b, '"')
}

// appendSequence writes 56 digits, as many as AWS's numbers have.
func appendSequence(b []byte, a ack) []byte {
	b = append(b, "4963"...)
	b = appendPadded(b, uint64(a.shard), 20)
	return appendPadded(b, a.seq, 32)
}

func appendPadded(b []byte, n uint64, width int) []byte {
	at := len(b)
	b = append(b, "00000000000000000000000000000000"[:width]...)
	for i := len(b) - 1; i >= at && n > 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}
