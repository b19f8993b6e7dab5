//go:build !linux

package process

import (
	"context"
	"errors"
)

// A Runner runs functions, on Linux.
type Runner struct{}

// New is an error: what keeps functions in is Linux's.
func New(Config) (*Runner, error) {
	return nil, errors.New("functions run as local processes on Linux only")
}

// Become does nothing here.
func Become() {}

// Isolation is none.
func (*Runner) Isolation() Isolation { return Isolation{} }

// Check is an error.
func (*Runner) Check(context.Context, *Function) error { return ErrClosed }

// Invoke is an error.
func (*Runner) Invoke(context.Context, *Function, Invocation) (Result, error) {
	return Result{}, ErrClosed
}

// Retire does nothing.
func (*Runner) Retire(arn, version string) {}

// Close does nothing.
func (*Runner) Close(context.Context) error { return nil }

func machineMemoryMiB() int { return 0 }
