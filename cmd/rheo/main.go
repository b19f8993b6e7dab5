// Command rheo is the server (rheo serve) and a command line for any Kinesis,
// this one or AWS's: the other commands use the public API only.
//
// Each command is a file with one function newX. What a command prints for
// programs goes to standard output, all else to standard error; exit.go has
// what it exits with. docs/cli.md is the manual, and its examples are run as
// tests.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/rheostream/rheo"
)

func main() {
	rheo.Become() // what keeps a function in, if this process was started as that
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is main with its surroundings given; it returns the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals) // a second signal ends the process at once
			cancel(interruption{s})
		case <-ctx.Done():
		}
	}()
	c := root()
	understood := false
	c.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		err := c.ValidateFlagGroups() // cobra would, but only after this
		understood = err == nil
		return err
	}
	c.SetArgs(args)
	c.SetIn(stdin)
	c.SetOut(stdout)
	c.SetErr(stderr)
	err := c.ExecuteContext(ctx)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case !understood:
		err = hintError{usageError{err}, "`rheo --help` shows the commands, `rheo COMMAND --help` one of them."}
	}
	return report(stderr, err)
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use:           "rheo",
		Short:         "Amazon Kinesis, self-hosted: the server, and tools that work with AWS too",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	c.AddCommand(newServe(), newConfig(), newTLS(), newCA(), newStreams(), newPut(), newTail(), newBench(), newAgent(), newCall(), newKey(), newVersion())
	return c
}
