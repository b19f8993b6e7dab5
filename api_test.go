package rheo_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rheostream/rheo"
	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/call"
)

var rewrite = flag.Bool("rewrite", false, "write what the server answers into testdata, for a human to read before it is committed")

// TestAPI plays testdata/api/*.txt, one script per operation, against a server
// over HTTP. A script is made of paragraphs. The first may begin with
//
//	server limits=aws transition=1h shards=10 on-demand=2 memory=160MiB streams=a:2,b:1
//
// A later "server" stops the one before it; with "dir" in both they have the same
// data.
//
// Every other paragraph is a call, and below it what is answered:
//
//	PutRecord {"StreamName": "s", "PartitionKey": "k", "Data": "YQ=="}
//	{"ShardId": "shardId-000000000000", "SequenceNumber": "<seq>"}
//
//	PutRecord {"StreamName": "t", "PartitionKey": "k", "Data": "YQ=="}
//	! ResourceNotFoundException: Stream t under account 000000000000 not found.
//
// "*" stands for any value and "..." behind a member's string for any rest of
// it; "<name>" takes a value the first time and must equal it from then on,
// also in calls. Between paragraphs "account 111111111111" and "region
// eu-west-1" change who calls from where, "times 5" repeats the next call, and
// "until" repeats it until the answer fits (where another process works on it).
func TestAPI(t *testing.T) {
	files, err := filepath.Glob("testdata/api/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts:", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			t.Parallel()
			play(t, f)
		})
	}
}

// Every operation that is served has a script of its name.
func TestEveryOperationHasItsScript(t *testing.T) {
	served := 0
	for _, row := range call.Kinesis {
		if strings.Contains(row.Op, "Channel") || strings.Contains(row.Op, "Queue") {
			continue
		}
		served++
		if _, err := os.Stat("testdata/api/" + row.Op + ".txt"); err != nil {
			t.Error(err)
		}
	}
	if served != 40 {
		t.Errorf("%d operations", served)
	}
}

