package process

import (
	"context"
	"io"
	"time"
)

// A Function is one published state of a function. Two Functions of equal ARN,
// Version and Revision are equal in all else; a change of any field is a new
// Revision.
type Function struct {
	ARN      string // without a qualifier
	Name     string
	Version  string // "$LATEST" or a number
	Revision string // opaque

	Account, Region string

	// CodeSHA256 of the zip, in hexadecimal, and the zip itself, which is opened
	// when it is not unpacked yet: at most 50 MiB, 250 MiB unpacked.
	CodeSHA256 string
	Code       func(context.Context) (io.ReadCloser, error)

	Runtime   string // "provided.al2023", "nodejs20.x", "python3.12", "java21"
	Handler   string
	Env       map[string]string // the user's; reserved names are ignored
	MemoryMiB int               // 128 to 10,240
	Timeout   time.Duration     // to 15 min
	LogGroup  string            // empty: "/aws/lambda/<Name>"
}

func (f *Function) key() functionKey { return functionKey{f.ARN, f.Version, f.Revision} }

func (f *Function) logGroup() string {
	if f.LogGroup != "" {
		return f.LogGroup
	}
	return "/aws/lambda/" + f.Name
}

// functionKey is a Function's identity.
type functionKey struct{ arn, version, revision string }

// An Invocation is one event for a Function. Its deadline is the function's
// Timeout after the event is handed over.
type Invocation struct {
	RequestID     string // a UUID
	Payload       []byte // as the caller sent it; empty is the runtime's affair. Not changed until the call returns.
	InvokedARN    string // as the caller named the function; empty: its ARN
	ClientContext string // JSON; empty: none
	TraceID       string // X-Amzn-Trace-Id; empty: none
}

// A Result is what came of an invocation.
type Result struct {
	Payload []byte // the function's answer, or a JSON object with errorType and errorMessage
	// FunctionError is empty on success, "Unhandled" where the function failed:
	// it posted an error, ended, ran out of time or memory, answered too much.
	FunctionError   string
	ErrorType       string // with FunctionError: such as "Runtime.ExitError"
	ContentType     string // of Payload, as the runtime named it
	ExecutedVersion string
	Log             []byte        // the last 4 KiB of the invocation's log
	Duration        time.Duration // from handing over the event to the answer
	Billed          time.Duration // Duration and InitDuration, rounded up to milliseconds
	InitDuration    time.Duration // of the instance's start; 0 when it was warm
	MaxMemoryMiB    int           // peak of the instance so far
	LogStream       string
}

// Runtimes says where the runtimes of languages are.
type Runtimes struct {
	Dirs []string // searched before the path, with their bin; and for the Java client's jars
	Path string   // instead of the environment's PATH; empty: that

	// Directories of the public runtime clients: NodeClient is the aws-lambda-ric
	// package's own, PythonClient has awslambdaric in it, JavaClient the jars of
	// aws-lambda-java-runtime-interface-client and what it needs. Without the
	// first two, an installed one is used, and else rheo's own.
	NodeClient, PythonClient, JavaClient string
}

// reserved are the variables that a function's configuration cannot set. (Lambda
// refuses them at create; what gets here is ignored.)
var reserved = map[string]bool{
	"_HANDLER": true, "_X_AMZN_TRACE_ID": true,
	"AWS_DEFAULT_REGION": true, "AWS_REGION": true, "AWS_EXECUTION_ENV": true,
	"AWS_LAMBDA_FUNCTION_NAME": true, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": true, "AWS_LAMBDA_FUNCTION_VERSION": true,
	"AWS_LAMBDA_INITIALIZATION_TYPE": true, "AWS_LAMBDA_LOG_GROUP_NAME": true, "AWS_LAMBDA_LOG_STREAM_NAME": true,
	"AWS_ACCESS_KEY": true, "AWS_ACCESS_KEY_ID": true, "AWS_SECRET_ACCESS_KEY": true, "AWS_SESSION_TOKEN": true,
	"AWS_LAMBDA_RUNTIME_API": true, "LAMBDA_TASK_ROOT": true, "LAMBDA_RUNTIME_DIR": true,
}

// Reserved tells whether a function's configuration may not set the variable.
func Reserved(name string) bool { return reserved[name] }
