package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/spf13/cobra"
)

const (
	putRecordsMax = 500     // records of one PutRecords
	putBytesMax   = 5 << 20 // data and keys of one PutRecords; a larger record goes alone
	recordMax     = 10 << 20
	lingerMax     = 100 * time.Millisecond // how long a record waits for others from a slow input
)

func newPut() *cobra.Command {
	c := &cobra.Command{
		Use:   "put STREAM",
		Short: "Put records into a stream, a line each",
		Long: "Put records into a stream: each line of standard input, or of a file, is a record. Blank lines\n" +
			"are passed over. Records go in batches, one batch after the other; what a shard refuses because\n" +
			"it is too busy is sent again, later each time, and so is what a server that is away or in\n" +
			"trouble did not take, until nothing was taken for --retry-for. A record that is sent again can\n" +
			"come behind records of the same key that were read after it; --batch 1 keeps the input's order\n" +
			"strictly.\n\n" +
			"When put fails or is interrupted, it says up to which line all is written.",
		Example: "  seq 1000 | rheo put orders\n" +
			"  rheo put orders --file orders.ndjson --key-path customer.id\n" +
			"  rheo put images --file cat.jpg --whole --key cat",
		Args: cobra.ExactArgs(1),
	}
	conn := new(connection)
	conn.flags(c)
	c.ValidArgsFunction = conn.completeStream
	f := c.Flags()
	file := f.StringP("file", "f", "-", "`file` to read; - is standard input")
	key := f.StringP("key", "k", "", "partition `key` of all records (default: a random one each, which spreads them evenly)")
	keyPath := f.String("key-path", "", "take the partition key from each line's JSON: a `path` like customer.id or $.items[0].sku")
	ndjson := f.Bool("ndjson", false, "refuse lines that are not JSON (--key-path implies it)")
	whole := f.Bool("whole", false, "the whole input is one record")
	batch := f.Int("batch", putRecordsMax, "records a call, 1 to 500")
	retryFor := f.Duration("retry-for", time.Minute, "give up when no record was taken for this long")
	quiet := f.BoolP("quiet", "q", false, "print no progress and no summary")
	asJSON := f.Bool("json", false, "print the summary as JSON on standard output")
	c.MarkFlagsMutuallyExclusive("key", "key-path")
	c.MarkFlagsMutuallyExclusive("whole", "ndjson")
	c.MarkFlagsMutuallyExclusive("whole", "key-path")
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx := c.Context()
		if *batch < 1 || *batch > putRecordsMax {
			return usagef("--batch %d is not 1 to %d", *batch, putRecordsMax)
		}
		if *retryFor < 0 {
			return usagef("--retry-for %v is less than 0", *retryFor)
		}
		read := lineReader{key: *key, json: *ndjson || *keyPath != "", whole: *whole}
		if *keyPath != "" {
			path, err := parsePath(*keyPath)
			if err != nil {
				return usageError{err}
			}
			read.path = path
		}
		in, closeInput, err := openInput(c, *file)
		if err != nil {
			return err
		}
		defer closeInput()
		k, err := conn.connect(ctx)
		if err != nil {
			return err
		}
		p := &putter{client: k, batchMax: *batch, retryFor: *retryFor, began: time.Now(), progress: newProgress(c.ErrOrStderr(), *quiet), notices: io.Discard}
		if !*quiet {
			p.notices = c.ErrOrStderr()
		}
		p.name, p.arn = streamRef(args[0])
		err = p.run(ctx, &read, in)
		p.progress.clear()
		if *asJSON {
			if e := printJSON(c.OutOrStdout(), p.summary()); err == nil {
				err = e
			}
		} else if !*quiet {
			fmt.Fprintf(c.ErrOrStderr(), "%s records written (%s) in %v\n", thousands(p.Records), megabytes(float64(p.Bytes)), time.Since(p.began).Round(time.Millisecond))
		}
		if err != nil && !read.whole {
			fmt.Fprintf(c.ErrOrStderr(), "All lines up to %d are written.\n", p.Line)
		}
		return err
	}
	return c
}

func openInput(c *cobra.Command, file string) (io.Reader, func(), error) {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, nil, err
		}
		return f, func() { f.Close() }, nil
	}
	in := c.InOrStdin()
	if isTerminal(in) {
		fmt.Fprintln(c.ErrOrStderr(), "Reading records from the terminal, one a line; end with Ctrl-D.")
	}
	return in, func() {}, nil
}

// A putter writes lines to a stream, batch after batch.
type putter struct {
	client    *client
	name, arn *string
	batchMax  int
	retryFor  time.Duration
	progress  *progress
	notices   io.Writer
	began     time.Time

	putSummary
}

