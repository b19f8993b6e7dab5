package blob_test

import (
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
