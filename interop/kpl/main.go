// Command kpl has the Kinesis Producer Library put a million user records over TLS,
// trusting the server's own authority, and reads the stream back: each record is
// there exactly once, in the shard of its key, aggregates are intact, and there are
// far fewer records in the stream than user records.
//
//	kpl -ca file [-count 1000000] -- java ... interop.Producer
//
// The library is Java around a native program, which speaks TLS only and knows no
// trust store but the file that it is given.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/rheostream/rheo/interop/contents"
	"github.com/rheostream/rheo/interop/javalog"
	"github.com/rheostream/rheo/interop/metrics"
)

const (
	stream    = "interop-kpl"
	shards    = 16 // the limits of shards hold: 16 MiB a second
	keys      = 1000
	sizeBytes = 100
	limit     = 9 * time.Minute
)

func main() {
	ca := flag.String("ca", os.Getenv("AWS_CA_BUNDLE"), "certificate authority that the producer is to trust")
	count := flag.Int("count", 1_000_000, "user records to put")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := run(ctx, *ca, *count, flag.Args()); err != nil {
		fmt.Println("MISMATCH", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, ca string, count int, argv []string) error {
	if len(argv) == 0 {
		return fmt.Errorf("usage: kpl [-ca file] [-count n] -- command of the producer")
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	client := kinesis.NewFromConfig(cfg)
	if err := create(ctx, client); err != nil {
		return err
	}
	took, log, err := produce(ctx, ca, count, argv)
	if err != nil {
		return err
	}
	read, err := contents.Read(ctx, client, stream)
	if err != nil {
		return fmt.Errorf("cannot read the stream back: %w", err)
	}
	packed, err := check(read, count)
	if err != nil {
		return err
	}
	fmt.Printf("%d user records in %d records of the stream, in %.1f s: %.0f a second\n", count, packed, took.Seconds(), float64(count)/took.Seconds())
	put, err := metrics.Total(ctx, cloudwatch.NewFromConfig(cfg), "KinesisProducerLibrary", "UserRecordsPut", "StreamName")
	if err != nil {
		return err
	}
	fmt.Printf("CloudWatch has %.0f of them, what the producer had not yet uploaded at its end is missing\n", put)
	if put > float64(count) {
		return fmt.Errorf("CloudWatch has %.0f user records of %d", put, count)
	}
	return checkLog(log)
}

func create(ctx context.Context, client *kinesis.Client) error {
	if _, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String(stream), ShardCount: aws.Int32(shards)}); err != nil {
		return err
	}
	for {
		out, err := client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(stream)})
		if err != nil {
			return err
		}
		if out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// produce runs the producer to its end and gives what it logged.
func produce(ctx context.Context, ca string, count int, argv []string) (took time.Duration, log []byte, err error) {
	endpoint, err := url.Parse(os.Getenv("AWS_ENDPOINT_URL"))
	if err != nil {
		return 0, nil, fmt.Errorf("AWS_ENDPOINT_URL: %w", err)
	}
	argv = append(argv, "stream="+stream, "host="+endpoint.Hostname(), "port="+endpoint.Port(), "ca="+ca,
		fmt.Sprint("keys=", keys), fmt.Sprint("count=", count), fmt.Sprint("size=", sizeBytes))
	var said, logged bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &said, &logged
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, nil, fmt.Errorf("the producer failed: %w\n%s%s", err, said.Bytes(), logged.Bytes()[max(0, logged.Len()-4000):])
	}
	took = time.Since(start)
	acked := 0
	for line := range strings.Lines(said.String()) {
		var key string
		var n int
		if _, err := fmt.Sscanf(line, "acked %s %d", &key, &n); err == nil {
			acked += n
		}
	}
	if acked != count {
		return 0, nil, fmt.Errorf("%d of %d user records were acknowledged", acked, count)
	}
	return took, logged.Bytes(), nil
}

// checkLog looks for warnings that workers/tolerated.txt does not expect of the client kpl.
func checkLog(log []byte) error {
	file, err := os.ReadFile(filepath.Join("..", "workers", "tolerated.txt"))
	if err != nil {
		return err
	}
	tolerated, err := javalog.ParseList(string(file))
	if err != nil {
		return fmt.Errorf("tolerated.txt: %w", err)
	}
	entries, err := javalog.Read(bytes.NewReader(log))
	if err != nil {
		return err
	}
	bad := tolerated.Unexpected("kpl", entries)
	for _, e := range bad[:min(len(bad), 20)] {
		fmt.Printf("the producer logged %.1500s\n", e)
	}
	if len(bad) > 0 {
		return fmt.Errorf("the producer logged %d warnings and errors that tolerated.txt does not expect", len(bad))
	}
	return nil
}

// check demands each of count user records once.
func check(read []contents.Shard, count int) (packed int, err error) {
	seen := make([]bool, count)
	total := 0
	for _, shard := range read {
		packed += shard.Packed
		for _, r := range shard.Records {
			var key, n int
			if _, err := fmt.Sscanf(r.Data, "kpl-%d/%d/", &key, &n); err != nil || r.Key != fmt.Sprint("kpl-", key) || key < 0 || key >= keys || n < 0 {
				return 0, fmt.Errorf("%s %s of key %s is not what the producer put: %.60q", shard.ID, r.Sequence, r.Key, r.Data)
			}
			i := n*keys + key
			switch {
			case i >= count:
				return 0, fmt.Errorf("record %d of %s was never put", n, r.Key)
			case seen[i]:
				return 0, fmt.Errorf("record %d of %s is there twice", n, r.Key)
			case len(r.Data) < sizeBytes || strings.Trim(r.Data[strings.LastIndexByte(r.Data, '/'):], "/0") != "":
				return 0, fmt.Errorf("record %d of %s is damaged: %q", n, r.Key, r.Data)
			case r.Stray:
				return 0, fmt.Errorf("record %d of %s is in %s, where its key does not belong", n, r.Key, shard.ID)
			}
			seen[i] = true
			total++
		}
	}
	if total != count {
		return 0, fmt.Errorf("%d of %d user records are in the stream", total, count)
	}
	if packed*10 > count {
		return 0, fmt.Errorf("%d user records are in %d records: they were not aggregated", count, packed)
	}
	return packed, nil
}
