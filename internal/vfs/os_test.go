package vfs_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/vfs"
)

func TestLockNamesItsHolder(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	l, err := vfs.OS().Lock(name)
	must(t, err)
	defer l.Close()
	_, err = vfs.OS().Lock(name)
	if err == nil || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("the error does not name the holder: %v", err)
	}
}

func TestLockSurvivesGarbageInItsFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	must(t, os.WriteFile(name, []byte(strings.Repeat("no process id ", 100)), 0o600))
	l, err := vfs.OS().Lock(name)
	must(t, err)
	must(t, l.Close())
}

func TestFilesAreTheirOwnersOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	must(t, vfs.OS().MkdirAll(dir))
	create(t, vfs.OS(), filepath.Join(dir, "f"))
	for _, name := range []string{dir, filepath.Join(dir, "f")} {
		fi, err := os.Stat(name)
		must(t, err)
		if fi.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
			t.Errorf("%s has mode %v", name, fi.Mode())
		}
	}
}
