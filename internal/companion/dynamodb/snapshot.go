package dynamodb

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rheostream/rheo/internal/keys"
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
		return nil, fmt.Errorf("version %d: %w", v, errNewer)
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
			s.bytes += tokenCost
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
			m.logger.Error("cannot write a snapshot of the tables", "err", err)
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
		return nil, 0, nil, fmt.Errorf("dynamodb: cannot list snapshots: %w", err)
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
			return nil, 0, nil, fmt.Errorf("dynamodb: cannot use snapshot %w", err)
		}
		m.logger.Error("cannot use a snapshot of the tables; the one before it and the log have to do", "err", err)
		m.bad[s.name] = true
		wrong = errors.Join(wrong, err)
	}
	return newState(), newest, wrong, nil
}
