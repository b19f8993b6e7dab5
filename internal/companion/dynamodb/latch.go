package dynamodb

import (
	"context"
	"slices"
	"sync"
)

// latches are held, by key, while somebody decides on an item and until that is
// written. They keep calls on one item from deciding in vain; that no decision
// is made on old facts is for the versions in the commands to see to.
type latches struct {
	mu   sync.Mutex
	held map[string]*latch // mu
}

type latch struct {
	turn  chan struct{} // holds one token when free
	users int           // latches.mu; those that hold it or wait
}

// take waits until nobody else holds any of the keys. It takes them in order, so
// that no two wait for each other.
func (l *latches) take(ctx context.Context, keys []string) (release func(), err error) {
	keys = slices.Clone(keys)
	slices.Sort(keys)
	keys = slices.Compact(keys)
	taken := make([]*latch, 0, len(keys))
	release = func() {
		for i, h := range taken {
			h.turn <- struct{}{}
			l.leave(keys[i], h)
		}
	}
	for _, key := range keys {
		h := l.join(key)
		select {
		case <-h.turn:
			taken = append(taken, h)
		case <-ctx.Done():
			l.leave(key, h)
			release()
			return nil, ctx.Err()
		}
	}
	return release, nil
}

func (l *latches) join(key string) *latch {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.held[key]
	if h == nil {
		h = &latch{turn: make(chan struct{}, 1)}
		h.turn <- struct{}{}
		if l.held == nil {
			l.held = make(map[string]*latch)
		}
		l.held[key] = h
	}
	h.users++
	return h
}

func (l *latches) leave(key string, h *latch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.users--; h.users == 0 {
		delete(l.held, key)
	}
}