// Every operation on a stream is played in each of its states, but those that
// nobody could call before it is ACTIVE for the first time.
func TestEveryOperationInEveryState(t *testing.T) {
	ofAccounts := []string{"DescribeAccountSettings", "UpdateAccountSettings", "DescribeLimits"}
	for _, state := range []string{"creating", "updating", "deleting"} {
		text, err := os.ReadFile("testdata/api/states-" + state + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range call.Kinesis {
			if strings.Contains(row.Op, "Channel") || strings.Contains(row.Op, "Queue") || slices.Contains(ofAccounts, row.Op) ||
				state == "creating" && (row.Op == "GetRecords" || row.Op == "SubscribeToShard") {
				continue
			}
			if !bytes.Contains(text, []byte("\n"+row.Op+" ")) {
				t.Errorf("%s is not called while a stream is %s", row.Op, strings.ToUpper(state))
			}
		}
	}
}

type script struct {
	t       *testing.T
	srv     *rheo.Server
	vars    map[string]string
	account string
	region  string
	dir     string // of servers that keep their data
}

func play(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, vars: map[string]string{}, account: "000000000000", region: "us-east-1"}
	var out strings.Builder
	for n, par := range paragraphs(string(text)) {
		lines := strings.Split(par.text, "\n")
		i, repeat, until := 0, 1, false
	directives:
		for ; i < len(lines); i++ {
			word, rest, _ := strings.Cut(lines[i], " ")
			switch word {
			case "server":
				s.start(rest)
			case "account":
				s.account = rest
			case "region":
				s.region = rest
			case "times":
				repeat, _ = strconv.Atoi(rest)
			case "until":
				until = true
			default:
				if !strings.HasPrefix(word, "#") {
					break directives
				}
			}
		}
		if s.srv == nil {
			s.start("")
		}
		if n > 0 {
			out.WriteString("\n")
		}
		for _, l := range lines[:i] {
			out.WriteString(l + "\n")
		}
		if i == len(lines) {
			continue
		}
		request, want := lines[i], strings.Join(lines[i+1:], "\n")
		var got string
		for {
			for range repeat {
				got = s.call(request)
			}
			if !until || s.match(want, got) == nil {
				break
			}
			time.Sleep(10 * time.Millisecond) // the test's own deadline ends this
		}
		err := s.match(want, got)
		if err != nil && !*rewrite {
			t.Errorf("%s:%d: %s\n\tgot  %s\n\t%v", file, par.line+i, request, got, err)
		}
		if err != nil {
			want = s.tidy(got)
		}
		out.WriteString(request + "\n")
		if want != "" {
			out.WriteString(want + "\n")
		}
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(out.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

type paragraph struct {
	line int
	text string
}

func paragraphs(text string) (out []paragraph) {
	line := 1
	for _, p := range strings.Split(text, "\n\n") {
		lead := len(p) - len(strings.TrimLeft(p, "\n"))
		if body := strings.Trim(p, "\n"); body != "" {
			out = append(out, paragraph{line + lead, body})
		}
		line += strings.Count(p, "\n") + 2
	}
	return out
}

func (s *script) start(options string) {
	c := rheo.Config{Limits: call.Off, MemoryBytes: 256 << 20}
	for _, o := range strings.Fields(options) {
		name, value, _ := strings.Cut(o, "=")
		var err error
		switch name {
		case "dir":
			if s.dir == "" {
				s.dir = s.t.TempDir()
			}
			c.Dir, c.HTTP1Port = s.dir, -1
		case "limits":
			c.Limits, err = call.ParseLimits(value)
		case "transition":
			c.Transition, err = time.ParseDuration(value)
		case "shards":
			c.ShardLimit, err = strconv.Atoi(value)
		case "memory":
			var mib int64
			_, err = fmt.Sscanf(value, "%dMiB", &mib)
			c.MemoryBytes = mib << 20
		case "on-demand":
			c.OnDemandLimit, err = strconv.Atoi(value)
		case "streams":
			for _, st := range strings.Split(value, ",") {
				name, n, _ := strings.Cut(st, ":")
				shards, _ := strconv.Atoi(n)
				c.Streams = append(c.Streams, rheo.InitialStream{Name: name, Shards: shards})
			}
		default:
			s.t.Fatalf("option %s", o)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	if s.srv != nil {
		if err := s.srv.Close(); err != nil {
			s.t.Fatal(err)
		}
	}
	srv, err := rheo.New(c)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { srv.Close() })
	s.srv = srv
}

// call sends one request line and returns the answer as a script has it.
func (s *script) call(line string) string {
	op, body, _ := strings.Cut(line, " ")
	if body == "" {
		body = "{}"
	}
	for name, value := range s.vars {
		body = strings.ReplaceAll(body, "<"+name+">", value)
	}
	body = expand(body)
	req, err := http.NewRequestWithContext(s.t.Context(), "POST", s.srv.URL()+"/", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	now := time.Now().UTC()
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", kinesis.Service.TargetPrefix+"."+op)
	req.Header.Set("X-Amz-Date", now.Format("20060102T150405Z"))
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+s.account+"/"+now.Format("20060102")+"/"+s.region+
		"/kinesis/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature="+strings.Repeat("0", 64))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/vnd.amazon.eventstream") {
		return s.firstEvents(res.Body)
	}
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		var e struct{ Type, Lower, Upper string }
		var m map[string]any
		if err := json.Unmarshal(answer, &m); err != nil {
			s.t.Fatalf("%d %s", res.StatusCode, answer)
		}
		e.Type, _ = m["__type"].(string)
		e.Lower, _ = m["message"].(string)
		e.Upper, _ = m["Message"].(string)
		status := ""
		if res.StatusCode != http.StatusBadRequest {
			status = fmt.Sprintf(" (%d)", res.StatusCode)
		}
		return "! " + e.Type + status + ": " + e.Lower + e.Upper
	}
	return string(answer)
}

// expand writes out what is too long for a script: {{x*1000}} is a thousand times x.
func expand(body string) string {
	for {
		head, tail, ok := strings.Cut(body, "{{")
		if !ok {
			return body
		}
		inner, rest, _ := strings.Cut(tail, "}}")
		i := strings.LastIndexByte(inner, '*')
		n, err := strconv.Atoi(inner[i+1:])
		if err != nil {
			return body
		}
		body = head + strings.TrimSuffix(strings.Repeat(inner[:i], n), ",") + rest
	}
}

// firstEvents reads an event stream up to its first event, and closes it.
func (s *script) firstEvents(r io.Reader) string {
	br := bufio.NewReader(r)
	for {
		var prelude [12]byte
		if _, err := io.ReadFull(br, prelude[:]); err != nil {
			s.t.Fatal("event stream:", err)
		}
		total, headers := binary.BigEndian.Uint32(prelude[:]), binary.BigEndian.Uint32(prelude[4:])
		rest := make([]byte, total-12)
		if _, err := io.ReadFull(br, rest); err != nil {
			s.t.Fatal("event stream:", err)
		}
		if bytes.Contains(rest[:headers], []byte("initial-response")) {
			continue
		}
		return string(rest[headers : len(rest)-4])
	}
}

// match compares an answer with what the script wants of it.
func (s *script) match(want, got string) error {
	if strings.HasPrefix(want, "!") || strings.HasPrefix(got, "!") {
		return s.same("", want, got)
	}
	if want == "" && (got == "" || got == "{}") {
		return nil
	}
	var w, g any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		return fmt.Errorf("the script's answer is not JSON: %v", err)
	}
	if got == "" {
		got = "{}"
	}
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		return fmt.Errorf("the answer is not JSON: %v", err)
	}
	return s.same("", w, g)
}

