package s3

import (
	"fmt"
	"testing"
)

// TestBucketOf: the bucket is what stands before a name of the server, with or without s3 and a region.
func TestBucketOf(t *testing.T) {
	h := NewHandler(HandlerConfig{Hosts: []string{"rheo.example", "*.s3.example", "rheo.localhost"}})
	for host, want := range map[string]string{
		"localhost": "", "localhost:4566": "", "s3.localhost": "", "s3.eu-west-1.localhost:4566": "", "127.0.0.1:4566": "", "[::1]:4566": "", "[::1]": "",
		"logs.localhost": "logs", "Logs.localhost:4566": "logs", "a.b.localhost.": "a.b", "logs.s3.localhost": "logs", "a.b.s3.us-gov-east-1.localhost": "a.b",
		"rheo.example": "", "logs.rheo.example": "logs", "s3.example": "", "logs.s3.example:4566": "logs", "logs.other.example": "",
		"rheo.localhost": "", "logs.rheo.localhost": "logs", "s3": "", "elsewhere": "",
	} {
		if got := h.bucketOf(host); got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
}

func TestBucketNames(t *testing.T) {
	for name, want := range map[string]bool{
		"abc": true, "a-b.c": true, "123": true, fmt.Sprintf("%063d", 1): true, "1.2.3": true,
		"": false, "ab": false, fmt.Sprintf("%064d", 1): false, "aBc": false, "a_b": false, "-abc": false, "abc-": false, ".abc": false, "a..b": false,
		"1.2.3.4": false, "xn--abc": false, "sthree-abc": false, "abc-s3alias": false, "abc--x-s3": false, "a/b": false, "ä12": false,
	} {
		if got := validBucketName(name); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestRange(t *testing.T) {
	type part struct {
		off, n int64
		ok     bool
		err    bool
	}
	for text, want := range map[string]part{
		"bytes=0-0": {0, 1, true, false}, "bytes=0-": {0, 10, true, false}, "bytes=9-9": {9, 1, true, false}, "bytes=9-99": {9, 1, true, false},
		"bytes=-1": {9, 1, true, false}, "bytes=-10": {0, 10, true, false}, "bytes=-11": {0, 10, true, false},
		"bytes=10-": {err: true}, "bytes=10-20": {err: true}, "bytes=-0": {err: true}, "bytes=9223372036854775807-": {err: true},
		"": {}, "bytes": {}, "bytes=": {}, "bytes=-": {}, "bytes=a-b": {}, "bytes=5-4": {}, "bytes=0-1,3-4": {}, "lines=0-1": {}, "bytes=--1": {},
		"bytes=0-99999999999999999999": {}, "bytes=99999999999999999999-": {}, "bytes= 0-1": {}, "bytes=+1-2": {},
	} {
		off, n, ok, err := parseRange(text, 10)
		if got := (part{off, n, ok, err != nil}); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	for _, text := range []string{"bytes=0-", "bytes=0-0", "bytes=-1"} {
		if _, _, ok, err := parseRange(text, 0); ok || err == nil {
			t.Errorf("%q of nothing: %t, %v", text, ok, err)
		}
	}
}
