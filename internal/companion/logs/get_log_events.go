package logs

import (
	"context"
	"strconv"

	api "github.com/rheostream/rheo/internal/api/logs"
)

// GetLogEvents reads the events of a stream in the order of their times: the latest
// page, or with StartFromHead the earliest. Tokens lead on in both directions; the
// one that finds nothing comes back as it is. With a token, StartFromHead says nothing.
func (s *Service) GetLogEvents(ctx context.Context, in *api.GetLogEventsInput) (*api.GetLogEventsOutput, error) {
	g, err := s.named(ctx, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	sm, ok := g.streams.Get(*in.LogStreamName)
	if !ok {
		return nil, noStream
	}
	w := &search{log: s.logs.get(g.doc.ID), some: []uint64{sm.number}, limit: pageMax,
		streams: func(number uint64) (string, bool) { return "", number == sm.number }}
	if w.log == nil {
		return nil, noGroup
	}
	w.from, w.to = s.times(&g.doc, in.StartTime, in.EndTime)
	if in.Limit != nil {
		w.limit = int(*in.Limit)
	}
	what := "get/" + g.doc.ID + "/" + strconv.FormatUint(sm.number, 10)
	c := cursor{backward: in.StartFromHead == nil || !*in.StartFromHead, lo: 1, hi: w.log.shard.Info().Next}
	if in.NextToken != nil {
		if c, ok = parseCursor(*in.NextToken, what); !ok {
			return nil, badToken
		}
	}
	if err := s.reserve(ctx); err != nil {
		return nil, err
	}
	events, next, start, more, err := s.read(ctx, w, c)
	if err != nil {
		return nil, logged(err)
	}
	out := &api.GetLogEventsOutput{Events: make([]api.OutputLogEvent, len(events))}
	for i := range events {
		e := &events[i]
		out.Events[i] = api.OutputLogEvent{Timestamp: &e.at, Message: &e.message, IngestionTime: &e.arrival}
	}
	ahead, behind := next.encode(what), start.encode(what)
	if len(events) == 0 {
		behind = start.turned().encode(what)
		if !more && in.NextToken != nil {
			ahead = *in.NextToken
		}
	}
	if out.NextForwardToken, out.NextBackwardToken = &ahead, &behind; c.backward {
		out.NextForwardToken, out.NextBackwardToken = &behind, &ahead
	}
	return out, nil
}
