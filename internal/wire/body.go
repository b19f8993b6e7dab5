package wire

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/rheostream/rheo/internal/api"
)

const (
	// bodyBytesMax is a payload of 10 MiB in base64, and its envelope. A body whose
	// length is not declared must be shorter.
	bodyBytesMax = 16 << 20
	// A body has bodyGrace plus the time that it takes at bodyBytesPerSecond.
	bodyGrace          = 20 * time.Second
	bodyBytesPerSecond = 32 << 10
	// chunkedBytes is what is reserved for a body of unknown length, for a start.
	chunkedBytes = 64 << 10
)

var (
	errTooLarge = &api.Error{Code: "RequestEntityTooLarge", Status: http.StatusRequestEntityTooLarge,
		Message: "The request body is larger than 16777216 bytes."}
	errNoMemory = &api.Error{Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable,
		Message: "The server is handling as many bytes of requests as it may. Try again."}
	errTooSlow = &api.Error{Code: "RequestTimeoutException", Status: http.StatusRequestTimeout,
		Message: "The request body came too slowly."}
)

// timeBody gives the body its time before anything is decided: net/http reads what
// is left of a body after a refusal, too, and would wait for it for ever.
func (x *exchange) timeBody() {
	if x.r.ContentLength != 0 {
		x.bodyDeadline(max(x.r.ContentLength, 0))
	}
}

func (x *exchange) bodyDeadline(n int64) {
	x.control().SetReadDeadline(x.start.Add(bodyGrace + time.Duration(n)*time.Second/bodyBytesPerSecond))
}

func (x *exchange) control() *http.ResponseController { return http.NewResponseController(x.w) }

// readBody reads the body into memory reserved before: by the declared length,
// or as it grows. A caller who is too slow or stops half way is let go.
func (x *exchange) readBody() error {
	declared := x.r.ContentLength
	if declared > bodyBytesMax {
		return errTooLarge
	}
	room := declared
	if declared < 0 {
		room = chunkedBytes
	}
	if err := x.reserve(room); err != nil {
		return err
	}
	x.body = getBuffer(int(room))
	if declared == 0 {
		return nil
	}
	var err error
	for err == nil && int64(len(*x.body)) != declared {
		if int64(len(*x.body)) == room { // of unknown length, and longer than we thought
			if room == bodyBytesMax {
				return errTooLarge
			}
			if err := x.reserve(min(room, bodyBytesMax-room)); err != nil {
				return err
			}
			room = min(2*room, bodyBytesMax)
			x.grow(int(room))
		}
		b := *x.body
		if declared < 0 {
			x.bodyDeadline(int64(len(b)))
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

// reserve takes memory for n more bytes of body and what is decoded from them.
func (x *exchange) reserve(n int64) error {
	if !x.Memory.Reserve(2 * n) {
		return errNoMemory
	}
	x.reserved += 2 * n
	return nil
}

func (x *exchange) grow(n int) {
	larger := getBuffer(n)
	*larger = append(*larger, *x.body...)
	putBuffer(x.body)
	x.body = larger
}
