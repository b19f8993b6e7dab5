package auth

import (
	"errors"

	"github.com/rheostream/rheo/internal/api"
)

// The words of AWS's own front end.
var (
	errToken   = errors.New("the key has another token") // what a service says to that is its own
	errMissing = &api.Error{Code: "MissingAuthenticationTokenException", Message: "Missing Authentication Token"}
	errBoth    = &api.Error{Code: "InvalidSignatureException",
		Message: "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."}
	errHostUnsigned = &api.Error{Code: "InvalidSignatureException",
		Message: "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."}
	errUnrecognized = &api.Error{Code: "UnrecognizedClientException",
		Message: "The security token included in the request is invalid."}
	malformedQuery = &api.Error{Code: "MalformedQueryString", Message: "The query string contains a syntax error."}
	errMismatch    = &api.Error{Code: "InvalidSignatureException",
		Message: "The request signature we calculated does not match the signature you provided. " +
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}
)

func incomplete(format string, args ...any) *api.Error {
	return api.Errorf("IncompleteSignatureException", format, args...)
}

func invalid(format string, args ...any) *api.Error {
	return api.Errorf("InvalidSignatureException", format, args...)
}
