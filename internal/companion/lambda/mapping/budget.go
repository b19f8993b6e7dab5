package mapping

import (
	"context"
	"slices"
	"sync"
)

// budget is the memory for records of all mappings of an engine. Who asks first is
// served first, so that a large request is not passed over for ever.
type budget struct {
	mu      sync.Mutex
	free    int64      // mu; below 0 when answers were larger than was thought
	waiting []*request // mu
}

type request struct {
	bytes   int64
	granted chan struct{}
}

// acquire waits until there are bytes free, and takes them.
func (b *budget) acquire(ctx context.Context, bytes int64) error {
	b.mu.Lock()
	if len(b.waiting) == 0 && b.free >= bytes {
		b.free -= bytes
		b.mu.Unlock()
		return nil
	}
	r := &request{bytes, make(chan struct{})}
	b.waiting = append(b.waiting, r)
	b.mu.Unlock()
	select {
	case <-r.granted:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-r.granted:
		b.free += bytes
	default:
		b.waiting = slices.DeleteFunc(b.waiting, func(w *request) bool { return w == r })
	}
	b.grant()
	return ctx.Err()
}

// release gives bytes back; a negative number takes them without waiting.
func (b *budget) release(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += bytes
	b.grant()
}

// short says whether somebody waits.
func (b *budget) short() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting) > 0
}

// grant serves those that wait. The caller holds mu.
func (b *budget) grant() {
	n := 0
	for n < len(b.waiting) && b.free >= b.waiting[n].bytes {
		b.free -= b.waiting[n].bytes
		close(b.waiting[n].granted)
		n++
	}
	b.waiting = slices.Delete(b.waiting, 0, n)
}
