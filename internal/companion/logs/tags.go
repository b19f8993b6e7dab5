package logs

import (
	"context"
	"maps"
	"strings"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/logs"
)

const tagsMax = 50

// TagResource gives a group tags, in the place of those with the same keys.
func (s *Service) TagResource(ctx context.Context, in *api.TagResourceInput) (*api.TagResourceOutput, error) {
	if err := s.tagResource(ctx, *in.ResourceArn, in.Tags, nil); err != nil {
		return nil, err
	}
	return &api.TagResourceOutput{}, nil
}

// UntagResource takes tags from a group.
func (s *Service) UntagResource(ctx context.Context, in *api.UntagResourceInput) (*api.UntagResourceOutput, error) {
	if err := s.tagResource(ctx, *in.ResourceArn, nil, in.TagKeys); err != nil {
		return nil, err
	}
	return &api.UntagResourceOutput{}, nil
}

// ListTagsForResource lists a group's tags: there are never so many that they come in pages.
func (s *Service) ListTagsForResource(ctx context.Context, in *api.ListTagsForResourceInput) (*api.ListTagsForResourceOutput, error) {
	g, err := s.byARN(ctx, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return &api.ListTagsForResourceOutput{Tags: tagsOf(g)}, nil
}

// TagLogGroup is TagResource with the group's name.
func (s *Service) TagLogGroup(ctx context.Context, in *api.TagLogGroupInput) (*api.TagLogGroupOutput, error) {
	if err := s.tag(ctx, callersKey(ctx, *in.LogGroupName), in.Tags, nil); err != nil {
		return nil, err
	}
	return &api.TagLogGroupOutput{}, nil
}

// UntagLogGroup is UntagResource with the group's name.
func (s *Service) UntagLogGroup(ctx context.Context, in *api.UntagLogGroupInput) (*api.UntagLogGroupOutput, error) {
	if err := s.tag(ctx, callersKey(ctx, *in.LogGroupName), nil, in.Tags); err != nil {
		return nil, err
	}
	return &api.UntagLogGroupOutput{}, nil
}

// ListTagsLogGroup is ListTagsForResource with the group's name.
func (s *Service) ListTagsLogGroup(ctx context.Context, in *api.ListTagsLogGroupInput) (*api.ListTagsLogGroupOutput, error) {
	g, err := s.group(callersKey(ctx, *in.LogGroupName))
	if err != nil {
		return nil, err
	}
	return &api.ListTagsLogGroupOutput{Tags: tagsOf(g)}, nil
}

func tagsOf(g *group) map[string]string {
	tags := maps.Clone(g.doc.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	return tags
}

func (s *Service) tagResource(ctx context.Context, arn string, add map[string]string, remove []string) error {
	g, err := s.byARN(ctx, arn)
	if err != nil {
		return err
	}
	return s.tag(ctx, g.doc.key(), add, remove)
}

func (s *Service) tag(ctx context.Context, key string, add map[string]string, remove []string) error {
	_, err := s.changeGroup(ctx, key, func(d *groupDoc) (err error) {
		if d.Tags, err = mergeTags(d.Tags, add); err != nil {
			return err
		}
		for _, name := range remove {
			delete(d.Tags, name)
		}
		return nil
	})
	return err
}

// mergeTags are tags with some more, which go before those of the same keys.
func mergeTags(have, add map[string]string) (map[string]string, error) {
	out := make(map[string]string, len(have)+len(add))
	maps.Copy(out, have)
	for name, value := range add {
		if strings.HasPrefix(strings.ToLower(name), "aws:") {
			return nil, invalid("Tag keys that begin with aws: are reserved: %s", clip(name))
		}
		out[name] = value
	}
	if len(out) > tagsMax {
		return nil, rheo.Errorf(api.TooManyTagsException, "A resource can have no more than %d tags.", tagsMax)
	}
	return out, nil
}
