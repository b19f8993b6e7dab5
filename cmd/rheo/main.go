// Command rheo is the server (rheo serve) and a command line for any Kinesis,
// this one or AWS's: the other commands use the public API only.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is main with its surroundings given; it returns the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := root()
	c.SetArgs(args)
	c.SetIn(stdin)
	c.SetOut(stdout)
	c.SetErr(stderr)
	if err := c.Execute(); err != nil {
		fmt.Fprintln(stderr, "rheo:", err)
		return 1
	}
	return 0
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use:           "rheo",
		Short:         "Amazon Kinesis, self-hosted",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	c.AddCommand(newServe(), newConfig())
	return c
}
