package lambda

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Limits of a package of code: Lambda's own, and one on entries against bombs.
const (
	zipBytesMax      = 50 << 20
	unpackedBytesMax = 250 << 20 // 262144000
	zipEntriesMax    = 100_000
)

// checkZip refuses what cannot be a function's code: it is no zip, it is too
// large by its own directory, an entry leads out of the folder that it is unpacked in.
// Nothing is unpacked here: who does that holds the entries to what the directory
// says of them.
func checkZip(b []byte) error {
	if len(b) == 0 {
		return invalid("Uploaded file must be a non-empty zip")
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil || len(z.File) > zipEntriesMax {
		return notUnzipped()
	}
	if len(z.File) == 0 {
		return invalid("Uploaded file must be a non-empty zip")
	}
	left := uint64(unpackedBytesMax)
	for _, f := range z.File {
		if f.UncompressedSize64 > left {
			return invalid("Unzipped size must be smaller than %d bytes", unpackedBytesMax)
		}
		left -= f.UncompressedSize64
		if !staysInside(f.Name) || !f.Mode().IsRegular() && !f.Mode().IsDir() && f.Mode()&fs.ModeSymlink == 0 {
			return notUnzipped()
		}
	}
	return nil
}

func notUnzipped() error {
	return invalid("Could not unzip uploaded file. Please check your file, then try to upload again.")
}

func staysInside(name string) bool {
	folder := strings.HasSuffix(name, "/")
	return len(name) <= 1024 && (folder || path.Clean(name) != ".") && !strings.ContainsAny(name, "\\\x00") && !path.IsAbs(name) &&
		!slices.Contains(strings.Split(name, "/"), "..") && fs.ValidPath(path.Clean(strings.TrimSuffix(name, "/")))
}
