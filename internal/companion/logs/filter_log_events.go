package logs

import (
	"context"
	"strings"

	api "github.com/rheostream/rheo/internal/api/logs"
	"github.com/rheostream/rheo/internal/companion/logs/pattern"
)

// someMax is up to how many streams a search looks for one by one.
const someMax = 100

// FilterLogEvents reads the events of a group, or of some of its streams, that match
// a pattern, interleaved in the order of their times. It reads what was there at
// its first page; a page may be empty, and there is no token behind the last one.
func (s *Service) FilterLogEvents(ctx context.Context, in *api.FilterLogEventsInput) (*api.FilterLogEventsOutput, error) {
	if in.LogStreamNames != nil && in.LogStreamNamePrefix != nil {
		return nil, invalid("logStreamNames and logStreamNamePrefix are mutually exclusive parameters.")
	}
	g, err := s.named(ctx, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	w := &search{log: s.logs.get(g.doc.ID), streams: g.names.Get, limit: pageMax}
	if w.log == nil {
		return nil, noGroup
	}
	if in.FilterPattern != nil && *in.FilterPattern != "" {
		if w.match, err = pattern.Parse(*in.FilterPattern); err != nil {
			return nil, badPattern(err)
		}
	}
	if err := w.limitStreams(g, in.LogStreamNames, in.LogStreamNamePrefix); err != nil {
		return nil, err
	}
	w.from, w.to = s.times(&g.doc, in.StartTime, in.EndTime)
	if in.Limit != nil {
		w.limit = int(*in.Limit)
	}
	what := "filter/" + g.doc.ID
	c := cursor{backward: in.StartFromHead != nil && !*in.StartFromHead, lo: 1, end: w.log.shard.Info().Next}
	c.hi = c.end
	if in.NextToken != nil {
		var ok bool
		if c, ok = parseCursor(*in.NextToken, what); !ok || c.end == 0 {
			return nil, badToken
		}
	}
	if err := s.reserve(ctx); err != nil {
		return nil, err
	}
	events, next, _, more, err := s.read(ctx, w, c)
	if err != nil {
		return nil, logged(err)
	}
	out := &api.FilterLogEventsOutput{Events: make([]api.FilteredLogEvent, len(events)), SearchedLogStreams: []api.SearchedLogStream{}}
	for i := range events {
		e := &events[i]
		out.Events[i] = api.FilteredLogEvent{LogStreamName: &e.stream, Timestamp: &e.at, Message: &e.message,
			IngestionTime: &e.arrival, EventId: new(eventID(e.position))}
	}
	if more {
		out.NextToken = new(next.encode(what))
	}
	return out, nil
}

// limitStreams limits a search to streams that are named, or whose names have a prefix.
func (w *search) limitStreams(g *group, names []string, prefix *string) error {
	var wanted map[uint64]bool
	switch {
	case names != nil:
		wanted = make(map[uint64]bool, len(names))
		for _, name := range names {
			sm, ok := g.streams.Get(name)
			if !ok {
				return noStream
			}
			wanted[sm.number] = true
		}
	case prefix != nil:
		wanted = make(map[uint64]bool)
		g.streams.Ascend(*prefix, func(name string, sm stream) bool {
			if !strings.HasPrefix(name, *prefix) {
				return false
			}
			wanted[sm.number] = true
			return true
		})
	default:
		return nil
	}
	if len(wanted) <= someMax {
		w.some = make([]uint64, 0, len(wanted))
		for number := range wanted {
			w.some = append(w.some, number)
		}
	}
	w.streams = func(number uint64) (string, bool) {
		name, ok := g.names.Get(number)
		return name, ok && wanted[number]
	}
	return nil
}

func badPattern(err error) error { return invalid("%s", clip(err.Error())) }
