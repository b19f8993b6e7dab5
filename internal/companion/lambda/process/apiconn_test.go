//go:build linux

package process

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const testID = "11111111-2222-4333-8444-555555555555"

// busyInstance has an event, which its runtime has.
func busyInstance(limits *Limits) (*instance, *event) {
	in := &instance{limits: limits, gone: make(chan struct{}), ready: make(chan struct{}), initFailure: make(chan answer, 1)}
	e := &event{Invocation: Invocation{RequestID: testID, Payload: []byte(`"event"`), InvokedARN: "arn"}, deadline: time.UnixMilli(1234567890123), answered: make(chan answer, 1)}
	in.event, in.delivered = e, true
	return in, e
}

// TestRuntimeAPI: what is sent, byte for byte, and what it is taken for.
func TestRuntimeAPI(t *testing.T) {
	post := "POST /2018-06-01/runtime/invocation/" + testID
	for name, test := range map[string]struct {
		request string
		status  int
		payload string // of the answer; "-": none
		kind    string // of its error
		closed  bool
	}{
		"with a length":       {post + "/response HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n\"a\"", 202, `"a"`, "", false},
		"without a body":      {post + "/response HTTP/1.1\r\nHost: x\r\n\r\n", 202, ``, "", false},
		"in chunks":           {post + "/response HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n\"a\r\n1\r\n\"\r\n0\r\n\r\n", 202, `"a"`, "", false},
		"names in any case":   {post + "/response HTTP/1.1\r\ncontent-LENGTH:3\r\n\r\n\"a\"", 202, `"a"`, "", false},
		"bare line ends":      {post + "/response HTTP/1.1\nContent-Length: 3\n\n\"a\"", 202, `"a"`, "", false},
		"a long field":        {post + "/error HTTP/1.1\r\nLambda-Runtime-Function-Xray-Error-Cause: " + strings.Repeat("x", 1<<20) + "\r\nLambda-Runtime-Function-Error-Type: Function.Mine\r\nContent-Length: 2\r\n\r\n{}", 202, `{}`, "Function.Mine", false},
		"a field too long":    {post + "/error HTTP/1.1\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n", 400, "-", "", true},
		"waits to be told":    {post + "/response HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n\"a\"", 100, `"a"`, "", false},
		"and closes":          {post + "/response HTTP/1.1\r\nConnection: close\r\nContent-Length: 3\r\n\r\n\"a\"", 202, `"a"`, "", true},
		"an error in the end": {post + "/response HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: Lambda-Runtime-Function-Error-Type\r\n\r\n1\r\na\r\n0\r\nLambda-Runtime-Function-Error-Type: Runtime.Mine\r\nLambda-Runtime-Function-Error-Body: e30=\r\n\r\n", 202, `{}`, "Runtime.Mine", false},
		"an unknown error":    {post + "/error HTTP/1.1\r\nLambda-Runtime-Function-Error-Type: ValueError\r\nContent-Length: 2\r\n\r\n{}", 202, `{}`, "Runtime.Unknown", false},
		"an empty error":      {post + "/error HTTP/1.1\r\n\r\n", 202, `{"errorType":"Runtime.Unknown","errorMessage":"Unknown application error occurred"}`, "Runtime.Unknown", false},
		"cut off":             {post + "/response HTTP/1.1\r\nContent-Length: 30\r\n\r\n\"a", 400, `{"errorType":"Runtime.TruncatedResponse","errorMessage":"The runtime's response ended early"}`, "Runtime.TruncatedResponse", true},
		"cut off in a chunk":  {post + "/response HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n30\r\n\"a", 400, `{"errorType":"Runtime.TruncatedResponse","errorMessage":"The runtime's response ended early"}`, "Runtime.TruncatedResponse", true},
		"a mode unheard of":   {post + "/response HTTP/1.1\r\nLambda-Runtime-Function-Response-Mode: telepathy\r\nContent-Length: 1\r\n\r\n1", 400, `{"errorType":"Runtime.InvalidResponseModeHeader","errorMessage":"Unknown application error occurred"}`, "Runtime.InvalidResponseModeHeader", false},
		"too large":           {post + "/response HTTP/1.1\r\nContent-Length: 101\r\n\r\n" + strings.Repeat("a", 101), 413, `{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size exceeded maximum allowed payload size (100 bytes)."}`, "Function.ResponseSizeTooLarge", false},
		"too many chunks":     {post + "/response HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("40\r\n"+strings.Repeat("a", 64)+"\r\n", 9) + "0\r\n\r\n", 413, `{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size exceeded maximum allowed payload size (100 bytes)."}`, "Function.ResponseSizeTooLarge", false},
		"another's id":        {"POST /2018-06-01/runtime/invocation/0/response HTTP/1.1\r\nContent-Length: 3\r\n\r\n\"a\"", 400, "-", "", false},
		"a call unheard of":   {"DELETE /2018-06-01/runtime HTTP/1.1\r\nContent-Length: 3\r\n\r\n\"a\"", 404, "-", "", false},
		"next, with an event": {"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n", 403, "-", "", false},
		"no HTTP":             {"hello\r\n\r\n", 400, "-", "", true},
		"two lengths":         {post + "/response HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n\"a\"", 400, "-", "", true},
		"length and chunks":   {post + "/response HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n\"a\"", 400, "-", "", true},
		"another encoding":    {post + "/response HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400, "-", "", true},
		"no length":           {post + "/response HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "-", "", true},
		"a field unnamed":     {post + "/response HTTP/1.1\r\nwhat\r\n\r\n", 400, "-", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			limits := Limits{ResponseBytes: 100}
			in, e := busyInstance(&limits)
			ours, theirs := net.Pipe()
			done := make(chan struct{})
			go func() { in.serveConnection(newAPIConn(ours)); close(done) }()
			theirs.SetDeadline(time.Now().Add(10 * time.Second))
			go func() {
				io.WriteString(theirs, test.request)
				if strings.HasPrefix(name, "cut off") {
					time.Sleep(10 * time.Millisecond)
					ours.(interface{ SetReadDeadline(time.Time) error }).SetReadDeadline(time.Now()) // as far as reading goes, it is gone
				}
			}()
			r := bufio.NewReader(theirs)
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			if resp.StatusCode != test.status {
				t.Errorf("the status is %s", resp.Status)
			}
			if test.status == 100 {
				if resp, err = http.ReadResponse(r, nil); err != nil || resp.StatusCode != 202 {
					t.Fatalf("afterwards: %v, %v", resp, err)
				}
				io.Copy(io.Discard, resp.Body)
			}
			select {
			case a := <-e.answered:
				if string(a.payload) != test.payload || a.errorType != test.kind {
					t.Errorf("the answer is %q, of type %q", a.payload, a.errorType)
				}
			default:
				if test.payload != "-" {
					t.Error("there is no answer")
				}
			}
			if !test.closed { // it takes another call
				go io.WriteString(theirs, "GET /nothing HTTP/1.1\r\n\r\n")
				if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 404 {
					t.Errorf("the next call: %v", err)
				}
				theirs.Close()
			}
			<-done
		})
	}
}

// TestNextOnTheWire: the event's head and body come in one write, to the latest that waits.
func TestNextOnTheWire(t *testing.T) {
	limits := Limits{ResponseBytes: 100}
	in, _ := busyInstance(&limits)
	in.event = nil
	const next = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"
	wait := func() net.Conn {
		before := in.waiting()
		ours, theirs := net.Pipe()
		go in.serveConnection(newAPIConn(ours))
		io.WriteString(theirs, next)
		waitFor(t, "the runtime to wait", func() bool { w := in.waiting(); return w != nil && w != before })
		theirs.SetDeadline(time.Now().Add(10 * time.Second))
		return theirs
	}
	first := wait()
	second := wait()
	if _, err := first.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the first to wait is told %v", err)
	}
	go in.give(Invocation{RequestID: testID, Payload: []byte(`"event"`), InvokedARN: "arn:x", TraceID: "t", ClientContext: "{}"}, time.Minute)
	b := make([]byte, 4096)
	n, err := second.Read(b) // of a pipe: as much as one write had
	if err != nil {
		t.Fatal(err)
	}
	got := string(b[:n])
	for _, want := range []string{"HTTP/1.1 200 OK\r\n", "\r\nContent-Length: 7\r\n", "\r\nLambda-Runtime-Aws-Request-Id: " + testID + "\r\n", "\r\nLambda-Runtime-Trace-Id: t\r\n", "\r\nLambda-Runtime-Client-Context: {}\r\n", "\r\nLambda-Runtime-Invoked-Function-Arn: arn:x\r\n", "\r\n\r\n\"event\""} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	second.Close()
	// One that does not wait for its event may not have another call.
	third := func() net.Conn {
		in.mu.Lock()
		in.answered = true
		in.mu.Unlock()
		return wait()
	}()
	io.WriteString(third, next)
	if _, err := third.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("who asks twice is told %v", err)
	}
	waitFor(t, "nobody to wait", func() bool { return in.waiting() == nil })
}

func (in *instance) waiting() *apiConn {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.waiter
}

// FuzzRuntimeAPI: whatever a function sends, a connection ends when it does.
func FuzzRuntimeAPI(f *testing.F) {
	post := "POST /2018-06-01/runtime/invocation/" + testID
	for _, s := range []string{
		post + "/response HTTP/1.1\r\nContent-Length: 3\r\n\r\n\"a\"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n",
		post + "/response HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\"a\r\n1\r\n\"\r\n0\r\nLambda-Runtime-Function-Error-Type: Runtime.Mine\r\n\r\n",
		post + "/error HTTP/1.1\r\nLambda-Runtime-Function-Error-Type: X\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
		"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		limits := Limits{ResponseBytes: 100}
		in, _ := busyInstance(&limits)
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() { in.serveConnection(newAPIConn(ours)); close(done) }()
		go io.Copy(io.Discard, theirs)
		theirs.SetWriteDeadline(time.Now().Add(5 * time.Second))
		theirs.Write(b)
		theirs.Close()
		<-done
	})
}
