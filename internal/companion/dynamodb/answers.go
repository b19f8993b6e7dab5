package dynamodb

import (
	"context"

	rheo "github.com/rheostream/rheo/internal/api"
	"github.com/rheostream/rheo/internal/companion/dynamodb/item"
)

// Memory is the budget that answers are taken from while they are made, until
// they have been sent, and the items that operations work on.
type Memory interface {
	// Reserve takes n bytes, or none and returns false.
	Reserve(n int64) bool
	Release(n int64)
}

// What an item takes in an answer: its values, as they are read and as the API
// has them, and its bytes as text.
const (
	valueBytes   = 320
	elementBytes = 64 // of a set
	textFactor   = 3
)

// An answer is what one operation holds of the memory: for what it will answer,
// and for the items that it works on until then, which may take a hundred times
// what they do in a table. It is one goroutine's.
type answer struct {
	memory  Memory // nil: unlimited
	held    int64
	working int64 // at least using + kept
	using   int64 // by the item that is worked on
	kept    int64 // until the operation is done
}

func (s *Service) newAnswer() *answer { return &answer{memory: s.answers} }

// take makes room for an item in the answer; false if there is none.
func (a *answer) take(it item.Item) bool {
	if a.memory == nil || it == nil {
		return true
	}
	n := int64(textFactor*it.Size() + valueBytes*it.Count() + elementBytes*it.Elements())
	if !a.memory.Reserve(n) {
		return false
	}
	a.held += n
	return true
}

// decode reads a stored item once there is memory for it; ok is false if there is
// none. What was worked on before is no longer needed then, but for what is kept.
func (a *answer) decode(stored string) (it item.Item, ok bool, err error) {
	if a.memory != nil {
		n, err := item.DecodedBytes(stored)
		if err != nil {
			return nil, false, err
		}
		a.using = 0
		if !a.work(n) {
			return nil, false, nil
		}
	}
	it, err = item.Decode(stored)
	return it, true, err
}

// work makes room for n more bytes of the item that is worked on; false if there
// is none. What it took for the item before is used again.
func (a *answer) work(n int64) bool {
	if a.memory == nil {
		return true
	}
	if more := a.kept + a.using + n - a.working; more > 0 {
		if !a.memory.Reserve(more) {
			return false
		}
		a.working += more
	}
	a.using += n
	return true
}

// keep makes room for n bytes until the operation is done; false if there is none.
func (a *answer) keep(n int64) bool {
	if !a.work(n) {
		return false
	}
	if a.memory != nil {
		a.using -= n
		a.kept += n
	}
	return true
}

// sent has the memory given back once the answer has been sent, or at once to
// callers for whom nothing is held.
func (a *answer) sent(ctx context.Context) {
	a.rest()
	if a.held > 0 && !rheo.Hold(ctx, a.release) {
		a.release()
	}
}

// rest gives back what was for the work alone.
func (a *answer) rest() {
	if a.working > 0 {
		a.memory.Release(a.working)
		a.working, a.using, a.kept = 0, 0, 0
	}
}

// release gives back all.
func (a *answer) release() {
	a.rest()
	if a.held > 0 {
		a.memory.Release(a.held)
		a.held = 0
	}
}

// errNoRoom is the answer where no part of the answer has room.
func errNoRoom() error {
	return throttled("The server is answering as many bytes as it may. Try again.")
}
