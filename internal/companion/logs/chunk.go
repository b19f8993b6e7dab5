package logs

import (
	"slices"

	"github.com/rheostream/rheo/internal/shardlog"
)

// A chunk is a stretch of a group's log that the index says something of: about
// 1 MiB, or more in a log for which there would be too many.
type chunk struct {
	first, next shardlog.Offset // of its first record, and just above its last
	bytes       int64           // of records
	least, most int64           // times of its events, ms
	arrival     int64           // of its last record, ms
	streams     streamSet
}

// chunkBytes is when a chunk is closed, until a log has chunksMax of them.
const (
	chunkBytes = 1 << 20
	chunksMax  = 16 << 10
)

// chunkCost is what a chunk takes of memory beside its streams, about.
const chunkCost = 96

func (c *chunk) add(offset shardlog.Offset, arrival int64, size int, rec *record) {
	if c.bytes == 0 {
		c.first, c.least, c.most = offset, rec.least, rec.most
	}
	c.next, c.arrival = offset+1, arrival
	c.bytes += int64(size)
	c.least, c.most = min(c.least, rec.least), max(c.most, rec.most)
	c.streams.add(rec.stream)
}

// join appends the chunk that follows.
func (c *chunk) join(d *chunk) {
	c.next, c.arrival = d.next, d.arrival
	c.bytes += d.bytes
	c.least, c.most = min(c.least, d.least), max(c.most, d.most)
	c.streams.join(&d.streams)
}

// A streamSet is which streams have records in a chunk: up to sixteen exactly, of
// more than that a filter that may take in some that have none.
type streamSet struct {
	few  []uint64 // sorted, unless there is a filter
	many *[filterWords]uint64
}

const (
	fewMax      = 16
	filterWords = 16 // 1024 bits: a quarter of them are set by 100 streams
)

// bits of a stream in a filter.
func filterBits(stream uint64) [3]uint64 {
	h := stream * 0x9e3779b97f4a7c15
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	h ^= h >> 29
	const mask = filterWords*64 - 1
	return [3]uint64{h & mask, h >> 20 & mask, h >> 40 & mask}
}

func (s *streamSet) add(stream uint64) {
	if s.many != nil {
		for _, b := range filterBits(stream) {
			s.many[b/64] |= 1 << (b % 64)
		}
		return
	}
	i, found := slices.BinarySearch(s.few, stream)
	switch {
	case found:
	case len(s.few) < fewMax:
		s.few = slices.Insert(s.few, i, stream)
	default:
		few := s.few
		s.few, s.many = nil, new([filterWords]uint64)
		for _, n := range append(few, stream) {
			s.add(n)
		}
	}
}

// has says whether a stream may have records in the chunk.
func (s *streamSet) has(stream uint64) bool {
	if s.many == nil {
		_, found := slices.BinarySearch(s.few, stream)
		return found
	}
	for _, b := range filterBits(stream) {
		if s.many[b/64]&(1<<(b%64)) == 0 {
			return false
		}
	}
	return true
}

func (s *streamSet) join(t *streamSet) {
	if t.many == nil {
		for _, n := range t.few {
			s.add(n)
		}
		return
	}
	if s.many == nil {
		few := s.few
		s.few, s.many = nil, new([filterWords]uint64)
		for _, n := range few {
			s.add(n)
		}
	}
	for i, w := range t.many {
		s.many[i] |= w
	}
}

// cost is the memory that the set takes.
func (s *streamSet) cost() int64 {
	if s.many != nil {
		return filterWords * 8
	}
	return int64(8 * cap(s.few))
}

// clone shares nothing with s that is changed.
func (s *streamSet) clone() streamSet {
	c := streamSet{few: slices.Clone(s.few)}
	if s.many != nil {
		many := *s.many
		c.many = &many
	}
	return c
}
