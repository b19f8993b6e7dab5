// Command bootstrap is a Lambda function in Go that consumes a stream. What it was
// given and what it answers goes into another stream before it answers, by the SDK
// as the function's environment configures it; a record that says "poison" is an
// error of the function. The handlers in Node.js and Python do the same.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// work is what an invocation takes after it has told: a server that ends in between
// gives its records again.
const work = 150 * time.Millisecond

type record struct {
	Seq  string `json:"seq"`
	Key  string `json:"key"`
	Data string `json:"data"`
}

type told struct {
	Request string   `json:"request"`
	Handled []record `json:"handled"`
	Failed  string   `json:"failed"` // sequence number of the record that ended it
}

func main() {
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	client := kinesis.NewFromConfig(cfg)
	lambda.Start(func(ctx context.Context, event events.KinesisEvent) error {
		call, _ := lambdacontext.FromContext(ctx)
		t := told{Request: call.AwsRequestID, Handled: []record{}}
		for _, r := range event.Records {
			if string(r.Kinesis.Data) == "poison" {
				// The batch fails as a whole, so nothing of it counts as handled.
				t.Handled, t.Failed = []record{}, r.Kinesis.SequenceNumber
				break
			}
			t.Handled = append(t.Handled, record{r.Kinesis.SequenceNumber, r.Kinesis.PartitionKey, string(r.Kinesis.Data)})
		}
		data, err := json.Marshal(t)
		if err != nil {
			return err
		}
		fmt.Println("told", t.Request, len(t.Handled), "of", len(event.Records))
		if _, err := client.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: aws.String(os.Getenv("SEEN")), PartitionKey: aws.String("k"), Data: data}); err != nil {
			return err
		}
		time.Sleep(work)
		if t.Failed != "" {
			return errors.New("poison")
		}
		return nil
	})
}
