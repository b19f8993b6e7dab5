//go:build linux

package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// codeCache keeps unpacked code in directories, by the hash of its zip. What
// instances use stays; of the rest, the least recently used goes first when there
// is more than bytesMax.
//
// It is a cache of this process: New starts with an empty one, so that nothing of
// a crashed server's half-written code is ever run.
type codeCache struct {
	dir      string
	bytesMax int64

	mu      sync.Mutex
	entries map[string]*codeEntry // by hash
	clock   int64                 // counts uses
	bytes   int64                 // of entries that are unpacked
}

type codeEntry struct {
	hash  string
	dir   string
	ready chan struct{} // closed when unpacked or failed
	err   error         // why not; the entry is no longer in the map then
	bytes int64
	users int   // instances, and callers that wait
	used  int64 // clock of the last use
}

func newCodeCache(dir string, bytesMax int64) (*codeCache, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return &codeCache{dir: dir, bytesMax: bytesMax, entries: map[string]*codeEntry{}}, nil
}

// get returns the directory of fn's code, unpacked. release is to be called once
// when no process uses it any more.
func (c *codeCache) get(ctx context.Context, fn *Function) (dir string, release func(), err error) {
	hash := strings.ToLower(fn.CodeSHA256)
	if raw, err := hex.DecodeString(hash); err != nil || len(raw) != sha256.Size {
		return "", nil, fmt.Errorf("%q is no SHA-256 in hexadecimal", fn.CodeSHA256)
	}
	c.mu.Lock()
	e := c.entries[hash]
	if e == nil {
		c.clock++ // in the name, so that what could not be removed is in nobody's way
		e = &codeEntry{hash: hash, dir: filepath.Join(c.dir, fmt.Sprintf("%s-%d", hash[:16], c.clock)), ready: make(chan struct{})}
		c.entries[hash] = e
		// Unpacked for all who want it, so not on one caller's context.
		go c.fill(context.WithoutCancel(ctx), e, fn.Code)
	}
	e.users++
	c.mu.Unlock()
	release = sync.OnceFunc(func() { c.release(e) })
	select {
	case <-e.ready:
	case <-ctx.Done():
		release()
		return "", nil, ctx.Err()
	}
	if e.err != nil {
		release()
		return "", nil, e.err
	}
	return e.dir, release, nil
}

func (c *codeCache) fill(ctx context.Context, e *codeEntry, open func(context.Context) (io.ReadCloser, error)) {
	bytes, err := c.fetch(ctx, e, open)
	c.mu.Lock()
	defer c.mu.Unlock()
	e.bytes, e.err = bytes, err
	if err != nil {
		delete(c.entries, e.hash) // the next caller tries anew
	} else {
		c.bytes += bytes
	}
	close(e.ready)
	c.evict()
}

// fetch spools the zip to a file, checks its hash and unpacks it.
func (c *codeCache) fetch(ctx context.Context, e *codeEntry, open func(context.Context) (io.ReadCloser, error)) (bytes int64, err error) {
	zipped, err := os.CreateTemp(c.dir, "zip-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(zipped.Name())
	defer zipped.Close()
	r, err := open(ctx)
	if err != nil {
		return 0, fmt.Errorf("cannot read the function's code: %w", err)
	}
	defer r.Close()
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(zipped, sum), io.LimitReader(r, zipBytesMax+1))
	if err != nil {
		return 0, fmt.Errorf("cannot read the function's code: %w", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != e.hash && size <= zipBytesMax {
		return 0, fmt.Errorf("the function's code has the SHA-256 %s, not %s", got, e.hash)
	}
	tmp, err := os.MkdirTemp(c.dir, "unpack-")
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(tmp)
		}
	}()
	if err := os.Chmod(tmp, 0o755); err != nil {
		return 0, err
	}
	if bytes, err = unpack(zipped, size, tmp); err != nil {
		return 0, err
	}
	return bytes, os.Rename(tmp, e.dir)
}

func (c *codeCache) release(e *codeEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	e.users, e.used = e.users-1, c.clock
	c.evict()
}

// evict removes unused code until there is little enough. The caller holds mu: a
// directory must be gone before somebody asks for it anew.
func (c *codeCache) evict() {
	for c.bytes > c.bytesMax {
		var oldest *codeEntry
		for _, e := range c.entries {
			if e.users == 0 && e.bytes > 0 && (oldest == nil || e.used < oldest.used) {
				oldest = e
			}
		}
		if oldest == nil {
			return
		}
		delete(c.entries, oldest.hash)
		c.bytes -= oldest.bytes
		os.RemoveAll(oldest.dir) // what stays of it is removed by the next New
	}
}
