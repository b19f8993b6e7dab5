package streams

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/api/kinesis"
	"github.com/rheostream/rheo/internal/catalog"
)

func tagText(s string) bool {
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsSpace(r) && !strings.ContainsRune("_.:/=+-%@", r) {
			return false
		}
	}
	return true
}

// AddTagsToStream adds tags or replaces their values.
func (s *Service) AddTagsToStream(ctx context.Context, in *kinesis.AddTagsToStreamInput) (*kinesis.AddTagsToStreamOutput, error) {
	st, _, err := s.lookup(ctx, in.StreamName, in.StreamARN)
	if err != nil {
		return nil, err
	}
	return &kinesis.AddTagsToStreamOutput{}, s.tagStream(ctx, st, in.Tags, nil)
}

// RemoveTagsFromStream removes tags; those that are not there are no error.
func (s *Service) RemoveTagsFromStream(ctx context.Context, in *kinesis.RemoveTagsFromStreamInput) (*kinesis.RemoveTagsFromStreamOutput, error) {
	st, _, err := s.lookup(ctx, in.StreamName, in.StreamARN)
	if err != nil {
		return nil, err
	}
	return &kinesis.RemoveTagsFromStreamOutput{}, s.tagStream(ctx, st, nil, in.TagKeys)
}

// ListTagsForStream pages through a stream's tags in the order of their keys.
func (s *Service) ListTagsForStream(ctx context.Context, in *kinesis.ListTagsForStreamInput) (*kinesis.ListTagsForStreamOutput, error) {
	_, d, err := s.lookup(ctx, in.StreamName, in.StreamARN)
	if err != nil {
		return nil, err
	}
	limit := 50
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	all := tagList(d.Tags)
	if in.ExclusiveStartTagKey != nil {
		all = slices.DeleteFunc(all, func(t kinesis.Tag) bool { return *t.Key <= *in.ExclusiveStartTagKey })
	}
	return &kinesis.ListTagsForStreamOutput{Tags: all[:min(limit, len(all))], HasMoreTags: new(len(all) > limit)}, nil
}

// TagResource adds tags to a stream or consumer.
func (s *Service) TagResource(ctx context.Context, in *kinesis.TagResourceInput) (*kinesis.TagResourceOutput, error) {
	return &kinesis.TagResourceOutput{}, s.onResource(ctx, *in.ResourceARN,
		func(st *stream) error { return s.tagStream(ctx, st, in.Tags, nil) },
		func(st *stream, c *consumerDoc) error { return s.tagConsumer(ctx, st, c.Name, in.Tags, nil) })
}

// UntagResource removes tags from a stream or consumer.
func (s *Service) UntagResource(ctx context.Context, in *kinesis.UntagResourceInput) (*kinesis.UntagResourceOutput, error) {
	return &kinesis.UntagResourceOutput{}, s.onResource(ctx, *in.ResourceARN,
		func(st *stream) error { return s.tagStream(ctx, st, nil, in.TagKeys) },
		func(st *stream, c *consumerDoc) error { return s.tagConsumer(ctx, st, c.Name, nil, in.TagKeys) })
}

// ListTagsForResource lists the tags of a stream or consumer.
func (s *Service) ListTagsForResource(ctx context.Context, in *kinesis.ListTagsForResourceInput) (*kinesis.ListTagsForResourceOutput, error) {
	out := &kinesis.ListTagsForResourceOutput{}
	return out, s.onResource(ctx, *in.ResourceARN,
		func(st *stream) error { out.Tags = tagList(st.doc.Load().Tags); return nil },
		func(st *stream, c *consumerDoc) error { out.Tags = tagList(c.Tags); return nil })
}

// onResource calls the function for what the ARN names.
func (s *Service) onResource(ctx context.Context, arn string, onStream func(*stream) error, onConsumer func(*stream, *consumerDoc) error) error {
	if strings.Contains(arn, "/consumer/") {
		st, c, err := s.lookupConsumer(ctx, nil, nil, &arn)
		if err != nil {
			return err
		}
		return onConsumer(st, c)
	}
	st, _, err := s.lookup(ctx, nil, &arn)
	if err != nil {
		return err
	}
	return onStream(st)
}

func tagList(tags map[string]string) []kinesis.Tag {
	out := make([]kinesis.Tag, 0, len(tags))
	for k, v := range tags {
		out = append(out, kinesis.Tag{Key: &k, Value: &v})
	}
	slices.SortFunc(out, func(a, b kinesis.Tag) int { return strings.Compare(*a.Key, *b.Key) })
	return out
}

func (s *Service) tagStream(ctx context.Context, st *stream, add map[string]string, remove []string) error {
	return s.update(ctx, st, func(c *change) (err error) {
		c.doc.Tags, err = retag(c.doc.Tags, add, remove)
		return err
	})
}

func (s *Service) tagConsumer(ctx context.Context, st *stream, name string, add map[string]string, remove []string) error {
	return s.updateConsumer(ctx, st, name, func(d *consumerDoc) (err error) {
		d.Tags, err = retag(d.Tags, add, remove)
		return err
	})
}

func retag(have, add map[string]string, remove []string) (map[string]string, error) {
	if err := checkTags(add, have); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for k, v := range have {
		out[k] = v
	}
	for k, v := range add {
		out[k] = v
	}
	for _, k := range remove {
		delete(out, k)
	}
	return out, nil
}

// updateConsumer commits what fn decides for a consumer's document.
func (s *Service) updateConsumer(ctx context.Context, st *stream, name string, fn func(d *consumerDoc) error) error {
	key := consumerKey(st.id, name)
	for {
		raw, version, ok := s.cfg.Catalog.Get(key)
		if !ok {
			return consumerNotFound(st, name)
		}
		var d consumerDoc
		if err := json.Unmarshal(raw, &d); err != nil {
			return err
		}
		if err := fn(&d); err != nil {
			return err
		}
		err := s.cfg.Catalog.Commit(ctx, catalog.Txn{Expect: map[string]uint64{key: version}, Write: map[string]json.RawMessage{key: encode(d)}})
		if !errors.Is(err, catalog.ErrConflict) {
			return err
		}
	}
}

func consumerNotFound(st *stream, name string) *api.Error {
	return notFound("Consumer %s under stream %s not found for account %s.", name, st.name.name, st.name.account)
}
