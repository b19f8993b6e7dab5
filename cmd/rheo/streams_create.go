package main

import (
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/spf13/cobra"
)

func newStreamsCreate(conn *connection) *cobra.Command {
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a stream, and wait until it is ACTIVE",
		Example: "  rheo streams create orders --shards 4\n" +
			"  rheo streams create clicks --on-demand --retention 168 --tag team=web",
		Args: cobra.ExactArgs(1),
	}
	f := c.Flags()
	shards := f.Int32("shards", 1, "shards of a provisioned stream")
	onDemand := f.Bool("on-demand", false, "let the shards follow the traffic")
	retention := f.Int32("retention", 24, "`hours` that records are kept, 24 to 8760")
	recordSize := f.Int32("max-record-size", 0, "largest record in `KiB`, 1024 (default) to 10240")
	tags := f.StringToString("tag", nil, "`name=value`, may be repeated")
	ifMissing := f.Bool("if-missing", false, "succeed if a stream of that name exists, and leave it as it is")
	noWait := f.Bool("no-wait", false, "return as soon as the server has taken the order")
	c.MarkFlagsMutuallyExclusive("shards", "on-demand")
	c.MarkFlagsMutuallyExclusive("retention", "no-wait") // retention is a call of its own, to an ACTIVE stream
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, name := c.Context(), args[0]
		k, err := conn.connect(ctx)
		if err != nil {
			return err
		}
		in := &kinesis.CreateStreamInput{StreamName: &name, Tags: *tags, ShardCount: shards}
		if *onDemand {
			in.ShardCount = nil
			in.StreamModeDetails = &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand}
		}
		if *recordSize != 0 {
			in.MaxRecordSizeInKiB = recordSize
		}
		_, err = k.CreateStream(ctx, in)
		var exists *types.ResourceInUseException
		if *ifMissing && errors.As(err, &exists) {
			return k.waitActive(ctx, name)
		}
		if err != nil || *noWait {
			return err
		}
		if err := k.waitActive(ctx, name); err != nil {
			return err
		}
		if *retention != 24 {
			_, err := k.IncreaseStreamRetentionPeriod(ctx, &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: &name, RetentionPeriodHours: retention})
			if err != nil {
				return fmt.Errorf("stream %s is made, its retention is not set: %w", name, err)
			}
			if err := k.waitActive(ctx, name); err != nil {
				return err
			}
		}
		s, err := k.summary(ctx, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.ErrOrStderr(), "%s is %s: %s, shards: %d\n", name, s.StreamStatus, mode(s.StreamModeDetails), aws.ToInt32(s.OpenShardCount))
		return nil
	}
	return c
}
