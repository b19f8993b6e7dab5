package lambda_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/api"
	lambdaapi "github.com/rheostream/rheo/internal/api/lambda"
	"github.com/rheostream/rheo/internal/auth"
	"github.com/rheostream/rheo/internal/blob"
	"github.com/rheostream/rheo/internal/call"
	"github.com/rheostream/rheo/internal/companion/lambda"
	"github.com/rheostream/rheo/internal/companion/lambda/mapping"
	"github.com/rheostream/rheo/internal/shardlog"
	"github.com/rheostream/rheo/internal/vfs"
	"github.com/rheostream/rheo/internal/wire"
)

const account = "123456789012"

// A functions is a service on a log in memory behind the handler that requests go
// through; it can be started again.
type functions struct {
	*lambda.Service
	t       testing.TB
	cfg     lambda.Config
	handler *wire.Handler
}

func newFunctions(t testing.TB, change func(*lambda.Config)) *functions {
	t.Helper()
	blobs, err := blob.OpenDir(vfs.NewCrash(0), "blobs")
	if err != nil {
		t.Fatal(err)
	}
	fs := &functions{t: t, cfg: lambda.Config{Log: shardlog.NewMemory(), Blobs: blobs, Streams: streams{}}}
	if change != nil {
		change(&fs.cfg)
	}
	fs.start()
	t.Cleanup(func() { fs.Close() })
	return fs
}

func (fs *functions) start() {
	fs.t.Helper()
	s, err := lambda.New(context.Background(), fs.cfg)
	if err != nil {
		fs.t.Fatal(err)
	}
	calls := call.New(call.Config{Limits: call.Off})
	calls.Register(lambdaapi.Service, call.Lambda, s)
	open, err := auth.New(auth.Config{})
	if err != nil {
		fs.t.Fatal(err)
	}
	fs.Service = s
	fs.handler = wire.NewHandler(wire.HandlerConfig{Services: []*api.Service{lambdaapi.Service}, Auth: open, Calls: calls})
	s.Start()
}

func (fs *functions) restart() {
	fs.t.Helper()
	fs.Close()
	fs.start()
}

// An answer is what a request came to.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request as an SDK would; header are pairs.
func (fs *functions) do(method, path, body string, header ...string) answer {
	r := httptest.NewRequest(method, "http://localhost:4566"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+account+"/20261125/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=0")
	r.Header.Set("X-Amz-Date", "20261125T000000Z")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	fs.handler.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

// must is do for what must succeed.
func (fs *functions) must(method, path, body string, header ...string) answer {
	fs.t.Helper()
	a := fs.do(method, path, body, header...)
	if a.status >= 300 {
		fs.t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
	return a
}

// create makes a function of a package that has one file.
func (fs *functions) create(name, members string) answer {
	fs.t.Helper()
	return fs.must("POST", "/2015-03-31/functions", `{"FunctionName":"`+name+`","Runtime":"provided.al2023","Handler":"bootstrap","Role":"arn:aws:iam::`+account+`:role/r","Code":{"ZipFile":"`+
		base64.StdEncoding.EncodeToString(zipOf("bootstrap", "#!/bin/sh\n"))+`"}`+members+`}`)
}

// zipOf is a package of files: names and what is in them.
func zipOf(files ...string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := z.CreateHeader(&zip.FileHeader{Name: files[i], Method: zip.Deflate})
		if err != nil {
			panic(err)
		}
		io.WriteString(w, files[i+1])
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func member(body, name string) string {
	var all map[string]any
	if json.Unmarshal([]byte(body), &all) != nil {
		return ""
	}
	s, _ := all[name].(string)
	return s
}

// streams are the streams that mappings may be made of: every one but those whose
// name begins with "no". They have no records.
type streams struct{}

func (streams) Check(_ context.Context, _, _, streamARN, consumerARN string) error {
	if strings.Contains(streamARN, ":stream/no") {
		return &mapping.Problem{Kind: mapping.ErrSourceGone, Message: "Stream not found."}
	}
	return nil
}

func (streams) Source(_, _, _, _ string) mapping.Source { return emptyStream{} }

type emptyStream struct{}

func (emptyStream) Stream(context.Context) (mapping.Stream, error) {
	return mapping.Stream{Created: time.Unix(1700000000, 0), Retention: 24 * time.Hour}, nil
}

func (emptyStream) Iterator(context.Context, mapping.ShardID, mapping.Position) (string, error) {
	return "", errors.New("there are no shards")
}

func (emptyStream) Records(context.Context, string, int) (mapping.Answer, error) {
	return mapping.Answer{}, errors.New("there are no shards")
}

func (emptyStream) Subscribe(context.Context, mapping.ShardID, mapping.Position) (mapping.Subscription, error) {
	return nil, errors.New("there are no shards")
}

// An endpoint is another Lambda endpoint: it verifies signatures as rheo's own
// does, and answers as answer says.
type endpoint struct {
	*httptest.Server
	answer func(r *http.Request, payload []byte) (status int, header map[string]string, body string)

	mu       sync.Mutex
	requests []string // mu; method, path and query, then the payload
}

var endpointKey = auth.Key{ID: "AKIDREMOTE", Secret: "remote secret", Account: account}

func newEndpoint(t testing.TB, answer func(r *http.Request, payload []byte) (int, map[string]string, string)) *endpoint {
	t.Helper()
	verifier, err := auth.New(auth.Config{Keys: []auth.Key{endpointKey}})
	if err != nil {
		t.Fatal(err)
	}
	e := &endpoint{answer: answer}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		payload, err := io.ReadAll(r.Body)
		claim, claimErr := auth.Parse(r)
		if err = errors.Join(err, claimErr); err == nil {
			err = verifier.Check(&claim, r, "lambda")
		}
		if err == nil {
			_, err = verifier.Verify(&claim, r, sha256.Sum256(payload))
		}
		if err != nil {
			w.Header().Set("X-Amzn-ErrorType", "InvalidSignatureException")
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `{"message":%q}`, err.Error())
			return
		}
		e.mu.Lock()
		e.requests = append(e.requests, r.Method+" "+r.URL.RequestURI()+" "+string(payload))
		e.mu.Unlock()
		status, header, body := e.answer(r, payload)
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) seen() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.requests...)
}

// runner invokes functions at the endpoint.
func (e *endpoint) runner(t testing.TB) *lambda.Remote {
	t.Helper()
	u, err := url.Parse(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &lambda.Remote{Endpoint: u, AccessKey: endpointKey.ID, Secret: endpointKey.Secret, Client: e.Client()}
}

// echo answers with the event.
func echo(_ *http.Request, payload []byte) (int, map[string]string, string) {
	return http.StatusOK, map[string]string{"X-Amz-Executed-Version": "$LATEST", "X-Amz-Log-Result": "bG9n"}, string(payload)
}
