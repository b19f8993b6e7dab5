package dynamodb

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"strings"

	"github.com/rheostream/rheo/internal/keys"
	"github.com/rheostream/rheo/internal/statelog"
)

// A snapshot is the state in a blob that is named by its offset:
//
//	snapshot  "RHEODDB" | version u8 = 1 | offset u64 | frames | 0 u32 | crc32c u32 of all before it
//	frame     length u32 | key epoch u32 | body, sealed
//	body      pieces: 1 | version uvarint | definition as JSON     a table
//	                  2 | version uvarint | key | stored item      an item of the table before it
//	                  3 | offset uvarint | at varint | token | hash
//
// The entries of indexes are made anew. Two snapshots are kept, and the log is
// trimmed to the older one after the newer is durable.
const (
	snapshotMagic   = "RHEODDB"
	snapshotVersion = 1
	snapshotPrefix  = "dynamodb/snapshot-"

	frameBytes    = 256 << 10
	frameBytesMax = 16 << 20 // one item and its key are far less
)

const (
	pieceTable = 1 + iota
	pieceItem
	pieceToken
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A snapshotWriter seals pieces into frames.
type snapshotWriter struct {
	w      io.Writer // counts and sums what passes
	sealer keys.Sealer
	body   []byte
	err    error
}

// writeSnapshot writes a view.
func writeSnapshot(w io.Writer, s *state, sealer keys.Sealer) error {
	sum := crc32.New(castagnoli)
	buffered := bufio.NewWriterSize(w, 64<<10)
	sw := &snapshotWriter{w: io.MultiWriter(buffered, sum), sealer: sealer}
	head := append([]byte(snapshotMagic), snapshotVersion)
	sw.write(binary.LittleEndian.AppendUint64(head, s.offset))
	s.tables.Scan(func(_ string, t *table) bool {
		doc, err := json.Marshal(t.doc)
		if err != nil {
			sw.err = err
			return false
		}
		sw.body = binary.AppendUvarint(append(sw.body, pieceTable), t.version)
		sw.body = appendText(sw.body, string(doc))
		t.items.Scan(func(key string, r row) bool {
			sw.body = binary.AppendUvarint(append(sw.body, pieceItem), r.version)
			sw.body = appendText(appendText(sw.body, key), r.stored)
			return sw.frame(frameBytes)
		})
		return sw.frame(frameBytes)
	})
	s.tokens.Scan(func(key string, tok token) bool {
		sw.body = binary.AppendUvarint(append(sw.body, pieceToken), tok.offset)
		sw.body = binary.AppendVarint(sw.body, tok.at)
		sw.body = appendText(appendText(sw.body, key), tok.hash)
		return sw.frame(frameBytes)
	})
	sw.frame(1)
	sw.write(make([]byte, 4))
	if sw.err != nil {
		return sw.err
	}
	if _, err := buffered.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32())); err != nil {
		return err
	}
	return buffered.Flush()
}

func (sw *snapshotWriter) write(b []byte) {
	if sw.err == nil {
		_, sw.err = sw.w.Write(b)
	}
}

// frame writes what there is if it is at least so much. It says false after an error.
func (sw *snapshotWriter) frame(least int) bool {
	if len(sw.body) < least || sw.err != nil {
		return sw.err == nil
	}
	sealed, epoch, err := sw.sealer.Seal(sealSnapshot, sw.body)
	if err != nil {
		sw.err = fmt.Errorf("cannot seal: %w", err)
		return false
	}
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(sealed)))
	sw.write(binary.LittleEndian.AppendUint32(head, epoch))
	sw.write(sealed)
	sw.body = sw.body[:0]
	return sw.err == nil
}

// A snapshotReader reads frames and sums what it read.
type snapshotReader struct {
	r   io.Reader
	sum hash.Hash32
}

func (sr *snapshotReader) read(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(sr.r, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errDamaged
		}
		return nil, err
	}
	sr.sum.Write(b)
	return b, nil
}

// readSnapshot reads a state.
func readSnapshot(r io.Reader, sealer keys.Sealer) (*state, error) {
	sr := &snapshotReader{bufio.NewReaderSize(r, 64<<10), crc32.New(castagnoli)}
	head, err := sr.read(len(snapshotMagic) + 9)
	if err != nil {
		return nil, err
	}
	if string(head[:len(snapshotMagic)]) != snapshotMagic {
		return nil, errDamaged
	}
	if v := head[len(snapshotMagic)]; v != snapshotVersion {
		return nil, fmt.Errorf("version %d: %w", v, statelog.ErrNewer)
	}
	s := newState()
	s.offset = binary.LittleEndian.Uint64(head[len(snapshotMagic)+1:])
	var at string // table of the items that come
	for {
		length, err := sr.read(4)
		if err != nil {
			return nil, err
		}
		n := binary.LittleEndian.Uint32(length)
		if n == 0 {
			break
		}
		if n > frameBytesMax {
			return nil, errDamaged
		}
		epoch, err := sr.read(4)
		if err != nil {
			return nil, err
		}
		sealed, err := sr.read(int(n))
		if err != nil {
			return nil, err
		}
		body, err := sealer.Open(sealSnapshot, sealed, binary.LittleEndian.Uint32(epoch))
		if err != nil {
			return nil, fmt.Errorf("cannot open what was sealed: %w", err)
		}
		if err := s.restore(string(body), &at); err != nil {
			return nil, err
		}
	}
	want := sr.sum.Sum32()
	have, err := sr.read(4)
	if err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(have) != want {
		return nil, errDamaged
	}
	return s, nil
}

// restore puts the pieces of one frame in their places.
func (s *state) restore(body string, at *string) error {
	r := textReader{rest: body}
	for r.rest != "" {
		switch r.byte() {
		case pieceTable:
			st := step{kind: putTable}
			version := r.uvarint()
			if r.failed || json.Unmarshal([]byte(r.text()), &st.doc) != nil {
				return errDamaged
			}
			st.table = st.doc.key()
			*at = st.table
			if err := s.putTable(version, &st); err != nil {
				return err
			}
		case pieceItem:
			version := r.uvarint()
			key, stored := r.text(), r.text()
			if r.failed || *at == "" || version == 0 {
				return errDamaged
			}
			if err := s.setItem(*at, key, row{version, strings.Clone(stored)}); err != nil {
				return err
			}
		case pieceToken:
			offset, zigzag := r.uvarint(), r.uvarint()
			tok := token{at: int64(zigzag>>1) ^ -int64(zigzag&1), offset: offset}
			key := strings.Clone(r.text())
			tok.hash = strings.Clone(r.text())
			s.tokens.Set(key, tok)
			s.order.Set(offset, key)
			s.charge(key, tokenCost)
		default:
			return errDamaged
		}
		if r.failed {
			return errDamaged
		}
	}
	return nil
}
