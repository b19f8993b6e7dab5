package streams

import (
	"cmp"
	"slices"
)

// A route maps hash keys to the shards that take records. It is made anew
// whenever a shard changes.
type route struct {
	starts []hashKey // ascending
	shards []*shard
}

// newRoute collects the shards that take records. The caller holds Service.mu.
// A SEALING shard still takes them: until its END marker is in the log, and
// from then on the log refuses them, so that no record can come after the END
// and none can get lost between parent and child.
func newRoute(st *stream) *route {
	r := &route{}
	for _, sh := range st.shards {
		if d := sh.doc.Load(); d.State == shardOpen || d.State == shardSealing {
			r.shards = append(r.shards, sh)
		}
	}
	slices.SortFunc(r.shards, func(a, b *shard) int {
		switch x, y := a.doc.Load().Start, b.doc.Load().Start; {
		case x.less(y):
			return -1
		case y.less(x):
			return 1
		}
		return cmp.Compare(a.index, b.index)
	})
	for _, sh := range r.shards {
		r.starts = append(r.starts, sh.doc.Load().Start)
	}
	return r
}

// find returns the position of the shard that k belongs to, -1 if there is none.
func (r *route) find(k hashKey) int {
	lo, hi := 0, len(r.starts)
	for lo < hi {
		if m := int(uint(lo+hi) >> 1); k.less(r.starts[m]) {
			hi = m
		} else {
			lo = m + 1
		}
	}
	return lo - 1
}
