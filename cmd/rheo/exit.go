package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/aws/smithy-go"
)

// What the command exits with.
const (
	exitOK     = 0
	exitFailed = 1   // it was understood and did not succeed
	exitUsage  = 2   // it was not understood: nothing was done
	exitSignal = 128 // and the signal's number, as shells count: 130 for Ctrl-C
)

// usageError is a command line that cannot be carried out.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// interruption is a signal that ended the command.
type interruption struct{ os.Signal }

func (i interruption) Error() string { return i.String() }

func (i interruption) status() int {
	if n, ok := i.Signal.(syscall.Signal); ok {
		return exitSignal + int(n)
	}
	return exitFailed
}

// hintError is a failure and what can be done about it.
type hintError struct {
	error
	hint string
}

func (e hintError) Unwrap() error { return e.error }

// report writes err for a person, and says what to exit with. An error of the
// API is its code and message, nothing before it, so that a script can tell
// them apart; a hint has a line of its own.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	var signal interruption
	if errors.As(err, &signal) { // who sent it knows
		return signal.status()
	}
	var e smithy.APIError
	var usage usageError
	switch {
	case errors.As(err, &e) && e.ErrorCode() != "":
		fmt.Fprintf(w, "%s: %s\n", e.ErrorCode(), e.ErrorMessage())
	case errors.As(err, &usage):
		fmt.Fprintf(w, "rheo: %v\n", err)
	default:
		fmt.Fprintf(w, "rheo: %v\n", rootCause(err))
	}
	if h := hint(err); h != "" {
		fmt.Fprintln(w, h)
	}
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// rootCause strips what the SDK says of its own inner working.
func rootCause(err error) error {
	var op *smithy.OperationError
	if errors.As(err, &op) {
		var network *net.OpError
		if errors.As(err, &network) {
			return fmt.Errorf("cannot %s: %w", op.OperationName, network)
		}
		return fmt.Errorf("cannot %s: %w", op.OperationName, op.Err)
	}
	return err
}

func hint(err error) string {
	var h hintError
	if errors.As(err, &h) {
		return h.hint
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "Nothing listens there. Start a server with `rheo serve`, name another with --endpoint URL, or AWS itself with --aws."
	}
	var e smithy.APIError
	if !errors.As(err, &e) {
		return ""
	}
	switch e.ErrorCode() {
	case "ResourceNotFoundException":
		if strings.HasPrefix(e.ErrorMessage(), "Stream ") {
			return "`rheo streams list` shows the streams of this account and region; `rheo streams create NAME` makes one."
		}
	case "UnrecognizedClientException", "InvalidSignatureException", "IncompleteSignatureException", "MissingAuthenticationTokenException":
		return "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to keys that the server knows, or choose them with --profile."
	}
	return ""
}
