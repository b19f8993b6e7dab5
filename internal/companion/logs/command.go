package logs

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/rheostream/rheo/internal/keys"
)

// A step is what one command does, with what must hold for it.
//
//	command     version u8 = 1 | id 16 bytes | key epoch u32 | body, sealed
//	body        kind u8 | fields of the kind
//	texts       len uvarint | bytes
//
//	putGroup    group | version uvarint | definition as JSON
//	dropGroup   group | version
//	putStream   group | id of the group | name
//	dropStream  group | id of the group | name | number uvarint
//	moveCursor  group | id of the group | id of the filter | offset uvarint |
//	            number uvarint x (stream uvarint | offset uvarint | place uvarint), what is done behind the offset
//
// The version is that which the group must have, the offset of the command that
// wrote it; 0 says that there must be none. A stream's number is the offset of
// the command that made it, so it is never another stream's.
type step struct {
	kind    stepKind
	group   string // account/region/name
	id      string // of the group, so that another one of its name is not meant
	version uint64
	doc     groupDoc
	name    string // of the stream; of moveCursor the filter's id
	number  uint64 // of the stream; of moveCursor the offset
	done    progress
}

type stepKind uint8

const (
	putGroup stepKind = 1 + iota
	dropGroup
	putStream
	dropStream
	moveCursor
)

const commandVersion = 1

// commandBytesMax leaves room for sealing below the log's 10 MiB. The largest
// command is a group with fifty tags and two filters, which is far less.
const commandBytesMax = 1 << 20

var errTooLarge = errors.New("a command of more than 1 MiB")

func (st *step) encode(id [16]byte, sealer keys.Sealer) ([]byte, error) {
	body := appendText([]byte{byte(st.kind)}, st.group)
	switch st.kind {
	case putGroup:
		doc, err := json.Marshal(st.doc)
		if err != nil {
			return nil, err
		}
		body = appendText(binary.AppendUvarint(body, st.version), string(doc))
	case dropGroup:
		body = binary.AppendUvarint(body, st.version)
	case putStream:
		body = appendText(appendText(body, st.id), st.name)
	case dropStream, moveCursor:
		body = appendText(appendText(body, st.id), st.name)
		body = binary.AppendUvarint(body, st.number)
		if st.kind == moveCursor {
			body = st.done.append(body)
		}
	}
	if len(body) > commandBytesMax {
		return nil, errTooLarge
	}
	sealed, epoch, err := sealer.Seal(sealCommand, body)
	if err != nil {
		return nil, fmt.Errorf("cannot seal: %w", err)
	}
	b := make([]byte, 0, 21+len(sealed))
	b = append(append(b, commandVersion), id[:]...)
	return append(binary.LittleEndian.AppendUint32(b, epoch), sealed...), nil
}

// parseCommand reads a command. What it returns does not alias b.
func parseCommand(b []byte, sealer keys.Sealer) (id [16]byte, st step, err error) {
	if len(b) < 21 {
		return id, st, fmt.Errorf("a command of %d bytes", len(b))
	}
	if b[0] != commandVersion {
		return id, st, fmt.Errorf("version %d: %w", b[0], errNewer)
	}
	copy(id[:], b[1:17])
	body, err := sealer.Open(sealCommand, b[21:], binary.LittleEndian.Uint32(b[17:]))
	if err != nil {
		return id, st, fmt.Errorf("cannot open what was sealed: %w", err)
	}
	r := reader{rest: body}
	st = step{kind: stepKind(r.byte()), group: r.text()}
	switch st.kind {
	case putGroup:
		st.version = r.uvarint()
		if json.Unmarshal(r.bytes(), &st.doc) != nil {
			r.fail()
		}
	case dropGroup:
		st.version = r.uvarint()
	case putStream:
		st.id, st.name = r.text(), r.text()
	case dropStream, moveCursor:
		st.id, st.name = r.text(), r.text()
		st.number = r.uvarint()
		if st.kind == moveCursor {
			st.done = r.progress()
		}
	default:
		return id, st, fmt.Errorf("a command of kind %d: %w", st.kind, errDamaged)
	}
	if r.failed || len(r.rest) > 0 {
		return id, st, errDamaged
	}
	return id, st, nil
}

// progress is how far each stream of a batch has been delivered that could be in part
// only.
type progress map[uint64]position

func (p progress) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(p)))
	for _, stream := range slices.Sorted(maps.Keys(p)) {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, stream), p[stream].offset)
		dst = binary.AppendUvarint(dst, uint64(p[stream].place))
	}
	return dst
}

func (r *reader) progress() progress {
	n := r.count()
	if n == 0 {
		return nil
	}
	p := make(progress, n)
	for range n {
		stream := r.uvarint()
		p[stream] = position{offset: r.uvarint(), place: uint32(r.uvarint())}
	}
	return p
}
