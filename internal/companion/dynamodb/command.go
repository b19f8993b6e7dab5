package dynamodb

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rheostream/rheo/internal/keys"
	"github.com/rheostream/rheo/internal/statelog"
)

// A txn is what one command does, whole or not at all.
//
//	command   version u8 = 1 | id 16 bytes | key epoch u32 | body, sealed
//	body      count uvarint | count x (kind u8 | fields of the kind)
//	texts     len uvarint | bytes
//
//	putTable     table | version uvarint | definition as JSON
//	dropTable    table | version
//	putItem      table | id | key | version | stored item
//	deleteItem   table | id | key | version
//	checkItem    table | id | key | version
//	remember     token | hash of the request
//
// A version is that which the table or the item must have, the offset of the
// command that wrote it; 0 says that there must be none.
type txn []step

type stepKind uint8

const (
	putTable stepKind = 1 + iota
	dropTable
	putItem
	deleteItem
	checkItem // only that the item's version holds
	remember  // that the request with this token was done
)

// A step is one change, with what must hold for it.
type step struct {
	kind    stepKind
	table   string // account/region/name
	id      string // of the table, so that another one of its name is not meant
	key     string // of the item; or the token
	version uint64 // that must hold
	doc     tableDoc
	stored  string // the item, or the hash

	// costs is how much memory the step will take, or free if it is negative;
	// not part of the command.
	costs int64
}

// makesRoom says that a txn is of deletes, which are taken when nothing else is,
// for they may be what makes room. A token counts among them beside what really
// deletes something, so that tokens alone cannot take what room there is.
func (t txn) makesRoom() bool {
	deletes, remembers := false, false
	for i := range t {
		switch t[i].kind {
		case deleteItem, dropTable:
			deletes = true
		case remember:
			remembers = true
		case checkItem:
		default:
			return false
		}
	}
	return deletes || !remembers
}

// account is whose tables a txn changes; no txn changes those of two.
func (t txn) account() string {
	if t[0].kind == remember {
		return accountOf(t[0].key)
	}
	return accountOf(t[0].table)
}

const commandVersion = 1

// commandBytesMax leaves room for sealing below the log's 10 MiB.
const commandBytesMax = 10<<20 - 4<<10

var errTooLarge = errors.New("a command of more than 10 MiB")

func (t txn) encode(id [16]byte, sealer keys.Sealer) ([]byte, error) {
	body := binary.AppendUvarint(nil, uint64(len(t)))
	for _, s := range t {
		body = append(body, byte(s.kind))
		if s.kind != remember {
			body = appendText(body, s.table)
		}
		switch s.kind {
		case putTable:
			doc, err := json.Marshal(s.doc)
			if err != nil {
				return nil, err
			}
			body = appendText(binary.AppendUvarint(body, s.version), string(doc))
		case dropTable:
			body = binary.AppendUvarint(body, s.version)
		case remember:
			body = appendText(appendText(body, s.key), s.stored)
		default:
			body = appendText(appendText(body, s.id), s.key)
			body = binary.AppendUvarint(body, s.version)
			if s.kind == putItem {
				body = appendText(body, s.stored)
			}
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
	b = binary.LittleEndian.AppendUint32(b, epoch)
	return append(b, sealed...), nil
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

var errDamaged = errors.New("damaged: its bytes are not those that were written")

// parseCommand reads a command. What it returns does not alias b.
func parseCommand(b []byte, sealer keys.Sealer) (id [16]byte, t txn, err error) {
	if len(b) < 21 {
		return id, nil, fmt.Errorf("a command of %d bytes", len(b))
	}
	if b[0] != commandVersion {
		return id, nil, fmt.Errorf("version %d: %w", b[0], statelog.ErrNewer)
	}
	copy(id[:], b[1:17])
	body, err := sealer.Open(sealCommand, b[21:], binary.LittleEndian.Uint32(b[17:]))
	if err != nil {
		return id, nil, fmt.Errorf("cannot open what was sealed: %w", err)
	}
	r := textReader{rest: string(body)}
	for range r.count() {
		t = append(t, r.step())
		if r.failed {
			break
		}
	}
	if r.failed || r.rest != "" {
		return id, nil, errDamaged
	}
	return id, t, nil
}

func (r *textReader) step() step {
	s := step{kind: stepKind(r.byte())}
	if s.kind != remember {
		s.table = r.text()
	}
	switch s.kind {
	case putTable:
		s.version = r.uvarint()
		if json.Unmarshal([]byte(r.text()), &s.doc) != nil {
			r.fail()
		}
	case dropTable:
		s.version = r.uvarint()
	case putItem, deleteItem, checkItem:
		s.id, s.key = r.text(), r.text()
		s.version = r.uvarint()
		if s.kind == putItem {
			s.stored = r.text()
		}
	case remember:
		s.key, s.stored = r.text(), r.text()
	default:
		r.fail()
	}
	return s
}

// A textReader takes what was written as uvarints and texts apart. Once it has
// failed it returns zeros.
type textReader struct {
	rest   string
	failed bool
}

func (r *textReader) fail() { r.rest, r.failed = "", true }

func (r *textReader) byte() byte {
	if r.rest == "" {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *textReader) uvarint() uint64 {
	var x uint64
	for shift := 0; shift < 64; shift += 7 {
		b := r.byte()
		x |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return x
		}
	}
	r.fail()
	return 0
}

// count reads a number of things, none of which is less than a byte.
func (r *textReader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *textReader) text() string {
	n := r.count()
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}
