package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/api"
)

// The examples of AWS's documentation of signatures for S3 ("Authenticating Requests:
// Using the Authorization Header", "... Query Parameters", "... Transferring Payload
// in Multiple Chunks", "... Including Trailing Headers"), whose key and time are these.
var (
	s3Key  = Key{ID: "AKIAIOSFODNN7EXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Account: "123456789012"}
	s3Time = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
)

const (
	s3Scope    = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"
	emptyHash  = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	chunkSeed  = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
	chunkOne   = "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"
	chunkTwo   = "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"
	chunkLast  = "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"
	trailSeed  = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
	trailOne   = "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"
	trailTwo   = "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"
	trailLast  = "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"
	trailSum   = "x-amz-checksum-crc32c:sOO8/Q=="
	trailOfSum = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
)

func s3Verifier(t *testing.T) *Verifier {
	t.Helper()
	v, err := New(Config{Keys: []Key{s3Key}, Now: func() time.Time { return s3Time.Add(time.Minute) }})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// s3Request is a request with a header-signed claim; headers are "name: value" lines.
func s3Request(method, target, signed, signature, headers, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for line := range strings.SplitSeq(headers, "\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			r.Header.Set(strings.TrimSpace(name), value)
		}
	}
	if signature != "" {
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+s3Scope+",SignedHeaders="+signed+",Signature="+signature)
	}
	return r
}

// take verifies r and reads its body through. It returns the body, its trailer, and
// the code of an error.
func take(v *Verifier, r *http.Request, secure bool) (body, trailer, code string) {
	c, parseErr := Parse(r)
	_, payload, err := v.VerifyS3(&c, parseErr, r, secure)
	var b []byte
	if err == nil {
		checked := payload.Body(r.Body)
		b, err = io.ReadAll(checked)
		trailer = checked.Trailer("x-amz-checksum-crc32c")
	}
	if e, ok := err.(*api.Error); ok {
		return string(b), trailer, e.Code
	} else if err != nil {
		return string(b), trailer, err.Error()
	}
	return string(b), trailer, ""
}

func TestS3Examples(t *testing.T) {
	v := s3Verifier(t)
	const host = "http://examplebucket.s3.amazonaws.com"
	for _, tt := range []struct {
		name string
		r    *http.Request
	}{
		{"get a range", s3Request("GET", host+"/test.txt", "host;range;x-amz-content-sha256;x-amz-date",
			"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
			"Range: bytes=0-9\nX-Amz-Content-Sha256: "+emptyHash+"\nX-Amz-Date: 20130524T000000Z", "")},
		{"put", s3Request("PUT", host+"/test$file.text", "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
			"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
			"Date: Fri, 24 May 2013 00:00:00 GMT\nX-Amz-Date: 20130524T000000Z\nX-Amz-Storage-Class: REDUCED_REDUNDANCY\n"+
				"X-Amz-Content-Sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072", "Welcome to Amazon S3.")},
		{"get a subresource", s3Request("GET", host+"/?lifecycle", "host;x-amz-content-sha256;x-amz-date",
			"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
			"X-Amz-Content-Sha256: "+emptyHash+"\nX-Amz-Date: 20130524T000000Z", "")},
		{"list", s3Request("GET", host+"/?max-keys=2&prefix=J", "host;x-amz-content-sha256;x-amz-date",
			"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
			"X-Amz-Content-Sha256: "+emptyHash+"\nX-Amz-Date: 20130524T000000Z", "")},
		{"presigned", s3Request("GET", host+"/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"+
			"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404", "", "", "", "")},
	} {
		if _, _, code := take(v, tt.r, false); code != "" {
			t.Errorf("%s: %s", tt.name, code)
		}
		// The path is signed in one encoding, however it is spelled; any other is not.
		tt.r.URL.Path, tt.r.URL.RawPath = tt.r.URL.Path+"x", ""
		if _, _, code := take(v, tt.r, false); code != "SignatureDoesNotMatch" {
			t.Errorf("%s, of another path: %q", tt.name, code)
		}
	}
}

