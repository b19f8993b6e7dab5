//go:build linux

package process

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"time"
)

// Limits of what a runtime sends beside a body, which has its own.
const (
	callLineBytesMax = 8 << 10 // the first line
	headBytesMax     = 2 << 20 // all lines of a head, or of trailers: one may tell a trace of 1 MiB
	skippedBytesMax  = 64 << 20
)

// errMalformed says that what was sent is no HTTP.
var errMalformed = errors.New("the request is malformed")

// errTooLarge says that a body has more bytes than it may.
var errTooLarge = errors.New("the body is too large")

// An apiConn is a connection of a runtime: HTTP/1.1, as far as runtimes speak it. It
// reads the few fields that mean something here, and writes each answer, head and body,
// at once: a head that travels alone costs a runtime up to 40 ms.
type apiConn struct {
	net.Conn
	r    *bufio.Reader
	line []byte // a line longer than r's buffer
	call apiCall
	out  []byte
}

// An apiCall is a request whose body is still to be read.
type apiCall struct {
	c            *apiConn
	method, path string
	length       int64 // of the body; -1: it comes in chunks
	closing      bool  // the runtime closes afterwards
	expects      bool  // it waits to be told to send the body

	contentType, errorType, responseMode string
	trailerErrorType, trailerErrorBody   string // after the body was read
}

func newAPIConn(c net.Conn) *apiConn { return &apiConn{Conn: c, r: bufio.NewReaderSize(c, 4<<10)} }

