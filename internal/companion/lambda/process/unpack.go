package process

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Limits of a package of code: Lambda's own, and two against bombs.
const (
	zipBytesMax      = 50 << 20
	unpackedBytesMax = 250 << 20
	entriesMax       = 100_000
	nameBytesMax     = 1024
	depthMax         = 64
	linkBytesMax     = 1024
)

// unpack writes what is in the zip to dir, which is empty. Bytes are counted as
// they come, whatever the zip's directory says. Files are 0644, or 0755 where the
// zip has them executable, directories 0755. A name or link that leaves dir, in
// whatever way, is a *CodeError; so is one that stands twice. The size of the
// unpacked files is returned.
//
// All is written through an os.Root, and links come last: were there a hole in the
// checks of names, it would still not lead out of dir.
func unpack(zipped io.ReaderAt, size int64, dir string) (int64, error) {
	if size > zipBytesMax {
		return 0, &CodeError{fmt.Sprintf("the zip has %d bytes, more than %d", size, zipBytesMax)}
	}
	z, err := zip.NewReader(within{zipped, size}, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return 0, &CodeError{"it is no zip: " + err.Error()}
	}
	if len(z.File) > entriesMax {
		return 0, &CodeError{fmt.Sprintf("the zip has more than %d entries", entriesMax)}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	u := unpacking{root: root, left: unpackedBytesMax, made: map[string]bool{".": true}}
	for _, f := range z.File {
		if err := u.entry(f); err != nil {
			return 0, err
		}
	}
	for _, l := range u.links {
		if err := root.MkdirAll(path.Dir(l.name), 0o755); err != nil {
			return 0, u.problem(l.name, err)
		}
		if err := root.Symlink(l.target, l.name); err != nil {
			return 0, u.problem(l.name, err)
		}
	}
	return unpackedBytesMax - u.left, nil
}

// within answers what lies outside of the zip, as wrong offsets in it do, by an error that
// is the zip's fault.
type within struct {
	io.ReaderAt
	size int64
}

func (w within) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || off > w.size {
		return 0, io.ErrUnexpectedEOF
	}
	return w.ReaderAt.ReadAt(b, off)
}

type unpacking struct {
	root  *os.Root
	left  int64           // bytes that may still come
	made  map[string]bool // directories
	links []link          // made at the end
}

type link struct{ name, target string }

func (u *unpacking) entry(f *zip.File) error {
	name, err := entryName(f.Name)
	if err != nil {
		return err
	}
	mode := f.Mode()
	switch {
	case mode.IsDir() || strings.HasSuffix(f.Name, "/"):
		return u.mkdir(name)
	case mode&fs.ModeSymlink != 0:
		return u.link(f, name)
	case name == "." || !mode.IsRegular():
		return &CodeError{fmt.Sprintf("%q is neither a file, a directory nor a link", f.Name)}
	}
	if err := u.mkdir(path.Dir(name)); err != nil {
		return err
	}
	perm := fs.FileMode(0o644)
	if mode&0o111 != 0 {
		perm = 0o755
	}
	return u.file(f, name, perm)
}

// entryName is the name of an entry as a path in the root: slashes, no "..", not absolute.
func entryName(zipName string) (string, error) {
	refuse := func(why string) (string, error) {
		return "", &CodeError{fmt.Sprintf("the entry %.100q %s", zipName, why)}
	}
	if len(zipName) > nameBytesMax {
		return refuse("has a name that is too long")
	}
	if strings.ContainsAny(zipName, "\\\x00") {
		return refuse("has a backslash or a zero byte in its name")
	}
	clean := path.Clean(strings.TrimSuffix(zipName, "/"))
	if path.IsAbs(zipName) || !fs.ValidPath(clean) || slices.Contains(strings.Split(zipName, "/"), "..") {
		return refuse("leads out of the function's directory")
	}
	if strings.Count(clean, "/") >= depthMax {
		return refuse("is too deep")
	}
	return clean, nil
}

func (u *unpacking) mkdir(name string) error {
	if u.made[name] {
		return nil
	}
	if err := u.root.MkdirAll(name, 0o755); err != nil {
		return u.problem(name, err)
	}
	for d := name; !u.made[d]; d = path.Dir(d) {
		if err := u.root.Chmod(d, 0o755); err != nil { // whatever the umask is
			return u.problem(d, err)
		}
		u.made[d] = true
		if len(u.made) > entriesMax {
			return &CodeError{fmt.Sprintf("the zip makes more than %d directories", entriesMax)}
		}
	}
	return nil
}

func (u *unpacking) link(f *zip.File, name string) error {
	r, err := f.Open()
	if err != nil {
		return u.problem(name, err)
	}
	defer r.Close()
	target, err := io.ReadAll(io.LimitReader(r, linkBytesMax+1))
	if err != nil {
		return u.problem(name, err)
	}
	t := string(target)
	if len(t) > linkBytesMax || t == "" || strings.ContainsRune(t, 0) || path.IsAbs(t) || !fs.ValidPath(path.Join(path.Dir(name), t)) {
		return &CodeError{fmt.Sprintf("the link %.100q leads out of the function's directory", f.Name)}
	}
	u.links = append(u.links, link{name, t})
	return nil
}

func (u *unpacking) file(f *zip.File, name string, perm fs.FileMode) error {
	r, err := f.Open()
	if err != nil {
		return u.problem(name, err)
	}
	defer r.Close()
	w, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return u.problem(name, err)
	}
	n, err := io.Copy(w, io.LimitReader(r, u.left+1))
	if err == nil && n > u.left {
		err = &CodeError{fmt.Sprintf("unpacked it has more than %d bytes", unpackedBytesMax)}
	}
	u.left -= n
	if chmodErr := w.Chmod(perm); err == nil {
		err = chmodErr
	}
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	return u.problem(name, err)
}

// problem is err as the package's fault where it is.
func (u *unpacking) problem(name string, err error) error {
	var code *CodeError
	switch {
	case err == nil || errors.As(err, &code):
		return err
	case errors.Is(err, fs.ErrExist):
		return &CodeError{fmt.Sprintf("%.100q stands in it twice", name)}
	case errors.Is(err, zip.ErrAlgorithm), errors.Is(err, zip.ErrFormat), errors.Is(err, zip.ErrChecksum), errors.Is(err, io.ErrUnexpectedEOF), isFlate(err):
		return &CodeError{fmt.Sprintf("%.100q: %v", name, err)}
	case errors.Is(err, errNotDir), errors.Is(err, errNameTooLong):
		return &CodeError{fmt.Sprintf("%.100q: %v", name, err)}
	}
	return fmt.Errorf("cannot unpack %q: %w", name, err)
}
