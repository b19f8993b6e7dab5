package s3_test

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/companion/s3"
)

var rewrite = flag.Bool("rewrite", false, "write what is answered into the scripts")

// TestScripts runs testdata/*.txt against a store each. A script is requests and what
// is answered:
//
//	as 123456789012                 whose requests follow
//	restart                         the store
//	PUT /bucket/key                 a request,
//		Header: value               with headers
//		| text                      and a body; lines are joined by line ends
//		* 5242880 a                 or so many times a text
//	200                             the answer's status,
//		Header: value               headers, but those that are always the same or never,
//		| text                      and body: an element of XML a line
//
// $1, $2, ... stand for the ids of uploads and tokens in the order in which they come,
// TIME for times. Lines of # and empty ones are for people. With -rewrite, what is answered is
// written into the scripts.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sc := script{store: newStore(t, nil), account: caller.Account}
			got := sc.run(string(text))
			if got == string(text) {
				return
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("%s: %s", file, firstDifference(string(text), got))
		})
	}
}

type script struct {
	*store
	account string
	ids     []string // that $1 and so on stand for
	out     strings.Builder
}

func (sc *script) run(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for len(lines) > 0 {
		line := lines[0]
		lines = lines[1:]
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			fmt.Fprintln(&sc.out, line)
		case line == "restart":
			fmt.Fprintln(&sc.out, line)
			sc.restart()
		case strings.HasPrefix(line, "as "):
			fmt.Fprintln(&sc.out, line)
			sc.account = line[3:]
		case line[0] >= '0' && line[0] <= '9' || line[0] == '\t':
			// an answer as it was
		default:
			fmt.Fprintln(&sc.out, line)
			var more []string
			for len(lines) > 0 && strings.HasPrefix(lines[0], "\t") {
				fmt.Fprintln(&sc.out, lines[0])
				more = append(more, lines[0][1:])
				lines = lines[1:]
			}
			sc.request(line, more)
		}
	}
	return sc.out.String()
}

// request sends one and writes what is answered.
func (sc *script) request(line string, more []string) {
	for i, id := range sc.ids {
		line = strings.ReplaceAll(line, "$"+strconv.Itoa(i+1), id)
	}
	method, target, _ := strings.Cut(line, " ")
	var body []string
	header := http.Header{}
	for _, m := range more {
		for i, id := range sc.ids {
			m = strings.ReplaceAll(m, "$"+strconv.Itoa(i+1), id)
		}
		switch {
		case strings.HasPrefix(m, "| "):
			body = append(body, m[2:])
		case strings.HasPrefix(m, "* "):
			n, text, _ := strings.Cut(m[2:], " ")
			times, err := strconv.Atoi(n)
			if err != nil {
				sc.t.Fatal(err)
			}
			body = append(body, strings.Repeat(text, times))
		default:
			name, value, _ := strings.Cut(m, ": ")
			header.Add(name, value)
		}
	}
	r := request(sc.account, method, target, strings.NewReader(strings.Join(body, "\n")))
	if host := header.Get("Host"); host != "" {
		r.Host = host
		header.Del("Host")
	}
	maps.Copy(r.Header, header)
	w := httptest.NewRecorder()
	sc.h.ServeHTTP(w, r)
	sc.answer(w.Result())
}

// dull headers are those that say nothing, or something else each time.
var dull = []string{"X-Amz-Request-Id", "X-Amz-Id-2", "Date", "Last-Modified", "Accept-Ranges"}

var (
	times  = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`)
	idTags = regexp.MustCompile(`<(?:UploadId|NextContinuationToken|NextUploadIdMarker)>([^<]{20,})<`)
	never  = regexp.MustCompile(`<(?:RequestId|HostId)>[^<]*</(?:RequestId|HostId)>`)
)

func (sc *script) answer(resp *http.Response) {
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		sc.t.Fatal(err)
	}
	fmt.Fprintln(&sc.out, resp.StatusCode)
	names := slices.Sorted(maps.Keys(resp.Header))
	xml := resp.Header.Get("Content-Type") == "application/xml"
	for _, name := range names {
		value := resp.Header[name][0]
		if slices.Contains(dull, http.CanonicalHeaderKey(name)) || xml && (name == "Content-Type" || name == "Content-Length") {
			continue
		}
		fmt.Fprintf(&sc.out, "\t%s: %s\n", name, value)
	}
	text := string(b)
	if xml {
		text = never.ReplaceAllString(times.ReplaceAllString(text, "TIME"), "")
		for _, m := range idTags.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(sc.ids, m[1]) {
				sc.ids = append(sc.ids, m[1])
			}
		}
		for i, id := range sc.ids {
			text = strings.ReplaceAll(text, id, "$"+strconv.Itoa(i+1))
		}
		text = strings.TrimPrefix(text, `<?xml version="1.0" encoding="UTF-8"?>`+"\n")
		text = strings.ReplaceAll(text, "><", ">\n<")
	}
	if len(text) > 2000 && !xml {
		text = fmt.Sprintf("%s... (%d bytes)", text[:20], len(text))
	}
	if text != "" {
		for line := range strings.SplitSeq(text, "\n") {
			fmt.Fprintf(&sc.out, "\t| %s\n", line)
		}
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return fmt.Sprintf("line %d is\n%s\nwant\n%s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// TestRows: every operation of the table has a method and a row.
func TestRows(t *testing.T) {
	s := newStore(t, nil)
	for _, op := range s3.API.Ops {
		if !s.http.Calls.Serves(op) {
			t.Errorf("%s is in the table and nobody serves it", op.Name)
		}
	}
}
