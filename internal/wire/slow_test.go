package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// pipes is a listener whose connections are in memory, so that synctest's clock
// runs while both ends wait.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// inBubble runs test with a server on in-memory connections and a clock of its own.
func inBubble(t *testing.T, test func(t *testing.T, h *Handler, s *fewStreams, dial func() net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		h, s := testHandler(t, nil)
		l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		server := newServer(ServerConfig{Handler: h}, l)
		go server.Serve()
		defer func() {
			h.Drain()
			server.Close()
			synctest.Wait()
		}()
		test(t, h, s, l.dial)
	})
}

// closesAfter waits until the server closes c and returns how long that took, and
// what came before.
func closesAfter(t *testing.T, c net.Conn) (time.Duration, string) {
	t.Helper()
	start := time.Now()
	b, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Fatal(err)
	}
	c.Close()
	return time.Since(start), string(b)
}

// TestSlowClients: whoever keeps a connection waiting is let go.
func TestSlowClients(t *testing.T) {
	head := "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: Kinesis_20131202.PutRecord\r\n" +
		"X-Amz-Date: 20261125T110000Z\r\nAuthorization: AWS4-HMAC-SHA256 Credential=test/20261125/us-east-1/kinesis/aws4_request, SignedHeaders=host, Signature=00\r\n"
	for _, tt := range []struct {
		name   string
		send   string
		after  time.Duration
		answer string
	}{
		{"says nothing", "", firstReadTimeout, ""},
		{"half a request line", "POST / HT", readHeaderTimeout, ""},
		{"half of the headers", head, readHeaderTimeout, ""},
		{"half an HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM", readHeaderTimeout, ""},
		{"preface without settings", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 2 * time.Second, ""},
		{"half a body", head + "Content-Length: 100\r\n\r\n{", bodyGrace + 100*time.Second/bodyBytesPerSecond, "HTTP/1.1 408 Request Timeout"},
		{"half a chunked body", head + "Transfer-Encoding: chunked\r\n\r\n5\r\n{", bodyGrace, "HTTP/1.1 408 Request Timeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, h *Handler, _ *fewStreams, dial func() net.Conn) {
				c := dial()
				if _, err := io.WriteString(c, tt.send); err != nil {
					t.Fatal(err)
				}
				took, got := closesAfter(t, c)
				if !strings.Contains(got, tt.answer) || took < tt.after || took > tt.after+2*time.Second {
					t.Fatalf("closed after %v with %q; want %v", took, got, tt.after)
				}
				synctest.Wait()
				if used := h.Memory.Used(); used != 0 {
					t.Fatalf("%d bytes of memory are still taken", used)
				}
			})
		})
	}
}

// TestRefusedSendersHearOfIt: a body for which there is no memory is passed over,
// not cut off: a client who is still sending could not read why.
func TestRefusedSendersHearOfIt(t *testing.T) {
	h, s := testHandler(t, func(c *HandlerConfig) { c.Memory = NewBudget(1 << 20) })
	server, _ := startServer(t, h, nil)
	c, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answers := bufio.NewReader(c)
	big := `{"StreamName":"s","PartitionKey":"k","Data":"` + strings.Repeat("QUJD", 3<<20) + `"}`
	for _, tt := range []struct {
		body   string
		status int
	}{{big, 503}, {putBody, 200}, {big, 503}} { // over one connection
		r := request("http://localhost/", "PutRecord", tt.body)
		if err := r.Write(c); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(answers, r)
		if err != nil {
			t.Fatal(err)
		}
		if body := readAll(t, resp); resp.StatusCode != tt.status {
			t.Errorf("%s %s, want %d", resp.Status, body, tt.status)
		}
	}
	if len(s.put) != 1 || h.Memory.Used() != 0 {
		t.Errorf("%d records put, %d bytes of memory are still taken", len(s.put), h.Memory.Used())
	}
}

// TestRefusedSendersMustSend: passing over a body takes no longer than reading it.
func TestRefusedSendersMustSend(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Handler, _ *fewStreams, dial func() net.Conn) {
		h.Memory.Take(BudgetDefault - 4) // no memory for anybody
		defer h.Memory.Release(BudgetDefault - 4)
		c := dial()
		r := request("http://localhost/", "PutRecord", putBody)
		r.ContentLength = 1 << 20
		r.Body = io.NopCloser(io.MultiReader(strings.NewReader(putBody), errorReader{}))
		r.Write(c) // fails half way
		took, got := closesAfter(t, c)
		if limit := bodyGrace + firstBytes*time.Second/bodyBytesPerSecond; !strings.HasPrefix(got, "HTTP/1.1 503") || took > limit+2*time.Second {
			t.Errorf("closed after %v with %q", took, got)
		}
	})
}

