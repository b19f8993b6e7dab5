package shardlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The record frame, version 1. The picture is in doc.go.
const (
	frameVersion  = 1
	frameFixed    = 36 // bytes before nonce, mark, key and data
	frameNonce    = 12
	frameMark     = 28
	keyBytesMax   = 2 << 10        // 1 KiB and room for sealing
	dataBytesMax  = 10<<20 + 1<<10 // 10 MiB and room for sealing
	frameBytesMax = frameFixed + frameNonce + frameMark + keyBytesMax + dataBytesMax
	flagEncrypted = 1 << 0
	flagEnd       = 1 << 1 // the END marker of a sealed shard; no key, no data
	flagProducer  = 1 << 2
	flagControl   = 1 << 3 // one of the log's own records: see control.go
	flagHole      = 1 << 4 // lost records, in segments only: see hole.go
	flagsKnown    = flagEncrypted | flagEnd | flagProducer | flagControl | flagHole
	offLength     = 4
	offVersion    = 8
	offFlags      = 9
	offKeyLen     = 10
	offRef        = 12
	offSeq        = 16
	offArrival    = 24
	offEpoch      = 32
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	le         = binary.LittleEndian

	errFrameShort = errors.New("frame is cut short")
	errFrame      = errors.New("not a frame")
)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// frame is a parsed frame; its slices alias the bytes it was parsed from.
type frame struct {
	size    int
	flags   byte
	ref     uint32
	seq     uint64
	arrival int64
	epoch   uint32
	nonce   []byte
	mark    []byte
	key     []byte
	data    []byte
}

// frameSize is the number of bytes of r's frame.
func frameSize(r *Record) int {
	n := frameFixed + len(r.PartitionKey) + len(r.Data)
	if r.Encrypted {
		n += frameNonce
	}
	if r.Producer != nil {
		n += frameMark
	}
	return n
}

// putFrame builds r's frame in b, which is exactly as long as frameSize says,
// and returns its checksum.
func putFrame(b []byte, r *Record, flags byte, ref uint32, seq uint64, arrival int64) uint32 {
	n := frameFixed
	if r.Encrypted {
		flags |= flagEncrypted
		n += copy(b[n:], r.Nonce[:])
	}
	if r.Producer != nil {
		flags |= flagProducer
		n += copy(b[n:], r.Producer.ID[:])
		le.PutUint64(b[n:], r.Producer.Epoch)
		le.PutUint32(b[n+8:], r.Producer.Index)
		n += 12
	}
	n += copy(b[n:], r.PartitionKey)
	copy(b[n:], r.Data)
	le.PutUint32(b[offLength:], uint32(len(b)))
	b[offVersion] = frameVersion
	b[offFlags] = flags
	le.PutUint16(b[offKeyLen:], uint16(len(r.PartitionKey)))
	le.PutUint32(b[offRef:], ref)
	le.PutUint64(b[offSeq:], seq)
	le.PutUint64(b[offArrival:], uint64(arrival))
	le.PutUint32(b[offEpoch:], r.KeyEpoch)
	crc := checksum(b[4:])
	le.PutUint32(b, crc)
	return crc
}

// frameLength reads the length of the frame that starts b, without trusting
// it: it is 0 when b is too short to tell or the length is impossible.
func frameLength(b []byte) int {
	if len(b) < frameFixed {
		return 0
	}
	n := le.Uint32(b[offLength:])
	if n < frameFixed || n > frameBytesMax {
		return 0
	}
	return int(n)
}

// parseFrame checks and parses the frame at the start of b. errFrameShort says
// that b ends before the frame does; any other error that these bytes are no frame.
func parseFrame(b []byte) (frame, error) {
	if len(b) < frameFixed {
		return frame{}, errFrameShort
	}
	n := frameLength(b)
	if n == 0 {
		return frame{}, errFrame
	}
	if n > len(b) {
		return frame{}, errFrameShort
	}
	b = b[:n:n]
	if checksum(b[4:]) != le.Uint32(b) {
		return frame{}, fmt.Errorf("%w: checksum differs", errFrame)
	}
	return sliceFrame(b)
}

// sliceFrame takes a frame whose checksum is known to be right apart.
func sliceFrame(b []byte) (frame, error) {
	f := frame{
		size:    len(b),
		flags:   b[offFlags],
		ref:     le.Uint32(b[offRef:]),
		seq:     le.Uint64(b[offSeq:]),
		arrival: int64(le.Uint64(b[offArrival:])),
		epoch:   le.Uint32(b[offEpoch:]),
	}
	if v := b[offVersion]; v != frameVersion || f.flags&^flagsKnown != 0 {
		return frame{}, fmt.Errorf("%w: version %d, flags %#x are newer than this program", errFrame, v, f.flags)
	}
	rest := b[frameFixed:]
	take := func(n int) (part []byte) {
		if n > len(rest) {
			n = len(rest)
		}
		part, rest = rest[:n:n], rest[n:]
		return part
	}
	if f.flags&flagEncrypted != 0 {
		f.nonce = take(frameNonce)
	}
	if f.flags&flagProducer != 0 {
		f.mark = take(frameMark)
	}
	keyLen := int(le.Uint16(b[offKeyLen:]))
	f.key = take(keyLen)
	f.data = rest
	if len(f.key) != keyLen || f.flags&flagProducer != 0 && len(f.mark) != frameMark ||
		f.flags&flagEncrypted != 0 && len(f.nonce) != frameNonce {
		return frame{}, fmt.Errorf("%w: parts do not fit", errFrame)
	}
	return f, nil
}

// record fills r from the frame. A mark's memory is taken from marks.
func (f *frame) record(r *Record, marks *[]ProducerMark) {
	*r = Record{
		Offset: Offset(f.seq), Arrival: f.arrival, KeyEpoch: f.epoch,
		Encrypted: f.flags&flagEncrypted != 0, PartitionKey: f.key, Data: f.data,
	}
	copy(r.Nonce[:], f.nonce)
	if f.mark != nil {
		m := ProducerMark{Epoch: le.Uint64(f.mark[16:]), Index: le.Uint32(f.mark[24:])}
		copy(m.ID[:], f.mark)
		*marks = append(*marks, m)
		r.Producer = &(*marks)[len(*marks)-1]
	}
}

// framePayload is what a frame counts for in a Read's byte limit.
func framePayload(b []byte) int {
	n := len(b) - frameFixed
	if b[offFlags]&flagEncrypted != 0 {
		n -= frameNonce
	}
	if b[offFlags]&flagProducer != 0 {
		n -= frameMark
	}
	return n
}

// mix spreads a frame's place in its group and its checksum over 64 bits. The
// sum of all of them is a group's digest: it can be added up in any order by
// those who fill the group, so the bytes are run over once only.
func mix(place int, crc uint32) uint64 {
	x := uint64(place)<<32 | uint64(crc)
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
