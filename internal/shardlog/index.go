package shardlog

import (
	"container/list"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
)

const (
	indexEvery      = 64 << 10
	indexEntryBytes = 24
	indexHeader     = 48
	indexMagic      = 0x3158444f45485252 // "RRHEODX1"
	indexVersion    = 1
	indexCacheMax   = 16 << 20 // bytes of indexes of sealed segments kept in memory
)

// indexEntry says which frame starts at a place of a segment.
type indexEntry struct {
	seq     uint64
	arrival int64
	at      int64
}

// activeIndex is the index of a segment that is still written, an entry per
// 64 KiB. After a restart the part before from is not known until somebody needs it.
type activeIndex struct {
	entries []indexEntry
	from    int64
}

func (x *activeIndex) whole() bool { return x.from == 0 }

// add indexes frames that are appended at a place.
func (x *activeIndex) add(frames []byte, at int64) {
	for off := 0; off < len(frames); {
		if k := len(x.entries); k == 0 || at+int64(off)-x.entries[k-1].at >= indexEvery {
			x.entries = append(x.entries, indexEntry{
				seq: le.Uint64(frames[off+offSeq:]), arrival: int64(le.Uint64(frames[off+offArrival:])), at: at + int64(off),
			})
		}
		off += int(le.Uint32(frames[off+offLength:]))
	}
}

func indexPath(segment string) string { return strings.TrimSuffix(segment, ".seg") + ".idx" }

func encodeIndex(size int64, last uint64, entries []indexEntry) []byte {
	b := make([]byte, indexHeader, indexHeader+len(entries)*indexEntryBytes)
	le.PutUint64(b, indexMagic)
	le.PutUint32(b[12:], indexVersion)
	le.PutUint64(b[16:], uint64(size))
	le.PutUint64(b[24:], last)
	le.PutUint32(b[32:], uint32(len(entries)))
	for _, e := range entries {
		b = le.AppendUint64(b, e.seq)
		b = le.AppendUint64(b, uint64(e.arrival))
		b = le.AppendUint64(b, uint64(e.at))
	}
	le.PutUint32(b[8:], checksum(b[12:]))
	return b
}

var errIndex = errors.New("not an index")

func decodeIndex(b []byte) (size int64, last uint64, entries []indexEntry, err error) {
	if len(b) < indexHeader || le.Uint64(b) != indexMagic || checksum(b[12:]) != le.Uint32(b[8:]) {
		return 0, 0, nil, errIndex
	}
	if v := le.Uint32(b[12:]); v != indexVersion {
		return 0, 0, nil, fmt.Errorf("%w: version %d is newer than this program", errIndex, v)
	}
	n := int(le.Uint32(b[32:]))
	if len(b)-indexHeader != n*indexEntryBytes {
		return 0, 0, nil, errIndex
	}
	size, last = int64(le.Uint64(b[16:])), le.Uint64(b[24:])
	entries = make([]indexEntry, n)
	for i := range entries {
		e := b[indexHeader+i*indexEntryBytes:]
		entries[i] = indexEntry{seq: le.Uint64(e), arrival: int64(le.Uint64(e[8:])), at: int64(le.Uint64(e[16:]))}
		if entries[i].at < 0 || entries[i].at >= size || i > 0 && entries[i].at <= entries[i-1].at {
			return 0, 0, nil, errIndex
		}
	}
	return size, last, entries, nil
}

func (d *Disk) writeIndexFile(segment string, b []byte) error {
	name := indexPath(segment)
	if err := d.fs.Remove(name); err != nil && !errors.Is(err, errNotExist) {
		return err
	}
	f, err := d.fs.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	return errors.Join(err, f.Close())
}

// indexCache keeps the indexes of sealed segments that were used last.
type indexCache struct {
	mu    sync.Mutex
	byKey map[string]*list.Element
	order *list.List // of *cachedIndex, last used first
	bytes int
}