// TestSlowButSteady: a large body over a slow line is no attack.
func TestSlowButSteady(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *Handler, s *fewStreams, dial func() net.Conn) {
		c := dial()
		defer c.Close()
		body := `{"StreamName":"s","PartitionKey":"k","Data":"` + strings.Repeat("QUJD", 1<<18) + `"}`
		r := request("http://localhost/", "PutRecord", "")
		r.ContentLength = int64(len(body))
		r.Body = io.NopCloser(atRate(strings.NewReader(body), bodyBytesPerSecond))
		go r.Write(c)
		resp, err := http.ReadResponse(bufio.NewReader(c), r)
		if err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, resp); resp.StatusCode != 200 || len(s.lastPut().Data) != 3<<18 {
			t.Fatalf("%s %s", resp.Status, got)
		}
	})
}

// atRate reads r at so many bytes a second.
func atRate(r io.Reader, bytesPerSecond int) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		n, err := r.Read(p)
		time.Sleep(time.Duration(n) * time.Second / time.Duration(bytesPerSecond))
		return n, err
	})
}

// TestDeadReaders: an answer that nobody takes does not stay in memory, over
// HTTP/1.1 nor on an HTTP/2 stream whose connection is alive.
func TestDeadReaders(t *testing.T) {
	big := func(c io.Writer) {
		request("http://localhost/", "GetRecords", `{"ShardIterator":"big"}`).Write(c)
	}
	t.Run("HTTP/1.1", func(t *testing.T) {
		inBubble(t, func(t *testing.T, h *Handler, _ *fewStreams, dial func() net.Conn) {
			c := dial()
			defer c.Close()
			big(c)
			synctest.Wait()
			if h.Memory.Used() < 8<<20 {
				t.Fatalf("an answer of more than 8 MiB counts %d bytes", h.Memory.Used())
			}
			time.Sleep(writeTimeout + time.Second)
			synctest.Wait()
			if used := h.Memory.Used(); used != 0 {
				t.Fatalf("%d bytes of memory are still taken", used)
			}
		})
	})
	t.Run("HTTP/2", func(t *testing.T) {
		inBubble(t, func(t *testing.T, h *Handler, _ *fewStreams, dial func() net.Conn) {
			f := newFramer(t, dial())
			defer f.conn.Close()
			f.post(1, "GetRecords", `{"ShardIterator":"big"}`)
			go f.answerPings() // alive, but never opens its window
			synctest.Wait()
			if h.Memory.Used() < 8<<20 {
				t.Fatalf("an answer of more than 8 MiB counts %d bytes", h.Memory.Used())
			}
			time.Sleep(writeTimeout + 400*time.Second)
			synctest.Wait()
			if used := h.Memory.Used(); used != 0 {
				t.Fatalf("%d bytes of memory are still taken", used)
			}
		})
	})
}

// TestCrawlingReaders: whoever takes an answer a little at a time, always just
// before a write would time out, holds its memory no longer than a sender of a
// body would; a slow but steady reader gets it all.
func TestCrawlingReaders(t *testing.T) {
	const fair = 2 * bodyBytesPerSecond // twice the least rate: of 8 MiB in base64, 170 s
	for _, tt := range []struct {
		name  string
		piece int
		every time.Duration
		whole bool
	}{
		{"64 KiB just in time", writeBytes, writeTimeout - time.Second, false},
		{"at half the least rate", bodyBytesPerSecond / 2, time.Second, false},
		{"steadily", fair, time.Second, true},
	} {
		t.Run("HTTP/1.1 "+tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, h *Handler, _ *fewStreams, dial func() net.Conn) {
				c := dial()
				defer c.Close()
				request("http://localhost/", "GetRecords", `{"ShardIterator":"big"}`).Write(c)
				got := 0
				for b := make([]byte, tt.piece); ; time.Sleep(tt.every) {
					n, err := io.ReadFull(c, b)
					if got += n; err != nil || got > 8<<20/3*4 {
						break
					}
				}
				crawled(t, h, got, tt.whole)
			})
		})
		t.Run("HTTP/2 "+tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, h *Handler, _ *fewStreams, dial func() net.Conn) {
				f := newFramer(t, dial())
				f.post(1, "GetRecords", `{"ShardIterator":"big"}`)
				var writing sync.Mutex
				var opening sync.WaitGroup
				opening.Go(func() {
					for {
						writing.Lock()
						err := errors.Join(f.WriteWindowUpdate(0, uint32(tt.piece)), f.WriteWindowUpdate(1, uint32(tt.piece)))
						writing.Unlock()
						if err != nil {
							return
						}
						time.Sleep(tt.every)
					}
				})
				defer opening.Wait()
				defer f.conn.Close()
				got := 0
			frames:
				for {
					frame, err := f.ReadFrame()
					if err != nil {
						break
					}
					switch frame := frame.(type) {
					case *http2.DataFrame:
						got += len(frame.Data())
						if frame.StreamEnded() {
							break frames
						}
					case *http2.RSTStreamFrame:
						break frames
					case *http2.PingFrame:
						if !frame.IsAck() {
							writing.Lock()
							f.WritePing(true, frame.Data)
							writing.Unlock()
						}
					}
				}
				crawled(t, h, got, tt.whole)
			})
		})
	}
}

