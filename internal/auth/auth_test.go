package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rheostream/rheo/internal/api"
)

func hexOf(sum [sha256.Size]byte) string { return hex.EncodeToString(sum[:]) }

const emptyBody = "{}"

var now = time.Date(2026, 11, 25, 11, 0, 0, 0, time.UTC)

// signed makes a well-signed ListStreams; edit may then spoil it.
func signed(edit func(*http.Request)) *http.Request {
	return signedAt(now, edit)
}

func signedAt(at time.Time, edit func(*http.Request)) *http.Request {
	r := httptest.NewRequest("POST", "http://localhost:4566/", strings.NewReader(emptyBody))
	r.Header.Set("X-Amz-Target", "Kinesis_20131202.ListStreams")
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	signOwn(r, vectorKey, at, "us-east-1", "kinesis", "content-type;host;x-amz-date;x-amz-target", []byte(emptyBody))
	if edit != nil {
		edit(r)
	}
	return r
}

// signOwn signs with this package's own canonical form. That the form is right is
// what the vectors and the SDK show; here it only has to be consistent.
func signOwn(r *http.Request, k Key, at time.Time, region, service, headers string, body []byte) {
	r.Header.Set("X-Amz-Date", at.Format(basicFormat))
	c := Claim{date: at.Format(basicFormat), scopeDate: at.Format("20060102"), Region: region, Service: service, signedHeaders: headers}
	c.query, _ = parseQuery(r.URL.RawQuery)
	canonical := c.appendCanonical(nil, r, []byte(hexOf(sha256.Sum256(body))))
	mac := newMAC(derive(k.Secret, c.scopeDate, region, service)[:])
	mac.Write(c.appendStringToSign(nil, sha256.Sum256(canonical)))
	r.Header.Set("Authorization", algorithm+" Credential="+k.ID+"/"+c.scopeDate+"/"+region+"/"+service+"/aws4_request, SignedHeaders="+
		headers+", Signature="+hex.EncodeToString(mac.Sum(nil)))
}

// check takes r through all three steps.
func check(v *Verifier, r *http.Request) (*api.Caller, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	c, err := Parse(r)
	if err != nil {
		return nil, err
	}
	if err := v.Check(&c, r, "kinesis"); err != nil {
		return nil, err
	}
	return v.Verify(&c, r, sha256.Sum256(body))
}