const chunkHeaders = "X-Amz-Date: 20130524T000000Z\nX-Amz-Storage-Class: REDUCED_REDUNDANCY\nContent-Encoding: aws-chunked\nX-Amz-Decoded-Content-Length: 66560\n"

// chunked is the request of the examples of chunks, with a body.
func chunked(trailer bool, body string) *http.Request {
	if !trailer {
		r := s3Request("PUT", "http://s3.amazonaws.com/examplebucket/chunkObject.txt",
			"content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class", chunkSeed,
			chunkHeaders+"X-Amz-Content-Sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD", body)
		r.Header.Set("Content-Length", "66824") // the example's; the bodies that are no good have others
		return r
	}
	return s3Request("PUT", "http://s3.amazonaws.com/examplebucket/chunkObject.txt",
		"content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer", trailSeed,
		chunkHeaders+"X-Amz-Content-Sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER\nX-Amz-Trailer: x-amz-checksum-crc32c", body)
}

func chunk(data, signature string) string {
	if signature != "" {
		signature = ";chunk-signature=" + signature
	}
	if data == "" {
		return "0" + signature + "\r\n"
	}
	return fmt.Sprintf("%x%s\r\n%s\r\n", len(data), signature, data)
}

// TestS3Chunks: chunks and trailers are verified, each after the one before, and
// whatever is not as it was signed is an error before the end of the body.
func TestS3Chunks(t *testing.T) {
	v := s3Verifier(t)
	a64, a1 := strings.Repeat("a", 64<<10), strings.Repeat("a", 1<<10)
	one, two, last := chunk(a64, chunkOne), chunk(a1, chunkTwo), chunk("", chunkLast)
	tOne, tTwo, tLast := chunk(a64, trailOne), chunk(a1, trailTwo), chunk("", trailLast)
	signed := "x-amz-trailer-signature:" + trailOfSum + "\r\n"
	for _, tt := range []struct {
		name    string
		trailer bool
		body    string
		want    string // code
	}{
		{"the example", false, one + two + last + "\r\n", ""},
		{"its end without a line's", false, one + two + last, ""},
		{"a byte changed", false, strings.Replace(one, "aaaa", "aaab", 1) + two + last + "\r\n", "SignatureDoesNotMatch"},
		{"a chunk left out", false, one + last + "\r\n", "SignatureDoesNotMatch"},
		{"chunks in another order", false, two + one + last + "\r\n", "SignatureDoesNotMatch"},
		{"no last chunk", false, one + two, "IncompleteBody"},
		{"cut off in a chunk", false, one[:1000], "IncompleteBody"},
		{"no signatures", false, chunk(a64, "") + chunk(a1, "") + chunk("", ""), "InvalidRequest"},
		{"more than announced", false, one + one + two + last, "IncompleteBody"},
		{"a size that is none", false, "zz;chunk-signature=" + chunkOne + "\r\n", "InvalidRequest"},
		{"a size past all", false, "7fffffffffffffff;chunk-signature=" + chunkOne + "\r\n", "InvalidRequest"},
		{"a line without end", false, strings.Repeat("1", 10<<10), "InvalidRequest"},
		{"something behind", false, one + two + last + "\r\nmore", "InvalidRequest"},
		{"a trailer not announced", false, one + two + last + trailSum + "\r\n\r\n", "MalformedTrailerError"},

		{"the example with a trailer", true, tOne + tTwo + tLast + trailSum + "\r\n" + signed + "\r\n", ""},
		{"the trailer changed", true, tOne + tTwo + tLast + "x-amz-checksum-crc32c:AAAAAA==\r\n" + signed + "\r\n", "SignatureDoesNotMatch"},
		{"no signature of it", true, tOne + tTwo + tLast + trailSum + "\r\n\r\n", "SignatureDoesNotMatch"},
		{"no trailer", true, tOne + tTwo + tLast + "\r\n", "MalformedTrailerError"},
		{"another trailer", true, tOne + tTwo + tLast + "x-amz-meta-a:b\r\n" + signed + "\r\n", "MalformedTrailerError"},
		{"signatures of the other example", true, one + two + last + trailSum + "\r\n" + signed + "\r\n", "SignatureDoesNotMatch"},
	} {
		body, trailer, code := take(v, chunked(tt.trailer, tt.body), false)
		if code != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, code, tt.want)
		}
		if tt.want == "" && (body != a64+a1 || tt.trailer && trailer != "sOO8/Q==") {
			t.Errorf("%s: %d bytes and trailer %q", tt.name, len(body), trailer)
		}
	}
}