// readLine reads a line, without its end; it is valid until the next.
func (c *apiConn) readLine(bytesMax int) ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		c.line = append(c.line[:0], line...)
		for err == bufio.ErrBufferFull {
			if len(c.line) > bytesMax {
				return nil, fmt.Errorf("%w: a line is too long", errMalformed)
			}
			line, err = c.r.ReadSlice('\n')
			c.line = append(c.line, line...)
		}
		line = c.line
	}
	if err != nil {
		if err == io.EOF && len(line) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if len(line) > bytesMax {
		return nil, fmt.Errorf("%w: a line is too long", errMalformed)
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// readCall reads the head of the next request. The call is valid until the next.
func (c *apiConn) readCall() (*apiCall, error) {
	line, err := c.readLine(callLineBytesMax)
	if err != nil {
		return nil, err
	}
	call := &c.call
	*call = apiCall{c: c}
	method, rest, _ := strings.Cut(string(line), " ")
	path, version, ok := strings.Cut(rest, " ")
	if !ok || !strings.HasPrefix(version, "HTTP/1.") {
		return nil, fmt.Errorf("%w: it is no HTTP/1.1", errMalformed)
	}
	call.method, call.path = method, path
	lengths, chunked := 0, false
	err = c.readFields(func(name, value []byte) error {
		switch string(name) {
		case "content-length":
			n, err := strconv.ParseInt(string(value), 10, 64)
			if lengths++; err != nil || n < 0 || lengths > 1 {
				return fmt.Errorf("%w: its length is none", errMalformed)
			}
			call.length = n
		case "transfer-encoding":
			if chunked || !bytes.EqualFold(value, []byte("chunked")) {
				return fmt.Errorf("%w: its transfer encoding is unknown", errMalformed)
			}
			chunked = true
		case "connection":
			call.closing = bytes.EqualFold(value, []byte("close"))
		case "expect":
			call.expects = bytes.EqualFold(value, []byte("100-continue"))
		case "content-type":
			call.contentType = string(value)
		case "lambda-runtime-function-error-type":
			call.errorType = string(value)
		case "lambda-runtime-function-response-mode":
			call.responseMode = strings.ToLower(string(value))
		}
		return nil
	})
	if err == nil && chunked && lengths > 0 {
		err = fmt.Errorf("%w: it has a length and comes in chunks", errMalformed)
	}
	if chunked {
		call.length = -1
	}
	return call, err
}

// readFields reads the lines of a head or of trailers up to the empty one. Names come in
// lower case.
func (c *apiConn) readFields(field func(name, value []byte) error) error {
	for left := headBytesMax; ; {
		line, err := c.readLine(left)
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if len(line) == 0 {
			return nil
		}
		left -= len(line)
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return fmt.Errorf("%w: a line of its head has no name", errMalformed)
		}
		if err := field(bytes.ToLower(name), bytes.TrimSpace(value)); err != nil {
			return err
		}
	}
}

// readBody reads the body, and the trailers. One that has more than bytesMax is read to
// its end all the same, and errTooLarge.
func (call *apiCall) readBody(bytesMax int) ([]byte, error) {
	if err := call.goOn(); err != nil {
		return nil, err
	}
	if call.length >= 0 {
		if call.length > int64(bytesMax) {
			return nil, call.tooLarge(io.LimitReader(call.c.r, call.length))
		}
		b := make([]byte, call.length)
		_, err := io.ReadFull(call.c.r, b)
		return b, noEOF(err)
	}
	chunks := httputil.NewChunkedReader(call.c.r)
	b, err := io.ReadAll(io.LimitReader(chunks, int64(bytesMax)+1))
	if err == nil && len(b) > bytesMax {
		if err := call.tooLarge(chunks); !errors.Is(err, errTooLarge) {
			return nil, err
		}
		err = errTooLarge
	} else if err != nil {
		return nil, noEOF(err)
	}
	if trailerErr := call.readTrailers(); trailerErr != nil {
		return nil, trailerErr
	}
	return b, err
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// tooLarge reads r to its end, up to a point, so that the answer is heard.
func (call *apiCall) tooLarge(r io.Reader) error {
	n, err := io.Copy(io.Discard, io.LimitReader(r, skippedBytesMax))
	switch {
	case err != nil:
		return noEOF(err)
	case n == skippedBytesMax:
		call.closing = true
	}
	return errTooLarge
}

func (call *apiCall) readTrailers() error {
	return call.c.readFields(func(name, value []byte) error {
		switch string(name) {
		case "lambda-runtime-function-error-type":
			call.trailerErrorType = string(value)
		case "lambda-runtime-function-error-body":
			call.trailerErrorBody = string(value)
		}
		return nil
	})
}

// skipBody reads a body that nobody wants.
func (call *apiCall) skipBody() error {
	_, err := call.readBody(0)
	if errors.Is(err, errTooLarge) {
		return nil
	}
	return err
}

// goOn tells a runtime that waits for it to send the body.
func (call *apiCall) goOn() error {
	if !call.expects {
		return nil
	}
	call.expects = false
	_, err := io.WriteString(call.c, "HTTP/1.1 100 Continue\r\n\r\n")
	return err
}

// respond writes an answer. An error is also that the connection is to end.
func (c *apiConn) respond(status int, body string) error {
	b := append(c.out[:0], "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(append(append(b, ' '), http.StatusText(status)...), "\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	if c.call.closing {
		b = append(b, "\r\nConnection: close"...)
	}
	b = append(append(b, "\r\n\r\n"...), body...)
	c.out = b
	_, err := c.Write(b)
	if err == nil && c.call.closing {
		err = net.ErrClosed
	}
	return err
}

func (c *apiConn) accept() error { return c.respond(http.StatusAccepted, "{\"status\":\"OK\"}\n") }

func (c *apiConn) refuse(e apiError) error {
	return c.respond(e.status, "{\"errorMessage\":"+quoteJSON(e.message)+",\"errorType\":"+quoteJSON(e.kind)+"}\n")
}

// copiedBytesMax is the size up to which a payload is copied behind its head; a larger
// one is written from where it is, by one call of the system all the same.
const copiedBytesMax = 64 << 10

// writeEvent gives an event to the runtime. It is called by whoever has it, which is
// another than who reads c, and while nothing else is written.
func (c *apiConn) writeEvent(e *event) error {
	b := make([]byte, 0, 512+min(len(e.Payload), copiedBytesMax))
	b = e.head(b)
	if len(e.Payload) <= copiedBytesMax {
		_, err := c.Write(append(b, e.Payload...))
		return err
	}
	// A runtime that does not read must not hold us longer than it may run.
	c.SetWriteDeadline(e.deadline)
	defer c.SetWriteDeadline(time.Time{})
	buffers := net.Buffers{b, e.Payload}
	_, err := buffers.WriteTo(unwrapped(c.Conn))
	return err
}

// unwrapped is the connection itself, which can write many buffers at once.
func unwrapped(c net.Conn) net.Conn {
	if l, ok := c.(*limitedConn); ok {
		return l.Conn
	}
	return c
}
