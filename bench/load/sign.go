package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// What the generator signs with, and what the servers under test are given.
const (
	accessKey = "AKIDRHEOBENCH0000001"
	secretKey = "bench/0123456789abcdefghijklmnopqrstuvwx"
	region    = "us-east-1"
)

// An api is one of AWS's with the JSON protocol.
type api struct{ service, target, contentType string }

var (
	kinesis  = api{"kinesis", "Kinesis_20131202.", "application/x-amz-json-1.1"}
	dynamoDB = api{"dynamodb", "DynamoDB_20120810.", "application/x-amz-json-1.0"}
)

// request is the whole of a signed HTTP/1.1 request of Kinesis.
func request(host, op string, body []byte, now time.Time) []byte {
	return kinesis.request(host, op, body, now)
}

func (a api) request(host, op string, body []byte, now time.Time) []byte {
	stamp := now.UTC().Format("20060102T150405Z")
	target, contentType := a.target+op, a.contentType
	const signedHeaders = "content-type;host;x-amz-date;x-amz-target"
	canonical := "POST\n/\n\n" +
		"content-type:" + contentType + "\nhost:" + host + "\nx-amz-date:" + stamp + "\nx-amz-target:" + target + "\n\n" +
		signedHeaders + "\n" + hexSHA256(body)
	scope, key := signature(a.service, stamp, canonical)
	head := fmt.Appendf(make([]byte, 0, 600+len(body)), "POST / HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nX-Amz-Date: %s\r\nX-Amz-Target: %s\r\n"+
		"Authorization: AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x\r\nContent-Length: %d\r\n\r\n",
		host, contentType, stamp, target, accessKey, scope, signedHeaders, key, len(body))
	return append(head, body...)
}

// restRequest is the whole of a signed HTTP/1.1 request of Lambda.
func restRequest(host, method, path string, body []byte, now time.Time) []byte {
	stamp := now.UTC().Format("20060102T150405Z")
	const signedHeaders = "host;x-amz-date"
	canonical := method + "\n" + path + "\n\nhost:" + host + "\nx-amz-date:" + stamp + "\n\n" + signedHeaders + "\n" + hexSHA256(body)
	scope, signature := signature("lambda", stamp, canonical)
	head := fmt.Appendf(make([]byte, 0, 600+len(body)), "%s %s HTTP/1.1\r\nHost: %s\r\nX-Amz-Date: %s\r\n"+
		"Authorization: AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x\r\nContent-Length: %d\r\n\r\n",
		method, path, host, stamp, accessKey, scope, signedHeaders, signature, len(body))
	return append(head, body...)
}

// signature signs a canonical request.
func signature(service, stamp, canonical string) (scope string, signature []byte) {
	scope = stamp[:8] + "/" + region + "/" + service + "/aws4_request"
	toSign := "AWS4-HMAC-SHA256\n" + stamp + "\n" + scope + "\n" + hexSHA256([]byte(canonical))
	key := []byte("AWS4" + secretKey)
	for _, part := range []string{stamp[:8], region, service, "aws4_request", toSign} {
		key = hmacSHA256(key, part)
	}
	return scope, key
}

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func hmacSHA256(key []byte, s string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(s))
	return m.Sum(nil)
}
