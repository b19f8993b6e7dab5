package dynamodb

import (
	"context"

	rheo "github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// Memory is the budget that answers are taken from while they are made, until
// they have been sent.
type Memory interface {
	// Reserve takes n bytes, or none and returns false.
	Reserve(n int64) bool
	Release(n int64)
}

// What an item takes in an answer: its values, as they are read and as the API
// has them, and its bytes as text.
const (
	valueBytes = 320
	textFactor = 3
)

// An answer is what one operation holds of the memory. It is one goroutine's.
type answer struct {
	memory Memory // nil: unlimited
	held   int64
}

func (s *Service) newAnswer() *answer { return &answer{memory: s.answers} }

// take makes room for an item in the answer; false if there is none.
func (a *answer) take(it item.Item) bool {
	if a.memory == nil || it == nil {
		return true
	}
	n := int64(textFactor*it.Size() + valueBytes*it.Count())
	if !a.memory.Reserve(n) {
		return false
	}
	a.held += n
	return true
}

// sent has the memory given back once the answer has been sent, or at once to
// callers for whom nothing is held.
func (a *answer) sent(ctx context.Context) {
	if a.held > 0 && !rheo.Hold(ctx, a.release) {
		a.release()
	}
}

func (a *answer) release() {
	if a.held > 0 {
		a.memory.Release(a.held)
		a.held = 0
	}
}

// errNoRoom is the answer where no part of the answer has room.
func errNoRoom() error {
	return throttled("The server is answering as many bytes as it may. Try again.")
}
