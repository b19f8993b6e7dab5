package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/chromedp/chromedp"

	"github.com/rheostream/rheo/interop/daemon"
)

// browsed has a page in Chromium put and get an object by presigned URLs: a page on
// the server's list of origins reads the answers, ETag and all; one that is not
// cannot. Its requests are good all the same, as are those of anyone who has a URL.
func browsed(ctx context.Context, binary, chromium string) error {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>a page</title>")
	}))
	defer page.Close()
	dir, err := os.MkdirTemp("", "interop-s3-browser-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var log bytes.Buffer
	d, err := daemon.Start(ctx, daemon.Config{Binary: binary, Dir: filepath.Join(dir, "data"), Log: &log, Args: []string{"--origins", page.URL}})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, log.String())
	}
	if err := browse(ctx, chromium, filepath.Join(dir, "profile"), page.URL, d); err != nil {
		d.Kill()
		return fmt.Errorf("%w\n%s", err, log.String())
	}
	return d.Stop()
}

func browse(ctx context.Context, chromium, profile, listed string, d *daemon.Daemon) error {
	client := s3.New(s3.Options{Region: daemon.Region, BaseEndpoint: aws.String(d.URL()), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(daemon.AccessKey, daemon.SecretKey, "")})
	if _, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("browser")}); err != nil {
		return err
	}
	signer := s3.NewPresignClient(client)
	put, err := signer.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("browser"), Key: aws.String("a b+ü.txt"), ContentType: aws.String("text/plain")})
	if err != nil {
		return err
	}
	get, err := signer.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("browser"), Key: aws.String("a b+ü.txt")})
	if err != nil {
		return err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox,
		chromedp.UserDataDir(profile), chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-sync", true))
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	// Another site, not only another port: names below localhost are loopback in Chromium.
	elsewhere := strings.Replace(listed, "127.0.0.1", "elsewhere.localhost", 1)
	for _, tt := range []struct{ what, origin, url, method, body, want string }{
		{"a page on the list puts", listed, put.URL, "PUT", "from a page", `200 "1219f418c4a7385836767feed2483369" `},
		{"a page on the list gets", listed, get.URL, "GET", "", `200 "1219f418c4a7385836767feed2483369" from a page`},
		{"a page on the list with a URL of something else", listed, strings.Replace(get.URL, "a%20b", "c%20b", 1), "GET", "", "403 null "},
		{"a page of elsewhere", elsewhere, get.URL, "GET", "", "refused"},
	} {
		if _, err := chromedp.Run(ctx, chromedp.Navigate(tt.origin)); err != nil {
			return fmt.Errorf("cannot open %s: %w", tt.origin, err)
		}
		body := ""
		if tt.body != "" {
			body = fmt.Sprintf(`, body: %q, headers: {"Content-Type": "text/plain"}`, tt.body)
		}
		script := fmt.Sprintf(`fetch(%q, {method: %q%s}).then(async (r) => r.status + " " + r.headers.get("ETag") + " " + await r.text(), (e) => "refused")`, tt.url, tt.method, body)
		got, err := chromedp.Run(ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
		if err != nil {
			return fmt.Errorf("%s: %w", tt.what, err)
		}
		if tt.want == "403 null " {
			got, _, _ = strings.Cut(got, "<")
		}
		if got != tt.want {
			return errors.New(tt.what + ": " + got + ", want " + tt.want)
		}
		fmt.Printf("%s: %.60s\n", tt.what, got)
	}
	return nil
}
