package lambda

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	rheo "github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/keys"
)

// The zip of a function is a blob, sealed piece by piece:
//
//	blob    "RHEOZIP" | version u8 = 1 | pieces | 0 u32
//	piece   length u32 | key epoch u32 | up to 1 MiB of the zip, sealed
//
// named lambda/code/<account>/<region>/<function id>/<uuid>. What was read is
// compared to the SHA-256 in the document at the end: pieces that were taken out
// or put in another order are damage. Each upload is a blob of its own; versions
// that were published of it share it.
const (
	codeMagic   = "RHEOZIP"
	codeVersion = 1
	codePrefix  = "lambda/code/"

	pieceBytes    = 1 << 20
	pieceBytesMax = 2 << 20
)

var (
	errNewer   = errors.New("written by a newer rheo")
	errDamaged = errors.New("damaged: its bytes are not those that were written")
)

// A codeSource is where CreateFunction and UpdateFunctionCode find a zip.
type codeSource struct {
	zip                  []byte
	bucket, key, version *string // of an object
}

// fetch returns the zip. Objects are taken from the memory of answers until release.
func (s *Service) fetch(ctx context.Context, src codeSource) (zip []byte, release func(), err error) {
	release = func() {}
	switch {
	case src.zip != nil && src.bucket != nil:
		return nil, release, invalid("Please do not provide other FunctionCode parameters when providing a ZipFile.")
	case src.zip != nil:
		zip = src.zip
	case src.bucket == nil || src.key == nil:
		return nil, release, invalid("Please provide a source for function code.")
	case s.cfg.Objects == nil:
		return nil, release, unsupported("Code.S3Bucket", "there is no object store here, give the package as ZipFile")
	default:
		if zip, release, err = s.fetchObject(ctx, src); err != nil {
			return nil, func() {}, err
		}
	}
	if len(zip) > zipBytesMax {
		release()
		return nil, func() {}, tooLarge("Zipped size must be smaller than %d bytes", zipBytesMax)
	}
	if err := checkZip(zip); err != nil {
		release()
		return nil, func() {}, err
	}
	return zip, release, nil
}

func (s *Service) fetchObject(ctx context.Context, src codeSource) ([]byte, func(), error) {
	caller := rheo.CallerFrom(ctx)
	version := ""
	if src.version != nil {
		version = *src.version
	}
	r, n, err := s.cfg.Objects.GetObject(ctx, caller.Account, caller.Region, *src.bucket, *src.key, version)
	if err != nil {
		var e *rheo.Error
		if errors.As(err, &e) {
			return nil, nil, invalid("Error occurred while GetObject. S3 Error Code: %s. S3 Error Message: %s", e.Code, e.Message)
		}
		return nil, nil, err
	}
	defer r.Close()
	if n > zipBytesMax {
		return nil, nil, tooLarge("Zipped size must be smaller than %d bytes", zipBytesMax)
	}
	release := func() {}
	if m := s.cfg.Answers; m != nil {
		if !m.Reserve(n) {
			return nil, nil, noRoom()
		}
		release = func() { m.Release(n) }
	}
	zip := make([]byte, n)
	if _, err := io.ReadFull(r, zip); err != nil {
		release()
		return nil, nil, fmt.Errorf("lambda: cannot read the object %s/%s: %w", *src.bucket, *src.key, err)
	}
	return zip, release, nil
}

// putCode makes a blob of a zip, durable on return.
func (s *Service) putCode(ctx context.Context, f *functionDoc, zip []byte) (codeDoc, error) {
	sum := sha256.Sum256(zip)
	c := codeDoc{Blob: codePrefix + f.Account + "/" + f.Region + "/" + f.ID + "/" + newUUID(), SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(zip))}
	if err := s.cfg.Blobs.Put(ctx, c.Blob, &codeWriter{rest: zip, sealer: s.cfg.Sealer}); err != nil {
		return c, fmt.Errorf("lambda: cannot keep the code of function %s: %w", f.Name, err)
	}
	return c, nil
}

// codeSHA256 is the hash as the API has it.
func (c *codeDoc) codeSHA256() string {
	b, err := hex.DecodeString(c.SHA256)
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(b)
}

// A codeWriter is the blob of a zip, as it is read.
type codeWriter struct {
	rest    []byte
	sealer  keys.Sealer
	out     bytes.Buffer
	started bool
	ended   bool
}

func (w *codeWriter) Read(p []byte) (int, error) {
	if w.out.Len() == 0 {
		if err := w.piece(); err != nil {
			return 0, err
		}
	}
	return w.out.Read(p)
}

func (w *codeWriter) piece() error {
	w.out.Reset()
	switch {
	case !w.started:
		w.started = true
		w.out.WriteString(codeMagic)
		w.out.WriteByte(codeVersion)
	case len(w.rest) > 0:
		plain := w.rest[:min(pieceBytes, len(w.rest))]
		w.rest = w.rest[len(plain):]
		sealed, epoch, err := w.sealer.Seal(sealCode, plain)
		if err != nil {
			return fmt.Errorf("cannot seal: %w", err)
		}
		head := binary.LittleEndian.AppendUint32(nil, uint32(len(sealed)))
		w.out.Write(binary.LittleEndian.AppendUint32(head, epoch))
		w.out.Write(sealed)
	case !w.ended:
		w.ended = true
		w.out.Write(make([]byte, 4))
	default:
		return io.EOF
	}
	return nil
}

