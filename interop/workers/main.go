// Command workers runs an application of a consumer library as its operators do,
// as processes that share a stream, and checks what they did with it.
//
//	workers -client kcl3 -library 3 [-quick] -scenario failover [-victim leader] [-kpl classpath -ca file] -- java ... interop.Worker fanout
//	workers -client kclpy -library 3 [-quick] -scenario restart -processor "python processor.py" -- java ... MultiLangDaemon --properties-file {properties}
//
// failover: two workers, four shards, traffic by the Go SDK and, if there is one, by
// the Kinesis Producer Library; a shard is split, one worker is killed, two shards
// are merged. restart: one worker, two shards; it is stopped and started, then
// killed and started.
//
// A worker is told by INTEROP_STREAM, INTEROP_APPLICATION, INTEROP_WORKER what to do, by
// INTEROP_LIBRARY and INTEROP_SETTINGS which version of the library it has and which settings are not
// to be the defaults (see settings.go),
// and appends to the file INTEROP_EVENTS what it is given, a line at a time and before
// it checkpoints (see event.go). When all is over, the whole stream is read
// back, and what workers were given is compared with it, see check.go. What
// they log is read too: a WARN or ERROR that is not in tolerated.txt is a fault.
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/rheostream/rheo/interop/javalog"
	"github.com/rheostream/rheo/interop/metrics"
)

//go:embed tolerated.txt
var tolerated string

const limit = 9 * time.Minute // of a scenario

func main() {
	r := &run{}
	scenario := flag.String("scenario", "failover", "failover or restart")
	flag.StringVar(&r.client, "client", "", "the client's name in tolerated.txt")
	flag.StringVar(&r.processor, "processor", "", "command of the record processor, for the multi-language daemon")
	flag.StringVar(&r.victim, "victim", "follower", "which worker is killed: the leader or a follower; version 2 has no leader")
	version := flag.Int("library", 3, "version of the client library: 2 or 3")
	quick := flag.Bool("quick", false, "have the library notice a death sooner than by its defaults")
	flag.StringVar(&r.kpl, "kpl", "", "class path of the producer, to have its traffic too")
	flag.StringVar(&r.ca, "ca", os.Getenv("AWS_CA_BUNDLE"), "certificate authority that the producer is to trust")
	flag.Parse()
	r.argv = flag.Args()
	var err error
	if r.library, err = librarySettings(*version, *quick, r.processor != ""); err != nil {
		fmt.Println("workers:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := r.do(ctx, *scenario); err != nil {
		fmt.Println("MISMATCH", err)
		os.Exit(1)
	}
}

// A run is one scenario.
type run struct {
	client, processor, victim, kpl, ca string
	argv                               []string
	library                            settings

	tolerated   javalog.List
	dir         string // of logs, events and properties files
	application string // and its lease table
	stream      string
	kinesis     *kinesis.Client
	dynamodb    *dynamodb.Client
	cloudwatch  *cloudwatch.Client
	workers     []*worker // all that were started
	logs        []string  // files of others, the producer's
}

func (r *run) do(ctx context.Context, scenario string) (err error) {
	scenarios := map[string]func(context.Context) error{"failover": r.failover, "restart": r.restart}
	play := scenarios[scenario]
	if play == nil || len(r.argv) == 0 || r.client == "" {
		return fmt.Errorf("usage: workers -client name -scenario failover|restart [flags] -- command of a worker")
	}
	if r.tolerated, err = parseTolerated(); err != nil {
		return err
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	cfg.HTTPClient = plainBodies{cfg.HTTPClient}
	r.kinesis, r.dynamodb, r.cloudwatch = kinesis.NewFromConfig(cfg), dynamodb.NewFromConfig(cfg), cloudwatch.NewFromConfig(cfg)
	r.stream, r.application = "interop-"+r.client, "interop-"+r.client+"-application"
	if r.dir, err = os.MkdirTemp("", "rheo-workers-"); err != nil {
		return err
	}
	defer func() {
		for _, w := range r.workers {
			w.kill()
		}
		if err != nil {
			err = fmt.Errorf("%w\n(logs and events are kept in %s)", err, r.dir)
			return
		}
		os.RemoveAll(r.dir)
	}()
	fmt.Println("with", r.library)
	if err := play(ctx); err != nil {
		return err
	}
	processed, err := metrics.Total(ctx, r.cloudwatch, r.application, "RecordsProcessed", "Operation", "ShardId")
	if err != nil {
		return err
	}
	fmt.Printf("CloudWatch has %.0f records processed, what the dead had not yet uploaded is missing\n", processed)
	return r.checkLogs()
}

// plainBodies hides WriteTo of request bodies, for the reason that is given in golang/main.go:
// a put whose answer is cut would be repeated by the SDK, and be in the stream twice.
type plainBodies struct{ aws.HTTPClient }

func (p plainBodies) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return p.HTTPClient.Do(r)
}

// checkLogs looks for warnings and errors that nobody expects.
func (r *run) checkLogs() error {
	const shown = 20
	n := 0
	logs := r.logs
	for _, w := range r.workers {
		logs = append(logs, w.log)
	}
	for _, log := range logs {
		f, err := os.Open(log)
		if err != nil {
			return err
		}
		entries, err := javalog.Read(f)
		f.Close()
		if err != nil {
			return fmt.Errorf("cannot read %s: %w", log, err)
		}
		for _, e := range r.tolerated.Unexpected(r.client, entries) {
			if n++; n <= shown {
				fmt.Printf("%s: %.1500s\n", filepath.Base(log), e)
			}
		}
		fmt.Printf("%s has %d entries\n", filepath.Base(log), len(entries))
	}
	if n > 0 {
		return fmt.Errorf("%d warnings and errors were logged that tolerated.txt does not expect", n)
	}
	return nil
}

// await asks every 250 ms until done is true. It fails when a worker that should run does not.
func (r *run) await(ctx context.Context, what string, within time.Duration, done func() (bool, error)) (took time.Duration, err error) {
	return r.awaitAsking(ctx, 250*time.Millisecond, what, within, done)
}

// awaitAsking is await that asks more or less often.
func (r *run) awaitAsking(ctx context.Context, every time.Duration, what string, within time.Duration, done func() (bool, error)) (took time.Duration, err error) {
	start := time.Now()
	for {
		for _, w := range r.workers {
			if err := w.poll(); err != nil {
				return 0, fmt.Errorf("while waiting until %s: %w", what, err)
			}
		}
		ok, err := done()
		if err != nil {
			return 0, fmt.Errorf("while waiting until %s: %w", what, err)
		}
		if ok {
			return time.Since(start), nil
		}
		if time.Since(start) > within {
			return 0, fmt.Errorf("%s: not within %s", what, within)
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("while waiting until %s: %w", what, ctx.Err())
		case <-time.After(every):
		}
	}
}

// events are all that workers have written.
func (r *run) events() (all []event) {
	for _, w := range r.workers {
		all = append(all, w.events...)
	}
	return all
}

func parseTolerated() (javalog.List, error) {
	list, err := javalog.ParseList(tolerated)
	if err != nil {
		return nil, fmt.Errorf("tolerated.txt: %w", err)
	}
	return list, nil
}
