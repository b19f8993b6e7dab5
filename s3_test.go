package rheo_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	tmtypes "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/rheostream/rheo"
)

// s3Server is a server that verifies signatures, and clients of it, plain and TLS.
func s3Server(t testing.TB, dir string) (srv *rheo.Server, plain, secure *s3.Client) {
	t.Helper()
	srv, err := rheo.New(rheo.Config{Dir: dir, HTTP1Port: -1, Keys: []rheo.Key{{ID: "AKIDEXAMPLE", Secret: "secret", Account: "123456789012"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	return srv, s3Client(t, srv, false), s3Client(t, srv, true)
}

func s3Client(t testing.TB, srv *rheo.Server, secure bool) *s3.Client {
	t.Helper()
	o := s3.Options{Region: "us-east-1", BaseEndpoint: aws.String(srv.URL()), UsePathStyle: true, RetryMaxAttempts: 1,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported, ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "")}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	if secure {
		pem, err := os.ReadFile(srv.CAFile())
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
		transport.ForceAttemptHTTP2 = true
		o.BaseEndpoint = aws.String(strings.Replace(srv.URL(), "http:", "https:", 1))
	}
	o.HTTPClient = &http.Client{Transport: transport}
	return s3.New(o)
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

// TestS3 has AWS's SDK and its transfer manager put and get objects, over plain HTTP
// and TLS, with trailing checksums; all is there after a restart.
func TestS3(t *testing.T) {
	dir := t.TempDir()
	srv, plain, secure := s3Server(t, dir)
	ctx := t.Context()
	if _, err := plain.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("b0b")}); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 12<<20+5)
	rand.NewChaCha8([32]byte{}).Read(data)
	for name, client := range map[string]*s3.Client{"plain": plain, "secure": secure} {
		out, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("b0b"), Key: aws.String(name + "/a b+ü"), Body: strings.NewReader("hello"), Metadata: map[string]string{"k": "v"}})
		if err != nil {
			t.Fatal(name, err)
		}
		if *out.ETag != `"5d41402abc4b2a76b9719d911017c592"` || aws.ToString(out.ChecksumCRC32) != "NhCmhg==" {
			t.Errorf("%s: %s, %v", name, *out.ETag, out.ChecksumCRC32)
		}
		for _, getType := range []tmtypes.GetObjectType{tmtypes.GetObjectParts, tmtypes.GetObjectRanges} {
			manager := transfermanager.New(client, func(o *transfermanager.Options) {
				o.PartSizeBytes, o.MultipartUploadThreshold, o.GetObjectType = 5<<20, 5<<20, getType
			})
			key := aws.String(fmt.Sprint(name, "/large ", getType))
			if _, err := manager.UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: aws.String("b0b"), Key: key, Body: struct{ io.Reader }{bytes.NewReader(data)}}); err != nil {
				t.Fatal(name, err)
			}
			var got atBuffer
			if _, err := manager.DownloadObject(ctx, &transfermanager.DownloadObjectInput{Bucket: aws.String("b0b"), Key: key, WriterAt: &got}); err != nil {
				t.Fatal(name, err)
			}
			if !bytes.Equal(got.b, data) {
				t.Errorf("%s: %d bytes came back as %d others", *key, len(data), len(got.b))
			}
		}
		_, err = client.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("b0b"), Key: aws.String(name + "/a b+ü"), Body: strings.NewReader("again"), IfNoneMatch: aws.String("*")})
		wantCode(t, "a second put", err, "PreconditionFailed")
		_, err = client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("b0b"), Key: aws.String("none")})
		wantCode(t, "get", err, "NoSuchKey")
		_, err = client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("b0b"), Key: aws.String("none")})
		wantCode(t, "head", err, "NotFound")
		_, err = client.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: aws.String("b0b")})
		wantCode(t, "policy", err, "NotImplemented")
	}
	// A body that cannot be read twice comes in chunks, with its checksum behind it.
	if _, err := secure.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("b0b"), Key: aws.String("streamed"), Body: io.MultiReader(bytes.NewReader(data)),
		ContentLength: aws.Int64(int64(len(data))), ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme}); err != nil {
		t.Fatal(err)
	}
	presigned(t, srv, plain)

	if err := srv.Close(); err != nil {
		t.Fatal(err)
	}
	_, plain, _ = s3Server(t, dir)
	var keys []types.ObjectIdentifier
	pages := s3.NewListObjectsV2Paginator(plain, &s3.ListObjectsV2Input{Bucket: aws.String("b0b"), MaxKeys: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			keys = append(keys, types.ObjectIdentifier{Key: o.Key})
		}
	}
	if len(keys) != 8 {
		t.Errorf("%d keys", len(keys))
	}
	out, err := plain.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("b0b"), Key: aws.String("streamed"), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(out.Body); err != nil || !bytes.Equal(b, data) || out.ChecksumCRC64NVME == nil {
		t.Errorf("%d bytes, checksum %v, %v", len(b), out.ChecksumCRC64NVME, err)
	}
	deleted, err := plain.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: aws.String("b0b"), Delete: &types.Delete{Objects: keys}})
	if err != nil || len(deleted.Deleted) != 8 {
		t.Errorf("%+v, %v", deleted, err)
	}
	if _, err := plain.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String("b0b")}); err != nil {
		t.Error(err)
	}
}

