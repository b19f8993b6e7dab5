package s3_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/companion/s3"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/vfs"
)

// A disk is what objects are on, and its power can be cut.
type disk struct {
	t      *testing.T
	fs     *vfs.Crash
	sealer seal
	log    *shardlog.Disk
	s      *s3.Service
	blobs  *blob.Dir
}

func (d *disk) start() {
	var err error
	if d.log, err = shardlog.Open(shardlog.Config{FS: d.fs, Dir: "log", JournalFileBytes: 1 << 20, MemoryBytes: 4 << 20, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		d.t.Fatal(err)
	}
	if d.blobs, err = blob.OpenDir(d.fs, "blobs"); err != nil {
		d.t.Fatal(err)
	}
	if d.s, err = s3.New(d.t.Context(), s3.Config{Log: d.log, Blobs: d.blobs, Sealer: d.sealer, SnapshotEvery: 4000}); err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) stop() {
	d.s.Close()
	d.log.Close()
}

// A writer writes to a key of its own, so that it knows what must be there.
type writer struct {
	key      string
	n        int
	answered string   // content as of the last answer; "" if it was deleted or never was
	maybe    []string // contents that were not answered since
	upload   string   // under way
	parts    map[int]string
	maybePut map[int][]string // parts that were not answered
}

// TestPowerCuts has clients put, delete and complete uploads while the power is cut at
// random moments: what was answered is there, what was not is there whole or not at
// all, parts of uploads that were answered are there, and after a while nothing else
// is on the disk.
func TestPowerCuts(t *testing.T) {
	rounds := 1
	if n, err := strconv.Atoi(os.Getenv("S3_ROUNDS")); err == nil {
		rounds = n
	}
	for i := range rounds {
		seed := uint64(1)
		if rounds > 1 {
			seed = uint64(time.Now().UnixNano()) + uint64(i)
		}
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { powerCuts(t, seed) })
	}
}

func powerCuts(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	d := &disk{t: t, fs: vfs.NewCrash(seed), sealer: seal{uint32(seed & 1)}}
	d.start()
	defer func() { d.stop() }()
	if _, err := d.s.CreateBucket(as(t.Context()), &s3.CreateBucketInput{Bucket: "b0b"}); err != nil {
		t.Fatal(err)
	}
	writers := make([]*writer, 4)
	for i := range writers {
		writers[i] = &writer{key: fmt.Sprintf("dir%d/key", i), parts: map[int]string{}, maybePut: map[int][]string{}}
	}
	for cut := range 12 {
		ctx, cancel := context.WithCancel(t.Context())
		var g sync.WaitGroup
		for i, w := range writers {
			r := rand.New(rand.NewPCG(seed, uint64(cut*len(writers)+i)))
			g.Go(func() {
				for ctx.Err() == nil && w.step(as(ctx), d.s, r) {
				}
			})
		}
		time.Sleep(time.Duration(2000+rnd.IntN(8000)) * time.Microsecond)
		next := d.fs
		if rnd.IntN(4) != 0 {
			next = d.fs.Crash()
		}
		cancel()
		g.Wait()
		d.stop()
		d.fs = next
		d.start()
		for _, w := range writers {
			w.check(t, d.s)
		}
		d.checkBlobs(writers)
	}
}

// step does one thing. It says false if it was not answered.
func (w *writer) step(ctx context.Context, s *s3.Service, r *rand.Rand) bool {
	w.n++
	content := fmt.Sprintf("%s %d %s", w.key, w.n, strings.Repeat("x", r.IntN(3000)))
	switch r.IntN(6) {
	case 0, 1:
		return w.done(content, do(s.PutObject(ctx, &s3.PutObjectInput{Bucket: "b0b", Key: w.key, Body: strings.NewReader(content), Length: int64(len(content))})))
	case 2:
		return w.done("", do(s.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: "b0b", Key: w.key})))
	case 3:
		if w.upload != "" {
			return true
		}
		out, err := s.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: "b0b", Key: w.key})
		if err == nil {
			w.upload, w.parts, w.maybePut = out.UploadID, map[int]string{}, map[int][]string{}
		}
		return err == nil
	case 4:
		if w.upload == "" {
			return true
		}
		number := 1 + r.IntN(2)
		_, err := s.UploadPart(ctx, &s3.UploadPartInput{Bucket: "b0b", Key: w.key, UploadID: w.upload, PartNumber: number, Body: strings.NewReader(content), Length: int64(len(content))})
		if err == nil {
			w.parts[number], w.maybePut[number] = content, nil
		} else {
			w.maybePut[number] = append(w.maybePut[number], content)
		}
		return err == nil
	default:
		content, ok := w.parts[1]
		if w.upload == "" || !ok || len(w.maybePut[1]) > 0 {
			return true
		}
		err := do(s.CompleteMultipartUpload(ctx, w.completes(content)))
		ok = w.done(content, err)
		if ok {
			w.upload = ""
		}
		return ok
	}
}

