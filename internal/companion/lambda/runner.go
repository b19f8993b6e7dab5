package lambda

import (
	"context"
	"errors"
	"io"
	"time"
)

// A Runner runs functions. Its methods may be called concurrently.
type Runner interface {
	// Invoke hands an event to a function and returns what it answered. A function
	// that fails, runs out of time or memory or answers too much is a Result with
	// a FunctionError. An error says that the function did not run, or that nobody knows: it
	// wraps ErrThrottled, is a *CannotRun, or is a fault of ours. Neither f nor
	// in is used any more when it has returned.
	Invoke(ctx context.Context, f *Function, in *Invocation) (*Result, error)
	// Retire says that a version of a function (all versions, if it is empty) has
	// changed or is gone: nothing of it need be kept ready.
	Retire(arn, version string)
	// Isolation says in a sentence what keeps functions apart from rheo and from each
	// other: what GetFunction shows.
	Isolation() string
}

// A Function is one version of a function as a Runner needs it. Two of equal ARN,
// Version and Revision are equal in all else.
type Function struct {
	ARN      string // without a qualifier
	Name     string
	Version  string // "$LATEST" or a number
	Revision string

	Account, Region string
	Role            string // ARN

	CodeSHA256 string // of the zip, hexadecimal
	CodeBytes  int64
	// Code opens the zip; to be closed. What is read is whole and has that hash, or
	// the reading ends in an error.
	Code func(context.Context) (io.ReadCloser, error)

	Runtime     string // "provided.al2023", "nodejs22.x", "python3.13", "java21"
	Handler     string
	Environment map[string]string
	MemoryMiB   int
	StorageMiB  int // of /tmp
	Timeout     time.Duration
	LogGroup    string
	LogJSON     bool   // the log's format is JSON, with these levels
	LogLevel    string // of the application's lines; empty if not LogJSON
	SystemLevel string
}

// An Invocation is one event for a function.
type Invocation struct {
	RequestID     string // a UUID
	Payload       []byte // JSON
	InvokedARN    string // as the caller named it: with version or alias, or without
	Qualifier     string // likewise; empty: none
	ClientContext string // base64 of JSON, as the caller sent it; empty: none
	Tail          bool   // the caller wants the end of the log
}

// A Result is what came of an invocation.
type Result struct {
	Payload         []byte // JSON: the answer, or an object with errorMessage and errorType
	FunctionError   string // empty: success; else "Unhandled" or "Handled"
	ExecutedVersion string // empty: the one that was to be run
	Log             []byte // the last 4 KiB of the invocation's log
}

// ErrThrottled: the runner has no room at the moment; a later try may succeed.
var ErrThrottled = errors.New("no room for another invocation")

// CannotRun says that a function cannot be run here however often it is tried: its
// runtime is not on this machine, its code cannot be unpacked.
type CannotRun struct {
	Code    string // of Lambda's error: InvalidRuntimeException, InvalidZipFileException
	Message string
}

func (e *CannotRun) Error() string { return e.Message }

// Objects is an object store: S3. The methods act for an account, in a region.
type Objects interface {
	// GetObject opens an object, of which n bytes will be read; version may be
	// empty. What S3 answers to a bucket or key that is not there is an *api.Error.
	GetObject(ctx context.Context, account, region, bucket, key, version string) (r io.ReadCloser, n int64, err error)
	// PutObject is durable when it returns.
	PutObject(ctx context.Context, account, region, bucket, key string, body []byte) error
	// HeadBucket answers an *api.Error if the bucket is not there.
	HeadBucket(ctx context.Context, account, region, bucket string) error
}
