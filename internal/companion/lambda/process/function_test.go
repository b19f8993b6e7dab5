//go:build linux

package process

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// function is the test binary as a bootstrap: what the handler of that name does, with
// AWS's own Go client unless it is about not being a good one.
func function(handler string) {
	api := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + apiRoot
	count := 0
	switch handler {
	case "echo":
		lambda.Start(func(_ context.Context, event json.RawMessage) (json.RawMessage, error) { return event, nil })
	case "count": // how often this instance was invoked
		lambda.Start(func() (int, error) { count++; return count, nil })
	case "context":
		lambda.Start(func(ctx context.Context) (map[string]any, error) {
			lc, _ := lambdacontext.FromContext(ctx)
			deadline, _ := ctx.Deadline()
			return map[string]any{
				"requestId": lc.AwsRequestID, "arn": lc.InvokedFunctionArn, "client": lc.ClientContext.Custom,
				"left": time.Until(deadline).Seconds(), "trace": ctx.Value("x-amzn-trace-id"),
			}, nil
		})
	case "env":
		lambda.Start(func() ([]string, error) { return os.Environ(), nil })
	case "log":
		lambda.Start(func(event struct{ Lines, Bytes int }) error {
			for i := range event.Lines {
				fmt.Fprintf(os.Stderr, "line %d %s\n", i, strings.Repeat("x", event.Bytes))
			}
			return nil
		})
	case "fail":
		lambda.Start(func() error { return errors.New("no luck today") })
	case "panic":
		lambda.Start(func() error { panic("all is lost") })
	case "sleep":
		lambda.Start(func(seconds float64) error { time.Sleep(time.Duration(seconds * float64(time.Second))); return nil })
	case "exit-at-start":
		fmt.Println("going down")
		os.Exit(3)
	case "hang-at-start":
		select {}
	case "exit":
		lambda.Start(func(code int) error { os.Exit(code); return nil })
	case "exit-after-answer":
		lambda.Start(func() (int, error) {
			time.AfterFunc(20*time.Millisecond, func() { os.Exit(1) })
			count++
			return count, nil
		})
	case "init-error":
		post(api+"init/error", "Runtime.NoLuck", `{"errorMessage":"cannot begin","errorType":"Runtime.NoLuck"}`)
		os.Exit(1)
	case "big":
		lambda.Start(func(n int) (string, error) { return strings.Repeat("a", n), nil })
	case "garbage":
		garbage(api)
	case "memory":
		lambda.Start(func(mib int) (int, error) {
			var kept [][]byte
			for range mib {
				b := make([]byte, 1<<20)
				for i := 0; i < len(b); i += 4096 {
					b[i] = 1
				}
				kept = append(kept, b)
				time.Sleep(time.Millisecond)
			}
			time.Sleep(300 * time.Millisecond)
			return len(kept), nil
		})
	case "disk":
		lambda.Start(fillDisk)
	case "fork": // starts children that start children
		lambda.Start(forkBomb)
	case "leave": // leaves a process behind that has left its session
		lambda.Start(func() (int, error) {
			cmd := exec.Command("/proc/self/exe")
			cmd.Args[0] = "/x/bootstrap"
			cmd.Env = append(os.Environ(), "_HANDLER=daemon")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			return cmd.Process.Pid, cmd.Start()
		})
	case "daemon":
		time.Sleep(time.Minute)
	case "child":
		time.Sleep(time.Minute)
	case "stream":
		stream(api)
	case "connections": // as many as it can have answered
		lambda.Start(connections)
	case "look":
		lambda.Start(look)
	case "get":
		lambda.Start(get)
	default:
		fmt.Fprintln(os.Stderr, "no such handler:", handler)
		os.Exit(9)
	}
}