// crawled checks what has become of an answer of 8 MiB.
func crawled(t *testing.T, h *Handler, got int, whole bool) {
	t.Helper()
	synctest.Wait()
	if got > 8<<20 != whole {
		t.Errorf("the reader got %d bytes", got)
	}
	if used := h.Memory.Used(); used != 0 {
		t.Errorf("%d bytes of memory are still taken", used)
	}
}

// TestDeadSubscriber: events are not pushed at a stream that is never read, nor
// at one that is read at a crawl. A subscriber who reads stays, however little
// there is to read.
func TestDeadSubscriber(t *testing.T) {
	feed := func(s *fewStreams) {
		for range 99 {
			e := event("1")
			e.Records[0].Data = make([]byte, 10<<10) // 990 KiB, of which the window takes 64
			s.events <- e
		}
	}
	ended := func(t *testing.T, h *Handler, s *fewStreams) {
		t.Helper()
		start := time.Now()
		<-s.ended
		if took := time.Since(start); took > 2*writeTimeout {
			t.Errorf("the subscription ended after %v", took)
		}
		synctest.Wait()
		if used := h.Memory.Used(); used != 0 {
			t.Errorf("%d bytes of memory are still taken", used)
		}
	}
	t.Run("HTTP/2", func(t *testing.T) {
		inBubble(t, func(t *testing.T, h *Handler, s *fewStreams, dial func() net.Conn) {
			f := newFramer(t, dial())
			defer f.conn.Close()
			f.post(1, "SubscribeToShard", subscribeBody)
			go f.answerPings()
			feed(s)
			ended(t, h, s)
		})
	})
	for name, read := range map[string]func(c net.Conn){
		"HTTP/1.1": func(net.Conn) {},
		"HTTP/1.1 at a crawl": func(c net.Conn) {
			for b := make([]byte, 1<<10); ; time.Sleep(writeTimeout - time.Second) {
				if _, err := c.Read(b); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, h *Handler, s *fewStreams, dial func() net.Conn) {
				c := dial()
				request("http://localhost/", "SubscribeToShard", subscribeBody).Write(c)
				var reading sync.WaitGroup
				reading.Go(func() { read(c) })
				defer reading.Wait()
				defer c.Close()
				feed(s)
				ended(t, h, s)
			})
		})
	}
	t.Run("alive", func(t *testing.T) {
		inBubble(t, func(t *testing.T, h *Handler, s *fewStreams, dial func() net.Conn) {
			c := dial()
			defer c.Close()
			request("http://localhost/", "SubscribeToShard", subscribeBody).Write(c)
			go io.Copy(io.Discard, c)
			for range 60 { // an hour
				time.Sleep(time.Minute)
				s.events <- event("1")
			}
			synctest.Wait()
			select {
			case <-s.ended:
				t.Error("a subscription was ended whose client reads")
			default:
			}
		})
	})
}

// A framer speaks HTTP/2 frame by frame, as only an attacker does.
type framer struct {
	*http2.Framer
	conn net.Conn
	t    *testing.T
}

func newFramer(t *testing.T, c net.Conn) *framer {
	t.Helper()
	f := &framer{Framer: http2.NewFramer(c, c), conn: c, t: t}
	io.WriteString(c, http2.ClientPreface)
	// An in-memory connection has no buffer: both sides write first.
	wrote := make(chan error, 1)
	go func() { wrote <- f.WriteSettings() }()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := frame.(*http2.SettingsFrame); ok && s.IsAck() {
			break
		}
	}
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	return f
}

// post sends a request on a stream; the answer is left unread.
func (f *framer) post(stream uint32, operation, body string) {
	f.t.Helper()
	if err := errors.Join(f.headers(stream, operation, false), f.WriteData(stream, true, []byte(body))); err != nil {
		f.t.Fatal(err)
	}
}

