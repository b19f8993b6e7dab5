package main

import (
	"errors"
	"fmt"
	"time"
)

// The setup of a row, by the public API.

const streamName = "bench"

func createStream(addr string, shards int) error {
	if err := call(addr, "CreateStream", map[string]any{"StreamName": streamName, "ShardCount": shards}, nil); err != nil {
		return err
	}
	for range 600 {
		d, err := describeStream(addr)
		if err != nil {
			return err
		}
		if d.StreamStatus == "ACTIVE" {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return errors.New("the stream does not become ACTIVE")
}

type streamDescription struct {
	StreamStatus string
	StreamARN    string
	Shards       []struct{ ShardId string }
}

func describeStream(addr string) (streamDescription, error) {
	var out struct{ StreamDescription streamDescription }
	err := call(addr, "DescribeStream", map[string]any{"StreamName": streamName}, &out)
	return out.StreamDescription, err
}

func shardIterator(addr, shard, kind string) (string, error) {
	var out struct{ ShardIterator string }
	err := call(addr, "GetShardIterator", map[string]any{"StreamName": streamName, "ShardId": shard, "ShardIteratorType": kind}, &out)
	if err == nil && out.ShardIterator == "" {
		err = fmt.Errorf("no iterator for %s", shard)
	}
	return out.ShardIterator, err
}
