package blob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/rheostream/rheo/internal/vfs"
)

// Dir is a Store in a directory: an object is a file of its name with ".blob"
// behind it (so that "a" and "a/b" can both exist). Put writes a temporary file,
// syncs it, renames it and syncs the directories; what a crash leaves of
// temporary files is removed at Open.
type Dir struct {
	fs   vfs.FS
	root string
	seq  atomic.Uint64

	mu      sync.Mutex
	durable map[string]bool // mu; directories whose names are on disk, with those above them
}

// durableMax bounds what is remembered of directories; it is then begun anew.
const durableMax = 1 << 14

const (
	suffix  = ".blob"
	tmpName = "tmp"
)

// OpenDir opens or makes the store in root.
func OpenDir(fsys vfs.FS, root string) (*Dir, error) {
	d := &Dir{fs: fsys, root: root}
	tmp := filepath.Join(root, tmpName)
	if err := fsys.MkdirAll(tmp); err != nil {
		return nil, fmt.Errorf("cannot make blob directory: %w", err)
	}
	left, err := fsys.List(tmp)
	if err != nil {
		return nil, fmt.Errorf("cannot list blob directory: %w", err)
	}
	for _, name := range left {
		if err := fsys.Remove(filepath.Join(tmp, name)); err != nil {
			return nil, fmt.Errorf("cannot remove unfinished blob: %w", err)
		}
	}
	if err := vfs.SyncUpwards(fsys, root); err != nil {
		return nil, fmt.Errorf("cannot sync blob directory: %w", err)
	}
	return d, nil
}

func (d *Dir) file(name string) string {
	return filepath.Join(d.root, "objects", filepath.FromSlash(name)) + suffix
}

func (d *Dir) Put(ctx context.Context, name string, r io.Reader) (err error) {
	if err := CheckName(name); err != nil {
		return err
	}
	tmp := filepath.Join(d.root, tmpName, fmt.Sprint(d.seq.Add(1)))
	f, err := d.fs.Create(tmp)
	if err != nil {
		return fmt.Errorf("cannot write blob %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			d.fs.Remove(tmp) // best effort: Open removes what is left
			err = fmt.Errorf("cannot write blob %s: %w", name, err)
		}
	}()
	if err := copyTo(ctx, f, r); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	// A crash before the rename is durable leaves the old object, after it the new one.
	dst := d.file(name)
	if err := d.mkdirs(filepath.Dir(dst)); err != nil {
		return err
	}
	err = d.fs.Rename(tmp, dst)
	if errors.Is(err, fs.ErrNotExist) && d.forget() {
		// Somebody has removed a directory that was there.
		if err = d.mkdirs(filepath.Dir(dst)); err == nil {
			err = d.fs.Rename(tmp, dst)
		}
	}
	if err != nil {
		return err
	}
	return d.fs.SyncDir(filepath.Dir(dst))
}

// mkdirs makes dir and its parents below root durable by name. An existing
// directory may still be unsynced (another Put just made it), so all are synced,
// but those of which that is known: it costs a Put as much as its data.
func (d *Dir) mkdirs(dir string) error {
	d.mu.Lock()
	known := d.durable[dir]
	d.mu.Unlock()
	if known {
		return nil
	}
	if err := d.fs.MkdirAll(dir); err != nil {
		return err
	}
	for at := dir; at != d.root; {
		at = filepath.Dir(at)
		if err := d.fs.SyncDir(at); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.durable == nil || len(d.durable) >= durableMax {
		d.durable = make(map[string]bool)
	}
	d.durable[dir] = true
	return nil
}

// forget has directories be made and synced anew. It says whether any were known.
func (d *Dir) forget() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := len(d.durable) > 0
	d.durable = nil
	return known
}

// copyBuffers hold what is on its way into files.
var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// copyTo copies r into f. io.EOF alone is r's end: one that breaks off, and be it
// with io.ErrUnexpectedEOF, leaves no object.
func copyTo(ctx context.Context, f vfs.File, r io.Reader) error {
	pooled := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(pooled)
	buf, n := *pooled, 0
	var off int64
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		m, err := r.Read(buf[n:])
		if n += m; err != nil && err != io.EOF {
			return err
		}
		if n == len(buf) || err == io.EOF && n > 0 {
			if _, err := f.WriteAt(buf[:n], off); err != nil {
				return err
			}
			off, n = off+int64(n), 0
		}
		if err == io.EOF {
			return nil
		}
	}
}

func (d *Dir) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, Info, error) {
	if err := CheckName(name); err != nil {
		return nil, Info{}, err
	}
	st, err := d.fs.Stat(d.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, Info{}, fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	if err != nil {
		return nil, Info{}, fmt.Errorf("cannot read blob %s: %w", name, err)
	}
	f, err := d.fs.Open(d.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, Info{}, fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	if err != nil {
		return nil, Info{}, fmt.Errorf("cannot read blob %s: %w", name, err)
	}
	size, err := f.Size()
	if err != nil {
		f.Close()
		return nil, Info{}, fmt.Errorf("cannot read blob %s: %w", name, err)
	}
	off = min(max(off, 0), size)
	if n < 0 || n > size-off {
		n = size - off
	}
	return &section{io.NewSectionReader(f, off, n), f}, Info{name, size, st.ModTime()}, nil
}

type section struct {
	*io.SectionReader
	io.Closer
}

func (d *Dir) Delete(ctx context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	file := d.file(name)
	err := d.fs.Remove(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = d.fs.SyncDir(filepath.Dir(file))
	}
	if err != nil {
		return fmt.Errorf("cannot delete blob %s: %w", name, err)
	}
	return nil
}

func (d *Dir) List(ctx context.Context, prefix, after string, limit int) ([]Info, error) {
	var out []Info
	// Only directories that can hold the prefix are walked.
	start := ""
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		start = prefix[:i]
		if err := CheckName(start); err != nil {
			return nil, err
		}
	}
	if err := d.walk(ctx, start, prefix, after, &out); err != nil {
		return nil, fmt.Errorf("cannot list blobs: %w", err)
	}
	slices.SortFunc(out, func(a, b Info) int { return cmp.Compare(a.Name, b.Name) })
	return out[:min(limit, len(out))], nil
}

func (d *Dir) walk(ctx context.Context, dir, prefix, after string, out *[]Info) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	names, err := d.fs.List(filepath.Join(d.root, "objects", filepath.FromSlash(dir)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, n := range names {
		full := path.Join(dir, n)
		name, isBlob := strings.CutSuffix(full, suffix)
		st, err := d.fs.Stat(filepath.Join(d.root, "objects", filepath.FromSlash(full)))
		switch {
		case errors.Is(err, fs.ErrNotExist): // deleted meanwhile
		case err != nil:
			return err
		case st.IsDir():
			if strings.HasPrefix(full, prefix) || strings.HasPrefix(prefix, full+"/") {
				if err := d.walk(ctx, full, prefix, after, out); err != nil {
					return err
				}
			}
		case isBlob && strings.HasPrefix(name, prefix) && name > after:
			*out = append(*out, Info{name, st.Size(), st.ModTime()})
		}
	}
	return nil
}
