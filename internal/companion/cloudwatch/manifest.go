package cloudwatch

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/keys"
	"github.com/rheostream/rheo/internal/statelog"
)

// A manifest is what there is in blobs: the series, and the segments of each tier
// and partition. It is a blob itself, named by its generation, and what makes new
// segments valid and old ones void: a crash before it is durable leaves segments
// that nobody lists. Two are kept, with all that they list, and the log is trimmed
// to what the older one covers after the newer is durable.
//
//	manifest  "RHEOCWM" | version u8 = 1 | key epoch u32 | body, sealed | crc32c u32 of all before it
//	body      offset uvarint | next series uvarint | floors, 4 x varint
//	          | number uvarint | number x series | number uvarint | number x segment
//	series    id uvarint | key text | last put varint
//	segment   tier u8 | partition varint | name text | number of chunks uvarint | number x chunk
//	chunk     first series uvarint | last series uvarint | length uvarint
//
// A manifest is never changed once readers can see it.
type manifest struct {
	generation uint64
	offset     uint64 // up to which the log is in the segments
	segments   []*segment
}

const (
	manifestMagic   = "RHEOCWM"
	manifestVersion = 1
	manifestPrefix  = "cloudwatch/manifest-"
	segmentPrefix   = "cloudwatch/segment-"

	manifestBytesMax = 1 << 30
)

func manifestName(generation uint64) string {
	return fmt.Sprintf("%s%020d", manifestPrefix, generation)
}

// segmentName is unique for all time: no generation is used twice.
func segmentName(generation uint64, n int) string {
	return fmt.Sprintf("%s%020d-%d", segmentPrefix, generation, n)
}

// encodeManifest writes a manifest with the series that the store has.
func encodeManifest(m *manifest, s *store, sealer keys.Sealer) ([]byte, error) {
	body := s.appendSeries(binary.AppendUvarint(nil, m.offset))
	body = binary.AppendUvarint(body, uint64(len(m.segments)))
	for _, sg := range m.segments {
		body = binary.AppendVarint(append(body, byte(sg.tier)), sg.start)
		body = appendText(body, sg.name)
		body = binary.AppendUvarint(body, uint64(len(sg.chunks)))
		for _, c := range sg.chunks {
			body = binary.AppendUvarint(body, uint64(c.first))
			body = binary.AppendUvarint(body, uint64(c.last))
			body = binary.AppendUvarint(body, uint64(c.bytes))
		}
	}
	sealed, epoch, err := sealer.Seal(sealManifest, body)
	if err != nil {
		return nil, fmt.Errorf("cannot seal: %w", err)
	}
	b := append([]byte(manifestMagic), manifestVersion)
	b = append(binary.LittleEndian.AppendUint32(b, epoch), sealed...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

func (s *store) appendSeries(body []byte) []byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	body = binary.AppendUvarint(body, uint64(s.nextID))
	for _, f := range s.floors {
		body = binary.AppendVarint(body, f)
	}
	body = binary.AppendUvarint(body, uint64(s.series.Len()))
	s.series.Scan(func(key string, sr *series) bool {
		body = appendText(binary.AppendUvarint(body, uint64(sr.id)), key)
		body = binary.AppendVarint(body, sr.written)
		return true
	})
	return body
}

// parseManifest reads a manifest, and puts its series into a store, which is new.
func parseManifest(b []byte, generation uint64, sealer keys.Sealer) (*manifest, *store, error) {
	const head = len(manifestMagic) + 5
	if len(b) < head+4 || string(b[:len(manifestMagic)]) != manifestMagic {
		return nil, nil, errDamaged
	}
	if v := b[len(manifestMagic)]; v != manifestVersion {
		return nil, nil, fmt.Errorf("version %d: %w", v, statelog.ErrNewer)
	}
	end := len(b) - 4
	if binary.LittleEndian.Uint32(b[end:]) != crc32.Checksum(b[:end], castagnoli) {
		return nil, nil, errDamaged
	}
	body, err := sealer.Open(sealManifest, b[head:end], binary.LittleEndian.Uint32(b[head-4:]))
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open what was sealed: %w", err)
	}
	r := reader{rest: body}
	m, s := &manifest{generation: generation, offset: r.uvarint()}, newStore()
	nextID := uint32(r.uvarint())
	for i := range s.floors {
		s.floors[i] = r.varint()
	}
	for range r.count() {
		id, key, written := uint32(r.uvarint()), r.text(), r.varint()
		if r.failed || id == 0 || id >= nextID {
			return nil, nil, errDamaged
		}
		s.addSeries(id, key).written = written
	}
	for range r.count() {
		sg := &segment{tier: int(r.byte()), start: r.varint(), name: r.text()}
		at := int64(segmentHead)
		for range r.count() {
			c := chunk{first: uint32(r.uvarint()), last: uint32(r.uvarint()), at: at, bytes: int64(r.uvarint())}
			if r.failed || c.bytes < 0 || c.bytes > chunkBytesMax {
				return nil, nil, errDamaged
			}
			at += c.bytes
			sg.chunks = append(sg.chunks, c)
		}
		if r.failed || sg.tier >= len(tiers) {
			return nil, nil, errDamaged
		}
		m.segments = append(m.segments, sg)
	}
	if r.failed || len(r.rest) > 0 {
		return nil, nil, errDamaged
	}
	s.nextID, s.offset, s.manifest = nextID, m.offset, m
	return m, s, nil
}

// generations lists the manifests there are, oldest first.
func generations(ctx context.Context, blobs blob.Store) ([]uint64, error) {
	infos, err := blobs.List(ctx, manifestPrefix, "", 1000)
	if err != nil {
		return nil, err
	}
	var out []uint64
	for _, i := range infos {
		if g, err := strconv.ParseUint(strings.TrimPrefix(i.Name, manifestPrefix), 10, 64); err == nil {
			out = append(out, g)
		}
	}
	return out, nil
}

func loadManifest(ctx context.Context, blobs blob.Store, generation uint64, sealer keys.Sealer) (*manifest, *store, error) {
	r, _, err := blobs.Get(ctx, manifestName(generation), 0, -1)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, manifestBytesMax))
	if err != nil {
		return nil, nil, err
	}
	return parseManifest(b, generation, sealer)
}
