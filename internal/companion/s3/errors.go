package s3

import (
	"fmt"
	"net/http"

	"github.com/rheostream/rheo/internal/api"
)

// The words of S3, where it has any for the case.
var (
	errAccessDenied = &api.Error{Code: "AccessDenied", Status: http.StatusForbidden, Message: "Access Denied"}
	errURI          = invalid("InvalidURI", "Couldn't parse the specified URI.")
	errKeyTooLong   = invalid("KeyTooLongError", "Your key is too long")
	errTooLarge     = invalid("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
	errTooSmall     = invalid("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
	errIncomplete   = invalid("IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header")
	errXML          = invalid("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
	errLength       = &api.Error{Code: "MissingContentLength", Status: http.StatusLengthRequired, Message: "You must provide the Content-Length HTTP header."}
	errDigest       = invalid("InvalidDigest", "The Content-MD5 you specified was invalid.")
	errBadDigest    = invalid("BadDigest", "The Content-MD5 you specified did not match what we received.")
	errMetadata     = invalid("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size")
	errPart         = invalid("InvalidPart", "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.")
	errPartOrder    = invalid("InvalidPartOrder", "The list of parts was not in ascending order. Parts must be ordered by part number.")
	errPartNumber   = invalid("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
	errToken        = invalid("InvalidArgument", "The continuation token provided is incorrect")

	// S3 has no words for a disk that is full. 507 is not tried again by the SDKs.
	errDiskFull = &api.Error{Code: "InsufficientStorage", Status: http.StatusInsufficientStorage,
		Message: "There is no space left on the disk for objects; reads and deletes are served."}
)

func invalid(code, format string, args ...any) *api.Error { return api.Errorf(code, format, args...) }

func noSuchBucket(name string) *api.Error {
	return &api.Error{Code: "NoSuchBucket", Status: http.StatusNotFound, Message: "The specified bucket does not exist",
		Fields: map[string]any{"BucketName": name}}
}

func noSuchKey(key string) *api.Error {
	return &api.Error{Code: "NoSuchKey", Status: http.StatusNotFound, Message: "The specified key does not exist.",
		Fields: map[string]any{"Key": key}}
}

func noSuchUpload(id string) *api.Error {
	return &api.Error{Code: "NoSuchUpload", Status: http.StatusNotFound,
		Message: "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
		Fields:  map[string]any{"UploadId": id}}
}

func preconditionFailed(condition string) *api.Error {
	return &api.Error{Code: "PreconditionFailed", Status: http.StatusPreconditionFailed,
		Message: "At least one of the pre-conditions you specified did not hold", Fields: map[string]any{"Condition": condition}}
}

func slowDown(message string) *api.Error {
	return &api.Error{Code: "SlowDown", Status: http.StatusServiceUnavailable, Message: message}
}

func notImplemented(what string) *api.Error {
	return &api.Error{Code: "NotImplemented", Status: http.StatusNotImplemented, Message: what + ": " + subset}
}

func fullIndex(max int64) *api.Error {
	return &api.Error{Code: "LimitExceeded", Status: http.StatusForbidden, Message: fmt.Sprintf(
		"The memory for the index of objects, %d bytes, is used up. (rheo keeps keys and headers of objects in memory, up to a limit that can be configured; deletes are taken.)", max)}
}

func wrongArgument(name, value, message string) *api.Error {
	return &api.Error{Code: "InvalidArgument", Message: message, Fields: map[string]any{"ArgumentName": name, "ArgumentValue": value}}
}
