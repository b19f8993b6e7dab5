package lambda

import "github.com/rheostream/rheo/internal/companion/lambda/mapping"

// Checkpoints are those that the engine is given.
func (s *Service) Checkpoints() mapping.Checkpoints { return s.checkpoints }
