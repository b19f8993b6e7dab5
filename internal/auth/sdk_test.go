package auth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// TestAgainstSDK signs random requests with AWS's own signer and verifies them
// after their way through an HTTP/1.1 request line, headers and presigned alike.
func TestAgainstSDK(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	v, err := New(Config{Keys: []Key{vectorKey}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	signer := v4.NewSigner()
	credentials := aws.Credentials{AccessKeyID: vectorKey.ID, SecretAccessKey: vectorKey.Secret}
	pick := func(from []string) string { return from[rnd.IntN(len(from))] }
	for i := range 400 {
		body := []byte(strings.Repeat("x", rnd.IntN(100)))
		target := url.URL{Scheme: "http", Host: pick([]string{"localhost:4566", "127.0.0.1", "[::1]:4566"}),
			Path: pick([]string{"/", "/service/GraniteServiceVersion20100801/operation/PutMetricData", "/a b/ü", "/a%2Fb/", "/tags/arn:aws:lambda:x", "/~t(e)s*t!"})}
		query := url.Values{}
		for range rnd.IntN(4) {
			query.Add(pick([]string{"Action", "b", "B", "a b", "ü", "a+b", ""}), pick([]string{"", "1", "x y", "x+y", "ü/=&", "~*!"}))
		}
		target.RawQuery = query.Encode()
		out, err := http.NewRequest(pick([]string{"POST", "GET", "PUT"}), target.String(), bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		out.Header.Set("X-Amz-Target", "Kinesis_20131202.ListStreams")
		out.Header.Set("X-Amz-Meta", pick([]string{"a", " a   b ", "a,b", "ü"}))
		out.Header.Add("X-Amz-Meta", "again")
		sum := sha256.Sum256(body)
		presigned := i%2 == 1
		if presigned {
			q := out.URL.Query()
			q.Set("X-Amz-Expires", strconv.Itoa(1+rnd.IntN(presignSecondsMax)))
			out.URL.RawQuery = q.Encode()
			uri, headers, err := signer.PresignHTTP(context.Background(), credentials, out, hexOf(sum), "kinesis", "eu-central-1", now)
			if err != nil {
				t.Fatal(err)
			}
			if out.URL, err = url.Parse(uri); err != nil {
				t.Fatal(err)
			}
			out.Header = headers
			out.Header.Del("Host")
		} else if err := signer.SignHTTP(context.Background(), credentials, out, hexOf(sum), "kinesis", "eu-central-1", now); err != nil {
			t.Fatal(err)
		}
		in := httptest.NewRequest(out.Method, out.URL.String(), io.NopCloser(bytes.NewReader(body)))
		in.RequestURI = out.URL.RequestURI()
		in.Host, in.Header, in.ContentLength = out.URL.Host, out.Header.Clone(), out.ContentLength
		caller, err := check(v, in)
		if err != nil {
			t.Fatalf("%d presigned %v: %s %s %v: %v", i, presigned, in.Method, in.RequestURI, in.Header, err)
		}
		if caller.Region != "eu-central-1" || caller.Account != vectorKey.Account {
			t.Fatalf("%+v", caller)
		}
		in.Header.Set("X-Amz-Target", "Kinesis_20131202.DeleteStream")
		in.Body = io.NopCloser(bytes.NewReader(body))
		if _, err := check(v, in); err == nil {
			t.Fatal("accepted with another target")
		}
	}
}

// TestPresignedLife: a presigned request lives as long as it says, a week at most.
func TestPresignedLife(t *testing.T) {
	for _, tt := range []struct {
		expires string
		age     time.Duration
		want    string
	}{
		{"60", 0, ""},
		{"60", time.Minute, ""},
		{"60", 61 * time.Second, "InvalidSignatureException: Signature expired: 20261125T105859Z is now earlier than 20261125T105900Z (20261125T110000Z - 60 sec.)"},
		{"604800", 7 * 24 * time.Hour, ""},
		{"604801", 0, "IncompleteSignatureException: X-Amz-Expires must be less than a week (in seconds) that is 604800"},
		{"0", 0, "IncompleteSignatureException: X-Amz-Expires must be greater than 0 seconds"},
		{"-1", 0, "IncompleteSignatureException: X-Amz-Expires must be greater than 0 seconds"},
		{"soon", 0, "IncompleteSignatureException: X-Amz-Expires should be a number"},
		{"", 5 * time.Minute, ""},
		{"", 301 * time.Second, "InvalidSignatureException: Signature expired:"},
		{"60", -301 * time.Second, "InvalidSignatureException: Signature not yet current:"},
	} {
		r, err := http.NewRequest("GET", "http://localhost/?X-Amz-Expires="+tt.expires, nil)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(nil)
		uri, _, err := v4.NewSigner().PresignHTTP(context.Background(), aws.Credentials{AccessKeyID: vectorKey.ID, SecretAccessKey: vectorKey.Secret},
			r, hexOf(sum), "kinesis", "us-east-1", now.Add(-tt.age))
		if err != nil {
			t.Fatal(err)
		}
		in := httptest.NewRequest("GET", uri, nil)
		in.RequestURI = in.URL.RequestURI()
		if _, err := check(verifying(t), in); (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("expires %s, age %v: %v, want %q", tt.expires, tt.age, err, tt.want)
		}
	}
}
