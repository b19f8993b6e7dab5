package logs

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

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

// snapshotLoop writes a snapshot when enough was logged since the last one, or
// anything and long enough ago. It does not hold up commands.
func (m *machine) snapshotLoop(ctx context.Context) {
	interval := time.NewTicker(m.snapshotInterval)
	defer interval.Stop()
	for {
		least := max(1, m.snapshotEvery)
		if m.snapshotEvery == 0 {
			least = max(4<<20, m.snapshotBytes)
		}
		select {
		case <-ctx.Done():
			return
		case <-interval.C:
			least = 1
		case <-m.progress:
		}
		if m.logged.Load()-m.covered < least {
			continue
		}
		if err := m.snapshot(ctx); err != nil && ctx.Err() == nil {
			m.logger.Error("cannot write a snapshot of the log groups", "err", err)
		}
	}
}

// snapshot writes one, forgets all but the newest two that are good, and then
// the commands that the older of the two covers. A crash before the last step
// leaves commands or a snapshot more than is needed.
func (m *machine) snapshot(ctx context.Context) error {
	// If this fails, it is not tried again before as much more was logged.
	m.covered = m.logged.Load()
	view := m.view() // reaches at least as far
	if err := m.putSnapshot(ctx, view); err != nil {
		return err
	}
	have, err := m.snapshots(ctx)
	if err != nil {
		return err
	}
	good := slices.DeleteFunc(slices.Clone(have), func(s snapshotBlob) bool { return m.bad[s.name] })
	if len(good) < 2 {
		return nil
	}
	keep := good[len(good)-2:]
	for _, s := range have {
		if !slices.Contains(keep, s) {
			if err := m.blobs.Delete(ctx, s.name); err != nil {
				return err
			}
		}
	}
	return m.log.Trim(ctx, m.shard, nextOffset(keep[0].offset))
}

// putSnapshot streams a view into its blob: it is never in memory twice.
func (m *machine) putSnapshot(ctx context.Context, view *state) error {
	r, w := io.Pipe()
	written := make(chan struct{})
	count := &counter{}
	go func() {
		defer close(written)
		w.CloseWithError(writeSnapshot(io.MultiWriter(w, count), view, m.sealer))
	}()
	err := m.blobs.Put(ctx, snapshotName(view.offset), r)
	r.CloseWithError(errors.New("the blob was not taken")) // ends the writer, if it has not ended
	<-written
	if err == nil {
		m.snapshotBytes = count.n
		delete(m.bad, snapshotName(view.offset)) // replaced, if it was
	}
	return err
}

type counter struct{ n int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return len(b), nil
}

func snapshotName(offset uint64) string { return fmt.Sprintf("%s%020d", snapshotPrefix, offset) }

type snapshotBlob struct {
	name   string
	offset uint64
	size   int64
}

// snapshots lists them, oldest first.
func (m *machine) snapshots(ctx context.Context) ([]snapshotBlob, error) {
	infos, err := m.blobs.List(ctx, snapshotPrefix, "", 1000)
	if err != nil {
		return nil, err
	}
	var out []snapshotBlob
	for _, i := range infos {
		if off, err := strconv.ParseUint(strings.TrimPrefix(i.Name, snapshotPrefix), 10, 64); err == nil {
			out = append(out, snapshotBlob{i.Name, off, i.Size})
		}
	}
	return out, nil
}

// loadSnapshot reads the newest snapshot that can be read, and otherwise the one
// before it: the log still has all that is behind that. It returns the empty
// state if there is none, how far the newest reaches whether it could be read or
// not, and what was wrong with those passed over.
func (m *machine) loadSnapshot(ctx context.Context) (st *state, newest uint64, wrong error, err error) {
	have, err := m.snapshots(ctx)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("logs: cannot list snapshots: %w", err)
	}
	for _, s := range slices.Backward(have) {
		newest = max(newest, s.offset)
		r, _, err := m.blobs.Get(ctx, s.name, 0, -1)
		if err == nil {
			st, err = readSnapshot(r, m.sealer)
			r.Close()
		}
		if err == nil {
			m.snapshotBytes = s.size
			return st, newest, wrong, nil
		}
		err = fmt.Errorf("%s: %w", s.name, err)
		if errors.Is(err, errNewer) || ctx.Err() != nil {
			return nil, 0, nil, fmt.Errorf("logs: cannot use snapshot %w", err)
		}
		m.logger.Error("cannot use a snapshot of the log groups; the one before it and the log have to do", "err", err)
		m.bad[s.name] = true
		wrong = errors.Join(wrong, err)
	}
	return newState(), newest, wrong, nil
}
