package lambda

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	api "github.com/rheostream/rheo/internal/api/lambda"
	"github.com/rheostream/rheo/internal/catalog"
)

// changeTags changes the tags of the function or mapping with an ARN.
func (s *Service) changeTags(ctx context.Context, arn string, alter func(tags map[string]string) (map[string]string, error)) error {
	if uuid, ok := mappingOfARN(arn); ok {
		id, err := resolveMapping(ctx, arn, uuid)
		if err != nil {
			return err
		}
		return s.updateMapping(ctx, id, mappingGone(arn), func(m *mappingDoc) (err error) {
			m.Tags, err = alter(maps.Clone(m.Tags))
			return err
		})
	}
	ref, err := resolveTagged(ctx, arn)
	if err != nil {
		return err
	}
	return s.update(ctx, ref, func(f *function) (*change, error) {
		tags, err := alter(maps.Clone(f.Tags))
		if err != nil {
			return nil, err
		}
		f.Tags = tags
		return &change{}, nil
	})
}

// resolveTagged reads the ARN of a function that has tags: not of a version or an alias.
func resolveTagged(ctx context.Context, arn string) (reference, error) {
	if !strings.Contains(arn, ":function:") {
		return reference{}, unsupported("Tags of "+arn, "only functions and event source mappings have tags")
	}
	ref, err := resolve(ctx, arn, nil)
	if err == nil && ref.qualifier != "" {
		err = invalid("Tags on function aliases and versions are not supported. Please specify a function ARN.")
	}
	return ref, err
}

// TagResource gives a resource tags, in the place of those with the same keys.
func (s *Service) TagResource(ctx context.Context, in *api.TagResourceInput) (*api.TagResourceOutput, error) {
	if len(in.Tags) == 0 {
		return nil, invalid("An error occurred and the request cannot be processed.")
	}
	err := s.changeTags(ctx, *in.Resource, func(tags map[string]string) (map[string]string, error) {
		if tags == nil {
			tags = make(map[string]string)
		}
		maps.Copy(tags, in.Tags)
		return tags, checkTags(tags)
	})
	if err != nil {
		return nil, err
	}
	return &api.TagResourceOutput{}, nil
}

// UntagResource takes tags from a resource.
func (s *Service) UntagResource(ctx context.Context, in *api.UntagResourceInput) (*api.UntagResourceOutput, error) {
	err := s.changeTags(ctx, *in.Resource, func(tags map[string]string) (map[string]string, error) {
		for _, key := range in.TagKeys {
			delete(tags, key)
		}
		return tags, nil
	})
	if err != nil {
		return nil, err
	}
	return &api.UntagResourceOutput{}, nil
}

// ListTags lists a resource's tags: there are never so many that they come in pages.
func (s *Service) ListTags(ctx context.Context, in *api.ListTagsInput) (*api.ListTagsOutput, error) {
	out := &api.ListTagsOutput{Tags: map[string]string{}}
	if uuid, ok := mappingOfARN(*in.Resource); ok {
		id, err := resolveMapping(ctx, *in.Resource, uuid)
		if err != nil {
			return nil, err
		}
		m, _, err := s.findMapping(id)
		if err != nil || m == nil {
			return nil, orErr(err, mappingGone(*in.Resource))
		}
		maps.Copy(out.Tags, m.Tags)
		return out, nil
	}
	ref, err := resolveTagged(ctx, *in.Resource)
	if err != nil {
		return nil, err
	}
	f, err := s.find(ref.functionID)
	if err != nil || f == nil {
		return nil, orErr(err, ref.missing())
	}
	maps.Copy(out.Tags, f.Tags)
	return out, nil
}

func mappingGone(arn string) error { return notFound("Event source mapping not found: %s", arn) }

// mappingOfARN is the UUID of the mapping that an ARN names.
func mappingOfARN(arn string) (uuid string, ok bool) {
	_, uuid, ok = strings.Cut(arn, ":event-source-mapping:")
	return uuid, ok
}

// updateMapping changes a mapping's document, and decides again if it has changed
// meanwhile. gone is the error if there is no such mapping.
func (s *Service) updateMapping(ctx context.Context, id mappingID, gone error, alter func(*mappingDoc) error) error {
	for range 100 {
		m, version, err := s.findMapping(id)
		if err != nil || m == nil {
			return orErr(err, gone)
		}
		if err := alter(m); err != nil {
			return err
		}
		ch := &change{}
		ch.expects(id.key(), version)
		ch.put(id.key(), m)
		if err := s.commit(ctx, ch); !errors.Is(err, catalog.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("lambda: decided 100 times on mapping %s, and it had changed each time", id.uuid)
}
