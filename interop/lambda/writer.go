package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const (
	keys       = 16
	writeEvery = 250 * time.Millisecond
)

// A writer puts records of all keys again and again. While the server is away it goes on
// trying: what was not answered may be in the stream or not.
type writer struct {
	host  *host
	end   context.CancelFunc
	done  chan struct{}
	mu    sync.Mutex
	acked map[string]string // data of sequence numbers
}

func (h *host) write(ctx context.Context) *writer {
	ctx, end := context.WithCancel(ctx)
	w := &writer{host: h, end: end, done: make(chan struct{}), acked: map[string]string{}}
	go func() {
		defer close(w.done)
		for n := 0; ctx.Err() == nil; n++ {
			w.round(ctx, n)
			select {
			case <-ctx.Done():
			case <-time.After(writeEvery):
			}
		}
	}()
	return w
}

// round puts three records of each key; now and then one of them is "late".
func (w *writer) round(ctx context.Context, n int) {
	in := &kinesis.PutRecordsInput{StreamName: aws.String(stream)}
	for i := range 3 * keys {
		word := "good"
		if (3*keys*n+i)%97 == 0 {
			word = "late"
		}
		in.Records = append(in.Records, types.PutRecordsRequestEntry{PartitionKey: aws.String(fmt.Sprint("key-", i%keys)),
			Data: fmt.Appendf(nil, "%s %d %d", word, 3*n+i/keys, time.Now().UnixMilli())})
	}
	out, err := w.host.kinesis.PutRecords(ctx, in)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, r := range out.Records {
		if r.SequenceNumber != nil {
			w.acked[*r.SequenceNumber] = string(in.Records[i].Data)
		}
	}
}

// putAt is when the writer made a record.
func putAt(data string) time.Time {
	ms, err := strconv.ParseInt(data[strings.LastIndexByte(data, ' ')+1:], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// poison puts the one record that no function can handle.
func (w *writer) poison(ctx context.Context) error {
	out, err := w.host.kinesis.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: aws.String(stream), PartitionKey: aws.String("key-3"), Data: []byte(poison)})
	if err != nil {
		return err
	}
	if out.SequenceNumber == nil {
		return errors.New("PutRecord gave no sequence number")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked[*out.SequenceNumber] = poison
	return nil
}

// stop ends the writer; it says what was answered.
func (w *writer) stop() map[string]string {
	w.end()
	<-w.done
	return w.acked
}
