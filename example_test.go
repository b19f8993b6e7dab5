package rheo_test

import (
	"bytes"
	"context"
	"fmt"
	"log"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/rheostream/rheo"
)

// A test that is not about throttling turns the limits off: four megabytes go
// into one shard in one call, which takes one a second otherwise.
func Example_limitsOff() {
	srv, err := rheo.New(rheo.Config{
		Limits:  rheo.LimitsOff,
		Streams: []rheo.InitialStream{{Name: "orders", Shards: 1}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()

	client := kinesis.New(kinesis.Options{
		BaseEndpoint: aws.String(srv.URL()),
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	in := &kinesis.PutRecordsInput{StreamName: aws.String("orders")}
	for i := range 400 {
		in.Records = append(in.Records, types.PutRecordsRequestEntry{
			PartitionKey: aws.String(fmt.Sprint(i)), Data: bytes.Repeat([]byte{'x'}, 10_000),
		})
	}
	out, err := client.PutRecords(context.Background(), in)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("throttled:", *out.FailedRecordCount)
	// Output: throttled: 0
}
