// Command s3 has clients of S3 use the embedded one: the AWS CLI, boto3 and the AWS
// SDK for Go with its transfer manager, configured by the environment only. With
// -kill it runs servers of its own instead, and kills them during multipart uploads,
// and with -browser one for a page that has presigned URLs.
package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

func main() {
	python := flag.String("python", "", "interpreter that has boto3")
	cli := flag.String("aws", "", "the AWS CLI")
	kill := flag.String("kill", "", "binary of servers to be killed")
	cycles := flag.Int("cycles", 5, "how often")
	browser := flag.String("browser", "", "binary of a server for pages in a browser")
	chromium := flag.String("chromium", "chromium", "that browser")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	if *kill != "" {
		if err := killed(ctx, *kill, *cycles); err != nil {
			fail("%v", err)
		}
		return
	}
	if *browser != "" {
		if err := browsed(ctx, *browser, *chromium); err != nil {
			fail("%v", err)
		}
		return
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		fail("%v", err)
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	managed(ctx, client)
	run(ctx, *python, "s3.py")
	synced(ctx, *cli)
}

func fail(format string, args ...any) {
	fmt.Printf("MISMATCH "+format+"\n", args...)
	os.Exit(1)
}

func equal[T comparable](what string, got, want T) {
	if got != want {
		fail("%s is %.200s, want %.200s", what, fmt.Sprint(got), fmt.Sprint(want))
	}
	fmt.Printf("%s: %.80s\n", what, fmt.Sprint(got))
}

func run(ctx context.Context, name string, args ...string) string {
	cmd := exec.CommandContext(ctx, name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(os.Stdout, &out), os.Stderr
	if err := cmd.Run(); err != nil {
		fail("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return out.String()
}

func random(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

const partBytes = 5 << 20

// etagOf is the ETag of data put in parts.
func etagOf(data []byte) string {
	var sums []byte
	parts := 0
	for rest := data; len(rest) > 0; parts++ {
		n := min(len(rest), partBytes)
		sum := md5.Sum(rest[:n])
		sums, rest = append(sums, sum[:]...), rest[n:]
	}
	sum := md5.Sum(sums)
	return fmt.Sprintf("%q", hex.EncodeToString(sum[:])+fmt.Sprint("-", parts))
}

// managed is the transfer manager's part, with what the SDK itself does.
func managed(ctx context.Context, client *s3.Client) {
	bucket := aws.String("interop-go")
	if _, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket}); err != nil {
		fail("create bucket: %v", err)
	}
	data := random(1, 4*partBytes+123)
	manager := transfermanager.New(client, func(o *transfermanager.Options) {
		o.PartSizeBytes, o.MultipartUploadThreshold = partBytes, partBytes
	})
	put, err := manager.UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: bucket, Key: aws.String("dir/large"), Body: struct{ io.Reader }{bytes.NewReader(data)}})
	if err != nil {
		fail("upload: %v", err)
	}
	equal("ETag of an upload", aws.ToString(put.ETag), etagOf(data))
	var got at
	if _, err := manager.DownloadObject(ctx, &transfermanager.DownloadObjectInput{Bucket: bucket, Key: aws.String("dir/large"), WriterAt: &got}); err != nil {
		fail("download: %v", err)
	}
	equal("the bytes come back", bytes.Equal(got.b, data), true)

	small, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("small"), Body: strings.NewReader("hello"), ChecksumAlgorithm: types.ChecksumAlgorithmSha256})
	if err != nil {
		fail("put: %v", err)
	}
	equal("ETag of a put", aws.ToString(small.ETag), `"5d41402abc4b2a76b9719d911017c592"`)
	equal("its SHA-256", aws.ToString(small.ChecksumSHA256), "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=")
	_, err = client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("small"), Body: strings.NewReader("again"), IfNoneMatch: aws.String("*")})
	equal("a second If-None-Match", code(err), "PreconditionFailed")
	_, err = client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("small"), Body: strings.NewReader("again"), IfMatch: aws.String(`"another"`)})
	equal("a wrong If-Match", code(err), "PreconditionFailed")
	_, err = client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("small"), Body: strings.NewReader("again"), IfMatch: small.ETag})
	equal("a right If-Match", code(err), "")

	url, err := s3.NewPresignClient(client).PresignGetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("small")}, s3.WithPresignExpires(2*time.Second))
	if err != nil {
		fail("presign: %v", err)
	}
	equal("by a presigned URL", fetch(client, url.URL), "200 again")
	time.Sleep(3 * time.Second) // the URL's own life
	if got := fetch(client, url.URL); !strings.Contains(got, "Request has expired") {
		fail("an expired URL: %s", got)
	}
	if os.Getenv("AWS_ENDPOINT_URL") != "" && strings.HasPrefix(os.Getenv("AWS_ENDPOINT_URL"), "https:") {
		// Only over TLS may a body come that cannot be read twice: in chunks, its checksum behind it.
		_, err = client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("streamed"), Body: io.MultiReader(bytes.NewReader(data)), ContentLength: aws.Int64(int64(len(data)))})
		equal("a stream with a trailing checksum", code(err), "")
	}
}

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// fetch gets a URL as a browser does, trusting what the client trusts.
func fetch(client *s3.Client, url string) string {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		fail("%v", err)
	}
	resp, err := client.Options().HTTPClient.Do(req)
	if err != nil {
		fail("%v", err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return fmt.Sprint(resp.StatusCode, " ", string(b))
}

// An at is bytes that are written wherever, by many.
type at struct {
	mu sync.Mutex
	b  []byte
}

func (a *at) WriteAt(p []byte, off int64) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if need := int(off) + len(p); need > len(a.b) {
		a.b = append(a.b, make([]byte, need-len(a.b))...)
	}
	return copy(a.b[off:], p), nil
}