type putSummary struct {
	Records int64   `json:"records"` // written
	Bytes   int64   `json:"bytes"`   // of their data
	Retried int64   `json:"retried"` // refusals of single records, each sent again
	Line    int64   `json:"line"`    // all lines up to this one are written
	Seconds float64 `json:"seconds"`
}

func (p *putter) summary() putSummary {
	s := p.putSummary
	s.Seconds = time.Since(p.began).Seconds()
	return s
}

// run reads in its own goroutine, so that a slow input does not hold back what
// was read: a batch goes when it is full or has waited lingerMax.
func (p *putter) run(ctx context.Context, read *lineReader, in io.Reader) error {
	lines := make(chan line)
	done := make(chan struct{})
	defer close(done)
	go read.run(in, lines, done)
	var batch []line
	bytes := 0
	flush := func() error {
		err := p.put(ctx, batch)
		batch, bytes = batch[:0], 0
		return err
	}
	linger := time.NewTimer(0)
	linger.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-linger.C:
			if err := flush(); err != nil {
				return err
			}
		case l, ok := <-lines:
			if !ok {
				return flush()
			}
			if l.err != nil {
				if err := flush(); err != nil {
					return err
				}
				return l.err
			}
			n := len(l.data) + len(l.key)
			if len(batch) > 0 && bytes+n > putBytesMax {
				if err := flush(); err != nil {
					return err
				}
			}
			if len(batch) == 0 {
				linger.Reset(lingerMax)
			}
			batch, bytes = append(batch, l), bytes+n
			if len(batch) == p.batchMax {
				linger.Stop()
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
}

// put writes a batch whole: what is refused is sent again until it is taken.
func (p *putter) put(ctx context.Context, batch []line) error {
	if len(batch) == 0 {
		return nil
	}
	left := make([]types.PutRecordsRequestEntry, len(batch))
	for i, l := range batch {
		left[i] = types.PutRecordsRequestEntry{Data: l.data, PartitionKey: aws.String(l.key)}
	}
	at := make([]int, len(batch)) // the line in batch of each entry left
	for i := range at {
		at[i] = i
	}
	taken, away := time.Now(), false
	for attempt := 0; ; attempt++ {
		out, err := p.client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: p.name, StreamARN: p.arn, Records: left})
		if err != nil {
			p.Line = batch[at[0]].number - 1
			if ctx.Err() != nil || !mayPass(err) || time.Since(taken) >= p.retryFor {
				return err
			}
			if !away {
				away = true
				p.progress.clear()
				fmt.Fprintf(p.notices, "rheo: %v; it is tried again for %v.\n", rootCause(err), p.retryFor)
			}
			if err := sleep(ctx, backoff(attempt)); err != nil {
				return err
			}
			continue
		}
		away = false
		if len(out.Records) != len(left) {
			p.Line = batch[at[0]].number - 1
			return fmt.Errorf("PutRecords answered for %d of %d records", len(out.Records), len(left))
		}
		n := 0
		var refused types.PutRecordsResultEntry
		for i, r := range out.Records {
			if r.ErrorCode == nil {
				p.Records++
				p.Bytes += int64(len(left[i].Data))
				continue
			}
			refused = r
			left[n], at[n] = left[i], at[i]
			n++
		}
		if n < len(left) {
			taken, attempt = time.Now(), 0
		}
		left, at = left[:n], at[:n]
		p.Retried += int64(n)
		p.show()
		if n == 0 {
			p.Line = batch[len(batch)-1].number
			return nil
		}
		p.Line = batch[at[0]].number - 1
		if time.Since(taken) > p.retryFor {
			return hintError{
				fmt.Errorf("line %d was refused for %v: %s: %s", batch[at[0]].number, p.retryFor, aws.ToString(refused.ErrorCode), aws.ToString(refused.ErrorMessage)),
				"A shard takes 1 MB and 1,000 records a second. `rheo streams reshard` makes more shards, different keys spread over them, --retry-for waits longer."}
		}
		if err := sleep(ctx, backoff(attempt)); err != nil {
			return err
		}
	}
}

func (p *putter) show() {
	s := max(time.Since(p.began).Seconds(), 0.001)
	text := fmt.Sprintf("%s records  %s  %s/s", thousands(p.Records), megabytes(float64(p.Bytes)), thousands(int64(float64(p.Records)/s)))
	if p.Retried > 0 {
		text += fmt.Sprintf("  %s sent again", thousands(p.Retried))
	}
	p.progress.set("%s", text)
}

// mayPass says whether a call that failed may succeed later as it is: the server
// is away, restarting or overloaded.
func mayPass(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err) == aws.TrueTernary
}

// backoff is how long to wait before attempt+1: twice as long each time up to
// 3 s, by chance up to half of it less, so that many clients do not come back at once.
func backoff(attempt int) time.Duration {
	d := min(100*time.Millisecond<<min(attempt, 10), 3*time.Second)
	return d - rand.N(d/2)
}