// openCode opens a zip. It is read whole and as it was, or ends in an error.
func (s *Service) openCode(ctx context.Context, c codeDoc) (io.ReadCloser, error) {
	blob, _, err := s.cfg.Blobs.Get(ctx, c.Blob, 0, -1)
	if err != nil {
		return nil, fmt.Errorf("lambda: cannot read the code of a function: %w", err)
	}
	r := &codeReader{blob: blob, sealer: s.cfg.Sealer, want: c, sum: sha256.New()}
	head := make([]byte, len(codeMagic)+1)
	if err := r.full(head); err != nil || string(head[:len(codeMagic)]) != codeMagic {
		blob.Close()
		return nil, fmt.Errorf("lambda: blob %s: %w", c.Blob, errDamaged)
	}
	if v := head[len(codeMagic)]; v != codeVersion {
		blob.Close()
		return nil, fmt.Errorf("lambda: blob %s has version %d: %w", c.Blob, v, errNewer)
	}
	return r, nil
}

func (s *Service) codeOpener(c codeDoc) func(context.Context) (io.ReadCloser, error) {
	return func(ctx context.Context) (io.ReadCloser, error) { return s.openCode(ctx, c) }
}

// A codeReader reads the zip out of its blob.
type codeReader struct {
	blob   io.ReadCloser
	sealer keys.Sealer
	want   codeDoc
	sum    hash.Hash
	piece  []byte // of the zip, not read yet
	err    error
}

func (r *codeReader) Close() error { return r.blob.Close() }

func (r *codeReader) Read(p []byte) (int, error) {
	for len(r.piece) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.piece, r.err = r.next()
		r.sum.Write(r.piece)
	}
	n := copy(p, r.piece)
	r.piece = r.piece[n:]
	return n, nil
}

// next reads a piece; the last one comes with io.EOF if the whole was as it should be.
func (r *codeReader) next() ([]byte, error) {
	var head [4]byte
	if err := r.full(head[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n == 0 {
		if hex.EncodeToString(r.sum.Sum(nil)) != r.want.SHA256 {
			return nil, r.damaged()
		}
		return nil, io.EOF
	}
	if n > pieceBytesMax {
		return nil, r.damaged()
	}
	if err := r.full(head[:]); err != nil {
		return nil, err
	}
	sealed := make([]byte, n)
	if err := r.full(sealed); err != nil {
		return nil, err
	}
	plain, err := r.sealer.Open(sealCode, sealed, binary.LittleEndian.Uint32(head[:]))
	if err != nil {
		return nil, fmt.Errorf("lambda: blob %s: cannot open what was sealed: %w", r.want.Blob, err)
	}
	return plain, nil
}

func (r *codeReader) full(b []byte) error {
	_, err := io.ReadFull(r.blob, b)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return r.damaged()
	}
	return err
}

func (r *codeReader) damaged() error {
	return fmt.Errorf("lambda: blob %s: %w", r.want.Blob, errDamaged)
}

// sweepCode removes blobs that no version has any more: of uploads that a crash
// came between, and of functions deleted just before one. Fresh ones are left
// alone: another process may be about to commit what they are of.
func (s *Service) sweepCode(ctx context.Context) error {
	used := make(map[string]bool)
	functions, err := list[functionDoc](s.docs, functionPrefix)
	if err != nil {
		return err
	}
	for _, f := range functions {
		used[f.Latest.Code.Blob] = true
	}
	versions, err := list[versionDoc](s.docs, versionPrefix)
	if err != nil {
		return err
	}
	for _, v := range versions {
		used[v.Code.Blob] = true
	}
	after := ""
	for {
		infos, err := s.cfg.Blobs.List(ctx, codePrefix, after, 1000)
		if err != nil || len(infos) == 0 {
			return err
		}
		for _, i := range infos {
			if !used[i.Name] && time.Since(i.Modified) > time.Hour {
				if err := s.cfg.Blobs.Delete(ctx, i.Name); err != nil {
					return err
				}
			}
		}
		after = infos[len(infos)-1].Name
	}
}

// dropCode removes blobs that were of f, but for those that f has now.
func (s *Service) dropCode(ctx context.Context, id functionID, had []codeDoc) {
	used := make(map[string]bool)
	if f, err := s.find(id); err != nil {
		return // the next start sweeps
	} else if f != nil {
		versions, err := f.versions()
		if err != nil {
			return
		}
		used[f.Latest.Code.Blob] = true
		for _, v := range versions {
			used[v.Code.Blob] = true
		}
	}
	for _, c := range had {
		if c.Blob == "" || used[c.Blob] || !strings.HasPrefix(c.Blob, codePrefix) {
			continue
		}
		used[c.Blob] = true // once
		if err := s.cfg.Blobs.Delete(context.WithoutCancel(ctx), c.Blob); err != nil {
			s.logger.Warn("cannot remove the code of a function that is gone; a start later than in an hour tries again", "blob", c.Blob, "err", err)
		}
	}
}
