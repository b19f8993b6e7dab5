package main

import (
	"fmt"
	"math/big"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/spf13/cobra"
)

// A keyPlace is where a partition key lands.
type keyPlace struct {
	Key     string `json:"key,omitempty"`
	HashKey string `json:"hashKey"`
	Hex     string `json:"hashKeyHex"`
	ShardID string `json:"shardId"`
}

func newKey() *cobra.Command {
	c := &cobra.Command{
		Use:   "key STREAM KEY...",
		Short: "Show which shard a partition key lands on",
		Long: "Show which open shard each partition key lands on, and its hash key: the MD5 of the key as\n" +
			"a number. (A stream whose record distribution is AUTO places records without regard to keys.)",
		Args: cobra.MinimumNArgs(2),
	}
	conn := new(connection)
	conn.flags(c)
	c.ValidArgsFunction = conn.completeStream
	isHash := c.Flags().Bool("hash", false, "KEY is an explicit hash key, a decimal number")
	asJSON := c.Flags().Bool("json", false, "print JSON, an array")
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, stream := c.Context(), args[0]
		var places []keyPlace
		var hashes []*big.Int
		for _, key := range args[1:] {
			p, h := keyPlace{Key: key}, hashOf(key)
			if *isHash {
				var err error
				if h, err = parseHash(key); err != nil {
					return usageError{err}
				}
				p.Key = ""
			}
			p.HashKey, p.Hex = h.String(), fmt.Sprintf("%032x", h)
			places, hashes = append(places, p), append(hashes, h)
		}
		k, err := conn.connect(ctx)
		if err != nil {
			return err
		}
		shards, err := k.shards(ctx, stream, &types.ShardFilter{Type: types.ShardFilterTypeAtLatest})
		if err != nil {
			return err
		}
		for _, s := range shards {
			r, err := rangeOf(s.HashKeyRange)
			if err != nil {
				return err
			}
			for i, h := range hashes {
				if r.holds(h) {
					places[i].ShardID = aws.ToString(s.ShardId)
				}
			}
		}
		for _, p := range places {
			if p.ShardID == "" {
				return fmt.Errorf("no open shard of %s has hash key %s: the stream is changing its shards, try again", stream, p.HashKey)
			}
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), places)
		}
		rows := [][]string{{"KEY", "SHARD", "HASH KEY"}}
		for i, p := range places {
			rows = append(rows, []string{visible(args[i+1]), p.ShardID, p.HashKey})
		}
		return printTable(c.OutOrStdout(), rows)
	}
	return c
}
