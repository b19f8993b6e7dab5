// Command sdkloop is what the agent is compared with: a program that has the lines in
// memory, and puts them with the Go SDK as fast as that goes.
//
//	sdkloop -file lines -stream name -connections 8
//
// Endpoint and credentials are the environment's. It puts each line once, in calls of
// 500, sends again what a call refuses, and prints the bytes a second.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const (
	callRecords = 500
	callBytes   = 5 << 20
)

func main() {
	file := flag.String("file", "", "lines to put")
	stream := flag.String("stream", "", "where")
	connections := flag.Int("connections", 8, "calls at a time")
	flag.Parse()
	if err := run(*file, *stream, *connections); err != nil {
		fmt.Fprintln(os.Stderr, "sdkloop:", err)
		os.Exit(1)
	}
}

func run(file, stream string, connections int) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	client := kinesis.New(kinesis.Options{
		Region: os.Getenv("AWS_REGION"), BaseEndpoint: aws.String(os.Getenv("AWS_ENDPOINT_URL")), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider(os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), ""),
	})
	batches := split(text)
	var next atomic.Int64
	errs := make(chan error, connections)
	var all sync.WaitGroup
	began := time.Now()
	for range connections {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(batches) {
					return
				}
				if err := put(client, stream, batches[i]); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	select {
	case err := <-errs:
		return err
	default:
	}
	fmt.Printf("%.0f\n", float64(len(text))/took.Seconds())
	return nil
}

// split makes calls of the lines, each with its line feed.
func split(text []byte) (batches [][][]byte) {
	var batch [][]byte
	size := 0
	for line := range bytes.Lines(text) {
		if len(batch) == callRecords || size+len(line)+20 > callBytes {
			batches, batch, size = append(batches, batch), nil, 0
		}
		batch, size = append(batch, line), size+len(line)+20
	}
	return append(batches, batch)
}

func put(client *kinesis.Client, stream string, lines [][]byte) error {
	entries := make([]types.PutRecordsRequestEntry, len(lines))
	for i, line := range lines {
		entries[i] = types.PutRecordsRequestEntry{Data: line, PartitionKey: aws.String(strconv.FormatUint(rand.Uint64(), 36))}
	}
	for len(entries) > 0 {
		out, err := client.PutRecords(context.Background(), &kinesis.PutRecordsInput{StreamName: &stream, Records: entries})
		if err != nil {
			return err
		}
		left := entries[:0]
		for i, r := range out.Records {
			if r.ErrorCode != nil {
				left = append(left, entries[i])
			}
		}
		entries = left
	}
	return nil
}
