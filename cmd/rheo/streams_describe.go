package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/spf13/cobra"
)

func newStreamsDescribe(conn *connection) *cobra.Command {
	c := &cobra.Command{
		Use:   "describe NAME",
		Short: "Describe a stream and draw its shards",
		Long: "Describe a stream and draw its shards: the part of the hash keys that each one has, which\n" +
			"of them are open, and which came out of which. Closed shards are shown while their records\n" +
			"can still be read.",
		Args: cobra.ExactArgs(1),
	}
	asJSON := c.Flags().Bool("json", false, "print JSON: the API's StreamDescriptionSummary, with Shards")
	c.ValidArgsFunction = conn.completeStream
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, w := c.Context(), c.OutOrStdout()
		k, err := conn.connect(ctx)
		if err != nil {
			return err
		}
		summary, err := k.summary(ctx, args[0])
		if err != nil {
			return err
		}
		var shards []types.Shard
		if summary.StreamStatus != types.StreamStatusCreating && summary.StreamStatus != types.StreamStatusDeleting {
			if shards, err = k.shards(ctx, args[0], nil); err != nil {
				return err
			}
		}
		if *asJSON {
			return printJSON(w, struct {
				*types.StreamDescriptionSummary
				Shards []types.Shard
			}{summary, shards})
		}
		if err := describe(w, summary); err != nil {
			return err
		}
		return drawShards(w, shards)
	}
	return c
}

func describe(w io.Writer, s *types.StreamDescriptionSummary) error {
	style := styleOf(w)
	var text strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&text, "%s %s\n", style.dim(fmt.Sprintf("%-11s", name)), fmt.Sprintf(format, args...))
	}
	line("stream", "%s", style.bold(aws.ToString(s.StreamName)))
	line("arn", "%s", aws.ToString(s.StreamARN))
	line("status", "%s", s.StreamStatus)
	line("mode", "%s", mode(s.StreamModeDetails))
	line("shards", "%d open", aws.ToInt32(s.OpenShardCount))
	line("retention", "%d hours", aws.ToInt32(s.RetentionPeriodHours))
	if s.MaxRecordSizeInKiB != nil {
		line("max record", "%d KiB", *s.MaxRecordSizeInKiB)
	}
	if n := aws.ToInt32(s.ConsumerCount); n > 0 {
		line("consumers", "%d", n)
	}
	if s.EncryptionType == types.EncryptionTypeKms {
		line("encryption", "KMS %s", aws.ToString(s.KeyId))
	}
	line("created", "%s", day(s.StreamCreationTimestamp))
	text.WriteByte('\n')
	_, err := io.WriteString(w, text.String())
	return err
}

// drawShards draws the map: a line per shard, with the part of the hash keys
// that it has as a bar.
func drawShards(w io.Writer, shards []types.Shard) error {
	if len(shards) == 0 {
		return nil
	}
	children := map[string][]string{}
	for _, s := range shards {
		for _, p := range parents(s) {
			children[p] = append(children[p], shardNumber(aws.ToString(s.ShardId)))
		}
	}
	full, empty := "#", "."
	if drawsBlocks() && isTerminal(w) {
		full, empty = "█", "·"
	}
	width := min(max(columns(w)-60, 16), 64)
	rows := [][]string{{"SHARD", "STATE", "HASH KEYS, 0 TO 2^128", "SHARE", "LINEAGE"}}
	for _, s := range shards {
		r, err := rangeOf(s.HashKeyRange)
		if err != nil {
			return err
		}
		id := aws.ToString(s.ShardId)
		state := "open"
		if s.SequenceNumberRange != nil && s.SequenceNumberRange.EndingSequenceNumber != nil {
			state = "closed"
		}
		rows = append(rows, []string{id, state, r.bar(width, full, empty), fmt.Sprintf("%5.1f%%", 100*r.share()), lineage(s, children[id])})
	}
	return printTable(w, rows)
}

// parents are the shards that s came out of.
func parents(s types.Shard) []string {
	var ids []string
	for _, p := range []*string{s.ParentShardId, s.AdjacentParentShardId} {
		if p != nil {
			ids = append(ids, *p)
		}
	}
	return ids
}

func lineage(s types.Shard, children []string) string {
	var parts []string
	switch from := parents(s); len(from) {
	case 1:
		parts = append(parts, "split from "+shardNumber(from[0]))
	case 2:
		a, b := shardNumber(from[0]), shardNumber(from[1])
		parts = append(parts, "merged from "+a+" and "+b)
	}
	if len(children) > 0 {
		parts = append(parts, "into "+strings.Join(children, " and "))
	}
	return strings.Join(parts, ", ")
}
