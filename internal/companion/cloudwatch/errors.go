package cloudwatch

import (
	"net/http"
	"strconv"
	"strings"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/cloudwatch"
)

// The errors of CloudWatch, in its words where a public source shows them. The
// operations that came later, GetMetricData, have ValidationError for all.

func invalid(format string, args ...any) *rheo.Error {
	return rheo.Errorf(api.InvalidParameterValueException, format, args...)
}

func missing(format string, args ...any) *rheo.Error {
	return rheo.Errorf(api.MissingRequiredParameterException, format, args...)
}

func combination(format string, args ...any) *rheo.Error {
	return rheo.Errorf(api.InvalidParameterCombinationException, format, args...)
}

func validation(format string, args ...any) *rheo.Error {
	return rheo.Errorf("ValidationError", format, args...)
}

func throttled(message string) *rheo.Error {
	return &rheo.Error{Code: "ThrottlingException", Message: message}
}

func limitExceeded(format string, args ...any) *rheo.Error {
	return rheo.Errorf("LimitExceededException", format, args...)
}

// noSpace is that the disk is full: nothing is wrong with the call, and once there is
// space it can be repeated. It is the one error of PutMetricData's model that says so,
// and that SDKs retry.
func noSpace() *rheo.Error {
	return &rheo.Error{Code: api.InternalServiceFault, Status: http.StatusInternalServerError, Message: "The disk of this server is full."}
}

// tooMuch is a put that would not fit if there were no other data.
func tooMuch() *rheo.Error {
	return &rheo.Error{Code: "RequestEntityTooLarge", Status: http.StatusRequestEntityTooLarge,
		Message: "The data of the request take more memory than rheo has for metrics. Send them in several requests."}
}

func tooLarge() *rheo.Error {
	return &rheo.Error{Code: "RequestEntityTooLarge", Status: http.StatusRequestEntityTooLarge,
		Message: "The data of the request take more than 10 MiB once they are decompressed."}
}

// unsupported is what of the API is not in the subset.
func unsupported(what string) *rheo.Error {
	return validation("%s not in the part of CloudWatch that rheo serves for clients of Kinesis; docs/cloudwatch.md lists what is.", what)
}

// A complaint collects what is wrong with a request: as CloudWatch does, all that
// has the code of the first, a line each.
type complaint struct {
	code  string
	lines []string
}

// complaintsMax is how many lines an answer has.
const complaintsMax = 10

func (c *complaint) add(e *rheo.Error) {
	if c.code == "" {
		c.code = e.Code
	}
	if c.code == e.Code && len(c.lines) < complaintsMax {
		c.lines = append(c.lines, e.Message)
	}
}

func (c *complaint) err() error {
	if c.code == "" {
		return nil
	}
	return &rheo.Error{Code: c.code, Message: strings.Join(c.lines, "\n")}
}

// thousands is a number as messages have it: 16,666.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// clip is a text of a caller's as a message repeats it.
func clip(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "..."
	}
	return s
}
