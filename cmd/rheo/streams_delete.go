package main

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/spf13/cobra"
)

func newStreamsDelete(conn *connection) *cobra.Command {
	c := &cobra.Command{
		Use:     "delete NAME...",
		Aliases: []string{"rm"},
		Short:   "Delete streams with all their records, and wait until they are gone",
		Args:    cobra.MinimumNArgs(1),
	}
	yes := c.Flags().BoolP("yes", "y", false, "do not ask")
	consumers := c.Flags().Bool("with-consumers", false, "also delete registered consumers, which otherwise forbid it")
	noWait := c.Flags().Bool("no-wait", false, "return as soon as the server has taken the order")
	c.ValidArgsFunction = conn.completeStream
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx := c.Context()
		if !*yes {
			if !isTerminal(c.InOrStdin()) {
				return usagef("deleting a stream deletes its records: confirm with --yes")
			}
			fmt.Fprintf(c.ErrOrStderr(), "Delete %s and all records? Type yes: ", strings.Join(args, ", "))
			answer, _ := bufio.NewReader(c.InOrStdin()).ReadString('\n')
			if strings.TrimSpace(answer) != "yes" {
				return fmt.Errorf("nothing was deleted")
			}
		}
		k, err := conn.connect(ctx)
		if err != nil {
			return err
		}
		for _, stream := range args {
			name, arn := streamRef(stream)
			_, err := k.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: name, StreamARN: arn, EnforceConsumerDeletion: consumers})
			if err != nil {
				return err
			}
		}
		if *noWait {
			return nil
		}
		for _, stream := range args {
			if err := k.waitGone(ctx, stream); err != nil {
				return err
			}
		}
		return nil
	}
	return c
}
