package wire

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/call"
)

// pump sends an event stream: the initial response, then each event as it comes,
// at once. It ends when the events do, when the client goes away, or when the
// server stops; a client then subscribes anew from where it was. An error after
// the status line is an exception in the stream.
func (x *exchange) pump(a Answer, out any) error {
	defer a.Events.Close()
	ctx, cancel := context.WithCancel(x.r.Context())
	defer cancel()
	defer context.AfterFunc(x.draining, cancel)()

	control := x.control()
	messages := EventWriter{Codec: x.route.codec, Op: x.route.op}
	buf := getBuffer(0)
	defer func() { putBuffer(buf) }()

	x.head(a)
	x.w.WriteHeader(a.Status)
	*buf = messages.AppendInitial((*buf)[:0], out)
	for x.push(control, *buf) {
		event, err := a.Events.Next(ctx)
		switch {
		case err == io.EOF || ctx.Err() != nil:
			return nil
		case err != nil:
			*buf = messages.AppendError((*buf)[:0], x.streamError(err))
			x.push(control, *buf)
			return nil
		}
		if *buf, err = messages.AppendEvent((*buf)[:0], event); err != nil {
			*buf = messages.AppendError((*buf)[:0], x.streamError(err))
			x.push(control, *buf)
			return nil
		}
	}
	return nil
}

// push writes and flushes one message; false if the client does not take it, or
// not at the pace of any answer. There is none for the stream as a whole, which
// may have nothing to say for long.
func (x *exchange) push(control *http.ResponseController, message []byte) bool {
	x.Answers.Take(int64(len(message)))
	defer x.Answers.Release(int64(len(message)))
	if x.write(message) != nil {
		return false
	}
	control.SetWriteDeadline(time.Now().Add(writeTimeout))
	defer control.SetWriteDeadline(time.Time{})
	return control.Flush() == nil
}

// streamError is err as a subscriber may see it.
func (x *exchange) streamError(err error) *api.Error {
	var e *api.Error
	if !errors.As(err, &e) {
		x.Log.Error("event stream failed", "request", x.requestID, "operation", x.route.op.Name, "error", err)
		e = call.InternalFailure(x.requestID)
	}
	x.code = e.Code
	return e
}
