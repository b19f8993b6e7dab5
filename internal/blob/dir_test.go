package blob_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/blob/blobtest"
	"github.com/rheostream/rheo/internal/vfs"
)

func TestDir(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store {
		d, err := blob.OpenDir(vfs.OS(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return d
	})
}

// Directories that were made once are taken to be there, and made again if somebody
// has removed them.
func TestDirRemovedFolders(t *testing.T) {
	root := t.TempDir()
	d, err := blob.OpenDir(vfs.OS(), root)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, name := range []string{"a/b/c", "a/b/d"} {
			if err := d.Put(t.Context(), name, strings.NewReader(name)); err != nil {
				t.Fatal(err)
			}
			if got, err := get(t, d, name); got != name {
				t.Fatal(got, err)
			}
		}
		if err := os.RemoveAll(filepath.Join(root, "objects", "a")); err != nil {
			t.Fatal(err)
		}
	}
}