// presigned puts and gets by URLs, as a browser does.
func presigned(t *testing.T, srv *rheo.Server, client *s3.Client) {
	t.Helper()
	signer := s3.NewPresignClient(client)
	put, err := signer.PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("b0b"), Key: aws.String("presigned")}, s3.WithPresignExpires(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	get, err := signer.PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("b0b"), Key: aws.String("presigned"), ResponseContentType: aws.String("text/x")}, s3.WithPresignExpires(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		method, url, body string
		status            int
		want              string
	}{
		{"PUT", put.URL, "by URL", 200, ""},
		{"GET", get.URL, "", 200, "by URL"},
		{"GET", strings.Replace(get.URL, "presigned?", "streamed?", 1), "", 403, "<Code>SignatureDoesNotMatch</Code>"},
		{"PUT", get.URL, "other", 403, "<Code>SignatureDoesNotMatch</Code>"},
		{"GET", strings.Replace(get.URL, "X-Amz-Expires=60", "X-Amz-Expires=61", 1), "", 403, "<Code>SignatureDoesNotMatch</Code>"},
		{"GET", srv.URL() + "/b0b/presigned", "", 403, "<Code>AccessDenied</Code>"},
	} {
		req, err := http.NewRequest(tt.method, tt.url, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.status || !strings.Contains(string(b), tt.want) {
			t.Errorf("%s %s: %d %s", tt.method, tt.url, resp.StatusCode, b)
		}
	}
}

// TestS3InMemory: a server without a directory has S3 too, with a bound.
func TestS3InMemory(t *testing.T) {
	srv, err := rheo.New(rheo.Config{ObjectBytesMax: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	client, ctx, b0b := s3Client(t, srv, false), t.Context(), aws.String("b0b")
	if _, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: b0b}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: b0b, Key: b0b, Body: strings.NewReader("hello")}); err != nil {
		t.Fatal(err)
	}
	_, err = client.PutObject(ctx, &s3.PutObjectInput{Bucket: b0b, Key: aws.String("more"), Body: bytes.NewReader(make([]byte, 996))})
	wantCode(t, "past the quota", err, "QuotaExceeded")
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: b0b, Key: b0b})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	if b, err := io.ReadAll(out.Body); string(b) != "hello" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

// An atBuffer is bytes that are written wherever, by many.
type atBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (a *atBuffer) WriteAt(p []byte, off int64) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if need := int(off) + len(p); need > len(a.b) {
		a.b = append(a.b, make([]byte, need-len(a.b))...)
	}
	return copy(a.b[off:], p), nil
}

// BenchmarkS3 is the rate at which one client at a time, and eight, put and get
// objects over plain HTTP with signed bodies. A put is on disk when it is answered.
func BenchmarkS3(b *testing.B) {
	_, client, _ := s3Server(b, b.TempDir())
	ctx := context.Background()
	if _, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("bench")}); err != nil {
		b.Fatal(err)
	}
	for _, size := range []int{64 << 10, 8 << 20} {
		data := bytes.Repeat([]byte("0123456789abcdef"), size/16)
		put := func(key string) error {
			_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("bench"), Key: &key, Body: bytes.NewReader(data)})
			return err
		}
		get := func(string) error {
			out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("bench"), Key: aws.String(fmt.Sprint("read", size))})
			if err != nil {
				return err
			}
			defer out.Body.Close()
			_, err = io.Copy(io.Discard, out.Body)
			return err
		}
		if err := put(fmt.Sprint("read", size)); err != nil {
			b.Fatal(err)
		}
		for _, clients := range []int{1, 8} {
			for name, do := range map[string]func(string) error{"put": put, "get": get} {
				b.Run(fmt.Sprintf("%s/%dKiB/%d", name, size>>10, clients), func(b *testing.B) {
					b.SetBytes(int64(size))
					b.SetParallelism(clients)
					b.RunParallel(func(pb *testing.PB) {
						key := fmt.Sprint("k", rand.Int())
						for pb.Next() {
							if err := do(key); err != nil {
								b.Error(err)
								return
							}
						}
					})
				})
			}
		}
	}
}
