package lambda

import (
	"context"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/lambda"
)

// listMax is how many entries a page of a list has at most, whatever MaxItems says.
const listMax = 50

// ListFunctions lists the caller's functions in the order of their names, with
// FunctionVersion ALL also their versions.
func (s *Service) ListFunctions(ctx context.Context, in *api.ListFunctionsInput) (*api.ListFunctionsOutput, error) {
	caller := rheo.CallerFrom(ctx)
	if in.MasterRegion != nil && *in.MasterRegion != "ALL" && *in.MasterRegion != caller.Region {
		return nil, unsupported("MasterRegion", "there is no Lambda@Edge")
	}
	limit := listMax
	if in.MaxItems != nil {
		limit = min(limit, int(*in.MaxItems))
	}
	prefix := functionPrefix + caller.Account + "/" + caller.Region + "/"
	out := &api.ListFunctionsOutput{Functions: []api.FunctionConfiguration{}}
	after := ""
	if in.Marker != nil && *in.Marker != "" {
		after = prefix + *in.Marker
	}
	// A page ends behind a function with all its versions.
	for ch := range s.docs.Scan(prefix, after) {
		f := &function{docs: s.docs, version: ch.Version}
		if _, err := read(s.docs, ch.Key, &f.functionDoc, nil); err != nil {
			return nil, err
		}
		if f.ID == "" {
			continue // deleted since
		}
		if len(out.Functions) >= limit {
			break
		}
		if err := s.listVersions(f, in.FunctionVersion == api.FunctionVersionAll, &out.Functions); err != nil {
			return nil, err
		}
		out.NextMarker = &f.Name
	}
	if len(out.Functions) < limit {
		out.NextMarker = nil
	}
	return out, nil
}

func (s *Service) listVersions(f *function, all bool, to *[]api.FunctionConfiguration) error {
	qualifier := ""
	if all {
		qualifier = latest
	}
	c, err := s.describe(f, &f.Latest, qualifier, true)
	if err != nil {
		return err
	}
	*to = append(*to, *c)
	if !all {
		return nil
	}
	versions, err := f.versions()
	if err != nil {
		return err
	}
	for i := range versions {
		if c, err = s.describe(f, &versions[i], versions[i].qualifier(), true); err != nil {
			return err
		}
		*to = append(*to, *c)
	}
	return nil
}
