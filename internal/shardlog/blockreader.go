package shardlog

import (
	"fmt"

	"github.com/rheostream/rheo/internal/vfs"
)

const journalReadBytes = 4 << 20

// blockReader reads commit blocks of one use of a journal file, in order.
type blockReader struct {
	f    vfs.File
	size int64
	pos  int64 // of the next block

	buf   []byte // a window on the file
	bufAt int64
}

func newBlockReader(f vfs.File, size int64) *blockReader {
	return &blockReader{f: f, size: size, pos: blockAlign}
}

// window returns n bytes at pos at; fewer at the file's end.
func (r *blockReader) window(at int64, n int) ([]byte, error) {
	if at+int64(n) > r.size {
		n = int(max(r.size-at, 0))
	}
	if at < r.bufAt || at+int64(n) > r.bufAt+int64(len(r.buf)) {
		want := int(min(int64(max(n, journalReadBytes)), r.size-at))
		if cap(r.buf) < want {
			r.buf = make([]byte, want)
		}
		r.buf = r.buf[:want]
		r.bufAt = at
		k, err := r.f.ReadAt(r.buf, at)
		r.buf = r.buf[:k]
		if err != nil && !isEOF(err) {
			return nil, fmt.Errorf("cannot read the journal: %w", err)
		}
		n = min(n, k)
	}
	return r.buf[at-r.bufAt:][:n], nil
}

// badBlock says why there is no good block at a position. If its header was good,
// size is its place in the file and payload what it holds, bad frames and all.
type badBlock struct {
	at      int64
	size    int
	payload []byte
	err     error
}

func (e *badBlock) Error() string { return fmt.Sprintf("no commit block at %d: %v", e.at, e.err) }
func (e *badBlock) Unwrap() error { return e.err }

// next returns the block at pos if it is group want of generation gen, and goes
// on behind it; a *badBlock if not. The payload is valid until the next call.
func (r *blockReader) next(gen, want uint64) (k block, payload []byte, err error) {
	head, err := r.window(r.pos, blockHeader)
	if err != nil {
		return k, nil, err
	}
	k, err = parseBlock(head)
	if err == nil && (k.gen != gen || k.group != want) {
		err = fmt.Errorf("%w: group %d of %x, not %d of %x", errBlock, k.group, k.gen, want, gen)
	}
	if err == nil && r.pos+int64(k.size()) > r.size {
		err = fmt.Errorf("%w: longer than the file", errBlock)
	}
	if err != nil {
		return k, nil, &badBlock{at: r.pos, err: err}
	}
	all, err := r.window(r.pos, k.size())
	if err != nil {
		return k, nil, err
	}
	if len(all) < k.size() {
		return k, nil, &badBlock{at: r.pos, err: errBlock}
	}
	payload = all[blockHeader : blockHeader+int(k.length)]
	if err := k.check(payload); err != nil {
		return k, nil, &badBlock{at: r.pos, size: k.size(), payload: payload, err: err}
	}
	r.pos += int64(k.size())
	return k, payload, nil
}

// later looks for a block's header of generation gen (any, if 0) with a group above last, at or
// after a position. One proves that all groups up to last+1 were synced once:
// the committer writes none before.
func (r *blockReader) later(at int64, gen, last uint64) (pos int64, group uint64, err error) {
	for ; at < r.size; at += blockAlign {
		head, err := r.window(at, blockHeader)
		if err != nil {
			return 0, 0, err
		}
		if k, err := parseBlock(head); err == nil && (gen == 0 || k.gen == gen) && k.group > last {
			return at, k.group, nil
		}
	}
	return 0, 0, nil
}

// first looks for the first block's header at or after a position, of any generation.
func (r *blockReader) first(at int64) (pos int64, k block, err error) {
	for ; at < r.size; at += blockAlign {
		head, err := r.window(at, blockHeader)
		if err != nil {
			return 0, k, err
		}
		if k, err := parseBlock(head); err == nil && k.group > 0 {
			return at, k, nil
		}
	}
	return 0, k, nil
}

// last looks for the highest group of a generation.
func (r *blockReader) last(gen uint64) (pos int64, group uint64, err error) {
	for at := int64(blockAlign); ; {
		next, g, err := r.later(at, gen, group)
		if err != nil || next == 0 {
			return pos, group, err
		}
		pos, group, at = next, g, next+blockAlign
	}
}

// frames hands the frames of one shard with offsets in [from, to] to write, out of the journal's
// committed groups.
func (j *journal) frames(ref uint32, from, to uint64, write func(raw []byte) error) error {
	j.mu.Lock()
	list := append([]*journalFile(nil), j.closed...)
	if j.using != nil {
		list = append(list, j.using)
	}
	j.mu.Unlock()
	for _, f := range list {
		r := newBlockReader(f.f, f.size)
		r.pos = max(r.pos, f.start)
		// What the file holds starts behind what its predecessor held.
		for group := f.head.prevGroup + 1; group <= f.last.Load(); group++ {
			k, payload, err := r.next(f.head.gen, group)
			if err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			for at := 0; at < int(k.length); {
				fr, err := parseFrame(payload[at:])
				if err != nil {
					return fmt.Errorf("%s: %w", f.name, err)
				}
				if fr.ref == ref && fr.flags&flagControl == 0 && fr.seq >= from && fr.seq <= to {
					if err := write(payload[at : at+fr.size]); err != nil {
						return err
					}
				}
				at += fr.size
			}
		}
	}
	return nil
}
