package lambda

import (
	"context"

	api "github.com/rheostream/rheo/internal/api/lambda"
)

// UpdateFunctionConfiguration changes the members of $LATEST that are given.
func (s *Service) UpdateFunctionConfiguration(ctx context.Context, in *api.UpdateFunctionConfigurationInput) (*api.UpdateFunctionConfigurationOutput, error) {
	id, err := resolvePlain(ctx, *in.FunctionName)
	if err != nil {
		return nil, err
	}
	return s.updateLatest(ctx, reference{functionID: id}, in.RevisionId, false, func(f *function, v *versionDoc) error {
		f.Edit++
		return s.apply(ofUpdate(in), v)
	})
}
