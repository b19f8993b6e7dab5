// Command browser has a page of another origin, in Chromium, try to call the API
// of a server in open mode, where every request is believed, and demands that it
// cannot: neither do anything nor read anything. Then it does the same from a
// program that is no browser, to know that the requests themselves are good.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
)

const authorization = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/kinesis/aws4_request, SignedHeaders=host, Signature=00"

// An attempt is a request that a page can make. What needs a preflight (headers
// of its own, JSON) and what needs none (text/plain, forms) are refused in different places.
type attempt struct {
	name   string
	method string
	path   string
	mode   string // of fetch
	header map[string]string
}

var attempts = []attempt{
	{"text/plain, no preflight", "POST", "/", "cors", map[string]string{"Content-Type": "text/plain"}},
	{"text/plain, answer not wanted", "POST", "/", "no-cors", map[string]string{"Content-Type": "text/plain"}},
	{"JSON 1.1 with target and credential", "POST", "/", "cors", map[string]string{
		"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "Kinesis_20131202.CreateStream", "Authorization": authorization}},
	{"credential in the query, no preflight", "POST",
		"/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=test%2F20260101%2Fus-east-1%2Fkinesis%2Faws4_request&X-Amz-Target=Kinesis_20131202.CreateStream",
		"no-cors", map[string]string{"Content-Type": "text/plain"}},
	{"a form, as query protocols have it", "POST", "/?Action=CreateStream&StreamName=stolen&ShardCount=1", "no-cors",
		map[string]string{"Content-Type": "application/x-www-form-urlencoded"}},
}

const body = `{"StreamName":"stolen","ShardCount":1}`

func main() {
	chromium := flag.String("chromium", "chromium", "the browser")
	flag.Parse()
	if err := run(*chromium, os.Getenv("AWS_ENDPOINT_URL")); err != nil {
		fmt.Println("MISMATCH", err)
		os.Exit(1)
	}
}

func run(chromium, endpoint string) error {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>elsewhere</title>")
	}))
	defer page.Close()
	// Another site, not only another port: names below localhost are loopback in Chromium.
	elsewhere := strings.Replace(page.URL, "127.0.0.1", "elsewhere.localhost", 1)

	profile, err := os.MkdirTemp("", "rheo-browser-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(profile)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox,
		chromedp.UserDataDir(profile), chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-sync", true))
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()

	for _, origin := range []string{page.URL, elsewhere} {
		if _, err := chromedp.Run(ctx, chromedp.Navigate(origin)); err != nil {
			return fmt.Errorf("cannot open %s: %w", origin, err)
		}
		for _, a := range attempts {
			got, err := chromedp.Run(ctx, chromedp.Evaluate[string](a.script(endpoint), chromedp.EvalAwaitPromise))
			if err != nil {
				return fmt.Errorf("%s: %w", a.name, err)
			}
			// An opaque answer is one that the page cannot read, and the stream below tells what it did.
			if got != "refused" && got != "opaque" {
				return fmt.Errorf("a page of %s could read an answer (%s): %s", origin, a.name, got)
			}
			if err := mustHaveNoStream(endpoint); err != nil {
				return fmt.Errorf("a page of %s (%s): %w", origin, a.name, err)
			}
		}
		fmt.Printf("%d ways to call from a page of %s, none of which did or told anything\n", len(attempts), origin)
	}

	// A host name of somebody's own that resolves to us: the page would be of the same origin.
	rebound := strings.Replace(endpoint, "localhost", "127.0.0.1", 1)
	status, text, err := call(rebound, "rebound.example:4566", "CreateStream", body)
	if err != nil {
		return err
	}
	if status != http.StatusForbidden {
		return fmt.Errorf("a request for another host name was answered %d %s", status, text)
	}
	if err := mustHaveNoStream(endpoint); err != nil {
		return err
	}
	fmt.Println("a name of somebody's own that resolves to the server is refused")

	if status, text, err = call(endpoint, "", "CreateStream", body); err != nil || status != http.StatusOK {
		return fmt.Errorf("without a browser the same request should work, but: %d %s %v", status, text, err)
	}
	if err := mustHaveNoStream(endpoint); err == nil {
		return fmt.Errorf("the stream of a request that was accepted is not there")
	}
	fmt.Println("without a browser the same request works")
	return nil
}

// script is a promise of "refused", "opaque" or what the page could read.
func (a attempt) script(endpoint string) string {
	var headers []string
	for name, value := range a.header {
		headers = append(headers, fmt.Sprintf("%q: %q", name, value))
	}
	return fmt.Sprintf(`fetch(%q, {method: %q, mode: %q, headers: {%s}, body: %q}).then(
		async (r) => r.type === "opaque" ? "opaque" : r.status + " " + await r.text(),
		(e) => "refused")`, endpoint+a.path, a.method, a.mode, strings.Join(headers, ", "), body)
}

func mustHaveNoStream(endpoint string) error {
	status, text, err := call(endpoint, "", "DescribeStreamSummary", `{"StreamName":"stolen"}`)
	if err != nil {
		return err
	}
	if status != http.StatusBadRequest || !strings.Contains(text, "Stream stolen under account 000000000000 not found.") {
		return fmt.Errorf("the page's stream may be there: %d %s", status, text)
	}
	return nil
}

// call is the API without a browser.
func call(endpoint, host, operation, body string) (status int, text string, err error) {
	r, err := http.NewRequest("POST", endpoint, bytes.NewBufferString(body))
	if err != nil {
		return 0, "", err
	}
	r.Host = host
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "Kinesis_20131202."+operation)
	r.Header.Set("X-Amz-Date", time.Now().UTC().Format("20060102T150405Z"))
	r.Header.Set("Authorization", authorization)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}
