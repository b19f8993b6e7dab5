// Package blob keeps objects: named, immutable byte strings that are whole or
// not there. Catalog snapshots, delivered files and sealed media segments are
// blobs. [Store] is the seam; [Dir] keeps them in a directory, blob/s3 in any S3.
//
// A name is slash-separated, at most 1024 bytes of printable ASCII, without
// empty, "." or ".." parts.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Info describes an object.
type Info struct {
	Name     string
	Size     int64
	Modified time.Time
}

// Store keeps objects. All methods may be called concurrently. After Put
// returns nil the object is durable and visible whole; after an error or a
// crash it is either the old one or the new one, never a part.
type Store interface {
	// Put writes an object, replacing one of that name.
	Put(ctx context.Context, name string, r io.Reader) error
	// Get reads n bytes from offset off (n < 0: to the end). ErrNotFound if there is no such object.
	Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, Info, error)
	// List returns up to limit objects whose names start with prefix and sort
	// after the name after, in order of their names.
	List(ctx context.Context, prefix, after string, limit int) ([]Info, error)
	// Delete removes an object; that there is none is no error.
	Delete(ctx context.Context, name string) error
}

var (
	ErrNotFound = errors.New("no such object")
	ErrBadName  = errors.New("bad object name")
)

// CheckName says whether name keeps the rules of this package.
func CheckName(name string) error {
	if name == "" || len(name) > 1024 {
		return fmt.Errorf("%w: %d bytes long", ErrBadName, len(name))
	}
	for _, part := range strings.Split(name, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("%w: %q", ErrBadName, name)
		}
	}
	for i := range len(name) {
		if c := name[i]; c < ' ' || c > '~' || c == '\\' || c == ':' {
			return fmt.Errorf("%w: %q", ErrBadName, name)
		}
	}
	return nil
}
