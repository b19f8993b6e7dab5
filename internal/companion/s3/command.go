package s3

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/rheostream/rheo/internal/keys"
)

// A txn is what one command does, whole or not at all.
//
//	command   version u8 = 1 | id 16 bytes | key epoch u32 | body, sealed
//	body      count uvarint | count x (kind u8 | bucket text | fields of the kind)
//	texts     len uvarint | bytes
//
//	putBucket    definition as JSON
//	dropBucket   id uvarint
//	putObject    id | key text | check u8 | version uvarint | record text | upload text | its version
//	deleteObject id | key | check | version
//	putUpload    id | key | upload | record
//	putPart      id | key | upload | number uvarint | record
//	dropUpload   id | key | upload
//
// An id is the bucket's that is meant: the offset of the command that made it. A
// version is the offset of the command that wrote an object, or changed an upload; 0
// says that there must be none.
type txn []step

type stepKind uint8

const (
	putBucket    stepKind = 1 + iota
	dropBucket            // which must have no objects; its uploads go with it
	putObject             // and end the upload that it comes of
	deleteObject          // of which there may be none
	putUpload
	putPart
	dropUpload
)

// A step is one change, with what must hold for it.
type step struct {
	kind    stepKind
	bucket  string
	id      uint64
	doc     bucketDoc
	key     string
	check   bool   // version must hold
	version uint64 // of the object
	stored  string // the record
	upload  string
	number  int
	uploadV uint64 // version of the upload that an object comes of
}

// costs is how much memory the step will take, at most.
func (s *step) costs() int64 {
	switch s.kind {
	case putBucket:
		return bucketCost
	case putObject:
		return rowCost + int64(len(s.key)+len(s.stored))
	case putUpload:
		return uploadCost + int64(len(s.key)+len(s.stored)+len(s.upload))
	case putPart:
		return rowCost + int64(len(s.stored))
	}
	return 0
}

// frees says whether the step can only make room.
func (s *step) frees() bool {
	return s.kind == dropBucket || s.kind == deleteObject || s.kind == dropUpload
}

const commandVersion = 1

// commandBytesMax leaves room for sealing below the log's 10 MiB.
const commandBytesMax = 10<<20 - 4<<10

var errCommandTooLarge = errors.New("a command of more than 10 MiB")

func (t txn) encode(id [16]byte, sealer keys.Sealer) ([]byte, error) {
	body := binary.AppendUvarint(nil, uint64(len(t)))
	for i := range t {
		var err error
		if body, err = t[i].append(body); err != nil {
			return nil, err
		}
	}
	if len(body) > commandBytesMax {
		return nil, errCommandTooLarge
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

func (s *step) append(b []byte) ([]byte, error) {
	b = appendText(append(b, byte(s.kind)), s.bucket)
	if s.kind == putBucket {
		doc, err := json.Marshal(s.doc)
		return appendText(b, string(doc)), err
	}
	b = binary.AppendUvarint(b, s.id)
	if s.kind == dropBucket {
		return b, nil
	}
	b = appendText(b, s.key)
	switch s.kind {
	case putObject:
		b = binary.AppendUvarint(append(b, bit(s.check)), s.version)
		b = appendText(appendText(b, s.stored), s.upload)
		b = binary.AppendUvarint(b, s.uploadV)
	case deleteObject:
		b = binary.AppendUvarint(append(b, bit(s.check)), s.version)
	case putUpload:
		b = appendText(appendText(b, s.upload), s.stored)
	case putPart:
		b = binary.AppendUvarint(appendText(b, s.upload), uint64(s.number))
		b = appendText(b, s.stored)
	case dropUpload:
		b = appendText(b, s.upload)
	}
	return b, nil
}

// parseCommand reads a command. What it returns does not alias b.
func parseCommand(b []byte, sealer keys.Sealer) (id [16]byte, t txn, err error) {
	if len(b) < 21 {
		return id, nil, fmt.Errorf("a command of %d bytes", len(b))
	}
	if b[0] != commandVersion {
		return id, nil, fmt.Errorf("version %d: %w", b[0], errNewer)
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
	s := step{kind: stepKind(r.byte()), bucket: r.own()}
	if s.kind == putBucket {
		if json.NewDecoder(strings.NewReader(r.text())).Decode(&s.doc) != nil {
			r.fail()
		}
		return s
	}
	s.id = r.uvarint()
	if s.kind == dropBucket {
		return s
	}
	s.key = r.own()
	switch s.kind {
	case putObject:
		s.check, s.version = r.byte() != 0, r.uvarint()
		s.stored, s.upload = r.own(), r.own()
		s.uploadV = r.uvarint()
	case deleteObject:
		s.check, s.version = r.byte() != 0, r.uvarint()
	case putUpload:
		s.upload, s.stored = r.own(), r.own()
	case putPart:
		s.upload, s.number = r.own(), int(r.uvarint())
		s.stored = r.own()
	case dropUpload:
		s.upload = r.own()
	default:
		r.fail()
	}
	return s
}
