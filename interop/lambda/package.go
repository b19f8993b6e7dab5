package main

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A source is a file or folder that goes into a function's package.
type source struct {
	from, to string
	keep     func(path string) bool // nil: all of it
}

// pack makes a package, as its user's tools would.
func pack(sources ...source) ([]byte, error) {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, s := range sources {
		err := filepath.WalkDir(s.from, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			rel, err := filepath.Rel(s.from, path)
			if err != nil {
				return err
			}
			name := filepath.ToSlash(filepath.Join(s.to, rel))
			if !e.Type().IsRegular() || s.keep != nil && !s.keep(filepath.ToSlash(rel)) {
				return nil
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			h := &zip.FileHeader{Name: name, Method: zip.Deflate}
			h.SetMode(0o755)
			w, err := z.CreateHeader(h)
			if err == nil {
				_, err = w.Write(data)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return out.Bytes(), err
}

// botoOfStreams leaves out of the SDK for Python what installs it, compiled files, and
// the other services' models, which are most of it.
func botoOfStreams(path string) bool {
	if strings.Contains(path, "__pycache__") || strings.HasPrefix(path, "pip") || strings.HasPrefix(path, "setuptools") {
		return false
	}
	rest, model := strings.CutPrefix(path, "botocore/data/")
	return !model || !strings.Contains(rest, "/") || strings.HasPrefix(rest, "kinesis/")
}
