package s3_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/auth"
	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/call"
	"github.com/rheostream/rheo/internal/companion/s3"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/vfs"
	"github.com/rheostream/rheo/internal/wire"
)

// A store is a service on a log and blobs in memory, behind the same HTTP as in the
// server, that can be started again.
type store struct {
	*s3.Service
	t     testing.TB
	cfg   s3.Config
	http  s3.HandlerConfig
	calls call.Config
	wire  wire.HandlerConfig
	h     *wire.Handler
}

func newStore(t testing.TB, change func(*store)) *store {
	t.Helper()
	blobs, err := blob.OpenDir(vfs.NewCrash(0), "blobs")
	if err != nil {
		t.Fatal(err)
	}
	s := &store{t: t, cfg: s3.Config{Log: shardlog.NewMemory(), Blobs: blobs}}
	if change != nil {
		change(s)
	}
	s.start()
	t.Cleanup(func() { s.Close() })
	return s
}

func (s *store) start() {
	s.t.Helper()
	service, err := s3.New(s.t.Context(), s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Service = service
	calls := call.New(s.calls)
	calls.Register(s3.API, call.S3, service)
	open, err := auth.New(auth.Config{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.http.Calls = calls
	w := s.wire
	w.Services, w.Auth, w.Calls, w.S3 = []*api.Service{s3.API}, open, calls, s3.NewHandler(s.http)
	s.h = wire.NewHandler(w)
}

func (s *store) restart() {
	s.t.Helper()
	s.Close()
	s.start()
}

var caller = &api.Caller{Account: "123456789012", Region: "us-east-1", Host: "localhost:4566", RequestID: "test"}

func as(ctx context.Context) context.Context { return api.WithCaller(ctx, caller) }

// request makes a request of an account, as a client signs it that does not sign bodies.
func request(account, method, target string, body io.Reader) *http.Request {
	r := httptest.NewRequest(method, "http://localhost:4566"+target, body)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+account+"/20261125/us-east-1/s3/aws4_request,SignedHeaders=host;x-amz-date,Signature=0")
	r.Header.Set("X-Amz-Date", "20261125T110000Z")
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	return r
}

// do sends a request and returns the answer.
func (s *store) do(method, target, body string, header ...string) *http.Response {
	r := request(caller.Account, method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.h.ServeHTTP(w, r)
	resp := w.Result()
	for name, values := range resp.Header { // as a client has them
		delete(resp.Header, name)
		resp.Header[http.CanonicalHeaderKey(name)] = values
	}
	return resp
}

// ok sends a request that must succeed, and returns what it is answered.
func (s *store) ok(method, target, body string, header ...string) string {
	s.t.Helper()
	resp := s.do(method, target, body, header...)
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %d %s %v", method, target, resp.StatusCode, b, err)
	}
	return string(b)
}

// code sends a request and returns the code of its error.
func (s *store) code(method, target, body string, header ...string) string {
	resp := s.do(method, target, body, header...)
	b, _ := io.ReadAll(resp.Body)
	return element(string(b), "Code")
}

// element is the text of the first element of that name.
func element(doc, name string) string {
	_, after, ok := strings.Cut(doc, "<"+name+">")
	if !ok {
		return ""
	}
	text, _, _ := strings.Cut(after, "</"+name+">")
	return text
}

// blobs are the names of all blobs of objects and parts.
func (s *store) blobs() []string {
	var names []string
	for _, prefix := range []string{"s3/", "s3-parts/"} {
		infos, err := s.cfg.Blobs.List(context.Background(), prefix, "", 1000)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, i := range infos {
			names = append(names, i.Name)
		}
	}
	return names
}

// A seal is a Sealer whose sealed bytes are others and more, bound to their purpose.
type seal struct{ epoch uint32 }

func (s seal) Seal(purpose string, plain []byte) ([]byte, uint32, error) {
	if s.epoch == 0 {
		return plain, 0, nil
	}
	sealed := binary.LittleEndian.AppendUint32(nil, check(purpose, plain))
	for _, b := range plain {
		sealed = append(sealed, b^0x5a)
	}
	return sealed, s.epoch, nil
}

func (s seal) Open(purpose string, sealed []byte, epoch uint32) ([]byte, error) {
	if epoch == 0 {
		return sealed, nil
	}
	if len(sealed) < 4 {
		return nil, errors.New("too short")
	}
	plain := make([]byte, len(sealed)-4)
	for i, b := range sealed[4:] {
		plain[i] = b ^ 0x5a
	}
	if binary.LittleEndian.Uint32(sealed) != check(purpose, plain) {
		return nil, errors.New("not what was sealed for " + purpose)
	}
	return plain, nil
}

func check(purpose string, plain []byte) uint32 {
	h := uint32(2166136261)
	for _, b := range append([]byte(purpose), plain...) {
		h = (h ^ uint32(b)) * 16777619
	}
	return h
}
