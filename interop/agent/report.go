package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// lingering is how long a call of a process that was killed may still be on its way in the server.
const lingering = 2 * time.Second

// An arrival is when a record came, in milliseconds of the run: the first and the last time, and how often.
type arrival struct {
	first, last int32
	times       uint8
}

// A report is what of the sources is in the streams. add may be called concurrently.
type report struct {
	sources []*source
	began   time.Time

	mu       sync.Mutex
	arrivals [][]arrival // by source and number
	taken    int         // records of the streams

	again    int           // records that came more than once
	farthest time.Duration // that one had come before the kill
}

func newReport(all []*source, began time.Time) *report {
	r := &report{sources: all, began: began}
	for _, s := range all {
		r.arrivals = append(r.arrivals, make([]arrival, s.written))
	}
	return r
}

// find says which record of which source this is.
func find(all []*source, data []byte) (source, n int, ok bool) {
	for i, s := range all {
		if rest, is := bytes.CutPrefix(data, []byte(s.prefix)); is && len(rest) >= digits {
			n, err := strconv.Atoi(string(rest[:digits]))
			return i, n, err == nil
		}
	}
	return 0, 0, false
}

// add takes records of a stream; one that nobody wrote is an error.
func (r *report) add(stream string, records []types.Record) error {
	var want []byte
	for _, record := range records {
		i, n, ok := find(r.sources, record.Data)
		if !ok || n >= len(r.arrivals[i]) {
			return fmt.Errorf("a record that was not written: %.100q", record.Data)
		}
		s := r.sources[i]
		if want = s.want(want[:0], n); !bytes.Equal(record.Data, want) || s.stream != stream {
			return fmt.Errorf("record %d of %s is in %s as\n%.1000q, not\n%.1000q", n, s.name, stream, record.Data, want)
		}
		at := int32(record.ApproximateArrivalTimestamp.Sub(r.began).Milliseconds())
		r.mu.Lock()
		r.arrivals[i][n].came(at)
		r.taken++
		r.mu.Unlock()
	}
	return nil
}

func (a *arrival) came(at int32) {
	if a.times == 0 {
		a.first, a.last = at, at
	}
	a.first, a.last = min(a.first, at), max(a.last, at)
	a.times += min(1, 255-a.times)
}

// check is whether each record came, and each one that came more than once did so on either side
// of as many kills.
func (r *report) check(kills []time.Time) error {
	at := make([]int32, len(kills))
	for i, k := range kills {
		at[i] = int32(k.Sub(r.began).Milliseconds())
	}
	var errs []error
	for i, s := range r.sources {
		missing, firstMissing, unexplained, example := 0, 0, 0, 0
		for n, a := range r.arrivals[i] {
			switch {
			case a.times == 0:
				if missing++; missing == 1 {
					firstMissing = n
				}
			case a.times > 1:
				r.again++
				between := 0
				for _, k := range at {
					if a.first <= k+int32(lingering.Milliseconds()) && k <= a.last {
						if between++; between == 1 {
							r.farthest = max(r.farthest, time.Duration(k-a.first)*time.Millisecond)
						}
					}
				}
				if between < int(a.times)-1 {
					if unexplained++; unexplained == 1 {
						example = n
					}
				}
			}
		}
		if missing > 0 {
			errs = append(errs, fmt.Errorf("%s: of %d records %d are missing, the first is %d", s.name, s.written, missing, firstMissing))
		}
		if unexplained > 0 {
			a := r.arrivals[i][example]
			errs = append(errs, fmt.Errorf("%s: %d records came again without a kill between, the first is %d: %d times, from %d to %d ms", s.name, unexplained, example, a.times, a.first, a.last))
		}
	}
	return errors.Join(errs...)
}

func (r *report) String() string {
	return fmt.Sprintf("all are in the streams; %d of them again, by kills up to %.1f s after they had come first", r.again, r.farthest.Seconds())
}

// readAll reads a stream from its beginning to its end.
func readAll(ctx context.Context, client *kinesis.Client, stream string, r *report) error {
	out, err := client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &stream})
	if err != nil {
		return err
	}
	errs := make([]error, len(out.Shards))
	turn := make(chan struct{}, 8)
	var readers sync.WaitGroup
	for i, shard := range out.Shards {
		turn <- struct{}{}
		readers.Go(func() {
			defer func() { <-turn }()
			errs[i] = readShard(ctx, client, stream, *shard.ShardId, func(out *kinesis.GetRecordsOutput) (bool, error) {
				return len(out.Records) > 0 || aws.ToInt64(out.MillisBehindLatest) > 0, r.add(stream, out.Records)
			})
		})
	}
	readers.Wait()
	for _, err := range errs {
		if err != nil {
			return err // one mismatch shows enough
		}
	}
	return nil
}

// readShard gives what a shard has to take, call by call, for as long as that wants more.
func readShard(ctx context.Context, client *kinesis.Client, stream, shard string, take func(*kinesis.GetRecordsOutput) (more bool, err error)) error {
	start, err := client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: &stream, ShardId: &shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	if err != nil {
		return err
	}
	for iterator := start.ShardIterator; iterator != nil; {
		out, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator})
		if err != nil {
			return err
		}
		if more, err := take(out); err != nil || !more {
			return err
		}
		iterator = out.NextShardIterator
	}
	return nil
}