func (w *writer) completes(content string) *s3.CompleteMultipartUploadInput {
	sum := md5.Sum([]byte(content))
	return &s3.CompleteMultipartUploadInput{Bucket: "b0b", Key: w.key, UploadID: w.upload, Size: -1,
		Parts: []s3.CompletedPart{{Number: 1, ETag: hex.EncodeToString(sum[:])}}}
}

func do[T any](_ T, err error) error { return err }

func (w *writer) done(content string, err error) bool {
	if err != nil {
		w.maybe = append(w.maybe, content)
		return false
	}
	w.answered, w.maybe = content, nil
	return true
}

// check compares what is there with what was answered.
func (w *writer) check(t *testing.T, s *s3.Service) {
	t.Helper()
	got := ""
	out, err := s.GetObject(as(t.Context()), &s3.GetObjectInput{Bucket: "b0b", Key: w.key})
	if err == nil {
		b, readErr := io.ReadAll(out.Body)
		out.Body.Close()
		got, err = string(b), readErr
	} else if api.IsCode(err, "NoSuchKey") {
		err = nil
	}
	if err != nil {
		t.Fatalf("%s: %v", w.key, err)
	}
	ok := got == w.answered
	for _, m := range w.maybe {
		ok = ok || got == m
	}
	if !ok {
		t.Fatalf("%s has %.30q, answered was %.30q, and perhaps %.30q", w.key, got, w.answered, w.maybe)
	}
	w.answered, w.maybe = got, nil
	if w.upload == "" {
		return
	}
	list, err := s.ListParts(as(t.Context()), &s3.ListPartsInput{Bucket: "b0b", Key: w.key, UploadID: w.upload, MaxParts: 10})
	if api.IsCode(err, "NoSuchUpload") && out != nil && strings.HasSuffix(out.ETag, `-1"`) {
		w.upload = "" // it was completed, unanswered; asked again it says so
		return
	}
	if err != nil {
		t.Fatalf("%s: the upload is gone: %v", w.key, err)
	}
	have := map[int]string{}
	for _, p := range list.Parts {
		have[p.Number] = p.ETag
	}
	for number := 1; number <= 2; number++ {
		w.checkPart(t, number, have[number])
	}
}

func (w *writer) checkPart(t *testing.T, number int, etag string) {
	t.Helper()
	for _, content := range append([]string{w.parts[number]}, w.maybePut[number]...) {
		sum := md5.Sum([]byte(content))
		if etag == "" && w.parts[number] == "" || etag == `"`+hex.EncodeToString(sum[:])+`"` {
			if w.maybePut[number] = nil; etag == "" {
				delete(w.parts, number)
			} else {
				w.parts[number] = content
			}
			return
		}
	}
	t.Fatalf("%s: part %d has %s, and was answered as %.30q", w.key, number, etag, w.parts[number])
}

// checkBlobs waits until there are no more blobs than are needed.
func (d *disk) checkBlobs(writers []*writer) {
	d.t.Helper()
	want := 0
	for _, w := range writers {
		if w.answered != "" {
			want++
		}
		if w.upload != "" {
			want += len(w.parts)
		}
	}
	have := -1
	for range 4000 {
		have = 0
		for _, prefix := range []string{"s3/", "s3-parts/"} {
			infos, err := d.blobs.List(d.t.Context(), prefix, "", 1000)
			if err != nil {
				d.t.Fatal(err)
			}
			have += len(infos)
		}
		if have == want {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	d.t.Fatalf("%d blobs, and %d are needed", have, want)
}
