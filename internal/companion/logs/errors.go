package logs

import (
	"errors"
	"net/http"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/logs"
	"github.com/rheostream/rheo/internal/shardlog"
)

// The errors of CloudWatch Logs, in its words where a public source shows them.

func invalid(format string, args ...any) *rheo.Error {
	return rheo.Errorf(api.InvalidParameterException, format, args...)
}

func notFound(what string) *rheo.Error {
	return rheo.Errorf(api.ResourceNotFoundException, "The specified %s does not exist.", what)
}

func exists(what string) *rheo.Error {
	return rheo.Errorf(api.ResourceAlreadyExistsException, "The specified %s already exists", what)
}

func limitExceeded(format string, args ...any) *rheo.Error {
	return rheo.Errorf(api.LimitExceededException, format, args...)
}

func throttled(message string) *rheo.Error {
	return &rheo.Error{Code: "ThrottlingException", Message: message}
}

var (
	noGroup  = notFound("log group")
	noStream = notFound("log stream")
	noFilter = notFound("subscription filter")

	badToken  = invalid("The specified nextToken is invalid.")
	errNoRoom = throttled("Rate exceeded: the server is answering as many bytes as it may. Ask for fewer events, or try again.")
)

// unsupported is what of the API is not in the subset.
func unsupported(what string) *rheo.Error {
	return invalid("%s not in the part of CloudWatch Logs that rheo serves; docs/logs.md lists what is.", what)
}

// logged is the caller's error for what the log refused; other errors stay as they are.
func logged(err error) error {
	switch {
	case errors.Is(err, shardlog.ErrOverloaded):
		return throttled("Rate exceeded: the log cannot take more at the moment. Try again.")
	case errors.Is(err, shardlog.ErrNoSpace):
		return &rheo.Error{Code: api.ServiceUnavailableException, Status: http.StatusServiceUnavailable,
			Message: "There is no space left on the disk for log events."}
	case errors.Is(err, shardlog.ErrNotFound):
		return noGroup // it was deleted meanwhile
	}
	return err
}

// clip is a text of a caller's as a message repeats it.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	n := most
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n] + "..."
}
