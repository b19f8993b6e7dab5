package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// conn is a keep-alive connection that sends finished requests.
type conn struct {
	c net.Conn
	r *bufio.Reader
}

func dial(addr string) (*conn, error) {
	c, err := net.DialTimeout("tcp", addr, 2*time.Second)
	if err != nil {
		return nil, err
	}
	return &conn{c, bufio.NewReaderSize(c, 64<<10)}, nil
}

func (c *conn) close() { c.c.Close() }

// response is the part of an answer that callers look at.
type response struct {
	status int
	length int64
	// head is the start of the body, as much as the caller's buffer held.
	head []byte
}

// do sends a request and reads the whole answer, whose first bytes go to buf
// and the rest nowhere.
func (c *conn) do(req, buf []byte) (response, error) {
	c.c.SetDeadline(time.Now().Add(60 * time.Second))
	if _, err := c.c.Write(req); err != nil {
		return response{}, err
	}
	return c.read(buf)
}

func (c *conn) read(buf []byte) (response, error) {
	status, length, chunked, err := c.readHeader()
	if err != nil {
		return response{}, err
	}
	rsp := response{status: status}
	switch {
	case chunked:
		for {
			n, err := c.readChunkHeader()
			if err != nil {
				return rsp, err
			}
			if n > 0 {
				if err := c.readBody(&rsp, buf, n); err != nil {
					return rsp, err
				}
			}
			if _, err := c.r.Discard(2); err != nil {
				return rsp, err
			}
			if n == 0 {
				return rsp, nil
			}
		}
	case length >= 0:
		return rsp, c.readBody(&rsp, buf, length)
	}
	return rsp, errors.New("answer without a length")
}

func (c *conn) readBody(rsp *response, buf []byte, n int64) error {
	rsp.length += n
	keep := min(n, int64(len(buf)-len(rsp.head)))
	if keep > 0 {
		at := len(rsp.head)
		rsp.head = buf[:at+int(keep)]
		if _, err := io.ReadFull(c.r, rsp.head[at:]); err != nil {
			return err
		}
		n -= keep
	}
	_, err := c.r.Discard(int(n))
	return err
}

// readHeader returns -1 for an absent length.
func (c *conn) readHeader() (status int, length int64, chunked bool, err error) {
	length = -1
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, 0, false, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, 0, false, fmt.Errorf("not HTTP/1.1: %.60q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, 0, false, err
	}
	for {
		line, err = c.r.ReadSlice('\n')
		if err != nil {
			return 0, 0, false, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return status, length, chunked, nil
		}
		if v, ok := header(line, "content-length"); ok {
			if length, err = strconv.ParseInt(string(v), 10, 64); err != nil {
				return 0, 0, false, err
			}
		} else if v, ok := header(line, "transfer-encoding"); ok {
			chunked = bytes.EqualFold(v, []byte("chunked"))
		}
	}
}

func header(line []byte, name string) ([]byte, bool) {
	if len(line) <= len(name) || line[len(name)] != ':' || !bytes.EqualFold(line[:len(name)], []byte(name)) {
		return nil, false
	}
	return bytes.TrimSpace(line[len(name)+1:]), true
}

func (c *conn) readChunkHeader() (int64, error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	size, _, _ := strings.Cut(strings.TrimSpace(string(line)), ";")
	return strconv.ParseInt(size, 16, 64)
}

// chunkReader is the body of an answer that never ends by itself.
type chunkReader struct {
	c    *conn
	left int64
}

func (r *chunkReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		n, err := r.c.readChunkHeader()
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return 0, io.EOF
		}
		r.left = n
	}
	n, err := r.c.r.Read(p[:min(int64(len(p)), r.left)])
	if r.left -= int64(n); r.left == 0 && err == nil {
		_, err = r.c.r.Discard(2)
	}
	return n, err
}

// call does an operation of Kinesis outside the clock. out may be nil.
func call(addr, op string, in, out any) error { return kinesis.call(addr, op, in, out) }

func (a api) call(addr, op string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer c.close()
	rsp, err := c.do(a.request(addr, op, body, time.Now()), make([]byte, 16<<20))
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if rsp.status != 200 {
		return fmt.Errorf("%s: status %d: %.300s", op, rsp.status, rsp.head)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(rsp.head, out); err != nil {
		return fmt.Errorf("%s: %w in %.100q", op, err, rsp.head)
	}
	return nil
}
