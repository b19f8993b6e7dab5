package rheo

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/companion/lambda"
	"github.com/rheostream/rheo/internal/companion/lambda/process"
	"github.com/rheostream/rheo/internal/outbound"
)

// Become is to be called first in main by programs whose servers run functions
// (Config.Lambda "local"): functions are locked in by a helper, which is the program
// itself, started anew. In all other processes it does nothing.
func Become() { process.Become() }

// localFunctions is the Runner of functions as processes of this machine. It opens
// after the listeners, whose address functions are given, and before they accept.
type localFunctions struct {
	runner atomic.Pointer[process.Runner]
	dir    string // to be removed at the end
}

func (l *localFunctions) open(s *Server, c Config, session []Key) error {
	dir := c.LambdaDir
	if dir == "" {
		// Not below the data directory, which functions that have users of their own
		// cannot pass through.
		var err error
		if dir, err = os.MkdirTemp("", "rheo-functions-"); err != nil {
			return fmt.Errorf("cannot make a directory for functions: %w", err)
		}
		l.dir = dir
	}
	endpoint, err := url.Parse(s.URL())
	if err != nil {
		return err
	}
	dialer := outbound.New(outbound.Config{Open: s.open, Own: s.listening})
	r, err := process.New(process.Config{
		Dir: filepath.Join(dir, "run"), Endpoint: endpoint, CAFile: s.CAFile(), Egress: dialer.DialContext, Logs: functionLogs{s.logs}, Logger: c.Logger,
		Credentials: func(_ context.Context, f *process.Function) (process.Credentials, error) {
			id, secret, token := functionCredentials(session, f.Account)
			return process.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: token}, nil
		},
	})
	if err != nil {
		return fmt.Errorf("cannot run functions as processes of this machine: %w", err)
	}
	l.runner.Store(r)
	return nil
}

// Close ends all functions.
func (l *localFunctions) Close() error {
	var errs []error
	if r := l.runner.Load(); r != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		errs = append(errs, r.Close(ctx))
	}
	if l.dir != "" {
		errs = append(errs, os.RemoveAll(l.dir))
	}
	return errors.Join(errs...)
}

// Isolation implements lambda.Runner.
func (l *localFunctions) Isolation() string {
	if r := l.runner.Load(); r != nil {
		return r.Isolation().String()
	}
	return ""
}

// Retire implements lambda.Runner.
func (l *localFunctions) Retire(arn, version string) {
	if r := l.runner.Load(); r != nil {
		r.Retire(arn, version)
	}
}

// Invoke implements lambda.Runner.
func (l *localFunctions) Invoke(ctx context.Context, f *lambda.Function, in *lambda.Invocation) (*lambda.Result, error) {
	r := l.runner.Load()
	if r == nil {
		return nil, process.ErrClosed
	}
	inv := process.Invocation{RequestID: in.RequestID, Payload: in.Payload, InvokedARN: in.InvokedARN}
	if in.ClientContext != "" {
		text, err := base64.StdEncoding.DecodeString(in.ClientContext)
		if err != nil {
			return nil, badEvent("Client context must be a valid Base64-encoded JSON object.")
		}
		inv.ClientContext = string(text)
	}
	res, err := r.Invoke(ctx, &process.Function{
		ARN: f.ARN, Name: f.Name, Version: f.Version, Revision: f.Revision, Account: f.Account, Region: f.Region,
		CodeSHA256: f.CodeSHA256, Code: f.Code, Runtime: f.Runtime, Handler: f.Handler, Env: f.Environment,
		MemoryMiB: f.MemoryMiB, Timeout: f.Timeout, LogGroup: f.LogGroup,
	}, inv)
	var wrongRuntime *process.RuntimeError
	var wrongCode *process.CodeError
	var wrongEvent *process.EventError
	switch {
	case err == nil:
		return &lambda.Result{Payload: res.Payload, FunctionError: res.FunctionError, ExecutedVersion: res.ExecutedVersion, Log: res.Log}, nil
	case errors.Is(err, process.ErrThrottled):
		return nil, fmt.Errorf("%w: %w", lambda.ErrThrottled, err)
	case errors.As(err, &wrongRuntime):
		return nil, &lambda.CannotRun{Code: "InvalidRuntimeException", Message: err.Error()}
	case errors.As(err, &wrongCode):
		return nil, &lambda.CannotRun{Code: "InvalidZipFileException", Message: err.Error()}
	case errors.As(err, &wrongEvent):
		return nil, badEvent(err.Error())
	}
	return nil, err
}

func badEvent(message string) error {
	return &api.Error{Code: "InvalidRequestContentException", Message: message, Status: http.StatusBadRequest, Fields: map[string]any{"Type": "User"}}
}
