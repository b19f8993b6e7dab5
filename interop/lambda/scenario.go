package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/rheostream/rheo/interop/contents"
	"github.com/rheostream/rheo/interop/daemon"
)

const (
	stream   = "orders"
	bucket   = "failures"
	batchMax = 50
	retries  = 2
)

// run is the scenario, from top to bottom.
func run(ctx context.Context, c config) (err error) {
	dir, err := os.MkdirTemp("", "interop-lambda-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	h := &host{config: c, dir: dir}
	if err := h.start(ctx); err != nil {
		return err
	}
	defer func() {
		if h.d != nil {
			h.d.Kill()
		}
		if err != nil {
			err = fmt.Errorf("%w\n--- the server said\n%s", err, h.log.String())
		}
	}()
	if err := h.createStream(ctx, stream, 2); err != nil {
		return err
	}
	functions, err := h.createFunctions(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	step := func(format string, args ...any) {
		fmt.Printf("%5.1f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	step("three mappings are enabled")
	w := h.write(ctx)
	defer w.stop()
	if err := h.upToDate(ctx, functions, 100); err != nil {
		return err
	}
	step("all functions consume")
	if err := w.poison(ctx); err != nil {
		return err
	}
	if err := h.await(ctx, "the poison is isolated", func() (bool, error) {
		for _, f := range functions {
			if n, err := h.failures(ctx, f); n == 0 || err != nil {
				return false, err
			}
		}
		return true, nil
	}); err != nil {
		return err
	}
	step("the poison is isolated")
	if err := h.reshard(ctx, h.split); err != nil {
		return err
	}
	if err := h.underWay(ctx, functions[1]); err != nil {
		return err
	}
	if err := h.restart(ctx, h.d.Stop); err != nil {
		return err
	}
	step("a shard is split, the server ended and started")
	if err := h.upToDate(ctx, functions, 1); err != nil {
		return err
	}
	step("all functions are up to date")
	if err := h.reshard(ctx, h.merge); err != nil {
		return err
	}
	if err := h.underWay(ctx, functions[2]); err != nil {
		return err
	}
	if err := h.restart(ctx, func() error { h.d.Kill(); return nil }); err != nil {
		return err
	}
	step("two shards are merged, the server killed and started")
	if err := h.upToDate(ctx, functions, 1); err != nil {
		return err
	}
	step("all functions are up to date")
	acked := w.stop()
	shards, err := contents.Read(ctx, h.kinesis, stream)
	if err != nil {
		return err
	}
	if err := checkAcked(shards, acked); err != nil {
		return err
	}
	return h.verdict(ctx, functions, shards, step)
}

// verdict waits until functions have nothing left to do, and checks what they did.
func (h *host) verdict(ctx context.Context, functions []*function, shards []contents.Shard, step func(string, ...any)) error {
	var faults []string
	for _, f := range functions {
		var r *report
		err := h.await(ctx, f.name+" has handled everything", func() (bool, error) {
			if err := h.read(ctx, f); err != nil {
				return false, err
			}
			// Of the first lane of a factor, and of the batch whose checkpoint was on its way.
			r = check(shards, f.told, h.outages, 2*batchMax*len(shards)*f.factor)
			return len(r.faults) == 0, nil
		})
		if err != nil {
			faults = append(faults, fmt.Sprintf("%v: %s", err, strings.Join(r.faults, "\n\t")))
			continue
		}
		step("%s: %d invocations, %d records handled, again after the end and the kill: %v", f.name, r.invocations, r.handled, r.again)
		if err := h.await(ctx, "the last result of "+f.name+" is OK", func() (bool, error) { return h.contented(ctx, f) }); err != nil {
			faults = append(faults, err.Error())
		}
		if n, err := h.failures(ctx, f); err != nil || n != 1 {
			faults = append(faults, fmt.Sprintf("%s has %d failure objects, want 1: %v", f.name, n, err))
		}
		var lines, lost int
		var missing error
		if err := h.await(ctx, "the log of "+f.name+" is whole", func() (bool, error) {
			lines, lost, missing, err = h.logged(ctx, f)
			return missing == nil, err
		}); err != nil {
			faults = append(faults, fmt.Sprintf("%v: %v", err, missing))
		}
		step("%s: last result OK, the poison alone in one object, %d lines in its log; %d at the kill are not", f.name, lines, lost)
	}
	if faults != nil {
		return errors.New(strings.Join(faults, "\n"))
	}
	d := h.d
	h.d = nil
	return d.Stop()
}

// checkAcked demands that what was answered is in the stream.
func checkAcked(shards []contents.Shard, acked map[string]string) error {
	there := map[string]string{}
	for _, s := range shards {
		for _, r := range s.Records {
			there[r.Sequence] = r.Data
		}
	}
	for seq, data := range acked {
		if there[seq] != data {
			return fmt.Errorf("%s was answered as %q and is %q in the stream", seq, data, there[seq])
		}
	}
	fmt.Printf("%d records in %d shards, %d of them answered\n", len(there), len(shards), len(acked))
	return nil
}

// await asks until it holds.
func (h *host) await(ctx context.Context, what string, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		ok, err := holds()
		if ok && err == nil {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within a minute: %s", what)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// upToDate waits until each function has handled so many records that were put after
// now, the last of them within three seconds of its arrival: the iterator's age is no
// more than that.
func (h *host) upToDate(ctx context.Context, functions []*function, records int) error {
	since := time.Now()
	for _, f := range functions {
		err := h.await(ctx, f.name+" is up to date", func() (bool, error) {
			if err := h.read(ctx, f); err != nil {
				return false, err
			}
			n, age := 0, time.Duration(0)
			for _, inv := range f.told {
				for _, r := range inv.Handled {
					if put := putAt(r.Data); put.After(since) {
						n, age = n+1, inv.at.Sub(put)
					}
				}
			}
			return n >= records && age < 3*time.Second, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// underWay waits until the function has just told of an invocation, which it has not
// answered yet.
func (h *host) underWay(ctx context.Context, f *function) error {
	start, err := h.kinesis.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: aws.String(seen(f)), ShardId: aws.String(seenShard),
		ShardIteratorType: types.ShardIteratorTypeLatest})
	if err != nil {
		return err
	}
	iterator := start.ShardIterator
	return h.await(ctx, f.name+" is invoked", func() (bool, error) {
		out, err := h.kinesis.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator})
		if err != nil {
			return false, err
		}
		iterator = out.NextShardIterator
		n := len(out.Records)
		return n > 0 && time.Since(*out.Records[n-1].ApproximateArrivalTimestamp) < 75*time.Millisecond, nil
	})
}

// A host starts servers on one directory and one port, one after the other.
type host struct {
	config
	dir     string
	d       *daemon.Daemon
	port    int
	log     bytes.Buffer
	outages []outage
	clients
}

func (h *host) start(ctx context.Context) error {
	d, err := daemon.Start(ctx, daemon.Config{Binary: h.rheo, Dir: filepath.Join(h.dir, "data"), Port: h.port, Log: &h.log,
		Args: []string{"--lambda", "local"}})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, h.log.String())
	}
	h.d, h.port = d, d.Port
	if h.kinesis == nil {
		h.clients = newClients(d.URL())
	}
	return nil
}

// restart ends the server in the way given, and starts it.
func (h *host) restart(ctx context.Context, end func() error) error {
	from := time.Now()
	if err := end(); err != nil {
		return err
	}
	h.d = nil
	if err := h.start(ctx); err != nil {
		return err
	}
	h.outages = append(h.outages, outage{from, time.Now()})
	return nil
}

func (h *host) createStream(ctx context.Context, name string, shards int32) error {
	if _, err := h.kinesis.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &name, ShardCount: &shards}); err != nil {
		return err
	}
	return kinesis.NewStreamExistsWaiter(h.kinesis, func(o *kinesis.StreamExistsWaiterOptions) { o.MinDelay = 100 * time.Millisecond }).
		Wait(ctx, &kinesis.DescribeStreamInput{StreamName: &name}, time.Minute)
}

// reshard begins what is given and waits until the stream is active again.
func (h *host) reshard(ctx context.Context, begin func(ctx context.Context, open []types.Shard) error) error {
	all, err := contents.List(ctx, h.kinesis, stream)
	if err != nil {
		return err
	}
	var open []types.Shard
	for _, s := range all {
		if contents.Open(s) {
			open = append(open, s)
		}
	}
	if err := begin(ctx, open); err != nil {
		return err
	}
	return h.await(ctx, "the stream is active", func() (bool, error) {
		out, err := h.kinesis.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(stream)})
		return err == nil && out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive, err
	})
}

// split halves the first shard.
func (h *host) split(ctx context.Context, open []types.Shard) error {
	first, last, err := contents.Range(open[0])
	if err != nil {
		return err
	}
	middle := first.Add(first, last)
	middle.Rsh(middle, 1)
	_, err = h.kinesis.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: aws.String(stream), ShardToSplit: open[0].ShardId, NewStartingHashKey: aws.String(middle.String())})
	return err
}

// merge merges the shard that was not split with the child beside it: their histories
// differ.
func (h *host) merge(ctx context.Context, open []types.Shard) error {
	upper := open[0] // ids are in order: the children are behind it
	first, _, err := contents.Range(upper)
	if err != nil {
		return err
	}
	for _, s := range open[1:] {
		_, last, err := contents.Range(s)
		if err != nil {
			return err
		}
		if last.Sub(first, last).IsInt64() && last.Int64() == 1 {
			_, err := h.kinesis.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: aws.String(stream), ShardToMerge: s.ShardId, AdjacentShardToMerge: upper.ShardId})
			return err
		}
	}
	return errors.New("no shard is beside " + *upper.ShardId)
}
