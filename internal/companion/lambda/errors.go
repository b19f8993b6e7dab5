package lambda

import (
	"net/http"

	rheo "github.com/rheostream/rheo/internal/api"
)

// The errors of Lambda, in its words where a recorded answer shows them. Most say
// beside their message whose fault it is.

func user(code, format string, args ...any) *rheo.Error {
	e := rheo.Errorf(code, format, args...)
	e.Fields = map[string]any{"Type": "User"}
	return e
}

func invalid(format string, args ...any) *rheo.Error {
	return user("InvalidParameterValueException", format, args...)
}

func notFound(format string, args ...any) *rheo.Error {
	return user("ResourceNotFoundException", format, args...)
}

func conflict(format string, args ...any) *rheo.Error {
	return user("ResourceConflictException", format, args...)
}

func validation(format string, args ...any) *rheo.Error {
	return rheo.Errorf("ValidationException", "1 validation error detected: "+format, args...)
}

// unsupported refuses a member by its name.
func unsupported(member, why string) *rheo.Error {
	return invalid("%s is not in the part of Lambda that rheo serves: %s.", member, why)
}

func wrongRevision(call string) *rheo.Error {
	return user("PreconditionFailedException", "The Revision Id provided does not match the latest Revision Id. Call the %s API to retrieve the latest Revision Id", call)
}

// tooMany is the answer where a limit on concurrency is reached; reason is one of ThrottleReason.
func tooMany(reason string) *rheo.Error {
	e := user("TooManyRequestsException", "Rate Exceeded.")
	e.Fields["Reason"] = reason
	return e
}

func tooLarge(format string, args ...any) *rheo.Error {
	e := rheo.Errorf("RequestEntityTooLargeException", format, args...)
	e.Status = http.StatusRequestEntityTooLarge
	return e
}

// serviceError is a failure that is not the function's nor the caller's.
func serviceError(format string, args ...any) *rheo.Error {
	e := rheo.Errorf("ServiceException", format, args...)
	e.Fields = map[string]any{"Type": "Service"}
	return e
}

// noRoom is the answer where the memory for an answer or a package is used up.
func noRoom() *rheo.Error {
	return &rheo.Error{Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable,
		Message: "The server is handling as many bytes as it may. Try again."}
}