func (f *framer) headers(stream uint32, operation string, end bool) error {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	r := request("http://localhost/", operation, "")
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/"}, {":authority", "localhost"}} {
		encoder.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	for name, values := range r.Header {
		encoder.WriteField(hpack.HeaderField{Name: strings.ToLower(name), Value: values[0]})
	}
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndStream: end, EndHeaders: true})
}

// answerPings keeps the connection alive without opening any window.
func (f *framer) answerPings() {
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		if p, ok := frame.(*http2.PingFrame); ok && !p.IsAck() {
			if f.WritePing(true, p.Data) != nil {
				return
			}
		}
	}
}

// TestHalfSentRequest: a client that goes away half way through changes nothing.
func TestHalfSentRequest(t *testing.T) {
	h, s := testHandler(t, nil)
	server, _ := startServer(t, h, nil)
	c, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	r := request("http://localhost/", "PutRecord", putBody)
	r.ContentLength = int64(len(putBody)) + 1
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(putBody), errorReader{}))
	r.Write(c) // fails at the last byte
	c.Close()
	if resp := do(h, request("http://localhost/", "ListStreams", "{}")); resp.StatusCode != 200 {
		t.Fatal(readAll(t, resp))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil { // waits for the half request to be over
		t.Fatal(err)
	}
	if len(s.put) != 0 || h.Memory.Used() != 0 {
		t.Fatalf("%d records put, %d bytes taken", len(s.put), h.Memory.Used())
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errors.New("gone") }

// TestRapidReset: streams opened and reset at once do not run the server over; it
// closes such a connection or bears it, and serves others meanwhile.
func TestRapidReset(t *testing.T) {
	h, _ := testHandler(t, nil)
	server, _ := startServer(t, h, nil)
	c, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f := newFramer(t, c)
	go io.Copy(io.Discard, c)
	for i := range uint32(5_000) {
		if f.headers(2*i+1, "ListStreams", false) != nil || f.WriteRSTStream(2*i+1, http2.ErrCodeCancel) != nil {
			break // it has had enough
		}
	}
	resp, err := http.DefaultClient.Do(request("http://"+server.Addr().String()+"/", "ListStreams", "{}"))
	if err != nil {
		t.Fatal(err)
	}
	if body := readAll(t, resp); resp.StatusCode != 200 {
		t.Fatal(body)
	}
	c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	// The server's end of a broken connection does not wait for its handlers.
	for deadline := time.Now().Add(20 * time.Second); h.Memory.Used() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes of memory are still taken", h.Memory.Used())
		}
	}
}

// TestOversizedHeaders: more headers than anybody needs are refused.
func TestOversizedHeaders(t *testing.T) {
	h, _ := testHandler(t, nil)
	server, _ := startServer(t, h, nil)
	overBoth(t, func(t *testing.T, transport *http.Transport) {
		for size, want := range map[int]int{32 << 10: 200, 128 << 10: 431} {
			r := request("http://"+server.Addr().String()+"/", "ListStreams", "{}")
			r.Header.Set("X-Filler", strings.Repeat("x", size))
			resp, err := (&http.Client{Transport: transport}).Do(r)
			if err != nil {
				if want == 431 {
					continue // closed, or refused by a client that was told the limit
				}
				t.Fatal(err)
			}
			if readAll(t, resp); resp.StatusCode != want {
				t.Errorf("%d bytes: %s", size, resp.Status)
			}
		}
	})
}

// TestMalformedHTTP: what is no HTTP gets net/http's answer or a closed connection.
func TestMalformedHTTP(t *testing.T) {
	h, s := testHandler(t, nil)
	server, _ := startServer(t, h, nil)
	for _, sent := range []string{
		"\r\n\r\n\r\n",
		"GARBAGE\r\n\r\n",
		"POST / HTTP/1.1\r\n\r\n", // no Host
		"POST / HTTP/9.9\r\nHost: localhost\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
		"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"\x16\x03\x01\x02\x00\x01\x00 not a client hello",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot a frame at all, by far",
		string([]byte{0, 1, 2, 3, 255}) + "\r\n\r\n",
	} {
		c, err := net.Dial("tcp", server.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, sent)
		c.(*net.TCPConn).CloseWrite()
		b, err := io.ReadAll(c)
		c.Close()
		if strings.HasPrefix(string(b), "HTTP/1.1 2") {
			t.Errorf("%q: %q, %v", sent, b, err)
		}
	}
	if resp, err := http.DefaultClient.Do(request("http://"+server.Addr().String()+"/", "ListStreams", "{}")); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	if len(s.put) > 0 {
		t.Fatal("something was put")
	}
}
