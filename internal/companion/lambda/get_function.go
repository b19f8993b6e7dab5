package lambda

import (
	"context"

	api "github.com/rheostream/rheo/internal/api/lambda"
)

// GetFunction tells of a function, its tags and its reserved concurrency. Code has
// no Location: packages are not served for download.
func (s *Service) GetFunction(ctx context.Context, in *api.GetFunctionInput) (*api.GetFunctionOutput, error) {
	ref, err := resolve(ctx, *in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	f, v, err := s.get(ref)
	if err != nil {
		return nil, err
	}
	c, err := s.describe(f, v, ref.qualifier, false)
	if err != nil {
		return nil, err
	}
	out := &api.GetFunctionOutput{Configuration: c, Code: &api.FunctionCodeLocation{RepositoryType: new("S3")}, Tags: f.Tags}
	if f.Reserved != nil {
		out.Concurrency = &api.Concurrency{ReservedConcurrentExecutions: f.Reserved}
	}
	return out, nil
}

// GetFunctionConfiguration tells of one version of a function.
func (s *Service) GetFunctionConfiguration(ctx context.Context, in *api.GetFunctionConfigurationInput) (*api.GetFunctionConfigurationOutput, error) {
	ref, err := resolve(ctx, *in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	f, v, err := s.get(ref)
	if err != nil {
		return nil, err
	}
	return s.describe(f, v, ref.qualifier, false)
}
