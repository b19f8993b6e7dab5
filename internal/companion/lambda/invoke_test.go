package lambda_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/companion/lambda"
)

// TestRemote: an invocation is a signed call of the other endpoint, of the function
// of the same name, and what that answers is answered.
func TestRemote(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(*http.Request, []byte) (int, map[string]string, string)
		status int
		code   string // X-Amzn-ErrorType
		want   string // in the body
	}{
		{"success", echo, 200, "", `{"n":1}`},
		{"function error", func(*http.Request, []byte) (int, map[string]string, string) {
			return 200, map[string]string{"X-Amz-Function-Error": "Unhandled", "X-Amz-Executed-Version": "3"}, `{"errorMessage":"no"}`
		}, 200, "", `{"errorMessage":"no"}`},
		{"throttled", func(*http.Request, []byte) (int, map[string]string, string) {
			return 429, map[string]string{"X-Amzn-ErrorType": "TooManyRequestsException"}, `{"Reason":"ConcurrentInvocationLimitExceeded","message":"Rate Exceeded."}`
		}, 429, "TooManyRequestsException", `"Reason":"ConcurrentInvocationLimitExceeded"`},
		{"no such function there", func(*http.Request, []byte) (int, map[string]string, string) {
			return 404, map[string]string{"X-Amzn-ErrorType": "ResourceNotFoundException:http://x"}, `{"Message":"Function not found: arn","Type":"User"}`
		}, 404, "ResourceNotFoundException", `{"Message":"Function not found: arn","Type":"User"}`},
		{"broken", func(*http.Request, []byte) (int, map[string]string, string) { return 502, nil, "Bad gateway" }, 500, "ServiceException", "answers 502"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEndpoint(t, tt.answer)
			fs := newFunctions(t, func(c *lambda.Config) { c.Runner = e.runner(t) })
			fs.create("f", "")
			a := fs.do("POST", "/2015-03-31/functions/f/invocations?Qualifier=$LATEST", `{"n":1}`)
			if a.status != tt.status || a.header.Get("X-Amzn-ErrorType") != tt.code || !strings.Contains(a.body, tt.want) {
				t.Errorf("%d %v %s", a.status, a.header, a.body)
			}
			if got := e.seen(); len(got) != 1 || got[0] != `POST /2015-03-31/functions/f/invocations?Qualifier=%24LATEST {"n":1}` {
				t.Errorf("the endpoint saw %q", got)
			}
		})
	}
	t.Run("wrong key", func(t *testing.T) {
		e := newEndpoint(t, echo)
		fs := newFunctions(t, func(c *lambda.Config) {
			r := e.runner(t)
			r.Secret = "wrong"
			c.Runner = r
		})
		fs.create("f", "")
		if a := fs.do("POST", "/2015-03-31/functions/f/invocations", `{}`); a.status != 500 || !strings.Contains(a.body, "refuses the credentials of this server") {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		fs := newFunctions(t, func(c *lambda.Config) {
			c.Runner = &lambda.Remote{Endpoint: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}, AccessKey: "a", Secret: "b", Client: http.DefaultClient}
		})
		fs.create("f", "")
		if a := fs.do("POST", "/2015-03-31/functions/f/invocations", `{}`); a.status != 500 || !strings.Contains(a.body, "cannot be reached") {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

// TestNoRunner: without something to run them functions can be made, and invoking
// one names the setting.
func TestNoRunner(t *testing.T) {
	fs := newFunctions(t, nil)
	fs.create("f", "")
	for _, kind := range []string{"RequestResponse", "Event"} {
		a := fs.do("POST", "/2015-03-31/functions/f/invocations", `{}`, "X-Amz-Invocation-Type", kind)
		if a.status != 400 || !strings.Contains(a.body, "--lambda=local") {
			t.Errorf("%s: %d %s", kind, a.status, a.body)
		}
	}
}

// TestPayloads: events have the sizes that Lambda allows, and no more.
func TestPayloads(t *testing.T) {
	r := &scripted{outcome: takes}
	fs := newFunctions(t, func(c *lambda.Config) { c.Runner = r })
	fs.create("f", "")
	text := func(n int) string { return `"` + strings.Repeat("x", n-2) + `"` }
	for _, tt := range []struct {
		kind    string
		n       int
		status  int
		message string
	}{
		{"RequestResponse", 6 << 20, 200, "taken"},
		{"RequestResponse", 6<<20 + 1, 413, `{"message":"Request must be smaller than 6291456 bytes for the InvokeFunction operation"}`},
		{"Event", 1 << 20, 202, ""},
		{"Event", 1<<20 + 1, 413, `{"message":"1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)"}`},
	} {
		a := fs.do("POST", "/2015-03-31/functions/f/invocations", text(tt.n), "X-Amz-Invocation-Type", tt.kind)
		if a.status != tt.status || !strings.Contains(a.body, tt.message) {
			t.Errorf("%s of %d bytes: %d %.200s", tt.kind, tt.n, a.status, a.body)
		}
	}
}

// TestConcurrency: a reservation is also the most that a function gets, and the
// others share what is not reserved.
func TestConcurrency(t *testing.T) {
	release, entered := make(chan struct{}), make(chan string)
	r := &scripted{outcome: func(f *lambda.Function, in *lambda.Invocation) (*lambda.Result, error) {
		entered <- f.Name
		<-release
		return takes(f, in)
	}}
	fs := newFunctions(t, func(c *lambda.Config) { c.Runner, c.Concurrency = r, 104 })
	fs.create("few", "")
	fs.create("rest", "")
	fs.must("PUT", "/2017-10-31/functions/few/concurrency", `{"ReservedConcurrentExecutions":2}`)
	invoke := func(name string) answer { return fs.do("POST", "/2015-03-31/functions/"+name+"/invocations", `{}`) }
	answers := make(chan answer, 200)
	hold := func(name string, n int) {
		for range n {
			go func() { answers <- invoke(name) }()
			if got := <-entered; got != name {
				t.Fatalf("%s was entered", got)
			}
		}
	}
	hold("few", 2)
	if a := invoke("few"); a.status != 429 || !strings.Contains(a.body, "ReservedFunctionConcurrentInvocationLimitExceeded") {
		t.Errorf("%d %s", a.status, a.body)
	}
	hold("rest", 102)
	if a := invoke("rest"); a.status != 429 || !strings.Contains(a.body, `"ConcurrentInvocationLimitExceeded"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	close(release)
	for range 104 {
		if a := <-answers; a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}

// TestAliasWeights: an alias gives each version its part of the invocations.
func TestAliasWeights(t *testing.T) {
	versions := map[string]int{}
	r := &scripted{}
	r.outcome = func(f *lambda.Function, in *lambda.Invocation) (*lambda.Result, error) {
		r.mu.Lock()
		versions[f.Version]++
		r.mu.Unlock()
		return takes(f, in)
	}
	fs := newFunctions(t, func(c *lambda.Config) { c.Runner = r })
	fs.create("f", `,"Publish":true`)
	fs.must("PUT", "/2015-03-31/functions/f/configuration", `{"Timeout":5}`)
	fs.must("POST", "/2015-03-31/functions/f/versions", `{}`)
	fs.must("POST", "/2015-03-31/functions/f/aliases", `{"Name":"live","FunctionVersion":"1","RoutingConfig":{"AdditionalVersionWeights":{"2":0.25}}}`)
	for range 1000 {
		a := fs.must("POST", "/2015-03-31/functions/f:live/invocations", `{}`)
		if v := a.header.Get("X-Amz-Executed-Version"); v != "1" && v != "2" {
			t.Fatalf("executed version %q", v)
		}
	}
	if n := versions["2"]; n < 150 || n > 350 || versions["1"]+n != 1000 { // 7 standard deviations
		t.Errorf("%v", versions)
	}
}

// TestCode: what a runner reads is the package that was uploaded, after a restart
// too, and not what somebody has made of the blob since.
func TestCode(t *testing.T) {
	var code []byte
	var failed error
	r := &scripted{}
	r.outcome = func(f *lambda.Function, in *lambda.Invocation) (*lambda.Result, error) {
		code, failed = nil, nil
		zip, err := f.Code(context.Background())
		if err != nil {
			failed = err
			return takes(f, in)
		}
		defer zip.Close()
		code, failed = io.ReadAll(zip)
		if sum := sha256.Sum256(code); failed == nil && hex.EncodeToString(sum[:]) != f.CodeSHA256 {
			failed = fmt.Errorf("another hash")
		}
		return takes(f, in)
	}
	fs := newFunctions(t, func(c *lambda.Config) { c.Runner = r })
	large := zipOf("bootstrap", noise(3<<20)) // several pieces
	fs.create("f", "")
	fs.must("PUT", "/2015-03-31/functions/f/code", `{"ZipFile":"`+base64.StdEncoding.EncodeToString(large)+`"}`)
	fs.restart()
	fs.must("POST", "/2015-03-31/functions/f/invocations", `{}`)
	if failed != nil || !bytes.Equal(code, large) {
		t.Fatalf("%d bytes of code, %v", len(code), failed)
	}
	infos, err := fs.cfg.Blobs.List(t.Context(), "lambda/code/", "", 10)
	if err != nil || len(infos) != 1 {
		t.Fatalf("blobs %v, %v", infos, err)
	}
	blob, _, err := fs.cfg.Blobs.Get(t.Context(), infos[0].Name, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := io.ReadAll(blob)
	blob.Close()
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	for name, bad := range map[string][]byte{"a flipped bit": flipped, "a cut": whole[:len(whole)-4], "nothing": {}} {
		if err := fs.cfg.Blobs.Put(t.Context(), infos[0].Name, bytes.NewReader(bad)); err != nil {
			t.Fatal(err)
		}
		fs.must("POST", "/2015-03-31/functions/f/invocations", `{}`)
		if failed == nil || !strings.Contains(failed.Error(), "damaged") {
			t.Errorf("%s: %d bytes of code, %v", name, len(code), failed)
		}
	}
}

// noise is text that does not compress well.
func noise(n int) string {
	var b strings.Builder
	sum := sha256.Sum256([]byte("noise"))
	for b.Len() < n {
		b.Write(sum[:])
		sum = sha256.Sum256(sum[:])
	}
	return b.String()[:n]
}
