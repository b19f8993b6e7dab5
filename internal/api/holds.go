package api

import "context"

// Holds are what an answer keeps until it has been sent: pooled memory that its
// values alias, room in a budget. Who calls an operation makes them and releases
// them once, when it is done with the output.
type Holds struct{ release []func() }

type holdsKey struct{}

// WithHolds returns a context that lets operations hold things for their answer.
func WithHolds(ctx context.Context) (context.Context, *Holds) {
	h := new(Holds)
	return context.WithValue(ctx, holdsKey{}, h), h
}

// Hold has release called when the answer has been sent. It returns false, and
// does not call it, if the caller did not make Holds: then what the output
// aliases belongs to the caller for good.
func Hold(ctx context.Context, release func()) bool {
	h, ok := ctx.Value(holdsKey{}).(*Holds)
	if ok {
		h.release = append(h.release, release)
	}
	return ok
}

// Release calls what Hold was given, last first.
func (h *Holds) Release() {
	for i := len(h.release) - 1; i >= 0; i-- {
		h.release[i]()
	}
	h.release = nil
}
