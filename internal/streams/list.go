package streams

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
)

// ListStreams pages through an account's streams by name.
func (s *Service) ListStreams(ctx context.Context, in *kinesis.ListStreamsInput) (*kinesis.ListStreamsOutput, error) {
	caller := api.CallerFrom(ctx)
	limit, after := 100, ""
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	if in.ExclusiveStartStreamName != nil {
		after = *in.ExclusiveStartStreamName
	}
	if in.NextToken != nil {
		if err := s.openPage(listStreamsToken, *in.NextToken, &after); err != nil {
			return nil, err
		}
	}
	prefix, from := streamKey(caller.Account, caller.Region, ""), ""
	if after != "" {
		from = prefix + after
	}
	var docs []*streamDoc
	for ch := range s.cfg.Catalog.Scan(prefix, from) {
		d := new(streamDoc)
		if err := json.Unmarshal(ch.Doc, d); err != nil {
			return nil, fmt.Errorf("cannot read catalog document %s: %w", ch.Key, err)
		}
		if docs = append(docs, d); len(docs) > limit {
			break
		}
	}
	more := len(docs) > limit
	docs = docs[:min(limit, len(docs))]
	out := &kinesis.ListStreamsOutput{StreamNames: []string{}, HasMoreStreams: &more, StreamSummaries: []kinesis.StreamSummary{}}
	for _, d := range docs {
		out.StreamNames = append(out.StreamNames, d.Name)
		out.StreamSummaries = append(out.StreamSummaries, kinesis.StreamSummary{
			StreamName: &d.Name, StreamARN: new(d.arn()), StreamStatus: d.Status,
			StreamModeDetails:       &kinesis.StreamModeDetails{StreamMode: d.Mode},
			StreamCreationTimestamp: new(time.UnixMilli(d.Created)),
		})
	}
	if more {
		out.NextToken = new(s.sealPage(listStreamsToken, docs[len(docs)-1].Name))
	}
	return out, nil
}

// shardPage is what a NextToken of ListShards carries: the whole question.
type shardPage struct {
	Stream string
	After  int64
	Limit  int
	Filter *kinesis.ShardFilter
}

// ListShards pages through a stream's shards, 1,000 at a time; the filter says
// at which moment, or from which shard on. A NextToken stands alone.
func (s *Service) ListShards(ctx context.Context, in *kinesis.ListShardsInput) (*kinesis.ListShardsOutput, error) {
	var p shardPage
	var st *stream
	var d *streamDoc
	if in.NextToken != nil {
		if in.StreamName != nil || in.StreamARN != nil || in.ExclusiveStartShardId != nil || in.StreamCreationTimestamp != nil || in.ShardFilter != nil {
			return nil, invalidArgument("NextToken and StreamName cannot be provided together.")
		}
		if err := s.openPage(listShardsToken, *in.NextToken, &p); err != nil {
			return nil, err
		}
		s.mu.RLock()
		st = s.byID[p.Stream]
		s.mu.RUnlock()
		caller := api.CallerFrom(ctx)
		if st == nil || st.name.account != caller.Account || st.name.region != caller.Region {
			return nil, invalidArgument("Invalid NextToken.")
		}
		if d = st.doc.Load(); d == nil {
			return nil, streamNotFound(st.name.account, st.name.name)
		}
	} else {
		var err error
		if st, d, err = s.lookup(ctx, in.StreamName, in.StreamARN); err != nil {
			return nil, err
		}
		if in.StreamCreationTimestamp != nil && in.StreamCreationTimestamp.Unix() != d.Created/1000 {
			return nil, streamNotFound(d.Account, d.Name)
		}
		p = shardPage{Stream: st.id, After: -1, Limit: 1000, Filter: in.ShardFilter}
		if in.ExclusiveStartShardId != nil {
			index, ok := parseShardID(*in.ExclusiveStartShardId)
			if !ok {
				return nil, shardNotFound(st, *in.ExclusiveStartShardId)
			}
			p.After = int64(index)
		}
	}
	if in.MaxResults != nil {
		p.Limit = min(1000, int(*in.MaxResults))
	}
	keep, after, err := s.filter(st, d, p.Filter)
	if err != nil {
		return nil, err
	}
	p.After = max(p.After, after)
	shards, more := s.page(st, p.After, p.Limit, keep)
	out := &kinesis.ListShardsOutput{Shards: shards}
	if more {
		index, _ := parseShardID(*shards[len(shards)-1].ShardId)
		p.After = int64(index)
		out.NextToken = new(s.sealPage(listShardsToken, p))
	}
	return out, nil
}

