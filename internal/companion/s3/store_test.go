package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/companion/s3"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/vfs"
)

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rnd := rand.NewChaCha8([32]byte{byte(n)})
	rnd.Read(b)
	return b
}

// TestPlainFiles: without keys an object is a blob that has its bytes and its name.
func TestPlainFiles(t *testing.T) {
	s := newStore(t, nil)
	s.ok("PUT", "/photos", "")
	s.ok("PUT", "/photos/2026/11/caf%C3%A9%20.jpg", "the bytes")
	names := s.blobs()
	if len(names) != 1 || !strings.HasPrefix(names[0], "s3/photos/2026/11/caf__.jpg.") {
		t.Fatal(names)
	}
	r, _, err := s.cfg.Blobs.Get(t.Context(), names[0], 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, _ := io.ReadAll(r); string(b) != "the bytes" {
		t.Errorf("the blob has %q", b)
	}
}

// TestKeys: whatever a key is, it is one, and no blob has a name that is none.
func TestKeys(t *testing.T) {
	s := newStore(t, nil)
	s.ok("PUT", "/b0b", "")
	for _, key := range []string{"..", ".", "a/../../b", "/", "//", "a//", strings.Repeat("a/", 500), strings.Repeat("x", 1024), strings.Repeat("é", 512),
		"con", "a.", "a.blob/b", "a:b\\c*?\"<>|", "\x01\x7f", "%2e%2e", "a\nb", " ", "\U0001F4A9", "\u202E"} {
		in := &s3.PutObjectInput{Bucket: "b0b", Key: key, Body: strings.NewReader(key), Length: int64(len(key))}
		if _, err := s.PutObject(as(t.Context()), in); err != nil {
			t.Errorf("put %.20q: %v", key, err)
			continue
		}
		out, err := s.GetObject(as(t.Context()), &s3.GetObjectInput{Bucket: "b0b", Key: key})
		if err != nil {
			t.Errorf("get %.20q: %v", key, err)
			continue
		}
		if b, err := io.ReadAll(out.Body); string(b) != key || err != nil {
			t.Errorf("%.20q has %.20q: %v", key, b, err)
		}
		out.Body.Close()
	}
	for key, want := range map[string]string{"": "InvalidURI", "\xff": "InvalidURI", strings.Repeat("x", 1025): "KeyTooLongError"} {
		_, err := s.PutObject(as(t.Context()), &s3.PutObjectInput{Bucket: "b0b", Key: key, Body: strings.NewReader(""), Length: 0})
		if !api.IsCode(err, want) {
			t.Errorf("%.20q: %v, want %s", key, err, want)
		}
	}
	for _, name := range s.blobs() {
		if err := blob.CheckName(name); err != nil {
			t.Error(err)
		}
	}
}

// TestSealed: with a key, nothing of an object is on disk as it was, ranges are what
// they are, and bytes in another place than they were sealed for are found out.
func TestSealed(t *testing.T) {
	s := newStore(t, func(s *store) { s.cfg.Sealer = seal{7} })
	s.ok("PUT", "/b0b", "")
	const frame = 256 << 10
	for _, n := range []int{0, 1, frame - 1, frame, frame + 1, 3*frame + 5} {
		data, key := randomBytes(n), fmt.Sprintf("/b0b/%d", n)
		s.ok("PUT", key, string(data))
		if got := s.ok("GET", key, ""); got != string(data) {
			t.Errorf("%d bytes came back as %d others", n, len(got))
		}
		for _, r := range [][2]int{{0, 1}, {frame - 1, frame + 1}, {frame, frame + 1}, {2 * frame, 3*frame + 5}, {n - 1, n}} {
			if r[0] < 0 || r[1] > n {
				continue
			}
			if got := s.ok("GET", key, "", "Range", fmt.Sprintf("bytes=%d-%d", r[0], r[1]-1)); got != string(data[r[0]:r[1]]) {
				t.Errorf("bytes %v of %d are others", r, n)
			}
		}
	}
	s.restart()
	if got := s.ok("GET", fmt.Sprintf("/b0b/%d", frame+1), ""); got != string(randomBytes(frame+1)) {
		t.Error("after a restart the bytes are others")
	}
	secret := strings.Repeat("secret", 100)
	s.ok("PUT", "/b0b/secret", secret)
	for _, name := range s.blobs() {
		r, _, err := s.cfg.Blobs.Get(t.Context(), name, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r)
		r.Close()
		if bytes.Contains(b, []byte("secret")) {
			t.Errorf("%s is readable", name)
		}
		if strings.HasPrefix(name, "s3/b0b/"+fmt.Sprint(3*frame+5)) { // two frames change places
			size := frame + 4 + 8
			swapped := append(append(append([]byte{}, b[size:2*size]...), b[:size]...), b[2*size:]...)
			if err := s.cfg.Blobs.Put(t.Context(), name, bytes.NewReader(swapped)); err != nil {
				t.Fatal(err)
			}
		}
	}
	out, err := s.GetObject(as(t.Context()), &s3.GetObjectInput{Bucket: "b0b", Key: fmt.Sprint(3*frame + 5)})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	if _, err := io.ReadAll(out.Body); err == nil {
		t.Error("frames in each other's place were read")
	}
}

// TestReadersGoOn: who reads an object that is replaced or deleted reads what it began.
func TestReadersGoOn(t *testing.T) {
	s := newStore(t, nil)
	s.ok("PUT", "/b0b", "")
	old := strings.Repeat("old", 100_000)
	s.ok("PUT", "/b0b/k", old)
	out, err := s.GetObject(as(t.Context()), &s3.GetObjectInput{Bucket: "b0b", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	s.ok("PUT", "/b0b/k", "new")
	await(t, "the old blob is gone", func() bool { return len(s.blobs()) == 1 })
	s.ok("DELETE", "/b0b/k", "")
	await(t, "the new blob is gone", func() bool { return len(s.blobs()) == 0 })
	if b, err := io.ReadAll(out.Body); string(b) != old || err != nil {
		t.Errorf("read %d bytes: %v", len(b), err)
	}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("in vain: %s", what)
}

// TestConditionalWrites: of many that must be the first one is, and of many that must
// write over what they read none writes over another.
func TestConditionalWrites(t *testing.T) {
	s := newStore(t, nil)
	s.ok("PUT", "/b0b", "")
	var first atomic.Int32
	var g sync.WaitGroup
	for i := range 16 {
		g.Go(func() {
			switch code := s.code("PUT", "/b0b/once", fmt.Sprint(i), "If-None-Match", "*"); code {
			case "":
				first.Add(1)
			case "PreconditionFailed":
			default:
				t.Error(code)
			}
		})
	}
	g.Wait()
	if first.Load() != 1 {
		t.Errorf("%d were the first", first.Load())
	}
	s.ok("PUT", "/b0b/count", "")
	for range 8 {
		g.Go(func() {
			for done := 0; done < 10; {
				resp := s.do("GET", "/b0b/count", "")
				b, _ := io.ReadAll(resp.Body)
				switch code := s.code("PUT", "/b0b/count", string(b)+"x", "If-Match", resp.Header.Get("ETag")); code {
				case "":
					done++
				case "PreconditionFailed":
				default:
					t.Error(code)
					return
				}
			}
		})
	}
	g.Wait()
	if got := s.ok("GET", "/b0b/count", ""); len(got) != 80 {
		t.Errorf("80 writes, and %d are to be seen", len(got))
	}
}

// TestLimits: what does not fit is refused by name, changes nothing, and leaves no blob.
func TestLimits(t *testing.T) {
	s := newStore(t, func(s *store) { s.cfg.QuotaBytes = 1000; s.cfg.MemoryBytes = 64 << 10 })
	s.ok("PUT", "/b0b", "")
	s.ok("PUT", "/b0b/a", strings.Repeat("a", 900))
	for _, tt := range []struct{ name, target, body, header, value, want string }{
		{"quota", "/b0b/b", strings.Repeat("b", 101), "X", "x", "QuotaExceeded"},
		{"quota, of a part", "/b0b/b?uploadId=none&partNumber=1", strings.Repeat("b", 101), "X", "x", "NoSuchUpload"},
		{"metadata", "/b0b/b", "b", "X-Amz-Meta-Long", strings.Repeat("x", 2049), "MetadataTooLarge"},
		{"headers", "/b0b/b", "b", "Content-Language", strings.Repeat("x", 9<<10), "MetadataTooLarge"},
	} {
		if code := s.code("PUT", tt.target, tt.body, tt.header, tt.value); code != tt.want {
			t.Errorf("%s: %q, want %s", tt.name, code, tt.want)
		}
	}
	// An upload takes what its parts take, not twice as much when they are put together.
	id := element(s.ok("POST", "/b0b/parts?uploads", ""), "UploadId")
	tag := s.do("PUT", "/b0b/parts?partNumber=1&uploadId="+id, strings.Repeat("p", 100)).Header.Get("ETag")
	if code := s.code("PUT", "/b0b/parts?partNumber=2&uploadId="+id, "p"); code != "QuotaExceeded" {
		t.Errorf("a part past the quota: %q", code)
	}
	s.ok("POST", "/b0b/parts?uploadId="+id, "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"+tag+"</ETag></Part></CompleteMultipartUpload>")
	s.ok("DELETE", "/b0b/parts", "")
	full := ""
	for i := range 1000 {
		if full = s.code("PUT", fmt.Sprintf("/b0b/%d", i), "", "X-Amz-Meta-A", strings.Repeat("x", 1000)); full != "" {
			break
		}
	}
	if full != "LimitExceeded" {
		t.Errorf("with the memory used up: %q", full)
	}
	if code := s.code("DELETE", "/b0b/0", ""); code != "" {
		t.Errorf("a delete: %s", code)
	}
	s.ok("PUT", "/b0b/a", strings.Repeat("a", 100)) // is counted with what it replaces, and then without
	s.ok("PUT", "/b0b/a", strings.Repeat("a", 850))
	await(t, "no blobs but those of objects", func() bool {
		return len(s.blobs()) == strings.Count(s.ok("GET", "/b0b?list-type=2", ""), "<Contents>")
	})
}

// TestDisk: objects stop before the disk is full; deletes and reads do not.
func TestDisk(t *testing.T) {
	var free atomic.Int64
	free.Store(10000)
	s := newStore(t, func(s *store) { s.cfg.Disk = func() s3.Disk { return s3.Disk{Free: free.Load(), Reserve: 5000} } })
	s.ok("PUT", "/b0b", "")
	s.ok("PUT", "/b0b/a", strings.Repeat("a", 4000))
	if code := s.code("PUT", "/b0b/b", strings.Repeat("a", 6000)); code != "InsufficientStorage" {
		t.Error(code)
	}
	free.Store(100)
	if code := s.code("PUT", "/b0b/b", "b"); code != "InsufficientStorage" {
		t.Error(code)
	}
	s.ok("GET", "/b0b/a", "")
	s.ok("DELETE", "/b0b/a", "")
}

// TestFullDisk: a disk that is full before that was seen refuses by the same name.
func TestFullDisk(t *testing.T) {
	fs := vfs.NewCrash(1)
	s := newStore(t, func(s *store) {
		var err error
		if s.cfg.Blobs, err = blob.OpenDir(fs, "blobs"); err != nil {
			t.Fatal(err)
		}
	})
	s.ok("PUT", "/b0b", "")
	fs.SetCapacity(1 << 20)
	if code := s.code("PUT", "/b0b/a", strings.Repeat("a", 2<<20)); code != "InsufficientStorage" {
		t.Error(code)
	}
	s.ok("PUT", "/b0b/a", strings.Repeat("a", 1000))
	if n := len(s.blobs()); n != 1 {
		t.Errorf("%d blobs", n)
	}
}

// gate is a blob store whose steps wait to be let through.
type gate struct {
	blob.Store
	listed chan struct{} // List goes on when this is closed
	put    chan struct{} // an object's Put, done, returns when this is closed
	done   chan string   // told of a Put that is done
	slow   time.Duration // of Get
}

func (g *gate) List(ctx context.Context, prefix, after string, limit int) ([]blob.Info, error) {
	if g.listed != nil && (prefix == "s3/" || prefix == "s3-parts/") {
		<-g.listed
	}
	return g.Store.List(ctx, prefix, after, limit)
}

func (g *gate) Put(ctx context.Context, name string, r io.Reader) error {
	err := g.Store.Put(ctx, name, r)
	if g.put != nil && strings.HasPrefix(name, "s3/") {
		g.done <- name
		<-g.put
	}
	return err
}

func (g *gate) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, blob.Info, error) {
	time.Sleep(g.slow)
	return g.Store.Get(ctx, name, off, n)
}

// TestSweep: what a crash left is removed, and never what is just being written.
func TestSweep(t *testing.T) {
	g := &gate{}
	s := newStore(t, func(s *store) { g.Store, s.cfg.Blobs = s.cfg.Blobs, g })
	s.ok("PUT", "/b0b", "")
	s.ok("PUT", "/b0b/kept", "kept")
	for _, name := range []string{"s3/b0b/left.0123456789abcdef", "s3/gone/left.0123456789abcdef", "s3-parts/b0b/left.00001.0123456789abcdef"} {
		if err := s.cfg.Blobs.Put(t.Context(), name, strings.NewReader("left")); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	listed, put := make(chan struct{}), make(chan struct{})
	g.listed, g.put, g.done = listed, put, make(chan string)
	s.start()
	answered := make(chan string)
	go func() { answered <- s.code("PUT", "/b0b/underway", "new") }()
	underway := <-g.done // it is there, and nothing refers to it
	close(listed)
	await(t, "the rest is removed", func() bool {
		names := s.blobs()
		return len(names) == 2 && (names[0] == underway || names[1] == underway)
	})
	close(put)
	if code := <-answered; code != "" {
		t.Fatal(code)
	}
	if got := s.ok("GET", "/b0b/underway", "") + s.ok("GET", "/b0b/kept", ""); got != "newkept" {
		t.Error(got)
	}
}

// TestKeptWaiting: who waits for parts to be put together is given signs of life, and
// then the answer or the error.
func TestKeptWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		s := newStore(t, func(s *store) { g.Store, s.cfg.Blobs = s.cfg.Blobs, g })
		s.ok("PUT", "/b0b", "")
		id := element(s.ok("POST", "/b0b/k?uploads", ""), "UploadId")
		tag := s.do("PUT", "/b0b/k?partNumber=1&uploadId="+id, "hello").Header.Get("ETag")
		g.slow = 35 * time.Second
		answer := s.ok("POST", "/b0b/k?uploadId="+id, "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"+tag+"</ETag></Part></CompleteMultipartUpload>")
		const begin = `<?xml version="1.0" encoding="UTF-8"?>` + "\n  <" // after 10 s, and a space after 20 and 30
		if !strings.HasPrefix(answer, begin+"CompleteMultipartUploadResult") || element(answer, "Key") != "k" || strings.Count(answer, "<?xml") != 1 {
			t.Error(answer)
		}
		s.ok("PUT", "/b0b/source", "source")
		for _, name := range s.blobs() { // a file that somebody took away
			if strings.HasPrefix(name, "s3/b0b/source") {
				s.cfg.Blobs.Delete(t.Context(), name)
			}
		}
		answer = s.ok("PUT", "/b0b/copy", "", "X-Amz-Copy-Source", "/b0b/source")
		if !strings.HasPrefix(answer, `<?xml version="1.0" encoding="UTF-8"?>`+"\n") || element(answer, "Code") != "InternalError" {
			t.Error(answer)
		}
		if code := s.code("PUT", "/b0b/copy", "", "X-Amz-Copy-Source", "/b0b/none"); code != "NoSuchKey" { // at once, under its own status
			t.Error(code)
		}
	})
}

