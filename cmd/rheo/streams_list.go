package main

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/spf13/cobra"
)

func newStreamsList(conn *connection) *cobra.Command {
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List the streams of the account and region", Args: cobra.NoArgs}
	asJSON := c.Flags().Bool("json", false, "print JSON: the API's StreamSummaries")
	c.RunE = func(c *cobra.Command, _ []string) error {
		ctx, w := c.Context(), c.OutOrStdout()
		k, err := conn.connect(ctx)
		if err != nil {
			return err
		}
		all := []types.StreamSummary{}
		pages := kinesis.NewListStreamsPaginator(k, &kinesis.ListStreamsInput{})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			all = append(all, page.StreamSummaries...)
		}
		if *asJSON {
			return printJSON(w, all)
		}
		if len(all) == 0 {
			fmt.Fprintf(c.ErrOrStderr(), "No streams at %s. `rheo streams create NAME` makes one.\n", k.where())
			return nil
		}
		rows := [][]string{{"NAME", "STATUS", "MODE", "CREATED"}}
		for _, s := range all {
			rows = append(rows, []string{aws.ToString(s.StreamName), string(s.StreamStatus), mode(s.StreamModeDetails), day(s.StreamCreationTimestamp)})
		}
		return printTable(w, rows)
	}
	return c
}
