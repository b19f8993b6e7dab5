package logs

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"maps"
	"slices"

	"github.com/rheostream/rheo/internal/keys"
)

// A snapshot is the state in a blob that is named by its offset:
//
//	snapshot  "RHEOLOGS" | version u8 = 1 | offset u64 | frames | 0 u32 | crc32c u32 of all before it
//	frame     length u32 | key epoch u32 | body, sealed
//	body      pieces: 1 | version uvarint | definition as JSON | number uvarint x (filter | offset uvarint | progress)   a group
//	                  2 | name | number uvarint | created varint    a stream of the group before it
//
// Two snapshots are kept, and the log is trimmed to the older one after the newer
// is durable. The index of a group's log is written in the same form (index_blob.go).
const (
	snapshotMagic   = "RHEOLOGS"
	snapshotVersion = 1
	snapshotPrefix  = "logs/snapshot-"
)

const (
	pieceGroup = 1 + iota
	pieceStream
)

// writeSnapshot writes a view.
func writeSnapshot(w io.Writer, s *state, sealer keys.Sealer) error {
	fw := newFrameWriter(w, snapshotMagic, snapshotVersion, s.offset, sealer, sealSnapshot)
	s.groups.Scan(func(_ string, g *group) bool {
		doc, err := json.Marshal(g.doc)
		if err != nil {
			fw.err = err
			return false
		}
		fw.body = binary.AppendUvarint(append(fw.body, pieceGroup), g.version)
		fw.body = appendText(fw.body, string(doc))
		fw.body = binary.AppendUvarint(fw.body, uint64(len(g.cursors)))
		for _, id := range slices.Sorted(maps.Keys(g.cursors)) {
			c := g.cursors[id]
			fw.body = c.done.append(binary.AppendUvarint(appendText(fw.body, id), c.offset))
		}
		g.streams.Scan(func(name string, sm stream) bool {
			fw.body = appendText(append(fw.body, pieceStream), name)
			fw.body = binary.AppendVarint(binary.AppendUvarint(fw.body, sm.number), sm.created)
			return fw.frame(frameBytes)
		})
		return fw.frame(frameBytes)
	})
	return fw.end()
}

// readSnapshot reads a state.
func readSnapshot(r io.Reader, sealer keys.Sealer) (*state, error) {
	s := newState()
	var at *group // of the streams that come
	offset, err := readFrames(r, snapshotMagic, snapshotVersion, sealer, sealSnapshot, func(body []byte) error {
		return s.restore(body, &at)
	})
	s.offset = offset
	return s, err
}

// restore puts the pieces of one frame in their places.
func (s *state) restore(body []byte, at **group) error {
	r := reader{rest: body}
	for len(r.rest) > 0 {
		switch r.byte() {
		case pieceGroup:
			st := step{kind: putGroup}
			version := r.uvarint()
			if json.Unmarshal(r.bytes(), &st.doc) != nil {
				return errDamaged
			}
			st.group = st.doc.key()
			s.putGroup(version, &st)
			s.dirty[st.group] = true
			g, _ := s.groups.Get(st.group)
			g.cursors = make(map[string]reached)
			for range r.count() {
				id := r.text()
				g.cursors[id] = reached{r.uvarint(), r.progress()}
			}
			*at = g
		case pieceStream:
			name := r.text()
			sm := stream{r.uvarint(), r.varint()}
			if r.failed || *at == nil || sm.number == 0 {
				return errDamaged
			}
			s.putStream(*at, name, sm)
		default:
			return errDamaged
		}
		if r.failed {
			return errDamaged
		}
	}
	return nil
}
