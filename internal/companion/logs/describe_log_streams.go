package logs

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	api "github.com/rheostream/rheo/internal/api/logs"
)

// DescribeLogStreams lists the streams of a group by name, or by the time of their
// last event; a stream without events comes before all others then. What it says
// of a stream's events is exact when it says it; those that have expired count.
func (s *Service) DescribeLogStreams(ctx context.Context, in *api.DescribeLogStreamsInput) (*api.DescribeLogStreamsOutput, error) {
	g, err := s.named(ctx, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	byTime := in.OrderBy == api.OrderByLastEventTime
	if byTime && in.LogStreamNamePrefix != nil {
		return nil, invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
	}
	descending, limit, prefix := in.Descending != nil && *in.Descending, describeMax, ""
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	if in.LogStreamNamePrefix != nil {
		prefix = *in.LogStreamNamePrefix
	}
	gl := s.logs.get(g.doc.ID)
	if gl == nil {
		return nil, noGroup
	}
	var page []listedStream
	more, listErr := false, error(nil)
	err = s.logs.look(ctx, gl, func(x *index) {
		if byTime {
			page, more, listErr = streamsByTime(g, x, in.NextToken, limit, descending)
		} else {
			page, more, listErr = streamsByName(g, x, in.NextToken, prefix, limit, descending)
		}
	})
	if err != nil {
		return nil, logged(err)
	}
	if listErr != nil {
		return nil, listErr
	}
	out := &api.DescribeLogStreamsOutput{LogStreams: []api.LogStream{}}
	for i := range page {
		out.LogStreams = append(out.LogStreams, page[i].describe(&g.doc))
	}
	if more {
		last := &page[len(page)-1]
		if out.NextToken = nameToken(last.name); byTime {
			out.NextToken = nameToken(strconv.FormatInt(last.last(), 10) + "\x00" + last.name)
		}
	}
	return out, nil
}

// A listedStream is a stream with a copy of its facts.
type listedStream struct {
	name string
	stream
	facts streamFacts // to is 0 if it has no events
}

// last is the time of the last event, -1 without any.
func (l *listedStream) last() int64 {
	if l.facts.to == 0 {
		return -1
	}
	return l.facts.last
}

func (x *index) listed(name string, sm stream) listedStream {
	l := listedStream{name: name, stream: sm}
	if f := x.streams[sm.number]; f != nil {
		l.facts = *f
	}
	return l
}

func streamsByName(g *group, x *index, token *string, prefix string, limit int, descending bool) (page []listedStream, more bool, err error) {
	last, ok := parseNameToken(token)
	if !ok {
		return nil, false, badToken
	}
	take := func(name string, sm stream) bool {
		if !strings.HasPrefix(name, prefix) {
			return descending && name > prefix // those behind the prefix come first then
		}
		if token != nil && name == last {
			return true
		}
		if more = len(page) == limit; more {
			return false
		}
		page = append(page, x.listed(name, sm))
		return true
	}
	switch {
	case !descending:
		g.streams.Ascend(max(prefix, last), take)
	case token != nil:
		g.streams.Descend(last, take)
	case prefix != "":
		g.streams.Descend(prefix+"\U0010FFFF", take)
	default:
		g.streams.Reverse(take)
	}
	return page, more, nil
}

func streamsByTime(g *group, x *index, token *string, limit int, descending bool) (page []listedStream, more bool, err error) {
	order := func(a, b *listedStream) int {
		c := cmp.Or(cmp.Compare(a.last(), b.last()), cmp.Compare(a.name, b.name))
		if descending {
			return -c
		}
		return c
	}
	var after *listedStream
	if token != nil {
		text, ok := parseNameToken(token)
		at, name, cut := strings.Cut(text, "\x00")
		ms, numberErr := strconv.ParseInt(at, 10, 64)
		if !ok || !cut || numberErr != nil {
			return nil, false, badToken
		}
		after = &listedStream{name: name, facts: streamFacts{last: ms, to: 1}}
		if ms < 0 {
			after.facts.to = 0
		}
	}
	g.streams.Scan(func(name string, sm stream) bool {
		if l := x.listed(name, sm); after == nil || order(&l, after) > 0 {
			page = append(page, l)
		}
		return true
	})
	slices.SortFunc(page, func(a, b listedStream) int { return order(&a, &b) })
	if more = len(page) > limit; more {
		page = slices.Clone(page[:limit])
	}
	return page, more, nil
}

func (l *listedStream) describe(d *groupDoc) api.LogStream {
	out := api.LogStream{LogStreamName: &l.name, CreationTime: &l.created, Arn: new(d.streamARN(l.name)),
		StoredBytes: new(int64(0))} // as AWS has it since 2019
	if l.facts.to > 0 {
		out.FirstEventTimestamp, out.LastEventTimestamp = &l.facts.first, &l.facts.last
		out.LastIngestionTime = &l.facts.ingested
		out.UploadSequenceToken = new(sequenceToken(uint64(l.facts.to)))
	}
	return out
}
