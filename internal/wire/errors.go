package wire

import (
	"net/http"
	"reflect"

	"github.com/rheostream/rheo/internal/api"
)

// defaultStatus is the HTTP status of the errors common to all services, where
// it is not 400.
var defaultStatus = map[string]int{
	"InternalFailure":           http.StatusInternalServerError,
	"InternalFailureException":  http.StatusInternalServerError,
	"InternalServerError":       http.StatusInternalServerError,
	"ServiceUnavailable":        http.StatusServiceUnavailable,
	"RequestEntityTooLarge":     http.StatusRequestEntityTooLarge,
	"RequestTooLargeException":  http.StatusRequestEntityTooLarge,
	"NotImplemented":            http.StatusNotImplemented,
	"MethodNotAllowedException": http.StatusMethodNotAllowed,
}

// fault says who is to blame, as query answers do.
func fault(shape *api.Shape, status int) string {
	if shape != nil && shape.Error.Fault || status >= 500 {
		return "Receiver"
	}
	return "Sender"
}

// queryError sets the header by which a service that came from the query protocol
// still tells the code of those days, and returns the status of its new ones: what
// the model has is the old protocol's.
func queryError(h http.Header, op *api.Op, shape *api.Shape, e *api.Error, status int) int {
	if op == nil || !op.Service.QueryCompatible {
		return status
	}
	code := e.Code
	if shape != nil {
		code = shape.Error.Code
	}
	h.Set("x-amzn-query-error", code+";"+fault(shape, status))
	if shape != nil && e.Status == 0 {
		status = http.StatusBadRequest
		if shape.Error.Fault {
			status = http.StatusInternalServerError
		}
	}
	return status
}

// extra yields the further members of a modelled error that e gives.
func extra(shape *api.Shape, e *api.Error, yield func(m *api.Member, v reflect.Value)) {
	if shape == nil {
		return
	}
	for i := range shape.Members {
		m := &shape.Members[i]
		if v, ok := e.Fields[m.Name]; ok && v != nil {
			yield(m, indirect(reflect.ValueOf(v)))
		}
	}
}
