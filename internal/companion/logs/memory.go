package logs

import (
	"context"

	rheo "github.com/rheostream/rheo/internal/api"
)

// Memory is the budget that reads are taken from while they are made, until their
// answers have been sent.
type Memory interface {
	// Reserve takes n bytes, or none and returns false.
	Reserve(n int64) bool
	Release(n int64)
}

// pageMemory is what one read takes at most: a page of 1 MiB of messages with what
// is around them, again as it is encoded, and the batch that is being read.
const pageMemory = 6 << 20

// reserve takes memory for one read until its answer has been sent.
func (s *Service) reserve(ctx context.Context) error {
	if s.answers == nil {
		return nil
	}
	if !s.answers.Reserve(pageMemory) {
		return errNoRoom
	}
	if !rheo.Hold(ctx, func() { s.answers.Release(pageMemory) }) {
		s.answers.Release(pageMemory)
	}
	return nil
}
