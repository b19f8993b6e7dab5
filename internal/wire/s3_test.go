package wire

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/auth"
)

// fewObjects is an ObjectServer that tells what it was asked, and how much came.
type fewObjects struct{}

func (fewObjects) ServeS3(w http.ResponseWriter, r *http.Request, caller *api.Caller, body *auth.Body) error {
	n, err := io.Copy(io.Discard, body)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s %s of %s: %d bytes", r.Method, r.URL.Path, caller.Account, n)
	return nil
}

const s3Claim = "AWS4-HMAC-SHA256 Credential=123456789012/20261125/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=00"

func s3Request(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, "http://localhost:4566"+target, strings.NewReader(body))
	r.Header.Set("X-Amz-Date", "20261125T110000Z")
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	r.Header.Set("Authorization", s3Claim)
	return r
}

// TestS3Routes: what is scoped to S3 is S3's, whatever its path looks like; of the
// rest only what is scoped to nothing and no other route takes, to be refused.
func TestS3Routes(t *testing.T) {
	h, _ := testHandler(t, func(c *HandlerConfig) { c.S3 = fewObjects{} })
	scoped := func(r *http.Request, service string) *http.Request {
		r.Header.Set("Authorization", strings.Replace(s3Claim, "/s3/", "/"+service+"/", 1))
		return r
	}
	bare := func(r *http.Request) *http.Request {
		r.Header.Del("Authorization")
		return r
	}
	target := s3Request("POST", "/", "{}")
	target.Header.Set("X-Amz-Target", "Kinesis_20131202.ListStreams")
	target.Header.Set("Content-Type", "application/x-amz-json-1.1")
	form := s3Request("POST", "/b0b/k", "Action=ListStreams")
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	elsewhere := s3Request("GET", "/b0b/k", "")
	elsewhere.Header.Set("Origin", "https://elsewhere.example")
	for _, tt := range []struct {
		name   string
		r      *http.Request
		status int
		want   string
	}{
		{"a key", s3Request("PUT", "/b0b/k", "hello"), 200, "PUT /b0b/k of 123456789012: 5 bytes"},
		{"the service", s3Request("GET", "/", ""), 200, "GET / of 123456789012: 0 bytes"},
		{"a bucket called health", s3Request("GET", "/health", ""), 200, "GET /health of 123456789012: 0 bytes"},
		{"a key like an RPC path", s3Request("GET", "/service/Kinesis_20131202/operation/ListStreams", ""), 200, "GET /service/Kinesis_20131202/operation/ListStreams of"},
		{"a form", form, 200, "POST /b0b/k of 123456789012: 18 bytes"},
		{"by a query", httptest.NewRequest("GET", "http://localhost/b0b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=123456789012/20261125/us-east-1/s3/aws4_request"+
			"&X-Amz-Date="+time.Now().UTC().Format("20060102T150405Z")+"&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=0", nil), 200, "GET /b0b/k of 123456789012: 0 bytes"},
		{"a target", target, 400, `{"__type":"InvalidSignatureException"`},
		{"nobody", bare(s3Request("GET", "/b0b/k", "")), 403, "<Code>AccessDenied</Code><Message>Access Denied</Message><Resource>/b0b/k</Resource><RequestId>"},
		{"nobody, of health", bare(s3Request("GET", "/health", "")), 200, `{"status":"ok"`},
		{"nobody, of nothing", bare(s3Request("GET", "/", "")), 403, "<AccessDeniedException>"},
		{"another service", scoped(s3Request("GET", "/b0b/k", ""), "kinesis"), 404, "<UnknownOperationException/>"},
		{"a page from elsewhere", elsewhere, 403, "<Code>AccessDenied</Code><Message>Requests from pages of other sites are refused."},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, tt.r)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: %d %s", tt.name, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), "<Code>") && (w.Header()["x-amz-request-id"] == nil || w.Header().Get("Content-Type") != "application/xml") {
			t.Errorf("%s: %v", tt.name, w.Header())
		}
	}
	if used := h.Memory.Used(); used != 0 {
		t.Errorf("%d bytes of memory are still taken", used)
	}
}

