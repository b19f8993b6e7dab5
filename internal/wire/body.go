package wire

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/rheostream/rheo/internal/api"
)

const (
	// bodyBytesMax is a payload of 10 MiB in base64, and its envelope. A body whose
	// length is not declared must be shorter. Operations whose row in call says more
	// may have more.
	bodyBytesMax = 16 << 20
	// A body has bodyGrace plus the time that it takes at bodyBytesPerSecond.
	bodyGrace          = 20 * time.Second
	bodyBytesPerSecond = 32 << 10
	// firstBytes is what is reserved for a body for a start, and what a sender who
	// stalls can hold; a PutRecords of usual size needs no more than two steps.
	firstBytes = 256 << 10
)

var (
	errTooLarge = tooLarge(bodyBytesMax)
	errNoMemory = &api.Error{Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable,
		Message: "The server is handling as many bytes of requests as it may. Try again."}
	errTooSlow = &api.Error{Code: "RequestTimeoutException", Status: http.StatusRequestTimeout,
		Message: "The request body came too slowly."}
)

// bodyMax is how large the body may be: that of the operation, if the path has
// already told which, and it is larger than usual.
func (x *exchange) bodyMax() int64 {
	if x.route.op == nil {
		return bodyBytesMax
	}
	return max(bodyBytesMax, x.Calls.BodyBytesMax(x.route.op))
}

func tooLarge(max int64) *api.Error {
	return &api.Error{Code: "RequestEntityTooLarge", Status: http.StatusRequestEntityTooLarge,
		Message: "The request body is larger than " + strconv.FormatInt(max, 10) + " bytes."}
}

// tooLarge is the answer to a body of more than max bytes, in the words that the
// service has for it.
func (x *exchange) tooLarge(max int64) *api.Error {
	if op := x.route.op; op != nil && op.Service.Name == "lambda" {
		return &api.Error{Code: "RequestEntityTooLargeException", Status: http.StatusRequestEntityTooLarge,
			Message: "Request must be smaller than " + strconv.FormatInt(max, 10) + " bytes for the " + op.Name + " operation"}
	}
	return tooLarge(max)
}

// timeBody gives the body its time before anything is decided: net/http reads what
// is left of a body after a refusal, too, and would wait for it for ever.
func (x *exchange) timeBody() {
	if x.r.ContentLength != 0 {
		x.bodyDeadline(min(max(x.r.ContentLength, 0), firstBytes))
	}
}

// bodyDeadline says until when n bytes of the body must be there: by the pace
// from the start, and never long after those before them, so that a sender
// cannot buy time to hold a large body by having sent most of it fast.
func (x *exchange) bodyDeadline(n int64) {
	by := x.start.Add(bodyGrace + time.Duration(n)*time.Second/bodyBytesPerSecond)
	if soon := time.Now().Add(bodyGrace + firstBytes*time.Second/bodyBytesPerSecond); soon.Before(by) {
		by = soon
	}
	x.control().SetReadDeadline(by)
}

func (x *exchange) control() *http.ResponseController { return http.NewResponseController(x.w) }

// readBody reads the body into memory reserved before, as it comes: what is
// only announced holds nothing, or a few sockets that send no body would keep
// everyone else out. A caller who is too slow or stops half way is let go.
func (x *exchange) readBody() error {
	declared, most := x.r.ContentLength, x.bodyMax()
	if declared > most {
		return x.tooLarge(most)
	}
	room := int64(firstBytes)
	if declared >= 0 {
		room = min(room, declared)
	}
	if err := x.reserve(room); err != nil {
		return x.passOver(err)
	}
	x.body = getBuffer(int(room))
	if declared == 0 {
		return nil
	}
	var err error
	timed := min(declared, firstBytes) // what timeBody set the deadline for
	for err == nil && int64(len(*x.body)) != declared {
		if int64(len(*x.body)) == room { // there is more than was reserved
			if room == most {
				return x.tooLarge(most)
			}
			larger := min(4*room, most)
			if declared >= 0 {
				larger = min(larger, declared)
			}
			if err := x.reserve(larger - room); err != nil {
				return x.passOver(err)
			}
			room = larger
			x.grow(int(room))
		}
		b := *x.body
		if n := int64(len(b)); declared < 0 {
			x.bodyDeadline(n)
		} else if n >= timed {
			timed = min(n+firstBytes, declared)
			x.bodyDeadline(timed)
		}
		var n int
		n, err = x.r.Body.Read(b[len(b):room])
		*x.body = b[:len(b)+n]
	}
	switch {
	case err == nil || err == io.EOF && (declared < 0 || int64(len(*x.body)) == declared):
		x.control().SetReadDeadline(time.Time{}) // an operation takes the time that it takes
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		x.w.Header().Set("Connection", "close")
		return errTooSlow
	}
	panic(http.ErrAbortHandler) // half a request: nobody is there to be answered
}

// passOver reads the rest of a body that cannot be kept, at the pace of any, and
// returns why. A client reads no answer before it has sent everything: cut off,
// it would see a broken connection and not that it may try again.
func (x *exchange) passOver(why error) error {
	read := int64(0)
	if x.body != nil {
		read = int64(len(*x.body))
		putBuffer(x.body)
		x.Memory.Release(x.reserved)
		x.body, x.reserved = nil, 0
	}
	if read == 0 && x.r.Header.Get("Expect") != "" {
		return why // it waits to hear whether to send at all
	}
	for most := x.bodyMax(); read < most; {
		x.bodyDeadline(read + firstBytes)
		n, err := io.CopyN(io.Discard, x.r.Body, firstBytes)
		if read += n; err == io.EOF {
			x.control().SetReadDeadline(time.Time{})
			return why
		} else if err != nil {
			break // too slow, or gone
		}
	}
	x.w.Header().Set("Connection", "close")
	return why
}

// reserve takes memory for n more bytes of body and what is decoded from them.
func (x *exchange) reserve(n int64) error {
	if !x.Memory.Reserve(2 * n) {
		return errNoMemory
	}
	x.reserved += 2 * n
	return nil
}

// valueBytes is about half of what an input takes beside its body, where the body
// does not say it: DynamoDB's items may be of nothing but small values, each an
// object that takes many times its text. (A reservation is for the body and as
// much again.)
func valueBytes(s *api.Service, body []byte) int64 {
	if s.Name != "dynamodb" {
		return 0
	}
	return int64(min(bytes.Count(body, []byte("{")), maxElements)) * 150
}

func (x *exchange) grow(n int) {
	larger := getBuffer(n)
	*larger = append(*larger, *x.body...)
	putBuffer(x.body)
	x.body = larger
}
