package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/rheostream/rheo/interop/contents"
)

// restart has a lone worker consume, checkpoint and stop; a second go on where it
// stopped, without a record twice; then kills that one in the middle, and a third goes on at
// its last checkpoint.
func (r *run) restart(ctx context.Context) error {
	if err := r.createStream(ctx, 2); err != nil {
		return err
	}
	const keys, each = 6, 60
	acked := map[string]int{}
	put := func() error {
		for k := range keys {
			key := fmt.Sprintf("%s-%d", sdkPrefix, k)
			in := &kinesis.PutRecordsInput{StreamName: &r.stream}
			for range each {
				in.Records = append(in.Records, types.PutRecordsRequestEntry{PartitionKey: &key, Data: []byte(data(key, acked[key]))})
				acked[key]++
			}
			out, err := r.kinesis.PutRecords(ctx, in)
			if err != nil {
				return err
			}
			if *out.FailedRecordCount > 0 {
				return fmt.Errorf("%d of %d records of %s were refused", *out.FailedRecordCount, each, key)
			}
		}
		return nil
	}
	var shards []contents.Shard
	delivered := func(within time.Duration) error {
		var err error
		if shards, err = contents.Read(ctx, r.kinesis, r.stream); err != nil {
			return err
		}
		took, err := r.await(ctx, "all records are delivered and checkpointed", within, func() (bool, error) {
			if missing(shards, r.events()) {
				return false, nil
			}
			return r.checkpointed(ctx, shards)
		})
		if err != nil {
			return fmt.Errorf("%w\n%s", err, r.progress(ctx))
		}
		fmt.Printf("all delivered and checkpointed after %.1f s\n", took.Seconds())
		return nil
	}

	if err := put(); err != nil {
		return err
	}
	first, err := r.start("first")
	if err != nil {
		return err
	}
	if err := delivered(3 * time.Minute); err != nil {
		return err
	}
	if err := first.stop(ctx); err != nil {
		return err
	}
	if err := put(); err != nil {
		return err
	}
	second, err := r.start("second")
	if err != nil {
		return err
	}
	if err := delivered(2 * time.Minute); err != nil {
		return err
	}
	if found := check(shards, r.events()); found.repeated > 0 {
		return fmt.Errorf("after a clean stop at a checkpoint %d records were delivered again", found.repeated)
	}

	// The third batch is under way when the second worker dies.
	before := len(second.events)
	if err := put(); err != nil {
		return err
	}
	if _, err := r.awaitAsking(ctx, time.Millisecond, "the second worker is given more", time.Minute, func() (bool, error) { return len(second.events) > before, nil }); err != nil {
		return err
	}
	second.kill()
	if err := second.poll(); err != nil {
		return err
	}
	if err := put(); err != nil { // so that there is something to go on with, wherever the second worker was
		return err
	}
	third, err := r.start("third")
	if err != nil {
		return err
	}
	// The dead worker was the leader, being the only one; the other has to start, too.
	if err := delivered(r.library.moved(true) + time.Minute); err != nil {
		return err
	}
	if err := third.stop(ctx); err != nil {
		return err
	}
	if _, err := checkPut(shards, acked); err != nil {
		return err
	}
	found := check(shards, r.events())
	fmt.Println(found)
	return found.error()
}

// checkpointed says whether every lease is at the last record of its shard.
func (r *run) checkpointed(ctx context.Context, shards []contents.Shard) (bool, error) {
	leases, _, err := r.leases(ctx)
	if err != nil {
		return false, err
	}
	at := map[string]string{}
	for _, l := range leases {
		at[l.shard] = l.checkpoint
	}
	for _, s := range shards {
		if n := len(s.Records); n > 0 && at[s.ID] != s.Records[n-1].Sequence {
			return false, nil
		}
	}
	return true, nil
}