// synced is the AWS CLI's part: a folder goes up, is up to date, and comes down as it
// was.
func synced(ctx context.Context, cli string) {
	dir, err := os.MkdirTemp("", "interop-s3-")
	if err != nil {
		fail("%v", err)
	}
	defer os.RemoveAll(dir)
	files := map[string][]byte{"a.txt": []byte("hello"), "empty": nil, "deep/er/ü & +.bin": random(2, 100_000), "deep/large": random(3, 20<<20), "..dots": []byte(".")}
	for i := range 60 {
		files[fmt.Sprintf("many/%03d", i)] = random(byte(i), 1000*i)
	}
	for name, data := range files {
		path := filepath.Join(dir, "up", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			fail("%v", err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			fail("%v", err)
		}
	}
	run(ctx, cli, "s3", "mb", "s3://interop-cli")
	run(ctx, cli, "s3", "sync", "--no-progress", filepath.Join(dir, "up"), "s3://interop-cli/pre fix")
	equal("what is left to sync", run(ctx, cli, "s3", "sync", "--no-progress", filepath.Join(dir, "up"), "s3://interop-cli/pre fix"), "")
	run(ctx, cli, "s3", "sync", "--no-progress", "--only-show-errors", "s3://interop-cli/pre fix", filepath.Join(dir, "down"))
	same := 0
	for name, data := range files {
		got, err := os.ReadFile(filepath.Join(dir, "down", name))
		if err != nil || !bytes.Equal(got, data) {
			fail("%s came down as %d bytes, %v", name, len(got), err)
		}
		same++
	}
	equal("files that came down as they went up", same, len(files))
	run(ctx, cli, "s3", "mv", "--only-show-errors", "s3://interop-cli/pre fix/a.txt", "s3://interop-cli/moved")
	run(ctx, cli, "s3", "rm", "--only-show-errors", "--recursive", "s3://interop-cli/pre fix/many")
	left := run(ctx, cli, "s3", "ls", "--recursive", "s3://interop-cli")
	equal("objects left", strings.Count(left, "\n"), len(files)-60)
	run(ctx, cli, "s3", "rb", "--force", "s3://interop-cli")
}
