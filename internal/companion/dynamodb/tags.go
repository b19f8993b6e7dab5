package dynamodb

import (
	"context"
	"maps"
	"strings"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/dynamodb"
)

const tagsMax = 50

// TagResource gives a table tags, in the place of those with the same keys.
func (s *Service) TagResource(ctx context.Context, in *api.TagResourceInput) (*api.TagResourceOutput, error) {
	err := s.changeTagged(ctx, in.ResourceArn, func(doc *tableDoc) (err error) {
		doc.Tags, err = mergeTags(doc.Tags, in.Tags)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &api.TagResourceOutput{}, nil
}

// UntagResource takes tags from a table.
func (s *Service) UntagResource(ctx context.Context, in *api.UntagResourceInput) (*api.UntagResourceOutput, error) {
	err := s.changeTagged(ctx, in.ResourceArn, func(doc *tableDoc) error {
		for _, key := range in.TagKeys {
			delete(doc.Tags, key)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.UntagResourceOutput{}, nil
}

// ListTagsOfResource lists a table's tags: there are never so many that they come in pages.
func (s *Service) ListTagsOfResource(ctx context.Context, in *api.ListTagsOfResourceInput) (*api.ListTagsOfResourceOutput, error) {
	if !strings.HasPrefix(*in.ResourceArn, "arn:") {
		return nil, badARN(*in.ResourceArn)
	}
	_, key, err := tableName(ctx, in.ResourceArn)
	if err != nil {
		return nil, tagged(err, *in.ResourceArn)
	}
	t, ok := s.machine.view().tables.Get(key)
	if !ok {
		return nil, tagged(noTable(), *in.ResourceArn)
	}
	out := &api.ListTagsOfResourceOutput{Tags: []api.Tag{}}
	for _, name := range sortedKeys(t.doc.Tags) {
		out.Tags = append(out.Tags, api.Tag{Key: &name, Value: new(t.doc.Tags[name])})
	}
	return out, nil
}

func (s *Service) changeTagged(ctx context.Context, arn *string, change func(*tableDoc) error) error {
	if !strings.HasPrefix(*arn, "arn:") {
		return badARN(*arn)
	}
	err := s.changeTable(ctx, arn, func(_ *table, doc *tableDoc) (int64, error) { return 0, change(doc) })
	return tagged(err, *arn)
}

func badARN(arn string) error {
	return validation("Invalid TableArn: Invalid ResourceArn provided as input %s", arn)
}

// tagged gives an error the words that it has where a table is named by its ARN.
func tagged(err error, arn string) error {
	if rheo.IsCode(err, "ResourceNotFoundException") {
		return rheo.Errorf("ResourceNotFoundException", "Requested resource not found: ResourcArn: %s not found", arn)
	}
	return err
}

// mergeTags are tags with some more, which go before those of the same keys.
func mergeTags(have map[string]string, tags []api.Tag) (map[string]string, error) {
	out := maps.Clone(have)
	if out == nil {
		out = make(map[string]string)
	}
	given := make(map[string]bool)
	for _, t := range tags {
		key := *t.Key
		if given[key] {
			return nil, validation("Duplicate tag keys: %s", key)
		}
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			return nil, validation("Tag keys that begin with aws: are reserved: %s", key)
		}
		given[key] = true
		out[key] = *t.Value
	}
	if len(out) > tagsMax {
		return nil, validation("The number of tags exceeds the limit of %d per resource", tagsMax)
	}
	return out, nil
}