// sign signs a request as the examples are, by what this package itself takes for
// right; those show that it is.
func sign(r *http.Request, signed, payload string) {
	r.Header.Set("X-Amz-Date", "20130524T000000Z")
	if payload != "" {
		r.Header.Set("X-Amz-Content-Sha256", payload)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+s3Scope+",SignedHeaders="+signed+",Signature=0")
	c, _ := Parse(r)
	c.date = "20130524T000000Z"
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+s3Scope+",SignedHeaders="+signed+",Signature="+signatureOf(&c, r, payload))
}

func signatureOf(c *Claim, r *http.Request, payload string) string {
	sum := sha256.Sum256(c.appendCanonical(nil, r, []byte(payload)))
	mac := newMAC(derive(s3Key.Secret, c.scopeDate, c.Region, c.Service)[:])
	mac.Write(c.appendStringToSign(nil, sum))
	return hex.EncodeToString(mac.Sum(nil))
}

// TestS3Payloads: which form of a body is taken where, and that each is checked. The
// rows marked with a number are what other servers got wrong.
func TestS3Payloads(t *testing.T) {
	v := s3Verifier(t)
	open, err := New(Config{Now: v.now})
	if err != nil {
		t.Fatal(err)
	}
	const host, sha = "http://localhost:4566/b/k", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // of hello
	const unsignedChunks = "5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:mnG7TA==\r\n\r\n"
	const all = "host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-trailer"
	trailers := func(r *http.Request) *http.Request {
		r.Header.Set("X-Amz-Decoded-Content-Length", "5")
		r.Header.Set("X-Amz-Trailer", "x-amz-checksum-crc32c")
		return r
	}
	put := func(body string) *http.Request { return httptest.NewRequest("PUT", host, strings.NewReader(body)) }
	signedWith := func(r *http.Request, signed, payload string) *http.Request {
		sign(r, signed, payload)
		return r
	}
	forged := func(r *http.Request) *http.Request {
		a := r.Header.Get("Authorization")
		r.Header.Set("Authorization", a[:len(a)-4]+"0000")
		return r
	}
	presigned := func(r *http.Request, signed string, expires string) *http.Request {
		q := "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + s3Scope + "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=" + expires + "&X-Amz-SignedHeaders=" + signed
		r.URL.RawQuery = q + "&X-Amz-Signature=0"
		c, _ := Parse(r)
		payload := r.Header.Get("X-Amz-Content-Sha256")
		if payload == "" {
			payload = "UNSIGNED-PAYLOAD"
		}
		r.URL.RawQuery = q + "&X-Amz-Signature=" + signatureOf(&c, r, payload)
		return r
	}
	const three = "host;x-amz-content-sha256;x-amz-date"
	for _, tt := range []struct {
		name   string
		r      *http.Request
		v      *Verifier
		secure bool
		want   string
	}{
		{"a hash", signedWith(put("hello"), three, sha), v, false, ""},
		{"a hash of something else", signedWith(put("hellO"), three, sha), v, false, "XAmzContentSHA256Mismatch"},
		{"the same in open mode", signedWith(put("hellO"), three, sha), open, false, "XAmzContentSHA256Mismatch"},
		{"no hash", signedWith(put("hello"), "host;x-amz-date", ""), v, true, "InvalidRequest"},
		{"no hash that could be one", signedWith(put("hello"), three, "abc"), v, true, "InvalidArgument"},
		{"unsigned, plain", signedWith(put("hello"), three, "UNSIGNED-PAYLOAD"), v, false, "AccessDenied"},
		{"unsigned, TLS", signedWith(put("hello"), three, "UNSIGNED-PAYLOAD"), v, true, ""},
		{"unsigned, plain, no body", signedWith(put(""), three, "UNSIGNED-PAYLOAD"), v, false, ""},
		{"unsigned, open mode", signedWith(put("hello"), three, "UNSIGNED-PAYLOAD"), open, false, ""},
		{"chunks with a trailer, TLS", signedWith(trailers(put(unsignedChunks)), all, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"), v, true, ""},
		{"chunks with a trailer, plain", signedWith(trailers(put(unsignedChunks)), all, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"), v, false, "AccessDenied"},
		{"chunks with a trailer, no length", signedWith(put(unsignedChunks), three, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"), v, true, "MissingContentLength"},
		{"asymmetric", signedWith(trailers(put("")), all, "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"), v, true, "InvalidRequest"},

		{"1 CVE-2025-31489: unsigned trailer, forged signature", forged(signedWith(trailers(put(unsignedChunks)), all, "STREAMING-UNSIGNED-PAYLOAD-TRAILER")), v, true, "SignatureDoesNotMatch"},
		{"2 CVE-2026-40344: the same without a signature", s3Request("PUT", host, "", "", "X-Amz-Content-Sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\nX-Amz-Decoded-Content-Length: 5", unsignedChunks), v, true, "AccessDenied"},
		{"3 CVE-2026-41145: credentials in the query, chunks, forged", func() *http.Request {
			r := trailers(put(unsignedChunks))
			r.Header.Set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
			r = presigned(r, "host;x-amz-content-sha256;x-amz-decoded-content-length;x-amz-trailer", "60")
			r.URL.RawQuery = r.URL.RawQuery[:len(r.URL.RawQuery)-4] + "0000"
			return r
		}(), v, true, "SignatureDoesNotMatch"},
		{"3 the same, not forged", func() *http.Request {
			r := trailers(put(unsignedChunks))
			r.Header.Set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
			return presigned(r, "host;x-amz-content-sha256;x-amz-decoded-content-length;x-amz-trailer", "60")
		}(), v, false, ""},
		{"4 chunks that claim to be signed, without a signature of the request", s3Request("PUT", host, "", "", "X-Amz-Content-Sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD\nX-Amz-Decoded-Content-Length: 5", "5\r\nhello\r\n0\r\n\r\n"), v, true, "AccessDenied"},
		{"4 chunks that claim to be signed, and are not", signedWith(trailers(put("5\r\nhello\r\n0\r\n\r\n")), all, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), v, true, "InvalidRequest"},
		{"5 a header that is not signed", func() *http.Request {
			r := signedWith(put("hello"), three, sha)
			r.Header.Set("X-Amz-Copy-Source", "other/key")
			return r
		}(), v, true, "AccessDenied"},
		{"5 a presigned URL with a header that is not signed", func() *http.Request {
			r := presigned(put("hello"), "host", "60")
			r.Header.Set("X-Amz-Meta-A", "b")
			return r
		}(), v, true, "AccessDenied"},

		{"presigned", presigned(put("hello"), "host", "60"), v, false, ""},
		{"presigned, expired", presigned(put("hello"), "host", "59"), v, false, "AccessDenied"},
		{"presigned, expired, open mode", presigned(put("hello"), "host", "59"), open, false, "AccessDenied"},
		{"presigned for a week", presigned(put("hello"), "host", "604800"), v, false, ""},
		{"presigned for longer", presigned(put("hello"), "host", "604801"), v, false, "AuthorizationQueryParametersError"},
		{"presigned for no time", presigned(put("hello"), "host", "0"), v, false, "AuthorizationQueryParametersError"},
		{"presigned for ever", presigned(put("hello"), "host", ""), v, false, "AuthorizationQueryParametersError"},
		{"anonymous", put("hello"), v, true, "AccessDenied"},
		{"version 2", s3Request("PUT", host, "", "", "Authorization: AWS AKIAIOSFODNN7EXAMPLE:0", "hello"), v, true, "InvalidRequest"},
		{"version 2, presigned", httptest.NewRequest("GET", host+"?AWSAccessKeyId=a&Signature=b&Expires=1", nil), v, true, "InvalidRequest"},
	} {
		body, _, code := take(tt.v, tt.r, tt.secure)
		if code != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, code, tt.want)
		}
		if tt.want == "" && body != "hello" && tt.r.ContentLength != 0 {
			t.Errorf("%s: body %q", tt.name, body)
		}
	}
}

// TestS3Refused: the words of S3 for keys, times and scopes.
func TestS3Refused(t *testing.T) {
	v := s3Verifier(t)
	token, err := New(Config{Keys: []Key{{ID: s3Key.ID, Secret: s3Key.Secret, Account: s3Key.Account, Token: "the token"}}, Now: v.now})
	if err != nil {
		t.Fatal(err)
	}
	later, err := New(Config{Keys: []Key{s3Key}, Now: func() time.Time { return s3Time.Add(16 * time.Minute) }})
	if err != nil {
		t.Fatal(err)
	}
	get := func(signed string) *http.Request {
		r := httptest.NewRequest("GET", "http://localhost/b/k", nil)
		if strings.Contains(signed, "token") {
			r.Header.Set("X-Amz-Security-Token", "another")
		}
		sign(r, signed, emptyHash)
		return r
	}
	swap := func(from, to string) *http.Request {
		r := get("host;x-amz-content-sha256;x-amz-date")
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), from, to, 1))
		return r
	}
	for _, tt := range []struct {
		name string
		r    *http.Request
		v    *Verifier
		want string
	}{
		{"an unknown key", swap("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLF"), v, "InvalidAccessKeyId: The AWS Access Key Id you provided does not exist in our records."},
		{"16 minutes", get("host;x-amz-content-sha256;x-amz-date"), later, "RequestTimeTooSkewed: The difference between the request time and the current time is too large."},
		{"another service", swap("/s3/", "/kinesis/"), v, `AuthorizationHeaderMalformed: The authorization header is malformed; incorrect service "kinesis". This endpoint belongs to "s3".`},
		{"another day", swap("20130524", "20130523"), v, `AuthorizationHeaderMalformed: The authorization header is malformed; Invalid credential date "20130523". This date is not the same as X-Amz-Date: "20130524".`},
		{"half a credential", swap("/us-east-1", ""), v, `AuthorizationHeaderMalformed: The authorization header is malformed; the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".`},
		{"no token", get("host;x-amz-content-sha256;x-amz-date"), token, "InvalidToken: The provided token is malformed or otherwise invalid."},
		{"another token", get("host;x-amz-content-sha256;x-amz-date;x-amz-security-token"), token, "InvalidToken: The provided token is malformed or otherwise invalid."},
		{"host not signed", get("x-amz-content-sha256;x-amz-date"), v, "AccessDenied: There were headers present in the request which were not signed"},
	} {
		c, parseErr := Parse(tt.r)
		if _, _, err := tt.v.VerifyS3(&c, parseErr, tt.r, true); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

// TestS3SmallReads: what is yielded does not depend on how it comes or is read.
func TestS3SmallReads(t *testing.T) {
	v := s3Verifier(t)
	a64, a1 := strings.Repeat("a", 64<<10), strings.Repeat("a", 1<<10)
	r := chunked(true, "")
	c, parseErr := Parse(r)
	_, payload, err := v.VerifyS3(&c, parseErr, r, false)
	if err != nil {
		t.Fatal(err)
	}
	wire := chunk(a64, trailOne) + chunk(a1, trailTwo) + chunk("", trailLast) + trailSum + "\n\r\nx-amz-trailer-signature:" + trailOfSum + "\r\n\r\n"
	wire = strings.Replace(wire, "\n\r\n", "\r\n", 1)
	var got bytes.Buffer
	if _, err := io.CopyBuffer(&got, struct{ io.Reader }{payload.Body(&oneByOne{[]byte(wire)})}, make([]byte, 7)); err != nil || got.String() != a64+a1 {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
}

type oneByOne struct{ rest []byte }

func (o *oneByOne) Read(p []byte) (int, error) {
	if len(o.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:1], o.rest)
	o.rest = o.rest[n:]
	return n, nil
}
