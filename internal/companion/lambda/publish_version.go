package lambda

import (
	"context"

	api "github.com/rheostream/rheo/internal/api/lambda"
)

// PublishVersion makes a version of $LATEST that never changes. If nothing has
// changed since the last one was made, that one is answered.
func (s *Service) PublishVersion(ctx context.Context, in *api.PublishVersionInput) (*api.PublishVersionOutput, error) {
	id, err := resolvePlain(ctx, *in.FunctionName)
	if err != nil {
		return nil, err
	}
	if in.PublishTo != "" {
		return nil, unsupported("PublishTo", "there are no managed instances")
	}
	var out *api.FunctionConfiguration
	err = s.update(ctx, reference{functionID: id}, func(f *function) (*change, error) {
		if in.RevisionId != nil && *in.RevisionId != f.Latest.Revision {
			return nil, wrongRevision("GetFunction/GetAlias")
		}
		if have := f.Latest.Code.codeSHA256(); in.CodeSha256 != nil && *in.CodeSha256 != "" && *in.CodeSha256 != have {
			return nil, invalid("CodeSHA256 (%s) is different from current CodeSHA256 in $LATEST (%s). Please try again with the CodeSHA256 in $LATEST.", *in.CodeSha256, have)
		}
		if err := s.checkUpdate(f, nil); err != nil {
			return nil, err
		}
		ch := &change{}
		v := f.publish(ch, s.nowMillis(), in.Description)
		var err error
		out, err = s.describe(f, v, v.qualifier(), false)
		if len(ch.write) == 0 {
			return nil, err // it is there already
		}
		return ch, err
	})
	return out, err
}

// publish makes a version of $LATEST, in f and in ch, unless there is one already.
func (f *function) publish(ch *change, now int64, description *string) *versionDoc {
	if f.Published > 0 && f.PublishedEdit == f.Edit {
		if v, err := f.published(f.Published); err == nil && v != nil {
			return v
		}
	}
	v := f.Latest
	f.LastVersion++
	v.Number, v.Revision, v.Modified = f.LastVersion, newUUID(), now
	setString(&v.Description, description)
	f.Published, f.PublishedEdit = v.Number, f.Edit
	ch.put(f.versionKey(v.Number), &v)
	return &v
}

// ListVersionsByFunction lists $LATEST and then the versions, by their numbers.
func (s *Service) ListVersionsByFunction(ctx context.Context, in *api.ListVersionsByFunctionInput) (*api.ListVersionsByFunctionOutput, error) {
	id, err := resolvePlain(ctx, *in.FunctionName)
	if err != nil {
		return nil, err
	}
	f, err := s.find(id)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, reference{functionID: id}.missing()
	}
	versions, err := f.versions()
	if err != nil {
		return nil, err
	}
	all := append([]versionDoc{f.Latest}, versions...)
	part, next := page(all, func(v versionDoc) string { return markerOf(v.Number) }, in.Marker, in.MaxItems, listMax)
	out := &api.ListVersionsByFunctionOutput{Versions: []api.FunctionConfiguration{}, NextMarker: next}
	for i := range part {
		c, err := s.describe(f, &part[i], part[i].qualifier(), true)
		if err != nil {
			return nil, err
		}
		out.Versions = append(out.Versions, *c)
	}
	return out, nil
}
