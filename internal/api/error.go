package api

import (
	"errors"
	"fmt"
)

// An Error is the caller's fault, or a condition that the caller must know by
// name: a modelled exception or one of the errors common to all AWS services.
// Message is AWS's wording where it is known. Any other error that reaches wire
// is ours: it is logged once and answered as InternalFailure.
type Error struct {
	Code    string         // "ResourceNotFoundException"
	Message string         // in AWS's words
	Status  int            // HTTP status; 0 means 400
	Fields  map[string]any // further members of the modelled shape, if it has any
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Errorf makes an Error of HTTP status 400.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// IsCode says whether err is an Error of that code.
func IsCode(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// ErrNotImplemented is what Op.Invoke returns for an operation that the model
// knows and the service does not have.
var ErrNotImplemented = errors.New("operation is in the model but not implemented")