func verifying(t *testing.T) *Verifier {
	t.Helper()
	v, err := New(Config{Keys: []Key{vectorKey, {ID: "OTHER", Secret: "another", Account: "210987654321", Token: "session"}}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func set(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// inAuthorization replaces a part of the Authorization header.
func inAuthorization(old, new string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
	}
}

func TestRefusals(t *testing.T) {
	const mismatch = "The request signature we calculated does not match the signature you provided."
	for _, tt := range []struct {
		name    string
		request *http.Request
		code    string
		message string // how it begins
		open    bool   // refused in open mode too
	}{
		{"no authorization", signed(func(r *http.Request) { r.Header.Del("Authorization") }),
			"MissingAuthenticationTokenException", "Missing Authentication Token", true},
		{"another scheme", signed(set("Authorization", "Bearer abc")),
			"MissingAuthenticationTokenException", "Missing Authentication Token", true},
		{"nothing after the algorithm", signed(set("Authorization", "AWS4-HMAC-SHA256")),
			"IncompleteSignatureException", "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. " +
				"Authorization header requires 'SignedHeaders' parameter. Authorization=AWS4-HMAC-SHA256", true},
		{"no date", signed(func(r *http.Request) { r.Header.Del("X-Amz-Date") }),
			"IncompleteSignatureException", "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. Authorization=AWS4", true},
		{"no equal sign", signed(set("Authorization", "AWS4-HMAC-SHA256 FooBar, BazBurp")),
			"IncompleteSignatureException", "'FooBar' not a valid key=value pair (missing equal-sign) in Authorization header: 'AWS4-HMAC-SHA256 FooBar, BazBurp'.", true},
		{"two headers", signed(func(r *http.Request) { r.Header.Add("Authorization", "AWS4-HMAC-SHA256 x") }),
			"IncompleteSignatureException", "The request has 2 Authorization headers", true},
		{"malformed date", signed(set("X-Amz-Date", "201")),
			"IncompleteSignatureException", "Date must be in ISO-8601 'basic format'. Got '201'. See http://en.wikipedia.org/wiki/ISO_8601", true},
		{"two dates", signed(func(r *http.Request) { r.Header.Add("X-Amz-Date", r.Header.Get("X-Amz-Date")) }),
			"IncompleteSignatureException", "Date must be in ISO-8601 'basic format'. Got '20261125T110000Z,20261125T110000Z'.", true},
		{"another algorithm", signed(inAuthorization("HMAC-SHA256", "ECDSA-P256-SHA256")),
			"IncompleteSignatureException", "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256' (only AWS4-HMAC-SHA256 for now). ", true},
		{"short credential", signed(inAuthorization("/us-east-1", "")),
			"IncompleteSignatureException", "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'AKIDEXAMPLE/20261125/kinesis/aws4_request'", true},
		{"region that is none", signed(inAuthorization("us-east-1", "..%2F")),
			"InvalidSignatureException", "Credential should be scoped to a valid region, not '..%2F'. ", true},
		{"another service", signed(inAuthorization("/kinesis/", "/firehose/")),
			"InvalidSignatureException", "Credential should be scoped to correct service: 'kinesis'. ", true},
		{"all of the scope", signed(inAuthorization("20261125/us-east-1/kinesis/aws4_request", "20261124/A/b/c")),
			"InvalidSignatureException", "Credential should be scoped to a valid region, not 'A'. Credential should be scoped to correct service: 'kinesis'. " +
				"Credential should be scoped with a valid terminator: 'aws4_request', not 'c'. ", true},
		{"date of the scope", signed(inAuthorization("20261125/", "20261124/")),
			"InvalidSignatureException", "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20261124' != '20261125', from '20261125T110000Z'.", false},
		{"too old", signedAt(now.Add(-5*time.Minute-time.Second), nil),
			"InvalidSignatureException", "Signature expired: 20261125T105459Z is now earlier than 20261125T105500Z (20261125T110000Z - 5 min.)", false},
		{"too young", signedAt(now.Add(5*time.Minute+time.Second), nil),
			"InvalidSignatureException", "Signature not yet current: 20261125T110501Z is still later than 20261125T110500Z (20261125T110000Z + 5 min.)", false},
		{"host not signed", signed(inAuthorization("host;", "")),
			"InvalidSignatureException", "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.", false},
		{"target not signed", signed(inAuthorization(";x-amz-target", "")),
			"InvalidSignatureException", "'x-amz-target' must be a 'SignedHeader' in the AWS Authorization.", false},
		{"token not signed", signed(set("X-Amz-Security-Token", "t")),
			"InvalidSignatureException", "'x-amz-security-token' must be a 'SignedHeader' in the AWS Authorization.", false},
		{"unknown key", signed(inAuthorization("AKIDEXAMPLE", "AKIDEXAMPLF")),
			"UnrecognizedClientException", "The security token included in the request is invalid.", false},
		{"another key's signature", signed(inAuthorization("AKIDEXAMPLE", "OTHER")), "InvalidSignatureException", mismatch, false},
		{"another target", signed(set("X-Amz-Target", "Kinesis_20131202.DeleteStream")), "InvalidSignatureException", mismatch, false},
		{"another host", signed(func(r *http.Request) { r.Host = "elsewhere:4566" }), "InvalidSignatureException", mismatch, false},
		{"another body", signed(func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("{ }")) }), "InvalidSignatureException", mismatch, false},
		{"another method", signed(func(r *http.Request) { r.Method = "PUT" }), "InvalidSignatureException", mismatch, false},
		{"a query added", signed(func(r *http.Request) { r.URL.RawQuery = "a=b" }), "InvalidSignatureException", mismatch, false},
		{"another region", signed(inAuthorization("us-east-1", "us-east-2")), "InvalidSignatureException", mismatch, false},
		{"signature cut short", signed(func(r *http.Request) {
			a := r.Header.Get("Authorization")
			r.Header.Set("Authorization", a[:len(a)-1])
		}), "InvalidSignatureException", mismatch, false},
		{"signature in upper case", signed(func(r *http.Request) {
			a, sig, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
			r.Header.Set("Authorization", a+"Signature="+strings.ToUpper(sig))
		}), "InvalidSignatureException", mismatch, false},
		{"both ways at once", signed(func(r *http.Request) { r.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256" }),
			"InvalidSignatureException", "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.", true},
		{"query of which half is missing", signed(func(r *http.Request) {
			r.Header.Del("Authorization")
			r.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20261125T110000Z"
		}), "IncompleteSignatureException", "AWS query-string parameters must include 'X-Amz-Credential'. AWS query-string parameters must include 'X-Amz-Signature'. " +
			"AWS query-string parameters must include 'X-Amz-SignedHeaders'. Re-examine the query-string parameters.", true},
		{"query with a broken escape", signed(func(r *http.Request) { r.URL.RawQuery = "a=%zz" }), "MalformedQueryString", "The query string contains a syntax error.", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body, _ := io.ReadAll(tt.request.Body)
			for _, mode := range []string{"verify", "open"} {
				v := verifying(t)
				if mode == "open" {
					v, _ = New(Config{Now: v.now})
				}
				tt.request.Body = io.NopCloser(bytes.NewReader(body))
				caller, err := check(v, tt.request)
				if mode == "open" && !tt.open {
					if err != nil {
						t.Errorf("open mode: %v", err)
					}
					continue
				}
				var e *api.Error
				if !errors.As(err, &e) || e.Code != tt.code || !strings.HasPrefix(e.Message, tt.message) || caller != nil {
					t.Errorf("%s mode: %v, caller %v; want %s: %s", mode, err, caller, tt.code, tt.message)
				}
			}
		})
	}
}

func TestPayloadHeader(t *testing.T) {
	sum := hexOf(sha256.Sum256([]byte(emptyBody)))
	for _, tt := range []struct{ value, want string }{
		{sum, ""},
		{strings.ToUpper(sum), ""},
		{strings.Repeat("0", 64), "InvalidSignatureException: The request signature we calculated"},
		{"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "InvalidSignatureException: The value 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD' of X-Amz-Content-Sha256 is not supported"},
		{"UNSIGNED-PAYLOAD", "InvalidSignatureException: The value 'UNSIGNED-PAYLOAD' of X-Amz-Content-Sha256 is not supported"},
	} {
		r := httptest.NewRequest("POST", "http://localhost/", strings.NewReader(emptyBody))
		r.Header.Set("X-Amz-Content-Sha256", tt.value)
		signOwn(r, vectorKey, now, "us-east-1", "kinesis", "host;x-amz-content-sha256;x-amz-date", []byte(emptyBody))
		_, err := check(verifying(t), r)
		if (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.value, err, tt.want)
		}
	}
}

func TestAccepted(t *testing.T) {
	for name, r := range map[string]*http.Request{
		"as the SDKs write it": signed(nil),
		"comma without space": signed(func(r *http.Request) {
			set("Authorization", strings.ReplaceAll(r.Header.Get("Authorization"), ", ", ","))(r)
		}),
		"space without comma": signed(func(r *http.Request) {
			set("Authorization", strings.ReplaceAll(r.Header.Get("Authorization"), ", ", " "))(r)
		}),
		"five minutes old":      signedAt(now.Add(-5*time.Minute), nil),
		"five minutes early":    signedAt(now.Add(5*time.Minute), nil),
		"unsigned other header": signed(set("User-Agent", "curl")),
	} {
		caller, err := check(verifying(t), r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if want := (api.Caller{Account: "123456789012", Region: "us-east-1", AccessKey: "AKIDEXAMPLE", Principal: "arn:aws:iam::123456789012:root"}); *caller != want {
			t.Errorf("%s: %+v", name, *caller)
		}
	}
}

// TestAuthority is rule T7: over HTTP/2 the JavaScript SDK signs :authority in the place of host.
func TestAuthority(t *testing.T) {
	r := httptest.NewRequest("POST", "http://localhost:4566/", strings.NewReader(emptyBody))
	signOwn(r, vectorKey, now, "us-east-1", "kinesis", ":authority;x-amz-date", []byte(emptyBody))
	if _, err := check(verifying(t), r); err != nil {
		t.Fatal(err)
	}
	r.Host, r.Body = "127.0.0.1:4566", io.NopCloser(strings.NewReader(emptyBody))
	if _, err := check(verifying(t), r); err != errMismatch {
		t.Fatalf("with another authority: %v", err)
	}
}

// TestDateHeader: without X-Amz-Date the Date header counts, in HTTP's own format.
func TestDateHeader(t *testing.T) {
	r := httptest.NewRequest("POST", "http://localhost/", strings.NewReader(emptyBody))
	r.Header.Set("Date", now.Format(http.TimeFormat))
	signOwn(r, vectorKey, now, "us-east-1", "kinesis", "date;host", []byte(emptyBody))
	r.Header.Del("X-Amz-Date")
	if _, err := check(verifying(t), r); err != nil {
		t.Fatal(err)
	}
}

// TestSessionToken: a key with a token needs exactly that one, and a long-term key none.
func TestSessionToken(t *testing.T) {
	other := Key{ID: "OTHER", Secret: "another"}
	for _, tt := range []struct {
		key   Key
		token string
		want  error
	}{
		{other, "session", nil},
		{other, "sessiom", errUnrecognized},
		{other, "", errUnrecognized},
		{vectorKey, "session", errUnrecognized},
	} {
		r := httptest.NewRequest("POST", "http://localhost/", strings.NewReader(emptyBody))
		headers := "host;x-amz-date"
		if tt.token != "" {
			r.Header.Set("X-Amz-Security-Token", tt.token)
			headers += ";x-amz-security-token"
		}
		signOwn(r, tt.key, now, "us-east-1", "kinesis", headers, []byte(emptyBody))
		if _, err := check(verifying(t), r); !errors.Is(err, tt.want) {
			t.Errorf("%s with token %q: %v, want %v", tt.key.ID, tt.token, err, tt.want)
		}
	}
}

func TestOpenModeAccounts(t *testing.T) {
	v, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for key, account := range map[string]string{"test": DefaultAccount, "123456789012": "123456789012", "12345678901": DefaultAccount, "12345678901x": DefaultAccount} {
		caller, err := check(v, signed(inAuthorization("AKIDEXAMPLE", key)))
		if err != nil || caller.Account != account || caller.AccessKey != key {
			t.Errorf("%s: %+v, %v", key, caller, err)
		}
	}
}

func TestNewRefusesKeys(t *testing.T) {
	for _, keys := range [][]Key{
		{{ID: "a", Account: "123456789012"}},
		{{Secret: "s", Account: "123456789012"}},
		{{ID: "a", Secret: "s", Account: "12345"}},
		{vectorKey, vectorKey},
	} {
		if _, err := New(Config{Keys: keys}); err == nil {
			t.Errorf("accepted %v", keys)
		}
	}
}

// TestDerivedKeysAreBounded: scopes that callers make up cost no more memory than a full cache.
func TestDerivedKeysAreBounded(t *testing.T) {
	var d derivedKeys
	for i := range 2 * derivedKeysMax {
		d.get(&vectorKey, "20261125", "r"+time.Duration(i).String(), "kinesis")
	}
	if len(d.keys) != derivedKeysMax {
		t.Fatalf("%d derived keys cached", len(d.keys))
	}
}

// FuzzParse: whatever a request says, it is answered with an error of AWS's or
// with a claim, and never accepted.
func FuzzParse(f *testing.F) {
	f.Add(signed(nil).Header.Get("Authorization"), "", "20261125T110000Z")
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/c/d/e,SignedHeaders=host,Signature=0", "", "Wed, 25 Nov 2026 11:00:00 GMT")
	f.Add("", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261125%2Fus-east-1%2Fkinesis%2Faws4_request&X-Amz-Date=20261125T110000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00", "")
	v, err := New(Config{Keys: []Key{vectorKey}, Now: func() time.Time { return now }})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, authorization, query, date string) {
		r := httptest.NewRequest("POST", "http://localhost/", nil)
		r.URL.RawQuery = query
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		r.Header.Set("X-Amz-Date", date)
		caller, err := check(v, r)
		var e *api.Error
		if caller != nil || !errors.As(err, &e) {
			t.Fatalf("caller %v, error %v", caller, err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	v, err := New(Config{Keys: []Key{vectorKey}, Now: func() time.Time { return now }})
	if err != nil {
		b.Fatal(err)
	}
	r := signed(nil)
	sum := sha256.Sum256([]byte(emptyBody))
	b.ReportAllocs()
	for b.Loop() {
		c, err := Parse(r)
		if err == nil {
			err = v.Check(&c, r, "kinesis")
		}
		if err == nil {
			_, err = v.Verify(&c, r, sum)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
