package logs

import (
	"context"
	"errors"
	"fmt"
	"time"

	api "github.com/rheostream/rheo/internal/api/logs"
	"github.com/rheostream/rheo/internal/shardlog"
)

const (
	batchBytesMax = 1 << 20 // of a batch's events, each with its overhead
	eventBytesMax = 1 << 20 // of an event with its overhead
	batchSpanMax  = 24 * time.Hour
	agoMax        = 14 * 24 * time.Hour
	aheadMax      = 2 * time.Hour
)

// PutLogEvents puts a batch of events into a stream; they are on the disk, and can be
// read, when it answers. Events that are too old, too new or expired are left out
// and told of. A sequence token says nothing any more, nor does an entity.
func (s *Service) PutLogEvents(ctx context.Context, in *api.PutLogEventsInput) (*api.PutLogEventsOutput, error) {
	events, err := readBatch(in.LogEvents)
	if err != nil {
		return nil, err
	}
	g, err := s.group(callersKey(ctx, *in.LogGroupName))
	if err != nil {
		return nil, err
	}
	sm, ok := g.streams.Get(*in.LogStreamName)
	if !ok {
		return nil, noStream
	}
	out := &api.PutLogEventsOutput{}
	events, out.RejectedLogEventsInfo = s.accept(&g.doc, events)
	offset := shardlog.Offset(0)
	if len(events) > 0 {
		if offset, err = s.put(ctx, g.doc.ID, sm.number, events); err != nil {
			return nil, err
		}
	}
	out.NextSequenceToken = new(sequenceToken(uint64(offset)))
	return out, nil
}

// readBatch checks the limits of a batch.
func readBatch(in []api.InputLogEvent) ([]event, error) {
	events := make([]event, len(in))
	total := 0
	for i := range in {
		e := event{*in[i].Timestamp, *in[i].Message}
		size := len(e.message) + eventOverhead
		if size > eventBytesMax {
			return nil, invalid("Log event too large: %d bytes exceeds limit of %d", size, eventBytesMax)
		}
		if i > 0 && e.at < events[i-1].at {
			return nil, invalid("Log events in a single PutLogEvents request must be in chronological order.")
		}
		events[i], total = e, total+size
	}
	switch {
	case total > batchBytesMax:
		return nil, invalid("Upload too large: %d bytes exceeds limit of %d", total, batchBytesMax)
	case len(events) > 0 && events[len(events)-1].at-events[0].at > batchSpanMax.Milliseconds():
		return nil, invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
	}
	return events, nil
}

// accept leaves out the events that are too old, too new or expired: they are in
// the order of their times. It tells where they end and begin.
func (s *Service) accept(d *groupDoc, events []event) ([]event, *api.RejectedLogEventsInfo) {
	now := s.now().UnixMilli()
	old, expired, ahead := now-agoMax.Milliseconds(), s.expired(d), now+aheadMax.Milliseconds()
	tooOld, gone, upTo := 0, 0, len(events)
	for upTo > 0 && events[upTo-1].at > ahead {
		upTo--
	}
	for tooOld < upTo && events[tooOld].at < old {
		tooOld++
	}
	for gone < upTo && events[gone].at < max(expired, old) {
		gone++
	}
	if gone == 0 && upTo == len(events) {
		return events, nil
	}
	info := &api.RejectedLogEventsInfo{}
	if tooOld > 0 {
		info.TooOldLogEventEndIndex = new(int32(tooOld))
	}
	if gone > tooOld {
		info.ExpiredLogEventEndIndex = new(int32(gone))
	}
	if upTo < len(events) {
		info.TooNewLogEventStartIndex = new(int32(upTo))
	}
	return events[gone:upTo], info
}

// put appends events to a group's log: all or none of them, durable on return.
func (s *Service) put(ctx context.Context, groupID string, stream uint64, events []event) (shardlog.Offset, error) {
	gl := s.logs.get(groupID)
	if gl == nil {
		return 0, noGroup
	}
	data, err := encodeRecord(stream, events, s.sealer)
	if err != nil {
		return 0, err
	}
	puts := []shardlog.Put{{Shard: gl.shard, Records: []shardlog.Record{{Data: data}}}}
	s.logs.log.Append(ctx, puts)
	if err := puts[0].Err; err != nil {
		if e := logged(err); !errors.Is(e, err) {
			return 0, e
		}
		return 0, fmt.Errorf("cannot log events: %w", err)
	}
	gl.behind.Add(int64(len(data)))
	return puts[0].Records[0].Offset, nil
}