// filter turns a ShardFilter into a predicate. A shard is open at a time when it
// was created by then and not yet closed; at its horizon a stream's shards are
// those that were open then, moved up to now when it is younger.
func (s *Service) filter(st *stream, d *streamDoc, f *kinesis.ShardFilter) (keep func(*shardDoc) bool, after int64, err error) {
	horizon := s.now().Add(-d.retention()).UnixMilli()
	openAt := func(t int64) func(*shardDoc) bool {
		return func(sh *shardDoc) bool {
			// A child is open from the moment its parents close, although its
			// sequence numbers begin with a later one (see beginRound).
			return s.openedAt(st, sh) <= t && (sh.Closed == 0 || sh.Closed > t)
		}
	}
	closedAfter := func(t int64) func(*shardDoc) bool {
		return func(sh *shardDoc) bool { return sh.Closed == 0 || sh.Closed > t }
	}
	if f == nil {
		return closedAfter(horizon), -1, nil
	}
	if f.Timestamp == nil && (f.Type == kinesis.ShardFilterTypeAtTimestamp || f.Type == kinesis.ShardFilterTypeFromTimestamp) {
		return nil, 0, invalidArgument("Timestamp must be provided for ShardFilterType %s.", f.Type)
	}
	switch f.Type {
	case kinesis.ShardFilterTypeAfterShardId:
		if f.ShardId == nil {
			return nil, 0, invalidArgument("ShardId must be provided for ShardFilterType AFTER_SHARD_ID.")
		}
		index, ok := parseShardID(*f.ShardId)
		if !ok {
			return nil, 0, shardNotFound(st, *f.ShardId)
		}
		return nil, int64(index), nil
	case kinesis.ShardFilterTypeAtTrimHorizon:
		return openAt(max(horizon, d.Created)), -1, nil
	case kinesis.ShardFilterTypeFromTrimHorizon:
		return closedAfter(horizon), -1, nil
	case kinesis.ShardFilterTypeAtLatest:
		return func(sh *shardDoc) bool { return sh.State != shardClosed }, -1, nil
	case kinesis.ShardFilterTypeAtTimestamp:
		return openAt(max(f.Timestamp.UnixMilli(), horizon, d.Created)), -1, nil
	case kinesis.ShardFilterTypeFromTimestamp:
		return closedAfter(max(f.Timestamp.UnixMilli(), horizon)), -1, nil
	}
	return nil, -1, nil
}

// openedAt is when a shard began to take records: with the stream, or when its parents closed.
func (s *Service) openedAt(st *stream, sh *shardDoc) int64 {
	if sh.Parent == nil {
		return sh.Created
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if p := st.shards[*sh.Parent]; p != nil {
		return p.doc.Load().Closed
	}
	return 0 // the parent has expired, so the shard is older than the horizon
}

func (s *Service) sealPage(kind tokenKind, page any) string {
	return s.tokens.seal(kind, s.now(), encode(page))
}

func (s *Service) openPage(kind tokenKind, token string, page any) error {
	b, made, err := s.tokens.open(kind, token)
	if err != nil || json.Unmarshal(b, page) != nil {
		return invalidArgument("Invalid NextToken.")
	}
	if s.now().Sub(made) > tokenLifetime {
		return api.Errorf("ExpiredNextTokenException", "NextToken has expired. It was created at %s and is valid for %d seconds.", made.UTC().Format(time.RFC3339), int(tokenLifetime.Seconds()))
	}
	return nil
}
