package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/rheostream/rheo/internal/statelog"
)

const (
	snapshotMagic   = "RHEOCAT"
	snapshotVersion = 1

	snapshotHead = len(snapshotMagic) + 1 + 8 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *State) encode() []byte {
	size := snapshotHead + 4
	s.docs.Scan(func(key string, d Doc) bool {
		size += 4 + len(key) + 8 + 4 + len(d.Doc)
		return true
	})
	b := append(make([]byte, 0, size), snapshotMagic...)
	b = append(b, snapshotVersion)
	b = binary.LittleEndian.AppendUint64(b, s.offset)
	b = binary.LittleEndian.AppendUint32(b, uint32(s.docs.Len()))
	s.docs.Scan(func(key string, d Doc) bool {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(key)))
		b = append(b, key...)
		b = binary.LittleEndian.AppendUint64(b, d.Version)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(d.Doc)))
		b = append(b, d.Doc...)
		return true
	})
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

var errDamaged = errors.New("damaged: its bytes are not those that were written")

// decodeState reads a snapshot. The documents alias b: one piece of memory for
// all, that goes when the last of them has been replaced.
func decodeState(b []byte) (*State, error) {
	if len(b) < snapshotHead+4 || string(b[:len(snapshotMagic)]) != snapshotMagic {
		return nil, errDamaged
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, errDamaged
	}
	if v := b[len(snapshotMagic)]; v != snapshotVersion {
		return nil, fmt.Errorf("version %d: %w", v, statelog.ErrNewer)
	}
	s := newState()
	s.offset = binary.LittleEndian.Uint64(b[len(snapshotMagic)+1:])
	count := binary.LittleEndian.Uint32(b[snapshotHead-4:])
	rest := body[snapshotHead:]
	take := func(n uint32) []byte {
		if uint64(n) > uint64(len(rest)) {
			return nil
		}
		out := rest[:n:n]
		rest = rest[n:]
		return out
	}
	u32 := func() uint32 {
		if p := take(4); p != nil {
			return binary.LittleEndian.Uint32(p)
		}
		return 1<<32 - 1 // longer than anything left: the next take fails
	}
	last := ""
	for i := range count {
		key := string(take(u32()))
		ver := take(8)
		doc := take(u32())
		if ver == nil || doc == nil || i > 0 && key <= last {
			return nil, errDamaged
		}
		s.docs.Load(key, Doc{binary.LittleEndian.Uint64(ver), doc}) // as Set, for keys in order
		last = key
	}
	if len(rest) != 0 {
		return nil, errDamaged
	}
	return s, nil
}

// current is the state as it is to be written.
func (c *Catalog) current() (offset uint64, write func(io.Writer) error) {
	st := c.now()
	return st.offset, func(w io.Writer) error {
		_, err := w.Write(st.encode())
		return err
	}
}

func readState(r io.Reader, size int64) (*State, error) {
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, err
	}
	return decodeState(data)
}
