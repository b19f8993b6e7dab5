package logs

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/rheostream/rheo/internal/shardlog"
)

// nameToken is the token of a list that goes on behind a name.
func nameToken(last string) *string {
	return new(base64.RawURLEncoding.EncodeToString([]byte(last)))
}

// parseNameToken reads one; no token is the empty name.
func parseNameToken(token *string) (last string, ok bool) {
	if token == nil {
		return "", true
	}
	b, err := base64.RawURLEncoding.DecodeString(*token)
	return string(b), err == nil && len(b) > 0
}

// sequenceToken is what PutLogEvents answers and nobody needs any more.
func sequenceToken(offset uint64) string { return fmt.Sprintf("4%055d", offset) }

// eventID names an event of a group, for ever: the same event has the same one
// whenever it is read or delivered, and later events have greater ones.
func eventID(p position) string {
	return fmt.Sprintf("3%017d%022d%016d", p.at, p.offset, p.place)
}

// A position is an event's place in the order of a window.
type position struct {
	at     int64 // ms
	offset uint64
	place  uint32
}

func (p position) compare(q position) int {
	switch {
	case p.at != q.at:
		return sign(p.at < q.at)
	case p.offset != q.offset:
		return sign(p.offset < q.offset)
	case p.place != q.place:
		return sign(p.place < q.place)
	}
	return 0
}

func sign(less bool) int {
	if less {
		return -1
	}
	return 1
}

// A cursor is where a reading of events goes on. It reads forward from, or
// backward to, a place in a window of the log; then come the windows after it, or
// those before.
type cursor struct {
	backward bool
	// The window is [lo, hi). Before it has been opened, there is only the end at
	// which it begins: lo forward, hi backward.
	opened bool
	lo, hi shardlog.Offset
	// inside says that some of the window has been read, up to at.
	inside bool
	at     position
	// end is where a reading that has one ends: FilterLogEvents reads what was there
	// when it began.
	end shardlog.Offset
}

const cursorVersion = 1

const (
	flagBackward = 1 << iota
	flagOpened
	flagInside
)

// encode makes a token of c. what is what is read, so that the token is not taken
// for one of something else.
//
//	token  "f/" or "b/" | base64 of: version u8 = 1 | crc32c of what u32 | flags u8 | lo | hi | end uvarint |
//	       if inside: time varint | offset | place uvarint
func (c cursor) encode(what string) string {
	b := binary.LittleEndian.AppendUint32([]byte{cursorVersion}, crc32.Checksum([]byte(what), castagnoli))
	flags, head := byte(0), "f/"
	if c.backward {
		flags, head = flagBackward, "b/"
	}
	if c.opened {
		flags |= flagOpened
	}
	if c.inside {
		flags |= flagInside
	}
	b = append(b, flags)
	for _, o := range []shardlog.Offset{c.lo, c.hi, c.end} {
		b = binary.AppendUvarint(b, uint64(o))
	}
	if c.inside {
		b = binary.AppendUvarint(binary.AppendVarint(b, c.at.at), c.at.offset)
		b = binary.AppendUvarint(b, uint64(c.at.place))
	}
	return head + base64.RawURLEncoding.EncodeToString(b)
}

func parseCursor(token, what string) (c cursor, ok bool) {
	head, text, _ := strings.Cut(token, "/")
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return c, false
	}
	r := reader{rest: b}
	if r.byte() != cursorVersion || r.uint32() != crc32.Checksum([]byte(what), castagnoli) {
		return c, false
	}
	flags := r.byte()
	c.backward, c.opened, c.inside = flags&flagBackward != 0, flags&flagOpened != 0, flags&flagInside != 0
	c.lo, c.hi, c.end = shardlog.Offset(r.uvarint()), shardlog.Offset(r.uvarint()), shardlog.Offset(r.uvarint())
	if c.inside {
		c.at = position{r.varint(), r.uvarint(), uint32(r.uvarint())}
	}
	return c, !r.failed && len(r.rest) == 0 && head == map[bool]string{false: "f", true: "b"}[c.backward]
}