// TestGone: a sender who breaks off changes nothing and leaves nothing.
func TestGone(t *testing.T) {
	s := newStore(t, nil)
	s.ok("PUT", "/b0b", "")
	broken := io.MultiReader(strings.NewReader("half"), failing{errors.New("gone")})
	if _, err := s.PutObject(as(t.Context()), &s3.PutObjectInput{Bucket: "b0b", Key: "k", Body: broken, Length: 8}); err == nil {
		t.Error("half a body was taken")
	}
	short := io.MultiReader(strings.NewReader("half"), failing{io.ErrUnexpectedEOF})
	for _, length := range []int64{-1, 4, 8} {
		if _, err := s.PutObject(as(t.Context()), &s3.PutObjectInput{Bucket: "b0b", Key: "k", Body: short, Length: length}); err == nil {
			t.Error("a body that broke off was taken")
		}
	}
	if _, err := s.PutObject(as(t.Context()), &s3.PutObjectInput{Bucket: "b0b", Key: "k", Body: strings.NewReader("too long"), Length: 4}); !api.IsCode(err, "IncompleteBody") {
		t.Error(err)
	}
	if names := s.blobs(); len(names) != 0 {
		t.Error(names)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestBusyLog: a log that cannot keep up is told as SlowDown, and the blob goes.
func TestBusyLog(t *testing.T) {
	log := &busyLog{Log: shardlog.NewMemory()}
	s := newStore(t, func(s *store) { s.cfg.Log = log })
	s.ok("PUT", "/b0b", "")
	for err, want := range map[error]string{shardlog.ErrOverloaded: "SlowDown", shardlog.ErrNoSpace: "InsufficientStorage"} {
		log.err.Store(&err)
		if code := s.code("PUT", "/b0b/k", "x"); code != want {
			t.Errorf("%v: %s", err, code)
		}
	}
	log.err.Store(nil)
	if names := s.blobs(); len(names) != 0 {
		t.Error(names)
	}
	s.ok("PUT", "/b0b/k", "x")
}

type busyLog struct {
	shardlog.Log
	err atomic.Pointer[error]
}

func (l *busyLog) Append(ctx context.Context, puts []shardlog.Put) {
	if err := l.err.Load(); err != nil {
		for i := range puts {
			puts[i].Err = *err
		}
		return
	}
	l.Log.Append(ctx, puts)
}