// TestS3SlowSenders: a body of any size has the time that it takes at the pace of any,
// and not more by having come fast before. What S3 itself takes does not count.
func TestS3SlowSenders(t *testing.T) {
	const head = "PUT /b0b/k HTTP/1.1\r\nHost: localhost\r\nX-Amz-Date: 20261125T110000Z\r\nX-Amz-Content-Sha256: UNSIGNED-PAYLOAD\r\nAuthorization: " + s3Claim + "\r\n"
	soon := bodyGrace + firstBytes*time.Second/bodyBytesPerSecond
	for _, tt := range []struct {
		name, send, answer string
		after              time.Duration
	}{
		{"half a body", head + "Content-Length: 100\r\n\r\n{", "<Code>RequestTimeout</Code>", soon},
		{"half a large body", head + "Content-Length: 5000000000\r\n\r\n{", "<Code>RequestTimeout</Code>", soon},
		{"half a chunked body", head + "Transfer-Encoding: chunked\r\n\r\n5\r\n{", "<Code>RequestTimeout</Code>", soon},
		{"much at once, and no more", head + "Content-Length: 5000000000\r\n\r\n" + strings.Repeat("x", 8<<20), "<Code>RequestTimeout</Code>", soon},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withObjects(t, func(t *testing.T, h *Handler, dial func() net.Conn) {
				c := dial()
				if _, err := io.WriteString(c, tt.send); err != nil {
					t.Fatal(err)
				}
				took, got := closesAfter(t, c)
				if !strings.Contains(got, tt.answer) || took < tt.after || took > tt.after+2*time.Second {
					t.Fatalf("closed after %v with %q; want %v", took, got, tt.after)
				}
				synctest.Wait()
				if used := h.Memory.Used(); used != 0 {
					t.Fatalf("%d bytes of memory are still taken", used)
				}
			})
		})
	}
	t.Run("steady", func(t *testing.T) {
		withObjects(t, func(t *testing.T, h *Handler, dial func() net.Conn) {
			c := dial()
			const seconds = 600
			fmt.Fprintf(c, "%sConnection: close\r\nContent-Length: %d\r\n\r\n", head, seconds*bodyBytesPerSecond)
			for range seconds {
				time.Sleep(time.Second)
				if _, err := io.WriteString(c, strings.Repeat("x", bodyBytesPerSecond)); err != nil {
					t.Fatal(err)
				}
			}
			if _, got := closesAfter(t, c); !strings.Contains(got, fmt.Sprint(seconds*bodyBytesPerSecond, " bytes")) {
				t.Error(got)
			}
		})
	})
}

func withObjects(t *testing.T, test func(t *testing.T, h *Handler, dial func() net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := testHandler(t, func(c *HandlerConfig) { c.S3 = fewObjects{} })
		l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		server := newServer(ServerConfig{Handler: h}, l)
		go server.Serve()
		defer func() {
			h.Drain()
			server.Close()
			synctest.Wait()
		}()
		test(t, h, l.dial)
	})
}

// TestS3Pages: a page on the list of origins may use S3, and read what tells of an
// object; in open mode, and where keys are configured.
func TestS3Pages(t *testing.T) {
	for name, change := range map[string]func(*HandlerConfig){"open": func(*HandlerConfig) {}, "verifying": verifying} {
		h, _ := testHandler(t, func(c *HandlerConfig) {
			c.S3, c.Origins = fewObjects{}, []string{"https://app.example"}
			change(c)
		})
		preflight := httptest.NewRequest("OPTIONS", "http://localhost/b0b/k?X-Amz-Signature=0", nil)
		preflight.Header.Set("Origin", "https://app.example")
		preflight.Header.Set("Access-Control-Request-Method", "PUT")
		preflight.Header.Set("Access-Control-Request-Headers", "content-type")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, preflight)
		if w.Code != 200 || w.Header().Get("Access-Control-Allow-Methods") != "PUT" || w.Header().Get("Access-Control-Allow-Origin") != "https://app.example" {
			t.Errorf("%s: preflight: %d %v", name, w.Code, w.Header())
		}
		get := s3Request("GET", "/b0b/k", "")
		get.Header.Set("Origin", "https://app.example")
		w = httptest.NewRecorder()
		h.ServeHTTP(w, get)
		if !strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), ",ETag,") || w.Header().Get("Access-Control-Allow-Origin") != "https://app.example" {
			t.Errorf("%s: get: %d %v", name, w.Code, w.Header())
		}
		preflight.Header.Set("Origin", "https://elsewhere.example")
		w = httptest.NewRecorder()
		h.ServeHTTP(w, preflight)
		if w.Code != 403 || w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: preflight from elsewhere: %d %v", name, w.Code, w.Header())
		}
	}
}
