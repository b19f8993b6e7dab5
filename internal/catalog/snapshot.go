package catalog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
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

var (
	errDamaged = errors.New("damaged: its bytes are not those that were written")
	errNewer   = errors.New("written by a newer rheo")
)

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
		return nil, fmt.Errorf("version %d: %w", v, errNewer)
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

// snapshotLoop writes a snapshot when enough was logged since the last one, or
// anything and long enough ago. It does not hold up commands.
func (c *Catalog) snapshotLoop(ctx context.Context) {
	interval := time.NewTicker(c.cfg.SnapshotInterval)
	defer interval.Stop()
	for {
		least := max(1, c.cfg.SnapshotEvery)
		if c.cfg.SnapshotEvery == 0 {
			least = max(4<<20, c.snapshotBytes)
		}
		select {
		case <-ctx.Done():
			return
		case <-interval.C:
			least = 1
		case <-c.progress:
		}
		if c.logged.Load()-c.covered < least {
			continue
		}
		if err := c.snapshot(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Logger.Error("cannot write catalog snapshot", "catalog", c.cfg.Shard, "err", err)
		}
	}
}

// snapshot writes one, forgets all but the newest two that are good, and then
// the commands that the older of the two covers. A crash before the last step
// leaves commands or a snapshot more than is needed.
func (c *Catalog) snapshot(ctx context.Context) error {
	// If this fails, it is not tried again before as much more was logged.
	c.covered = c.logged.Load()
	state := c.now() // reaches at least as far
	snap := state.encode()
	c.snapshotBytes = int64(len(snap))
	if err := c.cfg.Blobs.Put(ctx, c.snapshotName(state.offset), bytes.NewReader(snap)); err != nil {
		return err
	}
	have, err := c.snapshots(ctx)
	if err != nil {
		return err
	}
	good := slices.DeleteFunc(slices.Clone(have), func(s snapshotBlob) bool { return c.bad[s.name] })
	if len(good) < 2 {
		return nil
	}
	keep := good[len(good)-2:]
	for _, s := range have {
		if !slices.Contains(keep, s) {
			if err := c.cfg.Blobs.Delete(ctx, s.name); err != nil {
				return err
			}
		}
	}
	return c.cfg.Log.Trim(ctx, c.shard, nextOffset(keep[0].offset))
}

// snapshotPrefix is what the names of snapshots begin with: "catalog/snapshot-".
func (c *Catalog) snapshotPrefix() string { return string(c.cfg.Shard) + "/snapshot-" }

func (c *Catalog) snapshotName(offset uint64) string {
	return fmt.Sprintf("%s%020d", c.snapshotPrefix(), offset)
}

type snapshotBlob struct {
	name   string
	offset uint64
}

// snapshots lists them, oldest first.
func (c *Catalog) snapshots(ctx context.Context) ([]snapshotBlob, error) {
	prefix := c.snapshotPrefix()
	infos, err := c.cfg.Blobs.List(ctx, prefix, "", 1000)
	if err != nil {
		return nil, err
	}
	var out []snapshotBlob
	for _, i := range infos {
		if off, err := strconv.ParseUint(strings.TrimPrefix(i.Name, prefix), 10, 64); err == nil {
			out = append(out, snapshotBlob{i.Name, off})
		}
	}
	return out, nil
}

// loadSnapshot reads the newest snapshot that can be read. One that is damaged,
// or that the store fails to give, is said and passed over: the one before it
// and the log still have everything, for the log is only trimmed to the older
// of two. It returns the empty state if there is none, how far the newest
// reaches whether it could be read or not, and what was wrong with those passed over.
func (c *Catalog) loadSnapshot(ctx context.Context) (st *State, newest uint64, wrong error, err error) {
	have, err := c.snapshots(ctx)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("%s: cannot list snapshots: %w", c.cfg.Shard, err)
	}
	for _, s := range slices.Backward(have) {
		newest = max(newest, s.offset)
		data, err := c.readSnapshot(ctx, s.name)
		if err == nil {
			st, err = decodeState(data)
		}
		if err == nil {
			c.snapshotBytes = int64(len(data))
			return st, newest, wrong, nil
		}
		err = fmt.Errorf("%s: %w", s.name, err)
		if errors.Is(err, errNewer) || ctx.Err() != nil {
			return nil, 0, nil, fmt.Errorf("%s: cannot use snapshot %w", c.cfg.Shard, err)
		}
		c.cfg.Logger.Error("cannot use a catalog snapshot; the one before it and the log have to do", "catalog", c.cfg.Shard, "err", err)
		c.bad[s.name] = true
		if wrong != nil {
			err = fmt.Errorf("%w; %w", wrong, err)
		}
		wrong = err
	}
	return newState(), newest, wrong, nil
}

func (c *Catalog) readSnapshot(ctx context.Context, name string) ([]byte, error) {
	r, info, err := c.cfg.Blobs.Get(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data := make([]byte, info.Size)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, err
	}
	return data, nil
}