type cachedIndex struct {
	path    string
	entries []indexEntry
}

func newIndexCache() *indexCache {
	return &indexCache{byKey: map[string]*list.Element{}, order: list.New()}
}

func (c *indexCache) get(path string) ([]indexEntry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[path]
	if e == nil {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*cachedIndex).entries, true
}

func (c *indexCache) put(path string, entries []indexEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey[path] != nil {
		return
	}
	c.byKey[path] = c.order.PushFront(&cachedIndex{path, entries})
	c.bytes += len(entries) * indexEntryBytes
	for c.bytes > indexCacheMax && c.order.Len() > 1 {
		c.drop(c.order.Back())
	}
}

func (c *indexCache) forget(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byKey[path]; e != nil {
		c.drop(e)
	}
}

func (c *indexCache) drop(e *list.Element) {
	x := c.order.Remove(e).(*cachedIndex)
	delete(c.byKey, x.path)
	c.bytes -= len(x.entries) * indexEntryBytes
}

// loadIndex returns a sealed segment's index: from memory, from its file, or by
// reading the segment, whose size is given.
func (d *Disk) loadIndex(ref uint32, g *segment, size int64) ([]indexEntry, error) {
	if entries, ok := d.indexes.get(g.path); ok {
		return entries, nil
	}
	entries, err := d.readIndexFile(g, size)
	if err != nil {
		var whole bool
		var last uint64
		entries, last, whole, err = d.buildIndex(ref, g, size, g.last)
		if err != nil {
			return nil, err
		}
		if whole {
			if err := d.writeIndexFile(g.path, encodeIndex(size, last, entries)); err != nil {
				d.log.Warn("cannot write an index", "segment", g.path, "error", err)
			}
		}
	}
	d.indexes.put(g.path, entries)
	return entries, nil
}

func (d *Disk) readIndexFile(g *segment, size int64) ([]indexEntry, error) {
	f, err := d.fs.Open(indexPath(g.path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n, err := f.Size()
	if err != nil {
		return nil, err
	}
	if n > indexHeader+indexEntryBytes*(size/indexEvery+2) {
		return nil, errIndex
	}
	b := make([]byte, n)
	if _, err := f.ReadAt(b, 0); err != nil && !isEOF(err) {
		return nil, err
	}
	was, _, entries, err := decodeIndex(b)
	if err == nil && (was != size || len(entries) == 0 && size > 0) {
		err = errIndex
	}
	return entries, err
}

// buildIndex reads the first size bytes of a segment, whose last offset is upTo or lower. If
// they are damaged it is an index of the rest, and whole is false.
func (d *Disk) buildIndex(ref uint32, g *segment, size int64, upTo uint64) (entries []indexEntry, last uint64, whole bool, err error) {
	h, err := d.files.open(g.path)
	if err != nil {
		return nil, 0, false, err
	}
	defer h.release()
	at := int64(0)
	whole = true
	err = scanPast(h.f, ref, 0, size, g.base-1, upTo, func(fr frame, raw []byte) error {
		if k := len(entries); k == 0 || at-entries[k-1].at >= indexEvery {
			entries = append(entries, indexEntry{seq: fr.seq, arrival: fr.arrival, at: at})
		}
		at += int64(fr.size)
		last = fr.seq
		return nil
	}, func(lost gap) error {
		whole = whole && lost.at == size // upTo may lie behind
		at = lost.end
		return nil
	})
	return entries, last, err == nil && whole, err
}

// placeOf returns the last entry that is not behind the frame with offset seq.
func placeOf(entries []indexEntry, seq uint64) int {
	return max(sort.Search(len(entries), func(i int) bool { return entries[i].seq > seq })-1, 0)
}

// placeAt returns an entry such that no frame before it arrived at ms or later.
func placeAt(entries []indexEntry, ms int64) int {
	return max(sort.Search(len(entries), func(i int) bool { return entries[i].arrival >= ms })-1, 0)
}
