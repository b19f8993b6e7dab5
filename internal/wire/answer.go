package wire

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/call"
)

// identify gives the request the ids that support staff ask for: a UUID, and a
// longer one that AWS sends beside it.
func (x *exchange) identify() {
	var id [16]byte
	binary.NativeEndian.PutUint64(id[:], rand.Uint64())
	binary.NativeEndian.PutUint64(id[8:], rand.Uint64())
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	var text [36]byte
	hex.Encode(text[:], id[:4])
	text[8] = '-'
	hex.Encode(text[9:], id[4:6])
	text[13] = '-'
	hex.Encode(text[14:], id[6:8])
	text[18] = '-'
	hex.Encode(text[19:], id[8:10])
	text[23] = '-'
	hex.Encode(text[24:], id[10:])
	x.requestID = string(text[:])

	var long [72]byte
	for i := 0; i < len(long); i += 8 {
		binary.NativeEndian.PutUint64(long[i:], rand.Uint64())
	}
	h := x.w.Header()
	values := [2]string{x.requestID, base64.StdEncoding.EncodeToString(long[:])}
	h["x-amzn-RequestId"] = values[:1:1]
	h["x-amz-id-2"] = values[1:]
}

// answer sends an output, or pulls it if it is an event stream or a long blob.
func (x *exchange) answer(out any) error {
	buf := getBuffer(sizeHint(out))
	defer func() { putBuffer(buf) }()
	a, err := x.route.codec.Encode(*buf, x.route.op, out)
	if err != nil {
		return err
	}
	switch {
	case a.Events != nil:
		return x.pump(a, out)
	case a.Stream != nil:
		return x.copy(a)
	}
	*buf = a.Body
	switch x.route.codec.(type) {
	case Query:
		a.Body = QueryRequestID(a.Body, x.requestID)
	case JSON, CBOR:
		if x.route.op.NoOutput {
			a.Body = nil
		}
	}
	x.send(a)
	return nil
}

// refuse answers with an error. One that is no *api.Error is ours.
func (x *exchange) refuse(err error) {
	var e *api.Error
	if !errors.As(err, &e) {
		x.Log.Error("request failed", "request", x.requestID, "error", err)
		e = call.InternalFailure(x.requestID)
	}
	x.code = e.Code
	if x.route.codec == nil {
		x.send(plainError(e))
		return
	}
	x.send(x.route.codec.EncodeError(nil, x.route.op, e, x.requestID))
}

// plainError is what AWS answers where no protocol can be made out.
func plainError(e *api.Error) Answer {
	a := Answer{Status: e.Status, Header: header("text/xml")}
	if a.Status == 0 {
		a.Status = http.StatusForbidden
	}
	if e.Message == "" {
		a.Body = []byte("<" + e.Code + "/>\n")
		return a
	}
	a.Body = []byte("<" + e.Code + ">\n  <Message>")
	xml.EscapeText((*appender)(&a.Body), []byte(e.Message))
	a.Body = append(a.Body, "</Message>\n</"+e.Code+">\n"...)
	return a
}

// send writes a whole answer. What it holds counts against the memory until the
// client has taken it.
func (x *exchange) send(a Answer) {
	x.Answers.Take(int64(len(a.Body)))
	defer x.Answers.Release(int64(len(a.Body)))
	if a.Status == http.StatusNoContent { // which has no body, not even {}
		a.Body = nil
		delete(a.Header, "Content-Type")
	}
	h := x.head(a)
	if a.Status != http.StatusNoContent {
		h["Content-Length"] = []string{strconv.Itoa(len(a.Body))}
	}
	if s := x.route.service; s != nil && s.Name == "dynamodb" { // whose clients tell by it that an answer is whole
		h["X-Amz-Crc32"] = []string{strconv.FormatUint(uint64(crc32.ChecksumIEEE(a.Body)), 10)}
	}
	x.w.WriteHeader(a.Status)
	x.write(a.Body)
}

// head puts an answer's headers in place; its status is next.
func (x *exchange) head(a Answer) http.Header {
	h := x.w.Header()
	for name, values := range a.Header {
		h[name] = values
	}
	x.answered, x.status = true, a.Status
	return h
}

// write writes to the client, who has to take it at a pace as a sender has to
// send a body: what is left in memory for one who crawls is not there for
// others. Of what fits into any window or socket the connection alone sees to
// it that it leaves.
func (x *exchange) write(b []byte) error {
	if len(b) <= 4<<10 {
		_, err := x.w.Write(b)
		return err
	}
	control := x.control()
	defer control.SetWriteDeadline(time.Time{})
	began := time.Now()
	for sent := 0; sent < len(b); {
		piece := b[sent:min(len(b), sent+writeBytes)]
		control.SetWriteDeadline(began.Add(paceOf(sent + len(piece))))
		n, err := x.w.Write(piece)
		if sent += n; err != nil {
			return err
		}
	}
	return nil
}

// paceOf is how long a client may take for the first n bytes of a write.
func paceOf(n int) time.Duration {
	return writeTimeout + time.Duration(n)*time.Second/bodyBytesPerSecond
}

// copy sends a streaming blob.
func (x *exchange) copy(a Answer) error {
	if c, ok := a.Stream.(io.Closer); ok {
		defer c.Close()
	}
	x.head(a)
	x.w.WriteHeader(a.Status)
	buf := getBuffer(writeBytes)
	defer putBuffer(buf)
	b := (*buf)[:writeBytes]
	for {
		n, err := a.Stream.Read(b)
		if n > 0 {
			if x.write(b[:n]) != nil {
				return nil // the client is gone
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			x.Log.Error("answer broke off", "request", x.requestID, "operation", x.route.op.Name, "error", err)
			panic(http.ErrAbortHandler)
		}
	}
}