func post(url, kind, body string) int {
	req, _ := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	req.Header.Set("Lambda-Runtime-Function-Error-Type", kind)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// garbage answers with all that is wrong, then properly: with the statuses it got.
func garbage(api string) {
	for {
		resp, err := http.Get(api + "invocation/next")
		if err != nil {
			os.Exit(1)
		}
		event, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		id := resp.Header.Get("Lambda-Runtime-Aws-Request-Id")
		var got []int
		second, err := http.Get(api + "invocation/next") // with an event in hand
		if err == nil {
			second.Body.Close()
			got = append(got, second.StatusCode)
		}
		got = append(got,
			post(api+"invocation/"+"11111111-0000-4000-8000-000000000000"+"/response", "", "{}"),
			post(api+"invocation/"+id+"/nonsense", "", "{}"),
			post(api+"init/error", "Runtime.TooLate", "{}"),
			post(strings.TrimSuffix(api, "runtime/")+"elsewhere", "", "{}"))
		if c, err := net.Dial("tcp", os.Getenv("AWS_LAMBDA_RUNTIME_API")); err == nil {
			fmt.Fprintf(c, "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\nContent-Length: nonsense\r\n\r\n\x00\x01\x02", id)
			b := make([]byte, 12)
			io.ReadFull(c, b)
			status, _ := strconv.Atoi(strings.TrimSpace(string(b[9:])))
			got = append(got, status)
			c.Close()
		}
		if string(event) == `"raw"` {
			post(api+"invocation/"+id+"/response", "", "\x00\xffno JSON")
			continue
		}
		answer, _ := json.Marshal(got)
		post(api+"invocation/"+id+"/response", "", string(answer))
		post(api+"invocation/"+id+"/response", "", "a second answer")
	}
}

// stream answers in pieces; for "broken" with an error in the trailers, and for "cut" it
// hangs up half-way.
func stream(api string) {
	for {
		resp, err := http.Get(api + "invocation/next")
		if err != nil {
			os.Exit(1)
		}
		event, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		id := resp.Header.Get("Lambda-Runtime-Aws-Request-Id")
		c, err := net.Dial("tcp", os.Getenv("AWS_LAMBDA_RUNTIME_API"))
		if err != nil {
			os.Exit(1)
		}
		fmt.Fprintf(c, "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\nLambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\nTrailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n", id)
		fmt.Fprintf(c, "5\r\n\"one \r\n")
		switch string(event) {
		case `"cut"`:
		case `"broken"`:
			// {"errorMessage":"half-way","errorType":"Function.Broken"}
			fmt.Fprint(c, "0\r\nLambda-Runtime-Function-Error-Type: Function.Broken\r\nLambda-Runtime-Function-Error-Body: eyJlcnJvck1lc3NhZ2UiOiJoYWxmLXdheSIsImVycm9yVHlwZSI6IkZ1bmN0aW9uLkJyb2tlbiJ9\r\n\r\n")
			io.ReadFull(c, make([]byte, 12))
		default:
			fmt.Fprint(c, "4\r\ntwo\"\r\n0\r\n\r\n")
			io.ReadFull(c, make([]byte, 12))
		}
		c.Close()
	}
}

// fillDisk writes until it may not, and tells how much that was and why it ended.
func fillDisk() (map[string]any, error) {
	var written int64
	block := make([]byte, 1<<20)
	for i := range 100 {
		f, err := os.Create(filepath.Join(os.TempDir(), strconv.Itoa(i)))
		if err != nil {
			return map[string]any{"written": written, "error": err.Error()}, nil
		}
		for range 16 {
			n, err := f.Write(block)
			written += int64(n)
			if err != nil {
				return map[string]any{"written": written, "error": err.Error()}, nil
			}
		}
		f.Close()
		time.Sleep(50 * time.Millisecond)
	}
	return map[string]any{"written": written, "error": "none"}, nil
}

// forkBomb starts children until it may not, and tells how many there were.
func forkBomb() (map[string]any, error) {
	for n := range 5000 {
		pid, err := syscall.ForkExec("/proc/self/exe", []string{"/x/bootstrap"}, &syscall.ProcAttr{
			Env: append(os.Environ(), "_HANDLER=child", "GOMAXPROCS=1"), Files: []uintptr{0, 1, 2}})
		if err != nil || pid == 0 {
			return map[string]any{"children": n, "error": fmt.Sprint(err)}, nil
		}
	}
	return map[string]any{"children": 5000, "error": "none"}, nil
}

// look tries to see what a function must not; the event names things, the answer says
// for each what came of it: "open", or an error.
func look(things []string) (map[string]string, error) {
	found := map[string]string{}
	for _, thing := range things {
		kind, what, _ := strings.Cut(thing, " ")
		var err error
		switch kind {
		case "read":
			var f *os.File
			if f, err = os.Open(what); err == nil {
				_, err = f.Read(make([]byte, 1))
				if err == io.EOF || errors.Is(err, syscall.EISDIR) {
					err = nil
				}
				f.Close()
			}
		case "list":
			_, err = os.ReadDir(what)
		case "write":
			err = os.WriteFile(what, []byte("x"), 0o644)
		case "dial":
			var c net.Conn
			if c, err = net.DialTimeout("tcp", what, 2*time.Second); err == nil {
				_, err = fmt.Fprint(c, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
				c.SetReadDeadline(time.Now().Add(time.Second))
				if _, readErr := c.Read(make([]byte, 1)); readErr != nil && !errors.Is(readErr, os.ErrDeadlineExceeded) {
					err = readErr
				}
				c.Close()
			}
		case "signal":
			pid, _ := strconv.Atoi(what)
			err = syscall.Kill(pid, 0)
		case "uid":
			err = fmt.Errorf("%d", os.Getuid())
		case "status": // a line of /proc/self/status
			b, _ := os.ReadFile("/proc/self/status")
			err = errors.New("not there")
			for line := range strings.Lines(string(b)) {
				if rest, ok := strings.CutPrefix(line, what+":"); ok {
					err = errors.New(strings.TrimSpace(rest))
				}
			}
		case "files": // that are open at the start
			fds, _ := os.ReadDir("/proc/self/fd")
			var open []string
			for _, fd := range fds {
				to, _ := os.Readlink("/proc/self/fd/" + fd.Name())
				open = append(open, fd.Name()+"="+to)
			}
			err = errors.New(strings.Join(open, " "))
		case "unshare":
			err = syscall.Unshare(syscall.CLONE_NEWUSER)
		case "unix":
			var c net.Conn
			if c, err = net.Dial("unix", what); err == nil {
				c.Close()
			}
		case "mptcp":
			var fd int
			if fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 262); err == nil {
				syscall.Close(fd)
			}
		}
		found[thing] = "open"
		if err != nil {
			found[thing] = err.Error()
		}
	}
	return found, nil
}

// get fetches a URL by the proxy of the environment; "CONNECT host:port" by a tunnel.
func get(url string) (string, error) {
	client := &http.Client{Timeout: 5 * time.Second}
	if target, ok := strings.CutPrefix(url, "CONNECT "); ok {
		proxy, err := http.ProxyFromEnvironment(&http.Request{URL: &neturl.URL{Scheme: "https", Host: target}})
		if err != nil || proxy == nil {
			return "", fmt.Errorf("no proxy: %v", err)
		}
		c, err := net.Dial("tcp", proxy.Host)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target)
		resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: http.MethodConnect})
		if err != nil || resp.StatusCode != 200 {
			return "", fmt.Errorf("CONNECT: %v, %v", resp, err)
		}
		client.Transport = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return c, nil }}
		url = "http://" + target + "/"
	}
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s", resp.StatusCode, b), err
}

// egressTo is a way out that leads every name to addr, but forbids one.
func egressTo(addr string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, target string) (net.Conn, error) {
		if strings.HasPrefix(target, "forbidden.example:") {
			return nil, errors.New("connections to " + target + " are not allowed")
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
}

// connections opens many connections to the Runtime API and tells how many were answered.
func connections(n int) (int, error) {
	answered := make(chan bool, n)
	for range n {
		go func() {
			c, err := net.Dial("tcp", os.Getenv("AWS_LAMBDA_RUNTIME_API"))
			if err != nil {
				answered <- false
				return
			}
			fmt.Fprint(c, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
			c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
			_, err = c.Read(make([]byte, 1))
			answered <- err == nil // and stays open
		}()
	}
	count := 0
	for range n {
		if <-answered {
			count++
		}
	}
	return count, nil
}