func (s *script) same(at string, want, got any) error {
	if w, ok := want.(string); ok {
		if w == "*" {
			return nil
		}
		g, isString := got.(string)
		if name, ok := strings.CutPrefix(w, "<"); ok && strings.HasSuffix(name, ">") && strings.Count(w, "<") == 1 {
			name = strings.TrimSuffix(name, ">")
			if !isString {
				b, _ := json.Marshal(got)
				g = string(b)
			}
			if have, ok := s.vars[name]; ok && have != g {
				return fmt.Errorf("%s is %q, but <%s> is %q", at, g, name, have)
			}
			s.vars[name] = g
			return nil
		}
		for name, value := range s.vars {
			w = strings.ReplaceAll(w, "<"+name+">", value)
		}
		if head, ok := strings.CutSuffix(w, "..."); ok && isString && strings.HasPrefix(g, head) {
			return nil
		}
		if !isString || g != w {
			return fmt.Errorf("%s is %v, want %q", at, got, w)
		}
		return nil
	}
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is %v, want an object", at, got)
		}
		for k := range g {
			if _, ok := w[k]; !ok {
				return fmt.Errorf("%s.%s is there and should not be", at, k)
			}
		}
		for k, v := range w {
			gv, ok := g[k]
			if !ok {
				return fmt.Errorf("%s.%s is missing", at, k)
			}
			if err := s.same(at+"."+k, v, gv); err != nil {
				return err
			}
		}
		return nil
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Errorf("%s has %d elements, want %d", at, len(g), len(w))
		}
		for i := range w {
			if err := s.same(fmt.Sprintf("%s[%d]", at, i), w[i], g[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if !reflect.DeepEqual(want, got) {
		return fmt.Errorf("%s is %v, want %v", at, got, want)
	}
	return nil
}

// tidy is an answer for -rewrite to put into a script: what differs from run to run becomes "*".
func (s *script) tidy(got string) string {
	var v any
	if json.Unmarshal([]byte(got), &v) != nil {
		for name, value := range s.vars {
			got = strings.ReplaceAll(got, value, "<"+name+">")
		}
		return got
	}
	var walk func(v any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				volatile := []string{"SequenceNumber", "StartingSequenceNumber", "EndingSequenceNumber", "ContinuationSequenceNumber", "ShardIterator",
					"NextShardIterator", "NextToken", "ConsumerARN", "StartedAt", "EarliestAllowedEndAt", "EndedAt"}
				if slices.Contains(volatile, k) || strings.HasSuffix(k, "Timestamp") {
					v[k] = "*"
				} else {
					v[k] = walk(e)
				}
			}
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
		}
		return v
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(walk(v)); err != nil {
		return got
	}
	if out := strings.TrimSpace(b.String()); out != "{}" {
		return out
	}
	return ""
}
