package catalog

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
)

// A Txn is a conditional change of documents, applied whole or not at all.
type Txn struct {
	// Expect are versions that must hold; 0 means that there is no such document.
	Expect map[string]uint64 `json:"expect,omitempty"`
	// Write are new documents; null deletes. (Keys are applied in sorted order.)
	Write map[string]json.RawMessage `json:"write,omitempty"`
}

// State is the machine: what a prefix of the log amounts to.
type State struct {
	Offset uint64 // of the last command applied
	Docs   map[string]Doc
}

// Doc is a document and the offset of the command that wrote it.
type Doc struct {
	Version uint64
	Doc     []byte
}

func newState() *State { return &State{Docs: map[string]Doc{}} }

// Apply applies the command at offset. It depends on the state and its
// arguments alone, so that all processes come to the same state. A command at
// or below the state's offset is already part of it and changes nothing.
func (s *State) Apply(offset uint64, t Txn) ([]Change, error) {
	if offset <= s.Offset {
		return nil, nil
	}
	s.Offset = offset
	for key, want := range t.Expect {
		if s.Docs[key].Version != want {
			return nil, fmt.Errorf("%w: %s", ErrConflict, key)
		}
	}
	keys := make([]string, 0, len(t.Write))
	for key := range t.Write {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	changes := make([]Change, 0, len(keys))
	for _, key := range keys {
		doc := t.Write[key]
		if doc == nil || string(doc) == "null" {
			if _, ok := s.Docs[key]; !ok {
				continue
			}
			delete(s.Docs, key)
			changes = append(changes, Change{Key: key, Version: offset})
			continue
		}
		s.Docs[key] = Doc{offset, doc}
		changes = append(changes, Change{key, offset, doc})
	}
	return changes, nil
}

func (s *State) list(prefix string) []Change {
	var out []Change
	for k, d := range s.Docs {
		if strings.HasPrefix(k, prefix) {
			out = append(out, Change{k, d.Version, d.Doc})
		}
	}
	slices.SortFunc(out, func(a, b Change) int { return strings.Compare(a.Key, b.Key) })
	return out
}

const (
	commandVersion  = 1
	snapshotMagic   = "RHEOCAT"
	snapshotVersion = 1
)

type command struct {
	id  [16]byte
	txn Txn
}

func parseCommand(b []byte) (command, error) {
	var c command
	if len(b) < 17 {
		return c, fmt.Errorf("command of %d bytes", len(b))
	}
	if b[0] != commandVersion {
		return c, fmt.Errorf("command version %d is newer than this rheo", b[0])
	}
	copy(c.id[:], b[1:17])
	// Unmarshal copies, so nothing aliases the log's memory.
	if err := json.Unmarshal(b[17:], &c.txn); err != nil {
		return c, err
	}
	return c, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *State) encode() []byte {
	b := append([]byte(snapshotMagic), snapshotVersion)
	b = binary.LittleEndian.AppendUint64(b, s.Offset)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s.Docs)))
	for _, d := range s.list("") {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(d.Key)))
		b = append(b, d.Key...)
		b = binary.LittleEndian.AppendUint64(b, d.Version)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(d.Doc)))
		b = append(b, d.Doc...)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

var errSnapshot = errors.New("snapshot is not whole")

func decodeState(b []byte) (*State, error) {
	head := len(snapshotMagic) + 1 + 8 + 4
	if len(b) < head+4 || string(b[:len(snapshotMagic)]) != snapshotMagic {
		return nil, errSnapshot
	}
	if v := b[len(snapshotMagic)]; v != snapshotVersion {
		return nil, fmt.Errorf("snapshot version %d is not known to this rheo", v)
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, errSnapshot
	}
	s := newState()
	s.Offset = binary.LittleEndian.Uint64(b[len(snapshotMagic)+1:])
	count := binary.LittleEndian.Uint32(b[head-4:])
	rest := body[head:]
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
	for range count {
		key := take(u32())
		ver := take(8)
		doc := take(u32())
		if key == nil || ver == nil || doc == nil {
			return nil, errSnapshot
		}
		s.Docs[string(key)] = Doc{binary.LittleEndian.Uint64(ver), doc}
	}
	if len(rest) != 0 {
		return nil, errSnapshot
	}
	return s, nil
}
